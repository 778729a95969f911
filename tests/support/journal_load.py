"""Processes that write calls into a journal as fast as they may, and die like a proxy's workers do.

Each writer writes the events of its calls interleaved, into two files, as several workers of one proxy do.
What was written can be read after ks-cdr has deleted it, so that a test can fold the same calls in memory.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

from callcore.cdr import Cdr, fold
from callcore.event import Event
from kalibri import journal
from kalibri.config import PROJECT_ROOT
from kalibri.journal import JournalWriter, parse_line
from tests.support.events import CallBuilder, talked_call


def steps_of(seed: int, calls: int) -> Iterator[tuple[str, UUID, dict[str, Any]]]:
    """Yield (kind, call, data) of a load, calls interleaved, of every outcome."""
    rng = random.Random(seed)
    waiting = [
        iter(_call(rng.randrange(1 << 40), outcome).events) for outcome in rng.choices(range(4), k=calls)
    ]
    going_on: list[Iterator[Event]] = []
    while waiting or going_on:
        while waiting and len(going_on) < 50:
            going_on.append(waiting.pop())
        told = rng.choice(going_on)
        event = next(told, None)
        if event is None or event.call is None:
            going_on.remove(told)
        else:
            yield event.kind, event.call, dict(event.data)


def _call(seed: int, outcome: int) -> CallBuilder:
    if outcome == 0:
        return talked_call(seed)
    call = CallBuilder(seed)
    call.start()
    call.route()
    call.attempt(5)
    if outcome == 1:
        call.attempt_end(100, code=486, reason="Busy Here", cause="busy", failover=False)
        call.end(101, by="callee", code=486, cause="busy", method="reject")
    elif outcome == 2:
        call.ring(100)
        call.end(5000, by="caller", code=487, cause="cancelled", method="CANCEL")
    else:  # it goes on
        call.ring(100)
        call.answer(3000)
    return call


def write_load(directory: Path, copies: Path, seed: int, calls: int, pause_seconds: float) -> None:
    """Write a load as one process; every second event goes through a file of its own."""
    _link_new_files(copies)
    writers = [JournalWriter(directory, "n1", "load", max_file_bytes=200_000) for _ in range(2)]
    for n, (kind, call, data) in enumerate(steps_of(seed, calls)):
        writers[n % 2].event(kind, call=call, tenant=7, **data)
        if pause_seconds and n % 50 == 0:
            time.sleep(pause_seconds)  # spreads the load; nobody waits for this
    if seed % 2:  # dies within a line, as a kill in the middle of a write(2) leaves it
        path = writers[0].path or ""
        os.write(os.open(path, os.O_WRONLY | os.O_APPEND), b'{"id":"01')
        os.kill(os.getpid(), signal.SIGKILL)


def _link_new_files(copies: Path) -> None:
    """Give every file of this process a second name before it holds anything: ks-cdr deletes the first."""
    create = journal._create_locked

    def create_and_link(path: str) -> int:
        fd = create(path)
        if fd >= 0:
            os.link(path, copies / os.path.basename(path))
        return fd

    journal._create_locked = create_and_link


class Writer:
    """A writer process; one with an odd seed dies within a line."""

    def __init__(self, directory: Path, copies: Path, seed: int, calls: int, pause_seconds: float) -> None:
        arguments = [directory, copies, seed, calls, pause_seconds]
        command = [sys.executable, "-m", "tests.support.journal_load", *map(str, arguments)]
        self._process = subprocess.Popen(command, cwd=PROJECT_ROOT)

    @property
    def running(self) -> bool:
        """Whether it still writes."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self._process.kill()
        self._process.wait()


class CdrProcess:
    """A real ks-cdr process that can be killed and started again."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = os.environ | environment
        self._log = open(Path(environment["KALIBRI_HOME"]) / "ks-cdr.log", "ab")  # noqa: SIM115
        self.starts = 0
        self.start()

    def start(self) -> None:
        """Start it."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tools.ks_cdr"], cwd=PROJECT_ROOT, env=self._environment, stderr=self._log
        )
        self.starts += 1

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """Ask it to end by SIGTERM; return its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        self._log.close()
        return self._process.wait(30)


def written_events(copies: Path) -> dict[UUID, Event]:
    """Read every whole line that was ever written."""
    lines = itertools.chain.from_iterable(path.read_bytes().split(b"\n")[:-1] for path in copies.iterdir())
    return {event.id: event for event in map(parse_line, lines)}


def torn_files(copies: Path) -> set[str]:
    """Name the files that end within a line."""
    return {path.name for path in copies.iterdir() if path.read_bytes()[-1:] not in (b"", b"\n")}


def folded_calls(events: dict[UUID, Event]) -> dict[UUID, Cdr]:
    """Fold the events in memory."""
    told: dict[UUID, list[Event]] = {}
    for event in events.values():
        if event.call is not None:
            told.setdefault(event.call, []).append(event)
    return {call: fold(call, its) for call, its in told.items()}


if __name__ == "__main__":
    write_load(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))
