# Sourced by ./duet, ./check and .ci/run: installs missing packages, configures, builds. Everything it says goes to
# stderr. Environment: DUET_SKIP_PACKAGES=1 leaves packages alone (other systems, own libraries); DUET_JOBS=N sets the
# number of parallel compilers; CMAKE_PREFIX_PATH points CMake at another LibTorch.

say() { printf '%s: %s\n' "$duet_script" "$*" >&2; }
die() { say "$*"; exit 1; }

# awk that prints as lines come: mawk, Debian's, reads its input in blocks unless told otherwise.
awk_live() {
  if [[ $(readlink -f "$(command -v awk)") == *mawk ]]; then awk -W interactive "$@"; else awk "$@"; fi
}

# packages GROUP...: names of the packages of these groups.
packages() {
  local groups=" $* "
  while read -r group name _; do
    [[ -n $group && $group != \#* && $groups == *" $group "* ]] && printf '%s\n' "$name"
  done <"$duet_root/tools/scripts/packages.txt"
  return 0
}

# missing_packages NAME...: those that dpkg does not have installed.
missing_packages() {
  local have
  have=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' "$@" 2>/dev/null | awk '$1 == "ii" {print $2}') ||
    true  # dpkg-query fails when one of them is unknown
  local name
  for name in "$@"; do
    [[ $'\n'$have$'\n' == *$'\n'$name$'\n'* ]] || printf '%s\n' "$name"
  done
}

# apt_progress: turns apt's status lines (dlstatus, pmstatus) into a bar on a terminal, a line every 10 % elsewhere.
apt_progress() {
  local kind item percent text last=-1 start=$SECONDS
  while IFS=: read -r kind item percent text; do
    case $kind in
      dlstatus) text="downloading" ;;
      pmstatus) text="installing"; [[ $item == dpkg-exec ]] || text+=" ${item%%:*}" ;;
      *) continue ;;
    esac
    percent=${percent%%[.,]*}
    [[ $percent =~ ^[0-9]+$ ]] || continue
    if [[ -t 2 ]]; then
      local filled=$((percent * 30 / 100)) bar
      printf -v bar '%*s' "$filled" ''
      printf '\r\033[K%s: packages %3d%% [%-30s] %ds %s' "$duet_script" "$percent" "${bar// /#}" \
        $((SECONDS - start)) "$text" >&2
    elif ((percent / 10 != last)); then
      last=$((percent / 10))
      say "packages: $percent% ($text, $((SECONDS - start)) s)"
    fi
  done
  [[ -t 2 ]] && printf '\r\033[K' >&2
  return 0
}

# install_packages GROUP...: installs what is missing. As root, else through sudo, else prints the list and stops.
install_packages() {
  [[ -n ${DUET_SKIP_PACKAGES:-} ]] && return
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "this is no Debian: install the equivalents of these yourself and set DUET_SKIP_PACKAGES=1:"
    packages "$@" | tr '\n' ' ' >&2
    echo >&2
    exit 1
  fi
  local wanted missing
  mapfile -t wanted < <(packages "$@")
  mapfile -t missing < <(missing_packages "${wanted[@]}")
  if ((${#missing[@]})); then
    local as_root=()
    if ((EUID != 0)); then
      if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || { [[ -t 0 ]] && sudo -v; }; }; then
        as_root=(sudo)
      else
        say "these packages are missing and this user may not install them; as root, run:"
        printf '  apt-get install --no-install-recommends %s\n' "${missing[*]}" >&2
        exit 1
      fi
    fi
    local log="$duet_root/build/packages.log" begin=$SECONDS
    mkdir -p "$duet_root/build"
    say "installing ${#missing[@]} packages and what they need: ${missing[*]}"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q update </dev/null >"$log" 2>&1 ||
      say "the package lists could not all be refreshed, going on with those at hand ($log)"
    local status
    { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends \
        -o APT::Status-Fd=3 -o Dpkg::Use-Pty=0 install "${missing[@]}" </dev/null 3>&1 >>"$log" 2>&1; } |
      apt_progress
    status=${PIPESTATUS[0]}
    if ((status != 0)); then
      tail -n 5 "$log" >&2
      die "packages could not be installed: $(grep -m1 '^E:' "$log" || echo "see $log")"
    fi
    say "packages installed in $((SECONDS - begin)) s"
  fi
  use_fast_blas
}

# LibTorch multiplies with whatever libblas.so.3 is. If that is the slow reference one although OpenBLAS is here, switch.
# A BLAS that somebody chose (MKL, BLIS, ...) stays.
use_fast_blas() {
  local arch link target fast
  arch=$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null) || arch=$(uname -m)-linux-gnu
  for link in blas lapack; do
    target=$(readlink -f "/usr/lib/$arch/lib$link.so.3" || true)
    [[ $target == "/usr/lib/$arch/$link/"* ]] || continue
    fast="/usr/lib/$arch/openblas-pthread/lib$link.so.3"
    [[ -e $fast ]] || continue
    local command=(update-alternatives --set "lib$link.so.3-$arch" "$fast")
    if ((EUID == 0)); then
      "${command[@]}" >/dev/null 2>&1 && say "switched lib$link to OpenBLAS" && continue
    elif command -v sudo >/dev/null && sudo -n "${command[@]}" >/dev/null 2>&1; then
      say "switched lib$link to OpenBLAS" && continue
    fi
    say "warning: lib$link is the slow reference library; as root: ${command[*]}"
  done
}

# Compilers at once: one per core, and 1.5 GB of memory for each.
jobs_for_this_machine() {
  local cores memory_kb by_memory
  cores=$(nproc)
  memory_kb=$(awk '/MemAvailable/ {print $2}' /proc/meminfo 2>/dev/null || echo 4000000)
  by_memory=$((memory_kb / 1500000))
  ((by_memory < 1)) && by_memory=1
  echo "${DUET_JOBS:-$((cores < by_memory ? cores : by_memory))}"
}

# build_progress WHAT: ninja's output as a bar on a terminal, a line every 10 % elsewhere; errors in full; nothing when
# there is nothing to compile.
build_progress() {
  awk_live -v name="$duet_script" -v what="$1" -v tty="$([[ -t 2 ]] && echo 1 || echo 0)" '
    function now(  t) { "date +%s" | getline t; close("date +%s"); return t }
    function clock(s) { return sprintf("%d:%02d", s / 60, s % 60) }
    function clear() { if (tty && started) printf "\r\033[K" }
    /^ninja: (Entering|no work|failed)/ { next }
    /^\[[0-9]+\/[0-9]+\] / {
      if (!started && $2 !~ /^(Building|Linking)$/) next
      if (!started) { started = now(); printf "%s: building (%s)\n", name, what }
      split(substr($1, 2), count, /[\/\]]/); quiet = 1
      share = int(100 * count[1] / count[2]); spent = now() - started
      left = count[1] ? spent * (count[2] - count[1]) / count[1] : 0
      if (tty) {
        bar = ""; for (i = 0; i < 30; ++i) bar = bar (i < share * 0.3 ? "#" : " ")
        printf "\r\033[K%s: build %3d%% [%s] %d/%d %s left %s", name, share, bar, count[1], count[2], clock(spent), clock(left)
      } else if (int(share / 10) != last) {
        last = int(share / 10)
        printf "%s: build %d%% (%d/%d, %s, left %s)\n", name, share, count[1], count[2], clock(spent), clock(left)
      }
      fflush(); next
    }
    /^-- / { next }
    { clear(); print; fflush() }
    END { clear() }' >&2
}

# build PRESET TESTS(ON|OFF) TARGET...: configures when needed and builds. Does nothing, quickly, when all is built.
build() {
  local preset=$1 tests=$2 dir="$duet_root/build/$1" begin=$SECONDS log
  shift 2
  log="$dir/configure.log"
  if [[ ! -f $dir/build.ninja ]] || { [[ $tests == ON ]] && ! grep -q '^DUET_BUILD_TESTS:BOOL=ON' "$dir/CMakeCache.txt"; }; then
    mkdir -p "$dir"
    say "configuring ($preset)"
    (cd "$duet_root" && cmake --preset "$preset" "-DDUET_BUILD_TESTS=$tests") >"$log" 2>&1 || {
      rm -f "$dir/build.ninja"
      grep -A6 -m1 'CMake Error' "$log" >&2 || tail -n 5 "$log" >&2
      die "configuring failed; all of it: $log"
    }
  fi
  local jobs status
  jobs=$(jobs_for_this_machine)
  { NINJA_STATUS='[%f/%t] ' ninja -C "$dir" -j "$jobs" "$@" </dev/null 2>&1 || echo "ninja: failed"; } |
    tee "$dir/build.log" | build_progress "$preset, $jobs at a time"
  status=$(tail -n 1 "$dir/build.log")
  [[ $status != "ninja: failed" ]] || die "the build failed ($preset), see the first error above - all output: $dir/build.log"
  ! grep -q '^\[[0-9]*/[0-9]*\] Building' "$dir/build.log" || say "built in $((SECONDS - begin)) s"
}
