"""Waiting for something to be so: never a sleep of a guessed length, always a condition with a generous limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: The machine may be ten times slower than the one that a test was written on.
PATIENCE_SECONDS = 120.0


def wait_until(
    condition: Callable[[], T], what: str, seconds: float = PATIENCE_SECONDS, pause: float = 0.05
) -> T:
    """Ask again and again until a condition is true; return its value. Fails with `what` when time is over.

    For what happens elsewhere: in files, in the database, in other processes.
    """
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(pause)
    return value
