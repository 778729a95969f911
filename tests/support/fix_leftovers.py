"""No process that a test started may outlive the run: looked for at its end, ended, and counted as a failure.

Children inherit a mark in their environment; processes of instances (fix_instance.py) have an environment of their own
and are known by their home. PostgreSQL's inner processes show no environment, but end with their first process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest

MARK = "KSTEST_RUN"
HOMES = b"KALIBRI_HOME=/tmp/ksi-"
#: What is just ending may do so.
GRACE_SECONDS = 10.0


def pytest_configure() -> None:
    """Set the mark before anything is started; processes of pytest-xdist inherit it from the first."""
    os.environ.setdefault(MARK, f"{os.getpid()}-{time.time_ns()}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Look for processes that are left, in the first process of a run."""
    if hasattr(session.config, "workerinput"):
        return
    deadline = time.monotonic() + GRACE_SECONDS
    while (left := _left()) and time.monotonic() < deadline:
        time.sleep(0.1)
    for pid, command in left.items():
        print(f"\nleft behind by the tests: {pid} {command}")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if left:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _left() -> dict[int, str]:
    """Return the command lines of processes with our mark, and of instances whose test run has gone."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # ended meanwhile, or somebody else's
            continue
        if int(folder.name) not in _family() and _is_ours(environment):
            found[int(folder.name)] = command[:200]
    return found


def _is_ours(environment: list[bytes]) -> bool:
    if f"{MARK}={os.environ[MARK]}".encode() in environment:
        return True
    homes = [entry for entry in environment if entry.startswith(HOMES)]
    owners = [home.removeprefix(HOMES).partition(b"-")[0].decode() for home in homes]
    return any(not Path("/proc", owner).exists() for owner in owners)


def _family() -> set[int]:
    """Return this process and those that started it."""
    pid, family = os.getpid(), set()
    while pid > 1:
        family.add(pid)
        status = Path(f"/proc/{pid}/status").read_text()
        pid = int(status.partition("PPid:")[2].split()[0])
    return family
