#!/usr/bin/env bash
# tests/run.sh: installs what the tests need and passes them all: style, the pure and simulated
# levels, then the contract and the upgrade on a real cluster where this machine can hold one.
#   KUP_LAB=no tests/run.sh    without the real cluster
#   KUP_CACHE=DIR              where cargo's target and the lab's parts are kept (default ~/.cache/kup)
set -euo pipefail
cd "$(dirname "$0")/.."
started=$SECONDS
say() { printf '\n== [%4ds] %s\n' $((SECONDS - started)) "$*"; }
cache=${KUP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kup}
mkdir -p "$cache"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}
mkdir -p "$CARGO_TARGET_DIR"
# Cargo goes by times: the files of another checkout may be older than what was built from this one.
if [ "$(cat "$CARGO_TARGET_DIR/checkout" 2> /dev/null)" != "$PWD" ]; then
  find . -path ./target -prune -o -path ./.git -prune -o -type f -exec touch {} +
  echo "$PWD" > "$CARGO_TARGET_DIR/checkout"
fi
# Many tests wait for a clock, an ssh or a program of theirs.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$((4 * $(getconf _NPROCESSORS_ONLN)))}

# A Debian or Ubuntu machine as root gets what is missing; elsewhere the tests say what they lack.
need() { # need COMMAND PACKAGE: remember the package if the command is not there
  command -v "$1" > /dev/null || missing+=("$2")
}
missing=()
command -v cc > /dev/null || missing+=(gcc libc6-dev)
need ssh openssh-client; need git git; need nvim neovim; need prometheus prometheus; need tmux tmux
need dnf dnf; need rpmbuild rpm; need createrepo_c createrepo-c
[ -e /usr/lib/python3/dist-packages/dnf-plugins/versionlock.py ] || missing+=(dnf-plugins-core)
need etcd etcd-server; need etcdctl etcd-client
[ -x /usr/sbin/sshd ] || missing+=(openssh-server)
if [ "$(uname -s)" = Linux ]; then need jq jq; need gpg gpg; need mkfs.ext4 e2fsprogs; need ip iproute2; need python3 python3; python3 -c "import ensurepip" 2> /dev/null || missing+=(python3-venv); need nsenter util-linux; fi
if [ ${#missing[@]} -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
  say "installing ${missing[*]}"
  { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"; } > /dev/null \
    || say "not all of it could be installed: the tests say what they lack"
fi

# tree-sitter is a program of its own; it is built once, into the cache.
if ! command -v tree-sitter > /dev/null && [ ! -x "$cache/tools/bin/tree-sitter" ]; then
  say "installing tree-sitter"
  nice cargo install tree-sitter-cli --locked --quiet --root "$cache/tools" --target-dir "$cache/tools/target" \
    || say "it could not be installed: its test says so"
fi
# Debian has etcd 3.4; those with other tools are built from their modules.
for v in 3.5.11 3.6.5; do
  [ -x "$cache/tools/etcd-$v/etcdutl" ] && continue
  say "building etcd $v"
  { command -v go > /dev/null && tests/lab/go.sh etcd $v "$cache/tools/etcd-$v"; } || say "it could not be built, for which Go 1.24 is needed: its test says so"
done
# What compiles and packages the extension for VS Code is kept by its lock file.
if command -v npm > /dev/null && ! cmp -s editors/vscode/package-lock.json "$cache/tools/vscode/package-lock.json"; then
  say "installing what packages the extension for VS Code"
  rm -rf "$cache/tools/vscode" && mkdir -p "$cache/tools/vscode"
  cp editors/vscode/package.json editors/vscode/package-lock.json "$cache/tools/vscode"
  (cd "$cache/tools/vscode" && nice npm ci --ignore-scripts --no-audit --no-fund --silent) \
    || { rm -rf "$cache/tools/vscode"; say "it could not be installed: its test says so"; }
fi
# The real `aws` talks to the simulated EKS, and brings the model that its answers are held to.
if command -v python3 > /dev/null && [ ! -x "$cache/tools/aws/bin/aws" ]; then
  say "installing the AWS CLI"
  { rm -rf "$cache/tools/aws" && python3 -m venv "$cache/tools/aws" && nice "$cache/tools/aws/bin/pip" install --quiet awscli==1.46.3; } \
    || { rm -rf "$cache/tools/aws"; say "it could not be installed: its tests say so"; }
fi
# A grammar of PowerShell that others wrote reads what is sent to nodes that run Windows.
if command -v python3 > /dev/null && [ ! -x "$cache/tools/powershell/bin/python" ]; then
  say "installing a grammar of PowerShell"
  { rm -rf "$cache/tools/powershell" && python3 -m venv "$cache/tools/powershell" \
    && nice "$cache/tools/powershell/bin/pip" install --quiet tree-sitter==0.25.2 tree-sitter-powershell==0.26.4; } \
    || { rm -rf "$cache/tools/powershell"; say "it could not be installed: its test says so"; }
fi
export KUP_CACHE=$cache

say "style"
cargo fmt --all --check
cargo clippy --workspace --all-targets --locked --quiet -- -D warnings

# All with one optimized build: the tests simulate hours, and two builds would take longer than they do. Always of
# the whole workspace: cargo builds for one package alone with other features.
tests() { cargo test --workspace --profile optimized --locked "$@"; }
say "pure and simulated levels"
tests --quiet --no-run
levels=$SECONDS
# The rooms below beside the program: most of what either does is to wait.
below=(--lib --bins)
for file in */tests/*.rs */tests/*/main.rs; do
  name=${file#*/tests/} name=${name%/main.rs}
  below+=(--test "${name%.rs}")
done
rooms=$(mktemp)
tests --no-fail-fast "${below[@]}" > "$rooms" 2>&1 &
tests --no-fail-fast --test kup -- --skip crash:: --skip rehearsal:: --skip access:: --skip do_what_their_tests_say --skip five_hundred --skip tools:: || failed=yes
wait $! || failed=yes
cat "$rooms" && rm "$rooms"
[ -z "${failed:-}" ]
say "pure and simulated levels took $((SECONDS - levels)) s"

say "10,000 schedules of the machine; 3 control planes and 500 workers"
# Alone: the time of the second is measured.
KUP_SEEDS=10000 tests --quiet --lib random_runs
tests --quiet --test kup five_hundred

if [ "${KUP_LAB:-}" = no ]; then
  lab="not run: KUP_LAB=no"
elif ! why=$(tests/lab/can.sh); then
  lab="not run: $why"
else
  say "the lab: a real cluster, to be asked whether the simulated one answers as it does"
  lab="passed on a real cluster"
  tests/lab/down.sh > /dev/null 2>&1 || true
  tests/lab/build.sh
  # It waits for kubelets most of the time: the rest of what is simulated goes on beside it.
  answers=$(mktemp)
  tests --test lab contract:: -- --test-threads=1 --nocapture > "$answers" 2>&1 &
  contract=$!
fi

say "programs of others: aws, dnf, etcd, Prometheus, the makers of the editors' parts"
tests --test kup tools:: || failed=yes
say "every shipped playbook killed at every point, in three shapes and with faults, with its rights alone, and its own tests"
for test in crash:: rehearsal:: access:: do_what_their_tests_say; do tests --quiet --test kup "$test" || failed=yes; done

if [ -n "${contract:-}" ]; then
  wait "$contract" || failed=yes
  cat "$answers" && rm "$answers"
fi
[ -z "${failed:-}" ]
if [ -n "${contract:-}" ]; then
  say "the lab: the main job on a real cluster, with troubles"
  tests --test lab -- --test-threads=1 --nocapture --skip contract::
  tests/lab/down.sh
fi
say "done"
echo "lab: $lab"
