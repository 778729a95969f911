"""A daemon's sign of life: a small file that it rewrites about once a second, and `ksinit` reads.

For daemons that answer nobody (ks-index, ks-cdr): a pid only proves that the process exists, this proves
that its loop turns. Times are seconds since boot, so a clock that is set does no harm.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


def boot_seconds() -> float:
    """Return the seconds since boot, suspended time included; the same for all processes of the machine."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True)
class Beat:
    """The last sign of life of a daemon."""

    age_seconds: float
    #: What the daemon says of itself, for people: "12 lines behind".
    detail: str


class Heartbeat:
    """Written by a daemon from its main loop, as often as the loop turns."""

    def __init__(
        self,
        run_directory: Path,
        name: str,
        *,
        every_seconds: float = 1.0,
        clock: Callable[[], float] = boot_seconds,
    ) -> None:
        self._path = _path(run_directory, name)
        self._every_seconds = every_seconds
        self._clock = clock
        self._next = 0.0

    def beat(self, detail: str = "") -> None:
        """Say that the loop turns.

        Cheap when called too early. Raises OSError if the file cannot be written.
        """
        now = self._clock()
        if now < self._next:
            return
        temporary = self._path.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps({"at": now, "detail": detail}), encoding="utf-8")
        temporary.rename(self._path)
        self._next = now + self._every_seconds


def read_beat(run_directory: Path, name: str, *, clock: Callable[[], float] = boot_seconds) -> Beat | None:
    """Return the last sign of life of a daemon; None: it has given none since it was started."""
    try:
        last = json.loads(_path(run_directory, name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return Beat(age_seconds=clock() - last["at"], detail=last["detail"])


def forget_beat(run_directory: Path, name: str) -> None:
    """Remove what an earlier life of the daemon said; for whoever starts it."""
    _path(run_directory, name).unlink(missing_ok=True)


def _path(run_directory: Path, name: str) -> Path:
    return run_directory / f"{name}.beat"
