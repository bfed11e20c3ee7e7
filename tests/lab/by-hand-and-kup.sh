#!/usr/bin/env bash
# by-hand-and-kup.sh [KUP]: the documented procedure and kup's main job in one sitting, each on a fresh
# lab and with the probes running. Prints both times, their ratio, and what the probes saw; 30 min.
# With KUP_RECORD=1 what kup printed becomes docs/lab-minor.md.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$HERE/../.."
kup=${1:-target/release/kup}; kup=$(realpath "$kup")
work=$(mktemp -d)
fresh() { "$HERE/down.sh" > /dev/null 2>&1 || true; "$HERE/up.sh"; }

fresh
by_hand=$("$HERE/upgrade-by-hand.sh" 2>&1 | tee >(cat >&2) | sed -n 's/.*upgraded in \([0-9]*\) s/\1/p')

fresh
pids=()
rm -f "$LAB/probe.stop"
for t in web nodeport api; do "$HERE/probe.sh" $t 1800 "$work/$t.json" > /dev/null & pids+=($!); done
trap 'touch "$LAB/probe.stop"' EXIT
sleep 2; t0=$SECONDS
op "$kup" run playbooks/kubeadm-minor.kup --set target="v$TO" --set snapshots="$work" --ssh-config "$SSH_CONFIG" --state-dir "$work/state" --yes --plain | tee "$work/told"
by_kup=$((SECONDS-t0))
sleep 5; touch "$LAB/probe.stop"; wait "${pids[@]}" || true

for t in web nodeport api; do jq -c --arg t $t '{probe: $t, requests, failed}' "$work/$t.json"; done
if [ -n "${KUP_RECORD:-}" ]; then
  { printf '# The main job on a real cluster\n\nWhat kup printed on the machines of [the other roads](lab.md); written by `KUP_RECORD=1 tests/lab/by-hand-and-kup.sh`.\n\n```text\n'
    printf '$ kup run playbooks/kubeadm-minor.kup --yes --set target=v%s\n' "$TO"
    sed "s#$work#.#g; s#$PWD/##g" "$work/told"; printf '```\n'; } > docs/lab-minor.md
fi
awk -v hand="$by_hand" -v kup="$by_kup" 'BEGIN { printf "by hand %d s, kup %d s: %.3f\n", hand, kup, kup / hand }'
rm -rf "$work"
