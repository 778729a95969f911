"""What the doctor says: one line for each thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    #: As it should be.
    OK = "ok"
    #: It works, but will not for long, or not under load; or it could not be looked at.
    WARN = "warn"
    #: It does not work.
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    #: ports, clock, disk, database, the name of a process ...
    check: str
    level: Level
    #: What was found.
    found: str
    #: What to do about it; empty when nothing has to be done.
    todo: str = ""


def ok(check: str, found: str) -> Finding:
    """Make a finding that needs nothing."""
    return Finding(check, Level.OK, found)


def warn(check: str, found: str, todo: str) -> Finding:
    """Make a finding that will become trouble."""
    return Finding(check, Level.WARN, found, todo)


def fail(check: str, found: str, todo: str) -> Finding:
    """Make a finding that is trouble."""
    return Finding(check, Level.FAIL, found, todo)


def graded(check: str, found: str, *, failed: bool, warned: bool, todo: str) -> Finding:
    """Make a finding of the worst level that applies."""
    if failed:
        return fail(check, found, todo)
    return warn(check, found, todo) if warned else ok(check, found)


def size(count: float) -> str:
    """Return bytes for people: 512 B, 1.5 KB, 20.0 GB."""
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TB"
