#!/usr/bin/env bash
# Measures what is promised, in the release build, and prints each figure beside
# its limit: medians by criterion, of calls in time on the processor and of whole
# diagnoses by the clock; start-up and memory of the real server; a diagnosis and
# the demonstration on the lab.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
benches=(--bench nsg --bench iptables --bench plugins --bench start --bench lab_diagnosis)

# Binaries and benchmarks in one build: apart, cargo would choose other features
# for each and build every dependency twice.
cargo build --release --locked --workspace --bins "${benches[@]}"
cargo bench --locked --workspace "${benches[@]}"

python3 scripts/bench_report.py "$target"
