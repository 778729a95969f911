#!/usr/bin/env bash
# Starts a Python program of this checkout with its own environment, whatever PATH and directory it is called in.
#   tools/launch.sh [--as-caller] MODULE [ARG…]
# A relative home of the configuration (the default is `run`) starts from the checkout; as root from /var/lib/kalibri,
# which belongs to the user kalibri, and the program runs as that user from a copy of the checkout (as_user.sh).
# --as-caller is for programs that only talk to a running instance and read and write the caller's own files: root
# stays root.
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
  # Not KALIBRI_HOME: that would beat the home of a configuration file.
  export KALIBRI_BASE=${KALIBRI_BASE:-${KALIBRI_STATE:-/var/lib/kalibri}}
  if [ -z "$as_caller" ]; then
    exec "$top/tools/as_user.sh" .venv/bin/python -m "$module" "$@"
  fi
fi
unset PYTHONHOME
export PYTHONPATH=$top
# -P: a folder called tools where the caller stands must not take the place of ours.
exec "$top/.venv/bin/python" -P -m "$module" "$@"
