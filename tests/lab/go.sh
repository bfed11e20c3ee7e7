#!/usr/bin/env bash
# go.sh k8s VERSION OUTDIR CMD...               commands of Kubernetes
#       etcd VERSION OUTDIR [server]            etcd, and without "server" etcdctl and etcdutl
#       module OUTFILE PACKAGE MODULE@VERSION   one command of any published module
# Builds from the Go module proxy, without git. What is there already is kept; Kubernetes and etcd
# binaries of the right version are taken from $KUBEBUILDER_ASSETS where it has them.
set -euo pipefail
kind=$1; shift
work=$(mktemp -d); trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
build() { nice -n 10 go build -trimpath "$@"; }
asset() { # asset NAME VERSION OUTFILE: take it from KUBEBUILDER_ASSETS if it says this version of itself
  local a=${KUBEBUILDER_ASSETS:-}/$1
  [ -n "${KUBEBUILDER_ASSETS:-}" ] && [ -x "$a" ] || return 1
  { "$a" --version 2>/dev/null || "$a" version 2>/dev/null || true; } | grep -qwF "$2" || return 1
  mkdir -p "$(dirname "$3")"; cp "$a" "$3"
}
case $kind in
k8s)
  v=$1 out=$2; shift 2
  todo=()
  for c in "$@"; do [ -x "$out/$c" ] || asset "$c" "v$v" "$out/$c" || todo+=("$c"); done
  [ ${#todo[@]} -gt 0 ] || exit 0
  cd "$work"
  # k8s.io/kubernetes with its staging modules replaced by the published v0.X ones
  mod=$(go mod download -json "k8s.io/kubernetes@v$v" | sed -n 's/.*"GoMod": "\(.*\)",/\1/p')
  {
    echo "module lab"
    grep -E '^(go|godebug) ' "$mod"
    echo "require k8s.io/kubernetes v$v"
    sed -n 's#^\t\(k8s.io/[a-z-]*\) => ./staging/.*#replace \1 => \1 v0.'"${v#1.}"'#p' "$mod"
  } > go.mod
  { echo "package tools"; echo 'import ('; for c in "${todo[@]}"; do echo "_ \"k8s.io/kubernetes/cmd/$c\""; done; echo ')'; } > tools.go
  go mod tidy -e > tidy.log 2>&1 || true
  mkdir -p "$out"
  ld="-s -w"
  for pkg in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    ld="$ld -X $pkg.gitVersion=v$v -X $pkg.gitMajor=1 -X $pkg.gitMinor=$(echo "$v" | cut -d. -f2) -X $pkg.gitTreeState=clean -X $pkg.buildDate=2026-01-01T00:00:00Z"
  done
  for c in "${todo[@]}"; do build -ldflags "$ld" -o "$out/$c.tmp" "k8s.io/kubernetes/cmd/$c"; mv "$out/$c.tmp" "$out/$c"; done
  ;;
etcd)
  # The main packages lie at their modules' roots. Of 3.5.24 the proxy lacks etcdutl, which etcdctl
  # 3.5 needs too, so only the server of that version can be built.
  v=$1 out=$2 what=${3:-all}
  mods=(server); [ "$what" = server ] || mods+=(etcdctl etcdutl)
  todo=()
  for m in "${mods[@]}"; do n=${m/server/etcd}; [ -x "$out/$n" ] || asset "$n" "$v" "$out/$n" || todo+=("$m"); done
  [ ${#todo[@]} -gt 0 ] || exit 0
  cd "$work"
  gov=$(go env GOVERSION | sed 's/^go//')
  { echo "module lab"; echo "go ${gov%.*}"; for m in "${todo[@]}"; do echo "require go.etcd.io/etcd/$m/v3 v$v"; done; } > go.mod
  { echo 'package tools'; for m in "${todo[@]}"; do echo "import _ \"go.etcd.io/etcd/$m/v3\""; done; } > tools.go
  go mod tidy -e > tidy.log 2>&1 || true
  mkdir -p "$out"
  for m in "${todo[@]}"; do build -ldflags "-s -w" -o "$out/${m/server/etcd}" "go.etcd.io/etcd/$m/v3"; done
  ;;
module)
  # as if in its own repository: its go.mod's replaces are honoured by copying it out of the cache
  out=$1 pkg=$2 mod=$3
  [ -x "$out" ] && exit 0
  dir=$(cd "$work" && go mod download -json "$mod" | sed -n 's/.*"Dir": "\(.*\)",/\1/p')
  cp -r "$dir" "$work/src"; chmod -R u+w "$work/src"; cd "$work/src"
  mkdir -p "$(dirname "$out")"
  build -mod=mod -ldflags "-s -w" -o "$out.tmp" "$pkg"
  mv "$out.tmp" "$out"
  ;;
*) echo "usage: go.sh k8s|etcd|module ..." >&2; exit 2;;
esac
