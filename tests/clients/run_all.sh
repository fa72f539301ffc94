#!/usr/bin/env bash
# Real clients against the server on an engine without a model: `tests/clients/run_all.sh [SERVER]`, by default
# build/ci/tests/duet_fake_serve, built where it is missing. The packages of requirements.txt go into build/clients-venv.
set -euo pipefail
duet_root=$(dirname "$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")")
duet_script=clients
# shellcheck source=../../tools/scripts/setup.sh
source "$duet_root/tools/scripts/setup.sh"
here="$duet_root/tests/clients"

server=${1:-}
if [[ -z $server ]]; then
  build ci ON duet_fake_serve
  server="$duet_root/build/ci/tests/duet_fake_serve"
fi
venv="$duet_root/build/clients-venv"
if ! cmp -s "$here/requirements.txt" "$venv/requirements.txt"; then
  say "Python packages into $venv"
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt" >&2 || die "pip failed, see above"
  cp "$here/requirements.txt" "$venv/requirements.txt"
fi
# install_node FOLDER: OpenAI's npm clients; fails where there is no Node.js that they run on (Debian 12 has 18: too old)
# or npm does not reach its registry.
install_node() {
  command -v npm >/dev/null || return 1
  (($(node --version | sed -E 's/^v([0-9]+).*/\1/') >= 20)) || return 1
  mkdir -p "$1"
  cp "$here/node/node_client.mjs" "$here/node/package.json" "$1/"
  if ! cmp -s "$1/package.json" "$1/installed.json"; then
    say "npm packages into $1"
    (cd "$1" && npm install --silent --no-audit --no-fund >&2 && cp package.json installed.json) || return 1
  fi
}
node=("$duet_root/build/clients-node")
install_node "${node[0]}" || { say "no Node.js 20, or npm failed: OpenAI's npm clients are left out"; node=(); }
export PYTHONDONTWRITEBYTECODE=1
run() { say "$*"; "$venv/bin/python" "$here/$1" "${@:2}" >&2 || die "FAILED: $1, see above"; }

run kubernetes_test.py
run speak_test.py "$server" "${node[@]}"
if command -v haproxy >/dev/null; then run haproxy_test.py "$server"; else say "no haproxy: its test is left out"; fi
run load.py --sessions 4 --minutes 0.2 "$server" step_us=10000
run faults.py --minutes 0.5 --sessions 8 --good 4 --late 1 "$server" step_us=2000
