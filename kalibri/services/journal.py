"""From journal files into tables, exactly once: what ks_cdr does, one use case a function.

Decides what one transaction holds: the events of whole lines, the calls folded anew from all their events,
the health of gateways and trunks, and how far each file is stored. All of it or nothing, so a ks_cdr that is
killed anywhere goes on where the last transaction ended. Never changes a journal file; deletes one only when
its writer is gone and all of it is stored.

Several ks_cdr may run: a file is claimed by its row lock (SKIP LOCKED), and calls are folded under one
advisory lock.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from callcore.cdr import FOLDED_KINDS, Attempt, Cdr, fold, id_of, text_of
from callcore.errors import KalibriError, Unavailable
from callcore.event import Event
from callcore.ids import uuid7_time
from callcore.restart import is_gone, restart_end, restarts
from kalibri.db import Conn, execute, fetch_all, statements
from kalibri.journal import SUFFIX, BadLine, lock_if_writer_gone, parse_line, read_chunk
from kalibri.services.call import events_of

log = logging.getLogger(__name__)

#: Read in one transaction, shared by the files that have something new, but at least the smaller from each.
BATCH_BYTES = 1024 * 1024
FILE_BYTES = 16 * 1024
#: Of a line that cannot be read, this much is kept.
QUARANTINED_BYTES = 8192
#: Calls looked at in one go after a restart of the proxy.
OPEN_CALLS_AT_ONCE = 1000
#: Rows of files that are stored and deleted are kept for a person to look at.
KEEP_FINISHED_DAYS = 30

#: The database is away, or too slow: no line is to blame.
BROKEN = (Unavailable, psycopg.OperationalError, psycopg.InterfaceError)

#: Kind of event → (what it is about, the new state).
STATES: Mapping[str, tuple[str, str]] = {
    "gateway.up": ("gateway", "up"),
    "gateway.down": ("gateway", "down"),
    "trunk.registered": ("trunk", "registered"),
    "trunk.lost": ("trunk", "lost"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What one go brought."""

    #: How far the files that were claimed are stored now.
    offsets: Mapping[str, int]
    events: int = 0
    quarantined: int = 0
    #: A proxy of some node came back: its lost calls can be closed.
    restarted: bool = False


@dataclass(frozen=True, slots=True)
class Piece:
    """Where some bytes of a journal stand."""

    file: str
    offset: int
    line: bytes


@dataclass(slots=True)
class Batch:
    """What was read from the claimed files."""

    events: list[tuple[Piece, Event]] = field(default_factory=list)
    bad: list[tuple[Piece, str]] = field(default_factory=list)
    offsets: dict[str, int] = field(default_factory=dict)

    def days(self) -> set[date]:
        """Return the days whose partitions these events and their calls need."""
        return {event.at.date() for _, event in self.events} | {
            uuid7_time(event.call).date() for _, event in self.events if event.call is not None
        }

    def refuse(self, piece: Piece, reason: str) -> None:
        """Put a piece into quarantine."""
        self.bad.append((piece, reason[:500]))


@dataclass(frozen=True, slots=True)
class Claim:
    """A file that this transaction may store."""

    file: str
    offset_bytes: int


# ------------------------------------------------------------------------------------------------- store


def journal_sizes(directory: Path) -> dict[str, int]:
    """Return the journal files of a directory and their sizes; none if there is no such directory."""
    sizes = {}
    try:
        for entry in os.scandir(directory):
            if entry.name.endswith(SUFFIX):
                sizes[entry.name] = entry.stat().st_size
    except FileNotFoundError:  # the directory, or a file that was deleted meanwhile: the next look tells
        pass
    return sizes


def add_files(conn: Conn, files: Iterable[str]) -> None:
    """Make files known, before they are stored for the first time."""
    execute(conn, statements("journal")["add_files"], files=sorted(files))


def store_new(conn: Conn, directory: Path, files: Iterable[str], *, known_days: set[date]) -> Stored:
    """Store what is new in these files, as far as no other ks_cdr is at them; one transaction.

    known_days: days whose partitions are there; kept between calls. Raises Unavailable or psycopg's errors of
    a connection that broke: nothing is stored then, or all of it.
    """
    names = sorted(files)
    try:
        return _store_with_partitions(conn, directory, names, known_days, careful=False)
    except BROKEN:
        raise
    except Exception as error:
        # One line that PostgreSQL refuses, or that cannot be folded, must not stop the others.
        log.warning("a batch is stored line by line: %s", error)
        known_days.clear()
        return _store_with_partitions(conn, directory, names, known_days, careful=True)


def _store_with_partitions(
    conn: Conn, directory: Path, names: Sequence[str], known_days: set[date], *, careful: bool
) -> Stored:
    while True:
        with conn.transaction():
            claims = fetch_all(conn, Claim, statements("journal")["claim_files"], files=names)
            batch = _read(directory, claims)
            missing = batch.days() - known_days
            if not missing:
                return _write(conn, batch, careful=careful)
        # Outside of the transaction: making a partition locks the whole table against other writers.
        for day in sorted(missing):
            execute(conn, statements("journal")["ensure_day"], day=day)
        known_days |= missing


def _read(directory: Path, claims: Sequence[Claim]) -> Batch:
    batch = Batch()
    limit = max(FILE_BYTES, BATCH_BYTES // max(1, len(claims)))
    for claim in claims:
        try:
            _read_file(directory / claim.file, claim, limit, batch)
        except FileNotFoundError:  # another ks_cdr has finished it
            continue
        except OSError as error:
            log.error("%s cannot be read: %s", claim.file, error)
    return batch


def _read_file(path: Path, claim: Claim, limit: int, batch: Batch) -> None:
    with _opened(path) as fd:
        offset = _trusted_offset(fd, claim, batch)
        chunk = read_chunk(fd, offset, limit)
    for at, raw in chunk.lines:
        piece = Piece(claim.file, at, raw)
        try:
            batch.events.append((piece, parse_line(raw)))
        except BadLine as bad:
            batch.refuse(piece, bad.message)
    batch.offsets[claim.file] = chunk.end


def _trusted_offset(fd: int, claim: Claim, batch: Batch) -> int:
    """Return where to go on; from the start if somebody truncated the file (what is stored stays single)."""
    size = os.fstat(fd).st_size
    if size == claim.offset_bytes or claim.offset_bytes == 0:
        return claim.offset_bytes
    if size > claim.offset_bytes and os.pread(fd, 1, claim.offset_bytes - 1) == b"\n":
        return claim.offset_bytes
    log.error("%s was truncated from %d to %d bytes", claim.file, claim.offset_bytes, size)
    batch.refuse(Piece(claim.file, claim.offset_bytes, b""), f"truncated: the file has {size} bytes")
    return 0


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


# ------------------------------------------------------------------------------------------------- write


def _write(conn: Conn, batch: Batch, *, careful: bool) -> Stored:
    stored = _put_each_event(conn, batch) if careful else _put_events(conn, [e for _, e in batch.events])
    _quarantine(conn, batch.bad)
    _move_files(conn, batch.offsets, finished=False)
    calls = {event.call for event in stored if event.call is not None and event.kind in FOLDED_KINDS}
    states = [event for event in stored if event.kind in STATES]
    if calls or states:
        execute(conn, statements("journal")["lock_folding"])
        _fold_calls(conn, calls, stored, careful=careful)
        _apply_states(conn, states)
    return Stored(
        offsets=batch.offsets,
        events=len(stored),
        quarantined=len(batch.bad),
        restarted=any(event.kind == "proxy.start" for event in stored),
    )


def _put_events(conn: Conn, events: Sequence[Event]) -> Sequence[Event]:
    if events:
        rows = json.dumps([_event_row(event) for event in events], ensure_ascii=False, allow_nan=False)
        execute(conn, statements("journal")["put_events"], events=rows)
    return events


def _event_row(event: Event) -> dict[str, Any]:
    return {
        "event_id": str(event.id),
        "at": event.at.isoformat(),
        "call_id": None if event.call is None else str(event.call),
        "tenant_id": event.tenant,
        "kind": event.kind,
        "node": event.node,
        "process": event.process,
        "data": event.data,
    }


def _put_each_event(conn: Conn, batch: Batch) -> Sequence[Event]:
    stored: list[Event] = []
    for piece, event in batch.events:
        try:
            with conn.transaction():
                stored += _put_events(conn, [event])
        except BROKEN:
            raise
        except Exception as error:
            batch.refuse(piece, f"not stored: {error}")
    return stored


def _quarantine(conn: Conn, bad: Sequence[tuple[Piece, str]]) -> None:
    if not bad:
        return
    for piece, reason in bad:
        log.warning("%s at %d: quarantined, %s", piece.file, piece.offset, reason)
    execute(
        conn,
        statements("journal")["quarantine_lines"],
        files=[piece.file for piece, _ in bad],
        offsets=[piece.offset for piece, _ in bad],
        lines=[piece.line[:QUARANTINED_BYTES] for piece, _ in bad],
        reasons=[reason.replace("\0", "\\0") for _, reason in bad],
    )


def _move_files(conn: Conn, offsets: Mapping[str, int], *, finished: bool) -> None:
    if offsets:
        execute(
            conn,
            statements("journal")["move_files"],
            files=list(offsets),
            offsets=list(offsets.values()),
            finished=[finished] * len(offsets),
        )


def _apply_states(conn: Conn, events: Sequence[Event]) -> None:
    """Apply the latest event of each gateway and trunk."""
    latest: dict[tuple[str, int], Event] = {}
    for event in sorted(events, key=lambda event: event.order):
        noun, _ = STATES[event.kind]
        known = id_of(event.data.get(f"{noun}_id"))
        if known is not None:
            latest[noun, known] = event
    for noun, statement, column in (
        ("gateway", "set_gateway_health", "healths"),
        ("trunk", "set_trunk_state", "states"),
    ):
        chosen = [(known, event) for (kind, known), event in sorted(latest.items()) if kind == noun]
        if chosen:
            execute(
                conn,
                statements("journal")[statement],
                ids=[known for known, _ in chosen],
                reasons=[_state_reason(event) for _, event in chosen],
                ats=[event.at for _, event in chosen],
                **{column: [STATES[event.kind][1] for _, event in chosen]},
            )


def _state_reason(event: Event) -> str:
    parts = (text_of(event.data.get("code")), text_of(event.data.get("reason")))
    return " ".join(part for part in parts if part)[:200]


# -------------------------------------------------------------------------------------------------- fold


def _fold_calls(
    conn: Conn, calls: set[UUID], at_hand: Sequence[Event] = (), *, careful: bool = False
) -> None:
    """Fold these calls anew from all their events; the folding lock must be held.

    at_hand: events that this transaction has just stored; they need not be read back.
    """
    told = _events_of(conn, calls, at_hand)
    cdrs = []
    for call_id in sorted(calls):
        try:
            cdrs.append(fold(call_id, told.get(call_id, ())))
        except Exception:
            if not careful:
                raise
            log.exception("call %s cannot be folded", call_id)
    if not careful:
        _put_calls(conn, cdrs)
        return
    for cdr in cdrs:
        try:
            with conn.transaction():
                _put_calls(conn, [cdr])
        except BROKEN:
            raise
        except KalibriError as error:
            log.error("call %s cannot be stored: %s", cdr.call_id, error)


def _events_of(conn: Conn, calls: set[UUID], at_hand: Sequence[Event] = ()) -> dict[UUID, list[Event]]:
    if not calls:
        return {}
    known = [event for event in at_hand if event.call in calls and event.kind in FOLDED_KINDS]
    moments = [*(uuid7_time(call) for call in calls), *(event.at for event in at_hand)]
    told: dict[UUID, list[Event]] = {}
    others = events_of(
        conn,
        call_ids=calls,
        earliest=min(moments),
        kinds=FOLDED_KINDS,
        known=[event.id for event in known],
    )
    for event in (*known, *others):
        if event.call is not None:
            told.setdefault(event.call, []).append(event)
    return told


def _put_calls(conn: Conn, cdrs: Sequence[Cdr]) -> None:
    if cdrs:
        rows = json.dumps([_row(cdr) for cdr in cdrs], default=_column, ensure_ascii=False)
        execute(conn, statements("journal")["put_calls"], calls=rows)


_CDR_FIELDS = tuple(item.name for item in fields(Cdr))
_ATTEMPT_FIELDS = tuple(item.name for item in fields(Attempt))


def _row(cdr: Cdr) -> dict[str, Any]:
    return {name: getattr(cdr, name) for name in _CDR_FIELDS}


def _column(value: object) -> Any:
    if isinstance(value, Attempt):
        return {name: getattr(value, name) for name in _ATTEMPT_FIELDS}
    return value.isoformat() if isinstance(value, datetime) else str(value)


# ------------------------------------------------------------------------------------- finish and repair


def finish_files(conn: Conn, directory: Path, files: Iterable[str]) -> list[str]:
    """Finish and delete those files whose writer is gone and that hold no further whole line.

    A torn tail goes into quarantine. Returns the names of the files that are deleted.
    """
    with _locked(directory, files) as gone:
        if not gone:
            return []
        with conn.transaction():
            claims = fetch_all(conn, Claim, statements("journal")["claim_files"], files=sorted(gone))
            batch = Batch()
            for claim in claims:
                _read_tail(gone[claim.file], claim, batch)
            _quarantine(conn, batch.bad)
            _move_files(conn, batch.offsets, finished=True)
        for name in batch.offsets:
            (directory / name).unlink(missing_ok=True)
        return list(batch.offsets)


@contextmanager
def _locked(directory: Path, files: Iterable[str]) -> Iterator[dict[str, int]]:
    """Hold the locks of the files whose writers are gone; yield {name: descriptor}."""
    held: dict[str, int] = {}
    try:
        for name in files:
            try:
                fd = os.open(directory / name, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue
            if lock_if_writer_gone(fd):
                held[name] = fd
            else:
                os.close(fd)
        yield held
    finally:
        for fd in held.values():
            os.close(fd)


def _read_tail(fd: int, claim: Claim, batch: Batch) -> None:
    size = os.fstat(fd).st_size
    tail = os.pread(fd, size - claim.offset_bytes, claim.offset_bytes) if size > claim.offset_bytes else b""
    if b"\n" in tail or size < claim.offset_bytes:
        return  # there is more to store first
    if tail:
        batch.refuse(Piece(claim.file, claim.offset_bytes, tail), "torn: the writer died within this line")
    batch.offsets[claim.file] = size


def forget_files(conn: Conn, present: Iterable[str]) -> int:
    """Forget files that were finished long ago; `present` are still in the directory."""
    statement = statements("journal")["forget_files"]
    return execute(conn, statement, days=KEEP_FINISHED_DAYS, present=list(present))


def close_lost_calls(conn: Conn, node: str) -> int:
    """End the calls of a node that its proxy did not have any more when it came back; return how many.

    To be called when all files of the node are stored: an end that is still in a file would come too late.
    """
    started = fetch_all(conn, Event, statements("journal")["proxy_starts"], node=node)
    known = restarts(started)
    if not known:
        return 0
    with conn.transaction():
        execute(conn, statements("journal")["lock_folding"])
        calls = _open_calls(conn, node, known[-1].at)
        told = _events_of(conn, calls)
        ends = []
        for call_id in sorted(calls):
            events = told.get(call_id, [])
            cdr = fold(call_id, events)
            restart = next((each for each in known if is_gone(cdr, events, each)), None)
            if restart is not None:
                ends.append(restart_end(call_id, cdr.tenant_id, restart))
        _put_events(conn, ends)
        _fold_calls(conn, {end.call for end in ends if end.call is not None}, ends)
    return len(ends)


@dataclass(frozen=True, slots=True)
class _OpenCall:
    call_id: UUID


def _open_calls(conn: Conn, node: str, before: datetime) -> set[UUID]:
    statement = statements("journal")["open_calls"]
    found = fetch_all(conn, _OpenCall, statement, node=node, before=before, limit=OPEN_CALLS_AT_ONCE)
    return {call.call_id for call in found}
