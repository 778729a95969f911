"""Builder processes: each builds one part of the index beside the running ks-index, at most one for a part.

A builder is ks-index itself, started with --build. It may be killed at any moment: it leaves an unfinished
file that nobody reads, and is started again after a while. Never switches CURRENT.
"""

from __future__ import annotations

import json
import logging
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO

from kalibri.index_ledger import Part

log = logging.getLogger(__name__)

#: Exit code of a builder that found another builder of its part at work (sysexits.h EX_TEMPFAIL).
EXIT_BUSY = 75
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


@dataclass(slots=True)
class _Child:
    process: subprocess.Popen[bytes]
    started_at: float


class Builders:
    """The builder processes of one ks-index."""

    def __init__(self, command: Sequence[str], *, clock: Callable[[], float] = time.monotonic) -> None:
        """command: how ks-index is started; a builder gets further arguments. clock: monotonic seconds."""
        self._command = list(command)
        self._clock = clock
        self._children: dict[Part, _Child] = {}
        self._failures: dict[Part, int] = {}
        self._retry_at: dict[Part, float] = {}

    def may_start(self, part: Part) -> bool:
        """Tell whether a part is not being built, and not so soon after a failure."""
        return part not in self._children and self._clock() >= self._retry_at.get(part, 0.0)

    def start(self, part: Part, number: int) -> None:
        """Start building a part as file `number`."""
        command = [*self._command, "--build", part, "--number", str(number)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self._children[part] = _Child(process, self._clock())
        log.info("builds %s (pid %d)", part, process.pid)

    def reap(self) -> list[Built]:
        """Return what has been finished since the last call; a failed build is retried ever later."""
        finished = []
        for part, child in list(self._children.items()):
            if child.process.poll() is None:
                continue
            del self._children[part]
            built = self._result(part, child)
            if built is not None:
                finished.append(built)
        return finished

    def _result(self, part: Part, child: _Child) -> Built | None:
        seconds = self._clock() - child.started_at
        with _pipe(child) as pipe:
            line = pipe.read()
        if child.process.returncode == 0:
            try:
                built = Built.from_line(line)
            except (ValueError, TypeError, KeyError) as error:
                log.error("the builder of %s printed nonsense: %s", part, error)
            else:
                self._failures.pop(part, None)
                log.info("built %s: %s, %d entries in %.1f s", part, built.file, built.entries, seconds)
                return built
        self._failed(part, child.process.returncode)
        return None

    def _failed(self, part: Part, code: int) -> None:
        if code == EXIT_BUSY:
            log.info("another process is building %s", part)
            self._retry_at[part] = self._clock() + FIRST_RETRY_SECONDS
            return
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
        return {part: child.process.pid for part, child in self._children.items()}

    def pipes(self) -> list[IO[bytes]]:
        """Return what becomes readable when a builder ends."""
        return [_pipe(child) for child in self._children.values()]

    def stop(self) -> None:
        """End every builder and wait for it."""
        for child in self._children.values():
            child.process.terminate()
        for child in self._children.values():
            child.process.wait()
            _pipe(child).close()
        self._children.clear()


def _pipe(child: _Child) -> IO[bytes]:
    assert child.process.stdout is not None
    return child.process.stdout
