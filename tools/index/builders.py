"""Builder processes: each builds one part of the index beside the running ks-index, at most one for a part.

A builder is a fork of ks-index, so it starts at once and has nothing to load. It may be killed at any
moment: it leaves an unfinished file that nobody reads, and is started again after a while; when ks-index
dies, the kernel ends it too. Never switches CURRENT.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from kalibri.index_ledger import Part

log = logging.getLogger(__name__)

#: Builds a part as file `number` of the index directory; runs in the builder's process.
Build = Callable[[Part, int], "Built"]

#: The build of all routes must not take the processor from calls.
ROUTES_NICENESS = 5
FIRST_RETRY_SECONDS = 1.0
LAST_RETRY_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What a builder made. It prints this as one JSON line."""

    part: Part
    #: Name in the index directory; None: there is nothing to serve (no number ranges were imported).
    file: str | None
    #: The snapshot: its database, and the newest change that it contained.
    database: str
    seq: int
    entries: int

    def to_line(self) -> str:
        """Return the line that `from_line` reads."""
        values = {name: getattr(self, name) for name in Built.__slots__}
        return json.dumps(values)

    @classmethod
    def from_line(cls, line: bytes) -> Built:
        """Read what a builder printed; ValueError, TypeError or KeyError if it makes no sense."""
        values = json.loads(line)
        return cls(**{**values, "part": Part(values["part"])})


@dataclass(frozen=True, slots=True)
class _Child:
    pid: int
    #: Where its result comes out; becomes readable when it ends.
    pipe: int
    started_at: float


class Builders:
    """The builder processes of one ks-index."""

    def __init__(self, build: Build, *, clock: Callable[[], float] = time.monotonic) -> None:
        """build: what a builder does. clock: monotonic seconds."""
        self._build = build
        self._clock = clock
        self._children: dict[Part, _Child] = {}
        self._failures: dict[Part, int] = {}
        self._retry_at: dict[Part, float] = {}

    def may_start(self, part: Part) -> bool:
        """Tell whether a part is not being built, and not so soon after a failure."""
        return part not in self._children and self._clock() >= self._retry_at.get(part, 0.0)

    def start(self, part: Part, number: int) -> None:
        """Start building a part as file `number`."""
        parent = os.getpid()
        readable, writable = os.pipe()
        pid = os.fork()
        if pid == 0:
            _be_builder(lambda: self._build(part, number), part, writable, parent)
        os.close(writable)
        self._children[part] = _Child(pid, readable, self._clock())
        log.info("builds %s (pid %d)", part, pid)

    def reap(self) -> list[Built]:
        """Return what has been finished since the last call; a failed build is retried ever later."""
        finished = []
        for part, child in list(self._children.items()):
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid == 0:
                continue
            del self._children[part]
            built = self._result(part, child, os.waitstatus_to_exitcode(status))
            if built is not None:
                finished.append(built)
        return finished

    def _result(self, part: Part, child: _Child, code: int) -> Built | None:
        with open(child.pipe, "rb") as pipe:
            line = pipe.read()
        if code != 0:
            self._failed(part, code)
            return None
        built = Built.from_line(line)
        self._failures.pop(part, None)
        seconds = self._clock() - child.started_at
        log.info("built %s: %s, %d entries in %.2f s", part, built.file, built.entries, seconds)
        return built

    def _failed(self, part: Part, code: int) -> None:
        failures = self._failures[part] = self._failures.get(part, 0) + 1
        wait = min(FIRST_RETRY_SECONDS * 2 ** (failures - 1), LAST_RETRY_SECONDS)
        self._retry_at[part] = self._clock() + wait
        log.error("the builder of %s ended with %d; retried in %.0f s", part, code, wait)

    def forget_failures(self) -> None:
        """Retry at once what failed; the reason may be gone (the database is back)."""
        self._failures.clear()
        self._retry_at.clear()

    @property
    def running(self) -> dict[Part, int]:
        """The parts that are being built, with the pid of the builder."""
        return {part: child.pid for part, child in self._children.items()}

    def pipes(self) -> list[int]:
        """Return what becomes readable when a builder ends."""
        return [child.pipe for child in self._children.values()]

    def stop(self) -> None:
        """End every builder and wait for it."""
        for child in self._children.values():
            os.kill(child.pid, signal.SIGTERM)
        for child in self._children.values():
            os.waitpid(child.pid, 0)
            os.close(child.pipe)
        self._children.clear()


def _be_builder(build: Callable[[], Built], part: Part, out: int, parent: int) -> None:
    """Live as a builder and end; never returns into the code of ks-index."""
    code = 1
    try:
        _leave(parent, keep=out)
        if part is Part.ROUTES:
            os.nice(ROUTES_NICENESS)
        os.write(out, build().to_line().encode())
        code = 0
    except BaseException as error:
        log.error("building %s failed: %s: %s", part, type(error).__name__, error)
    finally:
        sys.stderr.flush()
        os._exit(code)


def _leave(parent: int, *, keep: int) -> None:
    """Let go of what belongs to ks-index (its lock, its connection), and end when it ends."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended in between
        os._exit(1)
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        if descriptor > 2 and descriptor != keep:
            with contextlib.suppress(OSError):
                os.close(descriptor)
