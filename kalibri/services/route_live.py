"""Is what was saved live yet? Compares the index in force with the database's newest change.

Decides nothing; ks-index does the work whether somebody asks or not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from callcore.errors import Unavailable
from kalibri.db import Conn, fetch_value, statements
from kalibri.index_dir import Current, read_current

POLL_SECONDS = 0.02

_SQL = statements("route")


class NotLiveYet(Unavailable):
    """The index does not contain the newest changes yet: is ks-index running?"""

    error_id = "not-live-yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveState:
    """How far the index in force has come."""

    #: Of the index in force; 0: there is none.
    generation: int
    #: The newest change that is in force, and the newest one of the database.
    index_seq: int
    database_seq: int
    #: How long it took until it was so.
    waited_seconds: float = 0.0

    @property
    def behind(self) -> int:
        """How many changes the index lacks."""
        return max(self.database_seq - self.index_seq, 0)


def live_state(conn: Conn, *, index_dir: Path) -> LiveState:
    """Compare the index in force with the database."""
    return _state(read_current(index_dir), last_change(conn))


def last_change(conn: Conn) -> int:
    """Return the newest change_log.seq; everything saved so far is in the index that serves it."""
    seq: int = fetch_value(conn, _SQL["last_change"])
    return seq


def _state(current: Current | None, database_seq: int) -> LiveState:
    return LiveState(
        generation=current.generation if current else 0,
        index_seq=current.seq if current else 0,
        database_seq=database_seq,
    )


def wait_live(
    conn: Conn,
    *,
    index_dir: Path,
    timeout_seconds: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> LiveState:
    """Return when everything that is saved now is in force; raises NotLiveYet when time is up."""
    wanted = last_change(conn)
    started = clock()
    while True:
        state = _state(read_current(index_dir), wanted)
        waited = clock() - started
        if state.generation and not state.behind:
            return LiveState(
                generation=state.generation,
                index_seq=state.index_seq,
                database_seq=wanted,
                waited_seconds=waited,
            )
        if waited >= timeout_seconds:
            raise NotLiveYet(
                f"after {timeout_seconds:g} s the index in {index_dir} serves change {state.index_seq} of"
                f" {wanted}: is ks-index running?"
            )
        sleep(POLL_SECONDS)
