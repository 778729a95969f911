"""Reads the stream of events and hands it to listeners: each gets every event of his once, in order.

Decides who is served from memory and who from the database. A listener that keeps up is `live`: he gets the
new events with all others of the same filter, written once. One that begins in the past, or whose network is
slow, reads on from his own place until he has caught up; memory holds no queue for him.

Runs on the reactor's thread with asynchronous connections; the loop number and the database may both go away
and come back. Several ks-api may run: each numbers what it finds, one at a time (schema/41_events.sql).
"""

from __future__ import annotations

import asyncio
import logging
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from api.events.event import Batch, Event, Filter, event_from_row
from kalibri import db
from kalibri.config import Config

log = logging.getLogger("ks-api")

#: How long between two looks, in seconds: the delay of an event is half of it on average.
TICK_SECONDS = 0.05
#: Events read, numbered and sent at once.
BATCH_EVENTS = 1000
#: Written to a listener at once, in bytes of text: more would only lie in memory while his network is slow.
PORTION_BYTES = 256 * 1024
#: Events and bytes of text that memory holds for those who come back soon.
RING_EVENTS = 20_000
RING_BYTES = 32 * 1024 * 1024
#: How often a listener without events hears that the stream lives.
ALIVE_SECONDS = 15.0
#: How late the end of a token may end its streams.
CHECK_TOKENS_SECONDS = 5.0
FIRST_BACK_OFF_SECONDS = 0.2
LONGEST_BACK_OFF_SECONDS = 5.0
CONNECT_TIMEOUT_SECONDS = 5

SQL = db.statements("event")


class Sink(Protocol):
    """Where a listener's events go; called on the reactor's thread."""

    def send(self, batch: Batch) -> None:
        """Send events."""

    def alive(self, head: int) -> None:
        """Say that everything up to here is told."""

    def reset(self, head: int, reason: str) -> None:
        """Say that the place is lost: the state must be asked for anew, the stream goes on after `head`."""

    def end(self, reason: str) -> None:
        """Close the connection."""


class Listener:
    """One who listens; made by Feed.add."""

    def __init__(self, feed: Feed, chosen: Filter, after: int, sink: Sink, token_id: int) -> None:
        self._feed = feed
        self.filter = chosen
        self.sink = sink
        self.token_id = token_id
        #: Everything up to here is told; while live, everything up to the feed's head.
        self.cursor = after
        self.live = False
        self.closed = False
        self.paused = False
        self.catching_up = False

    def pauseProducing(self) -> None:
        """Send nothing more: the network is slow."""
        self.paused = True
        self._feed.hold(self)

    def resumeProducing(self) -> None:
        """Go on."""
        self.paused = False
        self._feed.go_on(self)

    def stopProducing(self) -> None:
        """End: the connection is gone."""
        self._feed.remove(self)


class Ring:
    """The newest events, in memory."""

    def __init__(self, floor: int) -> None:
        #: It holds every event after this one.
        self.floor = floor
        self._events: list[Event] = []
        self._bytes = 0

    def add(self, events: Iterable[Event]) -> None:
        """Take newer events; the oldest go when there are too many."""
        for event in events:
            self._events.append(event)
            self._bytes += len(event.text)
        drop = 0
        while len(self._events) - drop > RING_EVENTS or self._bytes > RING_BYTES:
            self._bytes -= len(self._events[drop].text)
            drop += 1
        if drop:
            self.floor = self._events[drop - 1].seq
            del self._events[:drop]

    def after(self, seq: int, limit: int) -> list[Event]:
        """Return events after a number that is not below the floor."""
        first = bisect_right(self._events, seq, key=lambda event: event.seq)
        return self._events[first : first + limit]


class Feed:
    """The stream of one process."""

    def __init__(self, config: Config, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._conninfo = make_conninfo(
            config.database_dsn,
            application_name=f"ks-api events {config.node_name}",
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            options=db.session_options({"timezone": "UTC", "statement_timeout": "60000"}),
        )
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._paging: AsyncConnection[Any] | None = None
        self._paging_lock = asyncio.Lock()
        self._groups: dict[Filter, set[Listener]] = {}
        self._listeners: set[Listener] = set()
        self._waiting: set[Listener] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ring = Ring(0)
        self._alive_at = 0.0
        self._tokens_at = 0.0
        #: The newest event that was told; None: not known yet.
        self.head: int | None = None
        self.connected = False
        self.sent = 0

    # ---------------------------------------------------------------------------------------- listeners

    def add(self, chosen: Filter, after: int | None, sink: Sink, token_id: int) -> Listener:
        """Let somebody listen after an event; None: from now on."""
        listener = Listener(self, chosen, -1 if after is None else after, sink, token_id)
        self._listeners.add(listener)
        self.go_on(listener)
        return listener

    def remove(self, listener: Listener) -> None:
        """Let somebody go."""
        listener.closed = True
        self._listeners.discard(listener)
        self._waiting.discard(listener)
        self._leave(listener)

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._listeners)

    def hold(self, listener: Listener) -> None:
        """Note that a listener is paused: he keeps his place."""
        if listener.live:
            self._leave(listener)
            listener.cursor = self.head or 0

    def go_on(self, listener: Listener) -> None:
        """Serve a listener from his place on."""
        if listener.closed or listener.paused or listener.live or listener.catching_up:
            return
        if self.head is None or not self.connected:
            self._waiting.add(listener)  # until the database is there
            return
        listener.catching_up = True
        task = asyncio.ensure_future(self._catch_up(listener))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _leave(self, listener: Listener) -> None:
        if listener.live:
            listener.live = False
            group = self._groups[listener.filter]
            group.discard(listener)
            if not group:
                del self._groups[listener.filter]

    async def _catch_up(self, listener: Listener) -> None:
        try:
            self._find_place(listener)
            while not listener.closed and not listener.paused:
                if listener.cursor >= (self.head or 0):
                    listener.live = True
                    self._groups.setdefault(listener.filter, set()).add(listener)
                    return
                events, upto = await self._page(listener)
                if listener.closed:
                    return
                if events:
                    self._send([listener], Batch(events, upto))
                listener.cursor = upto
        except (psycopg.Error, OSError) as error:
            log.warning("a listener waits for the database: %s", error)
            self._waiting.add(listener)
        finally:
            listener.catching_up = False

    def _find_place(self, listener: Listener) -> None:
        """Begin where the listener stopped, or tell him that this is not possible."""
        head = self.head or 0
        if listener.cursor == -1:
            listener.cursor = head
            listener.sink.alive(head)
        elif listener.cursor > head:
            self._reset(listener, "these numbers are not of this database")

    def _reset(self, listener: Listener, reason: str) -> None:
        listener.cursor = self.head or 0
        listener.sink.reset(listener.cursor, reason)

    async def _page(self, listener: Listener) -> tuple[list[Event], int]:
        """Return further events of a listener, and up to where that is all."""
        head = self.head or 0
        if listener.cursor >= self._ring.floor:
            page = self._ring.after(listener.cursor, BATCH_EVENTS)
            upto = page[-1].seq if len(page) == BATCH_EVENTS else head
        else:
            page, upto, horizon = await self._stored_page(listener, head)
            if listener.cursor < horizon:
                self._reset(listener, "events after it are removed already")
                return [], listener.cursor
        matching = [event for event in page if listener.filter.matches(event)]
        first = next(portions(matching), [])
        return first, upto if len(first) == len(matching) else first[-1].seq

    async def _stored_page(self, listener: Listener, head: int) -> tuple[list[Event], int, int]:
        async with self._paging_lock:
            if self._paging is None or self._paging.closed or self._paging.broken:
                self._paging = await self._connect()
            bounds = await _rows(self._paging, SQL["bounds"])
            page = await _events(
                self._paging,
                after=listener.cursor,
                upto=head,
                tenant_id=listener.filter.tenant_id,
                limit=BATCH_EVENTS,
            )
        upto = page[-1].seq if len(page) == BATCH_EVENTS else head
        return page, upto, bounds[0]["horizon"]

    # ------------------------------------------------------------------------------------------- the loop

    def start(self) -> None:
        """Begin to follow the stream."""
        self._task = asyncio.ensure_future(self._run())

    async def stop(self) -> None:
        """Stop following, and end all listeners."""
        for task in [*self._tasks, *([self._task] if self._task else [])]:
            task.cancel()
        for listener in list(self._listeners):
            listener.sink.end("the server is stopping")
        if self._paging is not None:
            await self._paging.close()

    async def _run(self) -> None:
        back_off = FIRST_BACK_OFF_SECONDS
        while True:
            try:
                async with await self._connect() as conn:
                    await self._begin(conn)
                    back_off = FIRST_BACK_OFF_SECONDS
                    await self._follow(conn)
            except (psycopg.Error, OSError) as error:
                log.error("events: the database is away: %s", " ".join(str(error).split()))
            except Exception:
                log.exception("events: failed, will begin again")
            self.connected = False
            await asyncio.sleep(back_off)
            back_off = min(2 * back_off, LONGEST_BACK_OFF_SECONDS)

    async def _connect(self) -> AsyncConnection[Any]:
        return await AsyncConnection.connect(self._conninfo, autocommit=True)

    async def _begin(self, conn: AsyncConnection[Any]) -> None:
        """Find the head; a database that is older than the one before makes everybody begin anew."""
        found = (await _rows(conn, SQL["bounds"]))[0]["head"]
        if self.head is None or found < self.head:
            restored = self.head is not None
            self.head, self._ring = found, Ring(found)
            if restored:
                log.warning("events: the database is an older one, listeners begin anew")
                for listener in list(self._listeners):
                    self._leave(listener)
                    self._waiting.add(listener)
                    self._reset(listener, "the database is an older one")
        self.connected = True
        waiting, self._waiting = self._waiting, set()
        for listener in waiting:
            self.go_on(listener)

    async def _follow(self, conn: AsyncConnection[Any]) -> None:
        while True:
            began = self._clock()
            await conn.execute(SQL["sequence"], {"most": BATCH_EVENTS})
            events = await _events(
                conn, after=self.head or 0, upto=2**63 - 1, tenant_id=None, limit=BATCH_EVENTS
            )
            for part in portions(events):
                self._publish(part)
            await self._housekeeping(conn)
            if len(events) < BATCH_EVENTS:
                await asyncio.sleep(max(0.0, TICK_SECONDS - (self._clock() - began)))

    def _publish(self, events: list[Event]) -> None:
        """Hand new events to everybody who is live."""
        self._ring.add(events)
        self.head = events[-1].seq
        for chosen, group in list(self._groups.items()):
            matching = [event for event in events if chosen.matches(event)]
            if matching:
                self._send(list(group), Batch(matching, self.head))

    def _send(self, listeners: list[Listener], batch: Batch) -> None:
        for listener in listeners:
            listener.sink.send(batch)
        self.sent += len(listeners) * len(batch.events)

    async def _housekeeping(self, conn: AsyncConnection[Any]) -> None:
        now = self._clock()
        waiting, self._waiting = self._waiting, set()
        for listener in waiting:
            self.go_on(listener)
        if now >= self._alive_at:
            self._alive_at = now + ALIVE_SECONDS
            for group in self._groups.values():
                for listener in group:
                    listener.sink.alive(self.head or 0)
        if now >= self._tokens_at:
            self._tokens_at = now + CHECK_TOKENS_SECONDS
            await self._check_tokens(conn)

    async def _check_tokens(self, conn: AsyncConnection[Any]) -> None:
        """End the streams of tokens that have ended."""
        held = {listener.token_id for listener in self._listeners}
        if not held:
            return
        rows = await _rows(conn, SQL["usable_tokens"], token_ids=list(held))
        ended = held - {row["token_id"] for row in rows}
        for listener in [one for one in self._listeners if one.token_id in ended]:
            listener.sink.end("the token has ended")


def portions(events: Sequence[Event]) -> Iterator[list[Event]]:
    """Split events into runs of limited size."""
    part: list[Event] = []
    size = 0
    for event in events:
        if part and size + len(event.text) > PORTION_BYTES:
            yield part
            part, size = [], 0
        part.append(event)
        size += len(event.text)
    if part:
        yield part


async def _rows(conn: AsyncConnection[Any], statement: Any, **params: object) -> list[dict[str, Any]]:
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement, params)
        return await cursor.fetchall()


async def _events(conn: AsyncConnection[Any], **params: object) -> list[Event]:
    return [event_from_row(row) for row in await _rows(conn, SQL["events_after"], **params)]
