#!/usr/bin/env bash
# Runs a command of this checkout as an ordinary user: PostgreSQL refuses root, and nothing else needs it.
#   tools/as_user.sh COMMAND [ARG…]
# As an ordinary user: runs it here. As root: the system user "kalibri" may not be able to read this folder
# (a checkout in /root), so the sources are first copied (only what changed) to a stage that is its own,
#   /var/lib/kalibri/stage/<checksum of the checkout's path>
# and the command runs there. The Python environment is shared by all stages with the same pyproject.toml.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$top"
if [ "$(id -u)" -ne 0 ]; then
  exec "$@"
fi

base=${KALIBRI_STATE:-/var/lib/kalibri}
id kalibri >/dev/null 2>&1 || useradd --system --home-dir "$base" --shell /bin/bash kalibri
install -d -o kalibri -g kalibri -m 755 "$base" "$base/stage"
stage=$base/stage/$(printf %s "$top" | cksum | cut -d' ' -f1)
install -d -o kalibri -g kalibri -m 755 "$stage"
list=$(mktemp)
trap 'rm -f "$list"' EXIT
if git -c safe.directory="$top" rev-parse --git-dir >/dev/null 2>&1; then
  git -c safe.directory="$top" ls-files -z --cached --others --exclude-standard >"$list"
else # an unpacked archive
  find . -type d \( -name .venv -o -name run -o -name __pycache__ -o -name .git \) -prune -o -type f -printf '%P\0' >"$list"
fi
# Files that are gone from the checkout must go from the stage too: an old module would still import.
rsync -a --chown=kalibri:kalibri --files-from="$list" --from0 --ignore-missing-args ./ "$stage/"
(cd "$stage" && find . -type d \( -name .venv -o -name run -o -name bench/out -o -name __pycache__ -o -name '.*_cache' -o -name .hypothesis \) -prune \
  -o \( -type f -o -type l \) -not -path './.venv' -printf '%P\0') | sort -z >"$list.have"
sort -z -o "$list" "$list"
comm -z -13 "$list" "$list.have" | grep -zv '^bench/out/' | (cd "$stage" && xargs -0r rm -f --) || true
rm -f "$list" "$list.have"
trap - EXIT
cd "$stage"
exec setpriv --reuid=kalibri --regid=kalibri --init-groups --reset-env \
  env HOME="$base" LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  ${CI:+CI=$CI} ${PIP_CERT:+PIP_CERT=$PIP_CERT} ${PIP_INDEX_URL:+PIP_INDEX_URL=$PIP_INDEX_URL} \
  ${KALIBRI_HOME:+KALIBRI_HOME=$KALIBRI_HOME} "$@"
