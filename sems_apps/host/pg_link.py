"""One connection to PostgreSQL that never blocks the loop: libpq in its asynchronous mode, one statement at a time.

Connecting, which may resolve and wait, is done by a worker; everything after it is the loop's: send, watch the
socket, read. A statement that is not answered in time, or a connection that breaks, fails every statement that waits;
the link then connects again by itself. No thread is woken for a statement, so a call costs no context switch.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import psycopg
from psycopg import pq

from sems_apps.host.loop import Loop, Timer
from sems_apps.host.prompts import Submit

log = logging.getLogger("media")

Rows = list[tuple[str | None, ...]]
#: Told the rows, or None: the database did not answer, or refused.
Done = Callable[[Rows | None], None]

ANSWER_SECONDS = 2.0
RECONNECT_SECONDS = 0.5
#: More waits only when the database hangs: those who come then are told at once.
LONGEST_QUEUE = 2000


@cache
def positional(statement: str) -> tuple[bytes, tuple[str, ...]]:
    """Turn a named statement (`%(name)s`) into libpq's form: `$1` and the names in that order."""
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        if match[1] not in names:
            names.append(match[1])
        return f"${names.index(match[1]) + 1}"

    return re.sub(r"%\((\w+)\)s", number, statement).encode(), tuple(names)


class PgLink:
    """A connection, its queue of statements, and its notifications."""

    def __init__(
        self,
        loop: Loop,
        submit: Submit,
        connect: Callable[[], Any],
        *,
        on_up: Callable[[], None] | None = None,
        on_notify: Callable[[], None] | None = None,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        """connect: makes a psycopg connection, in a worker; may raise. on_up: connected (again)."""
        self._loop, self._submit, self._connect = loop, submit, connect
        self._on_up, self._on_notify = on_up, on_notify
        self._answer_seconds = answer_seconds
        self._conn: Any = None
        self._queue: deque[tuple[bytes, list[bytes | None], Done]] = deque()
        self._busy: Done | None = None
        self._rows: Rows | None = None
        self._deadline: Timer | None = None
        self._closed = False
        self._open()

    @property
    def is_up(self) -> bool:
        """Whether there is a connection."""
        return self._conn is not None

    def execute(self, statement: str, params: Mapping[str, object], done: Done) -> None:
        """Run a statement; `done` is told later, never from within this call."""
        if self._conn is None or len(self._queue) >= LONGEST_QUEUE:
            self._loop.call_soon(lambda: done(None))
            return
        text, names = positional(statement)
        self._queue.append((text, [_encode(params[name]) for name in names], done))
        self._next()

    def close(self) -> None:
        """Close the connection; what waits is told nothing any more."""
        self._closed = True
        self._queue.clear()
        self._busy = None
        self._drop()

    # ---- the connection

    def _open(self) -> None:
        if not self._closed:
            self._submit(self._connect_quietly, self._opened)

    def _connect_quietly(self) -> Any:
        try:
            return self._connect()
        except Exception as error:  # PostgreSQL is away: tried again, and the one who asks for data is told
            log.debug("no database: %s", error)
            return None

    def _opened(self, conn: Any) -> None:
        if conn is None:
            self._loop.call_later(RECONNECT_SECONDS, self._open)
            return
        if self._closed:
            conn.close()
            return
        self._conn = conn
        self._pg: pq.abc.PGconn = conn.pgconn
        self._pg.nonblocking = 1
        self._socket = self._pg.socket  # libpq forgets it when the connection breaks
        self._loop.watch(self._socket, self._readable)
        if self._on_up is not None:
            self._on_up()
        self._next()

    def _drop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        if self._conn is not None:
            self._loop.unwatch(self._socket)
            self._conn.close()
            self._conn = None

    def _lost(self, reason: object) -> None:
        if self._conn is None:
            return
        log.warning("the database is away: %s", " ".join(str(reason).split()))
        self._drop()
        waiting = ([self._busy] if self._busy is not None else []) + [item[2] for item in self._queue]
        self._busy = None
        self._queue.clear()
        for done in waiting:
            done(None)
        self._loop.call_later(RECONNECT_SECONDS, self._open)

    # ---- statements

    def _next(self) -> None:
        if self._busy is not None or self._conn is None or not self._queue:
            return
        text, params, self._busy = self._queue.popleft()
        self._rows = []
        try:
            self._pg.send_query_params(text, params)
            self._flush()
        except psycopg.Error as error:
            self._lost(error)
            return
        self._deadline = self._loop.call_later(self._answer_seconds, lambda: self._lost("no answer in time"))

    def _flush(self) -> None:
        """Send what is buffered; a kernel that takes nothing more is asked again in a moment."""
        if self._conn is not None and self._pg.flush() == 1:
            self._loop.call_later(0.005, self._flush)

    def _readable(self) -> None:
        try:
            self._pg.consume_input()
            notified = False
            while self._pg.notifies() is not None:
                notified = True
            if notified and self._on_notify is not None:
                self._on_notify()
            while self._busy is not None and self._conn is not None and not self._pg.is_busy():
                result = self._pg.get_result()
                if result is None:
                    self._finished()
                else:
                    self._take(result)
        except psycopg.Error as error:
            self._lost(error)

    def _take(self, result: pq.abc.PGresult) -> None:
        if result.status == pq.ExecStatus.TUPLES_OK:
            self._rows = [
                tuple(_text(result.get_value(row, column)) for column in range(result.nfields))
                for row in range(result.ntuples)
            ]
        elif result.status != pq.ExecStatus.COMMAND_OK:
            log.error(
                "the database refused: %s", (result.error_message or b"").decode("utf-8", "replace").strip()
            )
            self._rows = None

    def _finished(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        done, self._busy = self._busy, None
        rows, self._rows = self._rows, None
        self._next()
        if done is not None:
            done(rows)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _encode(value: object) -> bytes | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return b"true" if value else b"false"
    return str(value).encode("utf-8", "replace").replace(b"\0", b"")
