#!/usr/bin/env bash
# Installs what Kalibri needs and this machine lacks: Debian packages, and the Python environment .venv with
# exactly the pins of pyproject.toml. Does nothing, in well under two seconds, when all of it is there.
#   tools/install.sh              packages (by root, or by sudo) and environment
#   tools/install.sh --tests      also the browser that tests drive (not needed to run Kalibri)
#   tools/install.sh --packages   packages only, as root
#   tools/install.sh --user       only the system user as whom everything runs that root starts, as root
# No service of those packages is started or left enabled: Kalibri runs its own processes as an ordinary user.
# The environment is made with /usr/bin/python3, the interpreter that Debian's Kamailio embeds, whichever python3
# comes first in PATH. By root it is made once for all checkouts with the same pins, in
# /var/lib/kalibri/venv/<checksum>, and .venv is a link to it; by an ordinary user it is .venv itself.
# pip's own settings (/etc/pip.conf, PIP_*) and apt's hold.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
base=${KALIBRI_STATE:-/var/lib/kalibri}
python=/usr/bin/python3

packages=(
  kamailio kamailio-python3-modules kamailio-postgres-modules kamailio-tls-modules
  postgresql-15 postgresql-client-15
  coturn                  # its turnserver, as a STUN server only
  ffmpeg espeak-ng        # prompts and recordings
  graphviz                # drawings of scenarios (ksctl ivr show --graph)
  sip-tester baresip-core # SIPp and baresip: phones and carriers of the demo and of the tests
  python3-venv openssl rsync procps
)
# What only the tests need: chromedriver and the browser that it drives.
test_packages=(chromium chromium-driver)
# Debian starts these when they are installed; ours run without them.
services=(kamailio postgresql coturn rsync)

say() { printf 'install: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

missing_packages() {
  local have
  # dpkg-query fails when it does not know one of them; what it knows is printed all the same.
  have=$({ dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null || true; } | sed -n 's/^installed //p')
  comm -23 <(printf '%s\n' "${packages[@]}" | sort -u) <(sort -u <<<"$have")
}

# ---------------------------------------------------------------------------------------------- packages

policy=/usr/sbin/policy-rc.d
policy_mark='# Kalibri installs packages just now; nothing is started.'
no_cluster=/etc/postgresql-common/createcluster.d/kalibri-install.conf

forbid_service_starts() {
  if [ -e "$policy" ] && ! grep -qF "$policy_mark" "$policy"; then mv "$policy" "$policy.before-kalibri"; fi
  printf '#!/bin/sh\n%s\nexit 101\n' "$policy_mark" >"$policy"
  chmod 755 "$policy"
  # PostgreSQL's package would also make a cluster of its own, which nobody uses.
  if ! dpkg-query -W postgresql-common >/dev/null 2>&1 || [ ! -d /etc/postgresql/15 ]; then
    mkdir -p "${no_cluster%/*}"
    echo 'create_main_cluster = false' >"$no_cluster"
  fi
}

allow_service_starts() {
  if [ -e "$policy" ] && grep -qF "$policy_mark" "$policy"; then rm -f "$policy"; fi
  if [ -e "$policy.before-kalibri" ]; then mv "$policy.before-kalibri" "$policy"; fi
  rm -f "$no_cluster"
}

disable_services() { # those whose package came with this run; one that was there before is somebody's own
  local service
  for service in "$@"; do
    if command -v systemctl >/dev/null; then systemctl disable --quiet "$service" >/dev/null 2>&1 || true; fi
    if command -v deb-systemd-helper >/dev/null; then deb-systemd-helper disable "$service.service" >/dev/null 2>&1 || true; fi
    if command -v update-rc.d >/dev/null; then update-rc.d "$service" disable >/dev/null 2>&1 || true; fi
  done
}

show_progress() { # apt's status lines (kind:package:percent:text): one line that is rewritten, or one per 20 %
  local kind rest percent text shown=-1
  while IFS=: read -r kind _ percent text; do
    case $kind in dlstatus | pmstatus) ;; *) continue ;; esac
    percent=${percent%%.*}
    if [ -t 2 ]; then
      printf '\r\033[Kinstall: %3s%% %.70s' "$percent" "$text" >&2
    elif [ $((percent / 20)) -ne "$shown" ]; then
      shown=$((percent / 20))
      printf 'install: %3s%% %s\n' "$percent" "$text" >&2
    fi
  done
  if [ -t 2 ]; then printf '\r\033[K' >&2; fi
}

run_apt() { # output goes to a log that is shown if it fails
  local log rc=0
  log=$(mktemp)
  { DEBIAN_FRONTEND=noninteractive apt-get -y -q -o DPkg::Lock::Timeout=300 -o APT::Status-Fd=3 \
    -o Dpkg::Options::=--force-confold "$@" 3>&1 >"$log" 2>&1 </dev/null; } | show_progress || rc=$?
  [ "$rc" -eq 0 ] || { tail -n 30 "$log" >&2; rm -f "$log"; fail "apt-get $1 failed (its last lines are above)"; }
  rm -f "$log"
}

install_packages() {
  local -a missing new=()
  mapfile -t missing < <(missing_packages)
  [ "${#missing[@]}" -gt 0 ] || return 0
  local service
  for service in "${services[@]}"; do
    [ -e "/lib/systemd/system/$service.service" ] || new+=("$service")
  done
  say "installing Debian packages: ${missing[*]}"
  trap allow_service_starts EXIT
  forbid_service_starts
  run_apt update
  run_apt install --no-install-recommends "${missing[@]}"
  disable_services "${new[@]}"
  allow_service_starts
  trap - EXIT
  mapfile -t missing < <(missing_packages)
  [ "${#missing[@]}" -eq 0 ] || fail "still missing after the installation: ${missing[*]}"
}

packages_by_anyone() {
  local -a missing
  mapfile -t missing < <(missing_packages)
  [ "${#missing[@]}" -gt 0 ] || return 0
  if [ "$(id -u)" -eq 0 ]; then
    install_packages
  elif command -v sudo >/dev/null; then
    say "Debian packages are missing; installing them needs root, so sudo is asked"
    sudo "$top/tools/install.sh" "${with_tests[@]}" --packages ||
      fail "not allowed to become root. Let root run once: $top/tools/install.sh --packages"
  else
    fail "Debian packages are missing (${missing[*]}) and this user is not root and has no sudo." \
      "Let root run once: $top/tools/install.sh --packages"
  fi
  did=1
}

# ---------------------------------------------------------------------------------------------- user

make_user() {
  if ! id kalibri >/dev/null 2>&1; then
    say "making the system user kalibri"
    useradd --system --home-dir "$base" --shell /bin/bash kalibri
  fi
  [ -d "$base" ] || install -d -o kalibri -g kalibri -m 755 "$base"
}

# ---------------------------------------------------------------------------------------------- Python environment

pins() { # one requirement per line
  env -u PYTHONHOME -u PYTHONPATH "$python" -I - "$top/pyproject.toml" <<'PY'
import sys, tomllib
with open(sys.argv[1], "rb") as file:
    project = tomllib.load(file)["project"]
groups = [project["dependencies"], *project["optional-dependencies"].values()]
print("\n".join(sorted({line for group in groups for line in group})))
PY
}

is_current() { [ "$(cat "$1/kalibri-pins" 2>/dev/null)" = "$2" ] && [ -x "$1/bin/python" ]; }

build_environment() { # FOLDER CHECKSUM; the checksum file comes last, so a broken-off build is begun anew
  local env=$1 sum=$2 list log seen=0 total line
  say "making the Python environment $env"
  rm -rf "$env"
  mkdir -p "${env%/*}"
  env -u PYTHONHOME -u PYTHONPATH "$python" -m venv "$env"
  list=$(mktemp) log=$(mktemp)
  pins >"$list"
  total=$(wc -l <"$list")
  while IFS= read -r line; do # pip's talk: one line per package that it takes up
    printf '%s\n' "$line" >>"$log"
    case $line in
      Collecting*) seen=$((seen + 1)); set -- $line; say "package $seen (of $total and what they need): $2" ;;
      "Installing collected"*) say "unpacking" ;;
    esac
  done < <(env -u PYTHONHOME -u PYTHONPATH "$env/bin/python" -m pip install --progress-bar off --disable-pip-version-check \
    -r "$list" 2>&1 || echo "pip ended with status $?")
  if tail -n 1 "$log" | grep -q '^pip ended with'; then
    tail -n 20 "$log" >&2
    rm -f "$list" "$log"
    fail "pip could not install the packages (its last lines are above)"
  fi
  rm -f "$list" "$log"
  echo "$sum" >"$env/kalibri-pins"
}

environment() {
  local sum env
  sum=$({ pins; "$python" -V; } | sha256sum | cut -c1-16)
  if is_current "$top/.venv" "$sum"; then return 0; fi
  did=1
  if [ "$(id -u)" -ne 0 ]; then
    [ ! -L "$top/.venv" ] || rm -f "$top/.venv"
    build_environment "$top/.venv" "$sum"
    return
  fi
  env=$base/venv/$sum
  mkdir -p "$base/venv"
  exec 9>"$base/venv/lock"
  flock -n 9 || { say "another installation is at work; waiting for it"; flock 9; }
  is_current "$env" "$sum" || build_environment "$env" "$sum"
  exec 9>&-
  rm -rf "$top/.venv"
  ln -s "$env" "$top/.venv"
}

# ---------------------------------------------------------------------------------------------- main

command -v dpkg-query >/dev/null || fail "this is not Debian: see the list of packages in $0"
did=0
with_tests=()
if [ "${1:-}" = --tests ]; then
  with_tests=(--tests)
  packages+=("${test_packages[@]}")
  shift
fi
case ${1:-} in
  --packages | --user)
    [ "$(id -u)" -eq 0 ] || fail "$1 needs root"
    if [ "$1" = --user ]; then make_user; else install_packages; fi
    exit 0
    ;;
esac
packages_by_anyone
[ "$(id -u)" -ne 0 ] || make_user
environment
if [ "$did" -eq 0 ]; then say "nothing to do"; else say "done"; fi
