"""A database link that the test plays: statements are written down, answers are given when the test says so."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import Any

from kalibri.db import statements
from sems_apps.host.pg_link import Rows

_NOUNS = ("media_host", "dial_host", "mailbox_call")
_NAMES = {text: name for noun in _NOUNS for name, text in statements(noun).items()}


class HandLoop:
    """A loop that the test turns."""

    def __init__(self) -> None:
        self.time = 100.0
        self.later: list[Callable[[], None]] = []

    def now(self) -> float:
        return self.time

    def call_soon(self, callback: Callable[[], None]) -> None:
        callback()

    def call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        self.later.append(callback)

    def turn(self) -> None:
        """Run everything that was asked for later."""
        pending, self.later = self.later, []
        for callback in pending:
            callback()


class FakeLink:
    """Statements by name; `answer` gives rows to the oldest that waits."""

    is_up = True

    def __init__(self) -> None:
        self.waiting: deque[tuple[str, dict[str, Any], Callable[[Rows | None], None]]] = deque()
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def execute(self, statement: str, params: Any, done: Callable[[Rows | None], None]) -> None:
        name = _NAMES[statement]
        self.sent.append((name, dict(params)))
        self.waiting.append((name, dict(params), done))

    def answer(self, name: str, *rows: Rows | tuple[str | None, ...]) -> None:
        """Answer the oldest statement, which must be this one."""
        found, _, done = self.waiting.popleft()
        assert found == name, f"{found} waits, not {name}"
        done(list(rows))  # type: ignore[arg-type]

    def fail(self, name: str) -> None:
        """The database did not answer the oldest statement."""
        found, _, done = self.waiting.popleft()
        assert found == name, f"{found} waits, not {name}"
        done(None)

    def names(self) -> list[str]:
        """Return what was sent, in order."""
        return [name for name, _ in self.sent]


def row(
    kind: str, *, entry: int = 9, offer: int = 0, command: int = 0, **data: Any
) -> tuple[str | None, ...]:
    """Make a row of acd_action as libpq gives it."""
    return (
        str(command) if command else None,
        "1",
        kind,
        str(entry),
        str(offer) if offer else None,
        json.dumps(data),
    )
