#!/usr/bin/env bash
# Checks who includes whom: the table in docs/architecture.md. Also: ours are root-relative and exist, headers begin
# with #pragma once, and heavy or C headers stay out of headers. Exit code 1 and one line per violation.
#   check_includes.sh [ROOT]        default: this repository (tracked files; every file where ROOT is no git clone)
set -euo pipefail
cd "${1:-$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../..}"
list=$(git -c safe.directory='*' ls-files '*.h' '*.cpp' 2>/dev/null) || list=
[[ -n $list && -e .git ]] || list=$(find . -path ./build -prune -o \( -name '*.h' -o -name '*.cpp' \) -print | sed 's|^\./||')
# shellcheck disable=SC2086
awk '
  # The row of the folder table that a path belongs to.
  function area(path) {
    if (path ~ /^runtime\/server\//) return "server"
    if (path ~ /^runtime\/core\//) return "core"
    if (path ~ /^runtime\/engine\//) return "engine"
    if (path ~ /^runtime\//) return "runtime"
    if (path ~ /^audio\//) return "audio"
    if (path ~ /^models\//) return "models"
    if (path ~ /^codecs\/neural\//) return "neural"
    if (path ~ /^codecs\/wire\//) return "wire"
    if (path ~ /^tools\//) return "tools"
    if (path ~ /^tests\//) return "tests"
    return ""
  }
  function complain(text) { printf "%s:%d: %s\n", FILENAME, FNR, text; bad = 1 }
  BEGIN {
    allowed["core"] = " core "
    allowed["audio"] = " core audio "
    allowed["models"] = " core models "
    allowed["neural"] = " core models neural "
    allowed["wire"] = " core wire "
    allowed["runtime"] = " core audio wire runtime "
    allowed["engine"] = " core audio wire runtime models neural engine "
    allowed["server"] = " core audio wire runtime server "
    allowed["tools"] = allowed["engine"] "server tools "
    allowed["tests"] = allowed["tools"] "tests "
    torch_areas = " models neural engine tools tests "
  }
  FNR == 1 {
    own = area(FILENAME); is_header = FILENAME ~ /\.h$/; pragma_seen = 0
    if (own == "") complain("is in no folder of the table")
  }
  /^#pragma once/ { pragma_seen = 1 }
  is_header && /^#/ && !/^#pragma once/ && !pragma_seen { complain("expected #pragma once before anything else"); pragma_seen = 1 }
  match($0, /^[ \t]*#[ \t]*include[ \t]+"[^"]+"/) {
    path = $0; sub(/^[^"]*"/, "", path); sub(/".*/, "", path)
    if (path == "duet_build_info.h") next
    target = area(path)
    if (target == "" || (getline line < path) < 0) { complain("includes \"" path "\": no such file from the root") ; next }
    close(path)
    if (index(allowed[own], " " target " ") == 0) complain(own " may not include " target ": \"" path "\"")
  }
  match($0, /^[ \t]*#[ \t]*include[ \t]+<[^>]+>/) {
    path = $0; sub(/^[^<]*</, "", path); sub(/>.*/, "", path)
    if (path ~ /^(ATen|torch|c10|caffe2)\// && index(torch_areas, " " own " ") == 0)
      complain(own " may not include LibTorch: <" path ">")
    if (is_header && own != "tests" && path ~ /^(torch\/torch\.h|ATen\/ATen\.h|torch\/all\.h)$/)
      complain("<" path "> in a header: use <ATen/core/Tensor.h>")
    if (is_header && path ~ /^(portaudio\.h|speex\/|opus\/|opus\.h|ogg\/|soxr\.h|sndfile|spdlog\/|nlohmann\/|boost\/|openssl\/|yaml-cpp\/|sentencepiece)/)
      complain("<" path "> in a header: keep it in the .cpp")
  }
  END { exit bad }' $list
