#!/usr/bin/env bash
# Runs a command of this checkout as an ordinary user: PostgreSQL refuses root, and nothing else needs it.
#   tools/as_user.sh [--back FOLDER] COMMAND [ARG…]
# As an ordinary user: runs it here. As root: the system user "kalibri" may not be able to read this folder
# (a checkout in /root), so the sources are first copied (only what changed) to a stage that is its own,
#   /var/lib/kalibri/stage/<checksum of the checkout's path>
# and the command runs there, with the Python environment of this checkout as .venv. --back FOLDER copies what
# the command wrote to that folder (bench/out) from the stage to the checkout when it has ended well.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
called_from=$PWD
back=
if [ "${1:-}" = --back ]; then back=$2; shift 2; fi
cd "$top"
if [ "$(id -u)" -ne 0 ]; then
  exec "$@"
fi

base=${KALIBRI_STATE:-/var/lib/kalibri}
id kalibri >/dev/null 2>&1 || tools/install.sh --user
stage=$base/stage/$(printf %s "$top" | cksum | cut -d' ' -f1)
install -d -o kalibri -g kalibri -m 755 "$base" "$base/stage" "$stage"

sources() { # files of the checkout that belong to the project, whether committed yet or not
  if git -c safe.directory="$top" rev-parse --git-dir >/dev/null 2>&1; then
    git -c safe.directory="$top" ls-files -z --cached --others --exclude-standard --deduplicate
  else # an unpacked archive
    find . \( -name .venv -o -name run -o -name __pycache__ -o -name .git \) -prune -o -type f -printf '%P\0'
  fi | while IFS= read -r -d '' file; do
    if [ -e "$file" ] || [ -L "$file" ]; then printf '%s\0' "$file"; fi
  done | sort -z
}

copy_to_stage() { # and remove from it what is gone from the checkout: an old module would still import
  local list
  list=$(mktemp)
  sources >"$list"
  rsync -a --chown=kalibri:kalibri --files-from="$list" --from0 ./ "$stage/"
  (cd "$stage" && find . \( -path ./.venv -o -path ./run -o -path ./bench/out -o -name __pycache__ -o -name '.*_cache' -o -name .hypothesis \) -prune \
    -o \( -type f -o -type l \) -printf '%P\0') | sort -z | comm -z -13 "$list" - | (cd "$stage" && xargs -0r rm -f --)
  rm -f "$list"
}

# Two commands of one checkout may be started together; each needs the whole copy.
exec 9>"$stage.lock"
flock 9
copy_to_stage
if [ -e .venv ]; then ln -sfn "$(readlink -f .venv)" "$stage/.venv"; fi
exec 9>&-

cd "$stage"
environment=(HOME="$base" LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin KALIBRI_CALLED_FROM="$called_from")
while IFS= read -r -d '' assignment; do
  case $assignment in
    KALIBRI_CALLED_FROM=*) ;;
    CI=* | TERM=* | COLUMNS=* | NO_COLOR=* | FORCE_COLOR=* | KALIBRI_* | PIP_* | PYTEST_* | HYPOTHESIS_*) environment+=("$assignment") ;;
  esac
done < <(env -0)
run=(setpriv --reuid=kalibri --regid=kalibri --init-groups --reset-env env "${environment[@]}" "$@")
[ -n "$back" ] || exec "${run[@]}"
"${run[@]}"
mkdir -p "$top/$back"
rsync -rlt "$stage/$back/" "$top/$back/"
