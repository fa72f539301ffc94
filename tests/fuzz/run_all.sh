#!/usr/bin/env bash
# Builds the libFuzzer targets and runs each from its corpus: `tests/fuzz/run_all.sh [SECONDS]`, 10 by default. Needs
# clang-14. What it finds new stays in build/fuzz/found; a crash is an error and its input is named.
set -euo pipefail
root=$(dirname "$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")")
seconds=${1:-10}
dir="$root/build/fuzz"
if [[ ! -f $dir/build.ninja ]]; then
  mkdir -p "$dir"
  CC=clang-14 CXX=clang++-14 cmake -S "$root" -B "$dir" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DDUET_FUZZ=ON \
    -DDUET_WITH_TORCH=OFF -DDUET_BUILD_TESTS=ON >"$dir/configure.log" 2>&1 || { tail -n 5 "$dir/configure.log" >&2; exit 1; }
fi
targets=(ogg_opus moshi_frame realtime duplex_live)
ninja -C "$dir" "${targets[@]/#/fuzz_}" >"$dir/build.log" 2>&1 || { tail -n 20 "$dir/build.log" >&2; exit 1; }
for target in "${targets[@]}"; do
  found="$dir/found/$target"
  mkdir -p "$found"
  log="$dir/$target.log"
  "$dir/tests/fuzz/fuzz_$target" -max_total_time="$seconds" -artifact_prefix="$dir/$target-" -timeout=10 -rss_limit_mb=2048 \
    "$found" "$root/tests/fuzz/corpus/$target" >"$log" 2>&1 || { tail -n 30 "$log" >&2; echo "fuzz: FAILED: $target, see $log" >&2; exit 1; }
  echo "fuzz: $target ok: $(grep -o 'Done [0-9]* runs in [0-9]* second' "$log")" >&2
done
