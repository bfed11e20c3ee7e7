#!/usr/bin/env bash
# build.sh: everything the lab needs, under $LAB; each stage is skipped when its result is there.
#   1 binaries (Go module proxy)  2 root filesystem (debootstrap)  3 packages and repositories
#   4 the nodes' root filesystem (configured, FROM installed)  5 images and containerd's template
# To do a stage again, remove its result: bin/ rootfs.base/ repo/ rootfs/ ctd/
set -euo pipefail
. "$(dirname "$0")/env.sh"
mkdir -p "$LAB"/{bin,log,op/bin,ssh,tools,nodes}
B=$LAB/bin
t() { local s=$SECONDS what=$1; shift; "$@"; say "$what: $((SECONDS-s)) s"; }

binaries() {
  for v in "$FROM" "$TO"; do
    "$HERE/go.sh" k8s "$v" "$B/v$v" kubeadm kubelet kubectl kube-proxy kube-apiserver kube-controller-manager kube-scheduler
  done
  "$HERE/go.sh" etcd "$ETCD_FROM" "$B/etcd-$ETCD_FROM" server   # its etcdctl cannot be built: the newer one serves both
  "$HERE/go.sh" etcd "$ETCD_TO" "$B/etcd-$ETCD_TO"
  for v in "$DNS_FROM" "$DNS_TO"; do "$HERE/go.sh" module "$B/coredns-$v" . "github.com/coredns/coredns@$v"; done
  for c in labsrv crictl; do ( cd "$HERE/tools/$c" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w" -o "$B/$c" . ); done
  # What the packages and the nodes have of it is as old as they are.
  cmp -s "$B/crictl" "$LAB/rootfs/usr/bin/crictl" || rm -rf "$LAB/repo/core:" "$LAB/rootfs/.done"
  [ -x "$B/pause" ] || gcc -static -Os -o "$B/pause" "$HERE/tools/pause.c"
}

base() {
  [ -e "$LAB/rootfs.base/.done" ] && return
  rm -rf "$LAB/rootfs.base"
  if [ ! -e "$LAB/tools/usr/sbin/debootstrap" ]; then apt-cache show debootstrap > /dev/null 2>&1 || apt-get update -q > /dev/null; ( cd "$LAB/tools" && apt-get download debootstrap 2>/dev/null && dpkg -x debootstrap*.deb . ); fi
  local pk=systemd,systemd-sysv,dbus,libpam-systemd,openssh-server,openssh-client,containerd,runc,iptables,nftables,conntrack,ebtables,ethtool,socat,iproute2,iputils-ping,netcat-openbsd,curl,ca-certificates,gnupg,containernetworking-plugins,kmod,mount,util-linux,procps,psmisc,lsof,haproxy,less,bash-completion,jq,e2fsprogs,tar,gzip,rsync,strace,sudo,cron
  DEBOOTSTRAP_DIR=$LAB/tools/usr/share/debootstrap sh "$LAB/tools/usr/sbin/debootstrap" --variant=minbase --include=$pk \
    --keyring=/usr/share/keyrings/debian-archive-keyring.gpg bookworm "$LAB/rootfs.base" "$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | head -n 1)" > "$LAB/log/debootstrap.log" 2>&1
  rm -rf "$LAB"/rootfs.base/var/cache/apt/archives/*.deb
  touch "$LAB/rootfs.base/.done"
}

rootfs() {
  [ -e "$LAB/rootfs/.done" ] && return
  local n; for n in $NODES; do if "$HERE/node.sh" status "$n" > /dev/null; then die "$n stands on this root filesystem: run down.sh first"; fi; done
  local r=$LAB/rootfs w
  rm -rf "$r"; cp -a "$LAB/rootfs.base" "$r"; rm "$r/.done"
  # units that make no sense in a container, or that would write the host's global sysctls
  for u in haproxy.service getty@.service console-getty.service systemd-pstore.service systemd-sysctl.service systemd-modules-load.service \
    apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer dpkg-db-backup.timer systemd-udevd.service \
    systemd-udev-trigger.service systemd-timesyncd.service sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount \
    dev-hugepages.mount dev-mqueue.mount proc-sys-fs-binfmt_misc.automount systemd-remount-fs.service systemd-logind-varlink.socket; do
    ln -sf /dev/null "$r/etc/systemd/system/$u"
  done
  ln -sf /lib/systemd/system/multi-user.target "$r/etc/systemd/system/default.target"
  mkdir -p "$r/etc/systemd/journald.conf.d" "$r/var/log/journal" "$r/etc/systemd/system.conf.d"
  printf '[Journal]\nReadKMsg=no\nStorage=persistent\nSystemMaxUse=200M\nRateLimitIntervalSec=0\n' > "$r/etc/systemd/journald.conf.d/lab.conf"
  printf '[Manager]\nDefaultTimeoutStopSec=20s\n' > "$r/etc/systemd/system.conf.d/lab.conf"
  # ssh
  mkdir -p -m 700 "$r/root/.ssh"
  cp "$LAB/ssh/id_ed25519.pub" "$r/root/.ssh/authorized_keys"; chmod 600 "$r/root/.ssh/authorized_keys"
  rm -f "$r"/etc/ssh/ssh_host_*; cp -a "$LAB"/ssh/ssh_host_* "$r/etc/ssh/"
  printf 'UseDNS no\nMaxStartups 100\nMaxSessions 100\n' > "$r/etc/ssh/sshd_config.d/lab.conf"
  # containerd: CRI with the systemd cgroup driver, as the Kubernetes docs have it
  cat > "$r/etc/containerd/config.toml" <<'E'
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "registry.k8s.io/pause:3.10"
  # this machine has no CAP_SYS_RESOURCE, so nothing may lower its oom_score_adj
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = true
E
  echo 'runtime-endpoint: unix:///run/containerd/containerd.sock' > "$r/etc/crictl.yaml"
  mkdir -p "$r/etc/cni/net.d"
  # apt: only the lab's repository (as an air-gapped site has its mirror)
  mkdir -p "$r/etc/apt/keyrings"
  gpg --homedir "$LAB/gpg" --batch --export > "$r/etc/apt/keyrings/kubernetes-apt-keyring.gpg"
  rm -f "$r"/etc/apt/sources.list "$r"/etc/apt/sources.list.d/*
  echo "deb [signed-by=/etc/apt/keyrings/kubernetes-apt-keyring.gpg] http://pkgs.k8s.lab/core:/stable:/v${FROM%.*}/deb/ /" > "$r/etc/apt/sources.list.d/kubernetes.list"
  echo 'APT::Periodic::Enable "0"; Acquire::Languages "none"; Acquire::Retries "1";' > "$r/etc/apt/apt.conf.d/90lab"
  echo 'nameserver 10.77.0.4' > "$r/etc/resolv.conf"    # nobody answers there: no DNS but the cluster's own
  rm -f "$r/etc/machine-id" "$r/var/lib/dbus/machine-id"; : > "$r/etc/machine-id"
  : > "$r/etc/hostname"; : > "$r/etc/fstab"
  # kubelet, kubeadm, kubectl FROM, held, as the kubeadm docs install them
  mkdir "$r/debs"; cp "$LAB/repo/core:/stable:/v${FROM%.*}/deb/amd64/"*.deb "$r/debs/"
  chroot "$r" sh -c 'dpkg --force-confold -i /debs/*.deb && apt-mark hold kubelet kubeadm kubectl' > "$LAB/log/rootfs.log" 2>&1
  rm -rf "$r/debs"
  chroot "$r" systemctl enable kubelet containerd ssh >> "$LAB/log/rootfs.log" 2>&1
  touch "$r/.done"
}

imgbase() { # what a Go binary linked with libc and kube-proxy's iptables/nft need, and nothing else
  local r=$LAB/rootfs.base d=$LAB/cache/imgbase f
  rm -rf "$d"; mkdir -p "$d"/{etc,tmp,usr/bin,usr/sbin,usr/lib64,usr/lib/x86_64-linux-gnu,var/run,proc,sys,dev}; chmod 1777 "$d/tmp"
  ln -s usr/bin "$d/bin"; ln -s usr/sbin "$d/sbin"; ln -s usr/lib "$d/lib"; ln -s usr/lib64 "$d/lib64"
  echo 'root:x:0:0:root:/:/bin/sh' > "$d/etc/passwd"; echo 'root:x:0:' > "$d/etc/group"; echo 'hosts: files dns' > "$d/etc/nsswitch.conf"
  cp -L "$r"/usr/sbin/{xtables-nft-multi,nft,conntrack} "$d/usr/sbin/"
  cp -L "$r"/usr/bin/{dash,cat,ls,sleep,kmod} "$d/usr/bin/"; ln -s dash "$d/usr/bin/sh"
  for f in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore ebtables; do ln -s xtables-nft-multi "$d/usr/sbin/$f"; done
  ln -s ../bin/kmod "$d/usr/sbin/modprobe"
  cp -a "$r/usr/lib/x86_64-linux-gnu/xtables" "$d/usr/lib/x86_64-linux-gnu/"
  for f in /lib64/ld-linux-x86-64.so.2 $(chroot "$r" ldd /usr/sbin/xtables-nft-multi /usr/sbin/nft /usr/sbin/conntrack /usr/bin/dash /usr/bin/ls /usr/bin/kmod $(cd "$r" && printf '/%s\n' usr/lib/x86_64-linux-gnu/xtables/*.so) 2>/dev/null | grep -o '=> /lib[^ ]*' | cut -c4- | sort -u) \
    /lib/x86_64-linux-gnu/libresolv.so.2 /lib/x86_64-linux-gnu/libpthread.so.0 /lib/x86_64-linux-gnu/libdl.so.2 /lib/x86_64-linux-gnu/libnss_files.so.2 /lib/x86_64-linux-gnu/libnss_dns.so.2; do
    cp -L "$r$f" "$d/usr$f" 2>/dev/null || true
  done
}

images() {
  [ -e "$LAB/ctd/.done" ] && return
  imgbase
  local v b="base:$LAB/cache/imgbase" s=() c R=registry.k8s.io
  for v in "$FROM" "$TO"; do
    for c in kube-apiserver kube-controller-manager kube-scheduler kube-proxy; do s+=("$R/$c:v$v=$b,bin:$B/v$v/$c:/usr/local/bin/$c"); done
  done
  for v in "$ETCD_FROM" "$ETCD_TO"; do
    s+=("$R/etcd:$v-0=$b,bin:$B/etcd-$ETCD_TO/etcdctl:/usr/local/bin/etcdctl,bin:$B/etcd-$ETCD_TO/etcdutl:/usr/local/bin/etcdutl,bin:$B/etcd-$v/etcd:/usr/local/bin/etcd")
  done
  for v in "$DNS_FROM" "$DNS_TO"; do s+=("$R/coredns/coredns:$v=$b,bin:$B/coredns-$v:/coredns"); done
  s+=("$R/pause:3.10=bin:$B/pause:/pause" "$R/pause:3.10.1=bin:$B/pause:/pause" "localhost/web:1=bin:$B/labsrv:/labsrv" "localhost/web:2=bin:$B/labsrv:/labsrv")
  python3 "$HERE/images.py" "$LAB/cache/images.tar" "${s[@]}"
  # import them once, with the nodes' own containerd; each node later gets hard links of this store
  rm -rf "$LAB/ctd"; mkdir -p "$LAB/ctd" "$LAB/rootfs/var/lib/containerd"
  LAB="$LAB" unshare -m --propagation private --pid --fork --kill-child=KILL bash -c '
    set -e; r=$LAB/rootfs
    mount --bind "$r" "$r"; mount --bind "$LAB/ctd" "$r/var/lib/containerd"
    mount -t proc proc "$r/proc"; mount -t tmpfs tmpfs "$r/run"; mount -t tmpfs tmpfs "$r/tmp"; mount --bind /dev "$r/dev"
    touch "$r/tmp/images.tar"; mount --bind "$LAB/cache/images.tar" "$r/tmp/images.tar"
    chroot "$r" containerd > "$LAB/log/containerd-import.log" 2>&1 & p=$!
    for i in $(seq 100); do chroot "$r" ctr version >/dev/null 2>&1 && break; sleep 0.1; done
    chroot "$r" ctr -n k8s.io images import /tmp/images.tar > "$LAB/log/import.log" 2>&1
    for i in $(seq 20); do chroot "$r" ctr -n k8s.io images ls -q > "$LAB/log/images.list"; sleep 0.2; done
    kill $p; wait $p || true'
  rm -f "$LAB/cache/images.tar"
  [ "$(grep -c . "$LAB/log/images.list")" -ge ${#s[@]} ] || die "images missing, see log/import.log"
  touch "$LAB/ctd/.done"
}

keys() {
  [ -s "$LAB/ssh/id_ed25519" ] || ssh-keygen -q -t ed25519 -N '' -C kup-lab -f "$LAB/ssh/id_ed25519"
  for k in rsa ecdsa ed25519; do [ -s "$LAB/ssh/ssh_host_${k}_key" ] || ssh-keygen -q -t $k -N '' -C lab-host -f "$LAB/ssh/ssh_host_${k}_key"; done
  { for n in $NODES; do for k in rsa ecdsa ed25519; do echo "$n,$(node_ip "$n") $(cut -d' ' -f1,2 "$LAB/ssh/ssh_host_${k}_key.pub")"; done; done; } > "$LAB/ssh/known_hosts"
}

t "binaries" binaries
t "debootstrap" base
keys
[ -e "$LAB/repo/core:/stable:/v${TO%.*}/deb/InRelease" ] || t "packages and repositories" "$HERE/debs.sh"
t "node root filesystem" rootfs
t "images" images
[ -e "$LAB/disk.img" ] || { truncate -s "${DISK:-8G}" "$LAB/disk.img"; mkfs.ext4 -q -m 0 -E nodiscard,lazy_itable_init=0,lazy_journal_init=0 -N 262144 "$LAB/disk.img"; }
for c in kubectl; do ln -sf "$B/v$TO/$c" "$LAB/op/bin/$c"; done
for c in etcdctl etcdutl; do ln -sf "$B/etcd-$ETCD_TO/$c" "$LAB/op/bin/$c"; done
say "built; $(du -sh "$LAB" | cut -f1) in $LAB"
