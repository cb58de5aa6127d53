#!/usr/bin/env bash
# Fuzzes each parser of outside text for a while. Usage: fuzz.sh SECONDS
set -euo pipefail
cd "$(dirname "$0")/../engine/flow"
seconds=${1:-60}
command -v cargo-fuzz >/dev/null || { echo "fuzz: cargo-fuzz is missing; 'cargo install cargo-fuzz'" >&2; exit 1; }
rustup toolchain list | grep -q nightly || { echo "fuzz: a nightly toolchain is missing; 'rustup toolchain install nightly'" >&2; exit 1; }
for target in $(cargo +nightly fuzz list); do
  echo "fuzz: $target for $seconds s"
  cargo +nightly fuzz run "$target" -- -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10
done
