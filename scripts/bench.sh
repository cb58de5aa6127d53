#!/usr/bin/env bash
# Measures what is promised, in the release build, and prints each figure beside
# its limit. Medians by criterion; start-up and memory of the real server.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}

cargo bench --workspace --locked --bench nsg --bench iptables --bench plugin_call
cargo build --release --locked --workspace --bin naosu

python3 scripts/bench_report.py "$target" "$target/release/naosu"
