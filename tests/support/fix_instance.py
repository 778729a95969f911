"""Whole instances for tests: every process real, started by ksinit, each with its own home and ports.

    def test_something(instance: Instance) -> None:          # up, and gone afterwards
    def test_two(make_instance: MakeInstance) -> None:       # as many as you like, with settings of your own
        one, two = make_instance(), make_instance({"proxy.workers": 1})

Ports lie below those that the kernel hands out (ip_local_port_range), in blocks that are leased by a file lock: tests
in parallel processes, or of another checkout, never meet. Homes are short, because sockets lie in them. What a killed
run left behind is ended by the next one.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

import pytest

from kalibri.config import PROJECT_ROOT, Config, load_config
from kalibri.remembered import setting_name
from tests.support.prompt_cache import lay_down_prompts
from tools.instance import lifecycle, orphans
from tools.instance.lifecycle import Status

#: A home is /tmp/<prefix><pid of its owner>-<random>.
PREFIX = "ksi-"
PORT_BLOCKS = range(12_000, 32_000, 2_000)
PORT_LEASES = Path("/tmp/kalibri-test-ports")
#: Places in a block; the rest, from FIRST_RTP_PORT, is for media.
SINGLE_PORTS = (
    "proxy.sip_port",
    "proxy.tls_port",
    "proxy.internal_port",
    "database.port",
    "stun.port",
    "api.port",
)
CONTROL_PORT, CONTROLLER_PORT, MEDIA_PORT, FIRST_RTP_PORT, BLOCK = 10, 40, 80, 100, 2_000
LOOPBACK = "127.0.0.1"
BACK_SECONDS = 30.0

MakeInstance = Callable[..., "Instance"]


class PortBlock:
    """A range of ports that is this process's alone until `release`."""

    def __init__(self) -> None:
        PORT_LEASES.mkdir(mode=0o777, exist_ok=True)
        for first in itertools.chain(PORT_BLOCKS, PORT_BLOCKS):
            lease = _lease(PORT_LEASES / str(first))
            if lease is not None and _are_free(range(first, first + MEDIA_PORT + 8)):
                self.first, self._lease = first, lease
                return
            if lease is not None:
                lease.close()
        raise RuntimeError("every block of ports is in use")

    def settings(self) -> dict[str, str]:
        """Return the configuration keys that use the block."""
        single = {key: str(self.first + number) for number, key in enumerate(SINGLE_PORTS)}
        return single | {
            "rtp.control_base_port": str(self.first + CONTROL_PORT),
            "rtp.controller_base_port": str(self.first + CONTROLLER_PORT),
            "media.base_port": str(self.first + MEDIA_PORT),
            # Folders of tests lie on whatever disk there is.
            "rtp.record_min_free_mb": "1",
            "rtp.port_min": str(self.first + FIRST_RTP_PORT),
            "rtp.port_max": str(self.first + BLOCK - 2),
        }

    def release(self) -> None:
        """Let others have it."""
        self._lease.close()


def _lease(path: Path) -> TextIO | None:
    file = path.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def _are_free(ports: range) -> bool:
    with ExitStack() as stack:
        for port, kind in itertools.product(ports, (socket.SOCK_DGRAM, socket.SOCK_STREAM)):
            sock = stack.enter_context(socket.socket(socket.AF_INET, kind))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, kind == socket.SOCK_STREAM)
            try:
                sock.bind((LOOPBACK, port))
            except OSError:
                return False
    return True


class Instance:
    """One instance of a test."""

    def __init__(self, settings: Mapping[str, object] | None = None) -> None:
        self.ports = PortBlock()
        self.home = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir="/tmp"))
        lay_down_prompts(self.home)
        chosen: dict[str, object] = {"proxy.workers": 2, "proxy.tcp_workers": 1, "rtp.nodes": 2}
        chosen |= {**self.ports.settings(), **(settings or {})}
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("KALIBRI_")},
            **{setting_name(key): str(value) for key, value in chosen.items()},
            "KALIBRI_HOME": str(self.home),
        }

    @property
    def config(self) -> Config:
        """The configuration that the processes have."""
        return load_config(environ=self.environ)

    def ksinit(self, *arguments: str, told: bool = True) -> subprocess.CompletedProcess[str]:
        """Run ksinit as an operator would; told: False leaves out all settings but the home."""
        keep = {
            name: value for name, value in self.environ.items() if told or not name.startswith("KALIBRI_")
        }
        return subprocess.run(
            [sys.executable, "-m", "tools.ksinit", "--home", str(self.home), *arguments],
            cwd=PROJECT_ROOT,
            env=keep,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def up(self) -> None:
        """Bring it up, or fail with what ksinit said."""
        done = self.ksinit("up")
        assert done.returncode == 0, done.stderr

    def statuses(self) -> dict[str, Status]:
        """Return the state of every process."""
        return {row.process: row for row in lifecycle.statuses(self.config)}

    def pid(self, name: str) -> int:
        """Return the pid of a process that runs."""
        pid = self.statuses()[name].pid
        assert pid is not None, f"{name} does not run"
        return pid

    def wait_running(self, name: str) -> int:
        """Return the pid of a process when supervisord holds it for settled (not STARTING)."""
        deadline = time.monotonic() + BACK_SECONDS
        while (row := self.statuses()[name]).state != "RUNNING":
            assert time.monotonic() < deadline, row
            time.sleep(0.05)
        assert row.pid is not None
        return row.pid

    def wait_back(self, name: str, old_pid: int, seconds: float = BACK_SECONDS) -> float:
        """Return after how many seconds a process is ready again in a new life."""
        began = time.monotonic()
        while (took := time.monotonic() - began) < seconds:
            row = self.statuses()[name]
            if row.ready and row.pid != old_pid:
                return took
            time.sleep(0.05)
        pytest.fail(f"{name} is not back after {seconds} s: {row}\n{self.log(name)[-2000:]}")

    def log(self, name: str) -> str:
        """Return what a process has written to its log."""
        return lifecycle.log_file(self.config, name).read_text(errors="replace")

    def processes(self) -> list[int]:
        """Return the pids of all processes of the instance, supervisord included."""
        return sorted({*orphans.find(self.config), *_with_argument(str(self.home))})

    def remove(self) -> None:
        """End everything, whatever state it is in, and remove the home."""
        try:
            lifecycle.bring_down(self.config)
        finally:
            self.ports.release()
            shutil.rmtree(self.home, ignore_errors=True)


def _with_argument(text: str) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if text.encode() in (folder / "cmdline").read_bytes() and int(folder.name) != os.getpid():
                found.append(int(folder.name))
        except OSError:  # ended meanwhile
            continue
    return found


def sweep() -> None:
    """End and remove instances whose test run is gone."""
    for home in Path("/tmp").glob(f"{PREFIX}*"):
        owner = home.name.removeprefix(PREFIX).partition("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists() and os.access(home, os.W_OK):
            lifecycle.bring_down(load_config(environ={"KALIBRI_HOME": str(home)}))
            shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def _swept() -> None:
    if os.geteuid() == 0:
        pytest.skip("PostgreSQL refuses root: run the tests with tools/as_user.sh")
    sweep()


@pytest.fixture
def make_instance(_swept: None) -> Iterator[MakeInstance]:
    """Make instances that are up; each takes settings as {"section.key": value}."""
    made: list[Instance] = []

    def make(settings: Mapping[str, Any] | None = None, *, up: bool = True) -> Instance:
        made.append(Instance(settings))
        if up:
            made[-1].up()
        return made[-1]

    yield make
    for instance in made:
        instance.remove()


@pytest.fixture
def instance(make_instance: MakeInstance) -> Instance:
    """An instance that is up."""
    return make_instance()


def statuses_of(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    """Return what `ksinit status -o json` printed, by process."""
    return {row["process"]: row for row in json.loads(done.stdout)}
