#!/usr/bin/env bash
# Starts a Python program of this checkout with its own environment, whatever PATH and directory it is called in.
#   tools/launch.sh [--as-caller] MODULE [ARG…]
# KALIBRI_HOME, where it is not set: <checkout>/run; as root /var/lib/kalibri/run, which belongs to the user
# kalibri, and the program runs as that user from a copy of the checkout (as_user.sh). --as-caller is for programs
# that only talk to a running instance and read and write the caller's own files: root stays root.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
as_caller=
if [ "$1" = --as-caller ]; then as_caller=1; shift; fi
module=$1
shift
if [ ! -x "$top/.venv/bin/python" ]; then
  echo "The Python environment is not there yet. First: make -C $top install" >&2
  exit 1
fi
if [ "$(id -u)" -eq 0 ]; then
  export KALIBRI_HOME=${KALIBRI_HOME:-${KALIBRI_STATE:-/var/lib/kalibri}/run}
  if [ -z "$as_caller" ]; then
    exec "$top/tools/as_user.sh" .venv/bin/python -m "$module" "$@"
  fi
else
  export KALIBRI_HOME=${KALIBRI_HOME:-$top/run}
fi
unset PYTHONHOME
export PYTHONPATH=$top
# -P: a folder called tools where the caller stands must not take the place of ours.
exec "$top/.venv/bin/python" -P -m "$module" "$@"
