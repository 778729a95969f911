"""Processes of an instance that nobody looks after any more, found by a mark in their environment.

When the first process of Kamailio or PostgreSQL is killed, its children live on and keep ports and shared
memory; when supervisord is killed, everything lives on. runner.py marks what it starts with KALIBRI_HOME
and KALIBRI_PROCESS, and children inherit the mark. PostgreSQL writes over its environment: its processes
are known by their data directory.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from kalibri.config import Config

PROC = Path("/proc")

#: Variable by which the systemd units say who looks after their processes.
SUPERVISOR = "KALIBRI_SUPERVISOR"


def find(config: Config, name: str | None = None) -> list[int]:
    """Return the pids of the instance's processes, or those of one; never the caller's own."""
    return [pid for pid in _own_pids() if _belongs(config, name, pid)]


def is_under_systemd(config: Config) -> bool:
    """Tell whether systemd runs the instance: then its processes are no orphans, and not ksinit's business."""
    mark = f"{SUPERVISOR}=systemd".encode()
    return any(mark in _environment(pid) for pid in find(config))


def end(config: Config, name: str | None = None, *, seconds: float = 10.0) -> list[int]:
    """End what `find` finds: SIGTERM, then after `seconds` SIGKILL; return who it was.

    PostgreSQL gets SIGINT, its fast and orderly stop.
    """
    ended = find(config, name)
    _signal_and_wait(ended, signal.SIGINT if name == "postgres" else signal.SIGTERM, seconds)
    left = find(config, name)
    _signal_and_wait(left, signal.SIGKILL, seconds)
    return ended


def wait_gone(pid: int, seconds: float) -> bool:
    """Return whether a process (of anybody's) has ended within this time."""
    return _wait_gone([pid], seconds)


def _own_pids() -> Iterable[int]:
    me = os.getuid()
    for entry in PROC.iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if entry.stat().st_uid == me:
                    yield int(entry.name)
            except OSError:  # ended meanwhile
                continue


def _belongs(config: Config, name: str | None, pid: int) -> bool:
    environment = _environment(pid)
    if f"KALIBRI_HOME={config.home}".encode() in environment:
        if not _has_same_home(config, pid):
            return False
        names = [entry[16:] for entry in environment if entry.startswith(b"KALIBRI_PROCESS=")]
        return bool(names) and (name is None or name.encode() in names)
    is_postgres = name in (None, "postgres") and _works_in(config.pg_directory / "data", pid)
    return is_postgres and _has_same_home(config, pid)


def _works_in(folder: Path, pid: int) -> bool:
    try:
        return (PROC / str(pid) / "cwd").readlink() == folder
    except OSError:  # ended meanwhile
        return False


def _has_same_home(config: Config, pid: int) -> bool:
    """Tell whether the path means the same folder there: in a container or chroot it is another instance's."""
    try:
        return (PROC / str(pid) / "root" / config.home.relative_to("/")).samefile(config.home)
    except OSError:  # ended meanwhile, or a home that is gone
        return False


def _environment(pid: int) -> list[bytes]:
    """Empty for a process that has ended, or is not ours to look into."""
    try:
        return (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _signal_and_wait(pids: list[int], how: signal.Signals, seconds: float) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, how)
    _wait_gone(pids, seconds)


def _wait_gone(pids: list[int], seconds: float) -> bool:
    """Wait for all together. A pidfd becomes readable when its process ends."""
    deadline = time.monotonic() + seconds
    with contextlib.ExitStack() as stack:
        waiting = select.poll()
        count = 0
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                fd = os.pidfd_open(pid)
                stack.callback(os.close, fd)
                waiting.register(fd, select.POLLIN)
                count += 1
        while count:
            ended = waiting.poll(max(0.0, deadline - time.monotonic()) * 1000)
            if not ended:
                return False
            for fd, _ in ended:
                waiting.unregister(fd)
            count -= len(ended)
    return True
