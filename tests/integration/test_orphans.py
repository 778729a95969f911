"""Processes of an instance that nobody looks after are found by their mark, and only those."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kalibri.config import Config
from tools.instance import orphans

Start = Callable[..., int]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a process that only waits, with a mark in its environment; return its pid."""
    started: list[subprocess.Popen[bytes]] = []

    def run(home: Path, name: str = "ks-cdr", *, before: str = ":", **more: str) -> int:
        environ = {"PATH": os.environ["PATH"], "KALIBRI_HOME": str(home), "KALIBRI_PROCESS": name, **more}
        started.append(subprocess.Popen(["sh", "-c", f"{before}; exec sleep 60"], env=environ))
        pid = started[-1].pid
        deadline = time.monotonic() + 10
        while not Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep"):
            assert time.monotonic() < deadline
        return pid

    yield run
    for process in started:
        process.kill()
        process.wait()


def test_only_processes_of_this_home_and_name_are_found(start: Start, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    cdr, index = start(tmp_path), start(tmp_path, "ks-index")
    start(tmp_path / "other")
    config = Config(home=tmp_path)
    assert sorted(orphans.find(config)) == sorted([cdr, index])
    assert orphans.find(config, "ks-index") == [index]


def test_who_does_not_heed_the_polite_signal_is_killed(start: Start, tmp_path: Path) -> None:
    deaf = start(tmp_path, before="trap '' TERM")
    config = Config(home=tmp_path)
    assert orphans.end(config, seconds=0.5) == [deaf]
    assert orphans.wait_gone(deaf, 5)
    assert orphans.find(config) == []


def test_an_instance_under_systemd_says_so(start: Start, tmp_path: Path) -> None:
    config = Config(home=tmp_path)
    start(tmp_path)
    assert not orphans.is_under_systemd(config)
    start(tmp_path, "ks-index", KALIBRI_SUPERVISOR="systemd")
    assert orphans.is_under_systemd(config)


def test_waiting_ends_with_the_process(start: Start, tmp_path: Path) -> None:
    pid = start(tmp_path)
    assert not orphans.wait_gone(pid, 0.01)
    os.kill(pid, signal.SIGKILL)
    assert orphans.wait_gone(pid, 5)
