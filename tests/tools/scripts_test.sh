#!/usr/bin/env bash
# Tests of tools/scripts: the include check finds each kind of violation, packages.txt is well formed, and the entry
# scripts' own argument checks. Prints what failed; exit code 1.
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
fail() { echo "FAILED: $*"; failures=$((failures + 1)); }

# violates NAME FILE TEXT EXPECTED: a tree with FILE holding TEXT must be refused with EXPECTED in the message.
violates() {
  local tree="$work/$1" out
  mkdir -p "$tree/runtime/core" "$tree/runtime/engine" "$tree/models" "$tree/audio" "$(dirname "$tree/$2")"
  for header in runtime/core/error.h runtime/engine/e.h models/m.h audio/a.h; do echo '#pragma once' >"$tree/$header"; done
  printf '%b' "$3" >"$tree/$2"
  if out=$("$root/tools/scripts/check_includes.sh" "$tree" 2>&1); then
    [[ -z $4 ]] || fail "$1: accepted, expected: $4"
  else
    [[ -n $4 && $out == *"$4"* ]] || fail "$1: got \"$out\", expected \"$4\""
  fi
}
violates good audio/x.cpp '#include "audio/a.h"\n#include "runtime/core/error.h"\n#include <portaudio.h>\n' ''
violates good_engine runtime/engine/x.cpp '#include "models/m.h"\n#include "audio/a.h"\n#include <ATen/ATen.h>\n' ''
violates audio_to_models audio/x.cpp '#include "models/m.h"\n' 'audio/x.cpp:1: audio may not include models'
violates models_to_audio models/x.cpp '\n#include "audio/a.h"\n' 'models/x.cpp:2: models may not include audio'
violates core_to_models runtime/core/x.h '#pragma once\n#include "models/m.h"\n' 'core may not include models'
violates audio_to_runtime audio/x.cpp '#include "runtime/engine/e.h"\n' 'audio may not include engine'
violates torch_in_runtime runtime/x.cpp '#include <ATen/core/Tensor.h>\n' 'runtime may not include LibTorch'
violates umbrella models/x.h '#pragma once\n#include <torch/torch.h>\n' 'in a header'
violates c_header audio/x.h '#pragma once\n#include <portaudio.h>\n' 'in a header'
violates no_pragma audio/x.h '#include <vector>\n' '#pragma once'
violates not_from_root audio/x.cpp '#include "a.h"\n' 'no such file from the root'
violates outside_table other/x.cpp '\n' 'in no folder of the table'

while read -r group name rest; do
  [[ -z $group || $group == \#* ]] && continue
  [[ $group =~ ^(build|test|ci)$ && $name =~ ^[a-z0-9][a-z0-9+.-]+$ && -n $rest ]] ||
    fail "packages.txt: \"$group $name $rest\""
done <"$root/tools/scripts/packages.txt"

# setup.sh finds what is missing, and without root prints the list and stops.
missing=$(duet_root=$root duet_script=test bash -euo pipefail -c 'source "$1/tools/scripts/setup.sh"; missing_packages bash no-such-package-x' _ "$root")
if command -v dpkg-query >/dev/null; then [[ $missing == no-such-package-x ]] || fail "missing_packages: \"$missing\""; fi

# Without root and without sudo: the list, and nothing else.
if command -v dpkg-query >/dev/null && ((EUID == 0)) && command -v setpriv >/dev/null; then
  mkdir -p "$work/plain/tools/scripts" && chmod 755 "$work" "$work/plain"
  cp "$root/tools/scripts/setup.sh" "$work/plain/tools/scripts/" && chmod -R a+rX "$work/plain"
  printf 'build bash shell\nbuild no-such-package-x nothing\n' >"$work/plain/tools/scripts/packages.txt"
  out=$(setpriv --reuid=65534 --regid=65534 --clear-groups env PATH=/usr/bin:/bin HOME=/nonexistent \
    duet_root="$work/plain" duet_script=test bash -euo pipefail -c \
    'sudo() { false; }; source "$duet_root/tools/scripts/setup.sh"; install_packages build; echo went on' </dev/null 2>&1)
  [[ $? == 1 && $out == *"apt-get install --no-install-recommends no-such-package-x"* && $out != *"went on"* ]] ||
    fail "install_packages without root: \"$out\""
fi

"$root/check" --no-such 2>/dev/null; [[ $? == 2 ]] || fail "check: a usage error must exit with 2"
"$root/.ci/run" no-such 2>/dev/null; [[ $? == 2 ]] || fail ".ci/run: a usage error must exit with 2"

((failures == 0)) && echo ok
exit $((failures > 0))
