#!/usr/bin/env bash
# can.sh: says why this machine cannot hold the lab and exits 1, or exits 0.
set -u
. "$(dirname "$0")/env.sh"
no() { echo "$*"; exit 1; }
[ "$(uname -s)" = Linux ] || no "the lab needs Linux"
[ "$(uname -m)" = x86_64 ] || no "the lab's packages are built for amd64"
[ "$(id -u)" = 0 ] || no "the lab needs root: network namespaces, loop devices, cgroups"
grep -q '^ID=debian' /etc/os-release && [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || no "the lab's nodes are made from this machine's own Debian mirror, and this is no Debian"
for c in go gcc python3 gpg dpkg-deb apt-get mkfs.ext4 ip nsenter unshare ssh jq; do command -v $c > /dev/null || no "the lab needs \`$c\`"; done
ip netns add kup-can 2> /dev/null || no "network namespaces cannot be made here"
ip netns del kup-can
unshare --mount --uts --ipc --pid --cgroup --fork true 2> /dev/null || no "mount and pid namespaces cannot be made here"
[ -e /dev/loop-control ] || no "there are no loop devices"
grep -q overlay /proc/filesystems || modprobe overlay 2> /dev/null || no "the kernel has no overlay filesystem"
mkdir -p "$LAB" 2> /dev/null || no "$LAB cannot be written"
[ -e "$LAB/ctd/.done" ] || [ "$(df -Pm "$LAB" | awk 'NR==2 {print $4}')" -ge 25000 ] || no "building the lab needs 25 GB free at $LAB"
[ "$(df -Pm "$LAB" | awk 'NR==2 {print $4}')" -ge 6000 ] || no "the lab's nodes need 6 GB free at $LAB"
[ "$(awk '/MemAvailable/ {print int($2/1024)}' /proc/meminfo)" -ge 4000 ] || no "the lab needs 4 GB of free memory"
