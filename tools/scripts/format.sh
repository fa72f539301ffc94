#!/usr/bin/env bash
# Formats every tracked C++ file, or with --check says which are not formatted (exit code 1).
# Always clang-format 14, Debian 12's: other versions format differently.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.."
tool=$(command -v clang-format-14 || command -v clang-format || true)
if [[ -z $tool ]] || ! "$tool" --version | grep -q 'version 14\.'; then
  echo "format: clang-format 14 is needed (Debian 12: apt-get install clang-format)" >&2
  exit 1
fi
mapfile -d '' files < <(git -c safe.directory='*' ls-files -z '*.h' '*.cpp')
existing=()
for file in "${files[@]}"; do [[ -f $file ]] && existing+=("$file"); done
if [[ ${1:-} != --check ]]; then
  printf '%s\0' "${existing[@]}" | xargs -0 -n 16 -P "$(nproc)" "$tool" -i
  exit 0
fi
bad=$(printf '%s\0' "${existing[@]}" | xargs -0 -n 16 -P "$(nproc)" "$tool" --dry-run -Werror 2>&1 |
  sed -nE 's/^([^: ]+):([0-9]+):.*(error|warning):.*/\1:\2/p' | sort -t: -k1,1 -k2,2n | awk -F: '!seen[$1]++') || true
if [[ -n $bad ]]; then
  echo "format: $(wc -l <<<"$bad") of ${#existing[@]} files are not formatted (tools/scripts/format.sh does it):" >&2
  head -n 20 <<<"$bad" >&2
  exit 1
fi
