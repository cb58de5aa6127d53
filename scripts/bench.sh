#!/usr/bin/env bash
# Measures what is promised, in the release build, and prints each figure beside
# its limit: medians of time on the processor by criterion; start-up and memory of
# the real server; a diagnosis and the demonstration on the lab.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}

cargo bench --workspace --locked \
  --bench nsg --bench iptables --bench plugins --bench start --bench lab_diagnosis
cargo build --release --locked --workspace --bins

python3 scripts/bench_report.py "$target"
