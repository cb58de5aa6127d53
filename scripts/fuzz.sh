#!/usr/bin/env bash
# Fuzzes each parser of outside text for a while. Usage: fuzz.sh SECONDS [TARGET…]
#
# The fuzzer's instrumentation needs compiler flags that a stable toolchain only
# takes when told so; nothing else of the build is unstable, and no second
# toolchain is needed.
set -euo pipefail
cd "$(dirname "$0")/../engine/flow"
seconds=${1:-60}
shift || true
export RUSTC_BOOTSTRAP=1
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cargo fuzz list)
for target in "${targets[@]}"; do
  echo "fuzz: $target for $seconds s"
  # Hours old inputs are in fuzz/corpus; the texts in fuzz/seeds are where a new one begins.
  mkdir -p "fuzz/corpus/$target"
  cargo fuzz run "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
    -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 -max_len=16384
done
