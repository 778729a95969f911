"""A start of the proxy: which INVITEs the one before had accepted, and which of its calls live on. Shell.

The journal of the dead processes says which calls were being set up. Their INVITEs, retransmitted to us, must make no
second call; their 200s will pass by Via (replies.orphan). Dialogs come back from the database by Kamailio's own
doing; proxy.start tells ks_cdr which, so that it can close the others.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from callcore.ids import uuid7_unix_ms
from callcore.restart import start_parts
from callcore.sip import SipCode
from kalibri.services.node import server_id
from kemi.peers import key_with_hop
from kemi.proxy_start import RECOVERED, RECOVERED_LEG, STARTED_AT
from kemi.replies import REPLIED
from kemi.worker import Worker

#: A caller gives up an INVITE without final response after 32 s of retransmitting (timer B), or 180 s of ringing.
SETUP_SECONDS = 180
#: Of one journal file no more than its end is read: 180 s of a busy worker fit.
_TAIL_BYTES = 8 * 1024 * 1024

#: Event of the htable module, once at start and before the first request.
TABLES_MADE = "htable:mod-init"

#: Per process: the start was told; calls in set-up that we found, with the time after which they count as gone.
_started_at = STARTED_AT
_told = False
_recovered: dict[str, str] = {}
_closed = False


def is_before_start(call_id: str) -> bool:
    """Tell whether a call began before this run of the proxy, which then may not know its dialog."""
    return uuid7_unix_ms(UUID(call_id)) < 1000 * _started_at


@dataclass(frozen=True, slots=True)
class Found:
    """A call of the run before that has not ended, as its journal tells."""

    call_id: str
    #: It was answered: its dialog, or the token in its BYE, will end it.
    answered: bool


def table_event(worker: Worker, name: str) -> None:
    """Fill the shared tables when they were made; every entry that expires later raises an event, too."""
    if name == TABLES_MADE:
        load_seen(worker)


def load_seen(worker: Worker) -> None:
    """Fill the table "seen" with the INVITEs of calls that were alive when the proxy died."""
    for key, found in _living_calls(worker.journal_directory, since=time.time() - SETUP_SECONDS).items():
        worker.port.table_set("seen", key, RECOVERED + found.call_id)
        if not found.answered:
            _recovered[key] = found.call_id


def _living_calls(directory: Path, *, since: float) -> dict[str, Found]:
    """Return calls that began lately and have not ended, by the transaction key of their INVITE.

    Only those that were sent to somebody (the journal says so before it is done): the INVITE of another call has never
    left the proxy, so its repetition may make the call, and proxy.start closes the story of the first try.
    """
    started: dict[str, str] = {}
    legs: dict[str, str] = {}
    seen: dict[str, set[str]] = {
        kind: set() for kind in ("call.attempt", "call.answer", "call.end", "leg.attempt")
    }
    for line in _recent_lines(directory, since=since):
        kind, call_id, data = line.get("kind"), line.get("call"), line.get("data")
        if not isinstance(call_id, str) or not isinstance(data, dict):
            continue
        if kind in ("call.start", "leg.start") and {"sip_call_id", "from_tag", "cseq"} <= data.keys():
            of_kind = started if kind == "call.start" else legs
            key = f"{data['sip_call_id']}\n{data['from_tag']}\n{data['cseq']}"
            of_kind[key_with_hop(key, str(data.get("hop") or ""))] = call_id
        elif kind in seen:
            seen[kind].add(call_id)
    calls = {
        key: Found(call_id, call_id in seen["call.answer"])
        for key, call_id in started.items()
        if call_id in seen["call.attempt"] and call_id not in seen["call.end"]
    }
    # A media host ends its legs itself; all that matters is that a repeated INVITE rings nobody a second time.
    known_legs = {key: Found(c + RECOVERED_LEG, True) for key, c in legs.items() if c in seen["leg.attempt"]}
    return calls | known_legs


def _recent_lines(directory: Path, *, since: float) -> Iterator[dict[str, Any]]:
    for path in sorted(directory.glob("*-kamailio-*.jsonl")):
        try:
            if path.stat().st_mtime < since:
                continue
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
                lines = file.read().split(b"\n")
        except FileNotFoundError:
            continue  # ks_cdr has stored and removed it
        for line in lines:
            try:
                value = json.loads(line)
            except ValueError:
                continue  # the torn last line, or the first of a tail
            if isinstance(value, dict):
                yield value


def tell_start(worker: Worker) -> None:
    """Write proxy.start with the calls that live on; tried each second until the database answers."""
    global _told
    if _told:
        return
    dialogs = _stored_dialogs(worker)
    if dialogs is None:
        return
    _told = True
    alive = sorted(set(dialogs) | set(_recovered.values()))
    began_at = datetime.fromtimestamp(_started_at, UTC)
    for part in start_parts(alive, f"{worker.pid}-{_started_at:.0f}", began_at):
        worker.journal.event("proxy.start", **part)


def _stored_dialogs(worker: Worker) -> list[str] | None:
    """Return the call ids of the dialogs that Kamailio loaded from the database; None: it does not answer."""
    import psycopg  # only this process needs it; 18 processes would pay for it at start

    database = worker.config.database
    try:
        with psycopg.connect(
            worker.config.database_dsn,
            connect_timeout=max(2, database.connect_timeout_ms // 1000),
            options=f"-c statement_timeout={max(2000, database.statement_timeout_ms)}",
        ) as connection:
            rows = connection.execute(
                "SELECT dialog_value FROM kamailio.dialog_vars WHERE dialog_key = 'ks_call' AND server_id = %s",
                [server_id(worker.config.node_name)],
            ).fetchall()
    except psycopg.Error as error:
        worker.port.log_error(f"dialogs of the last run cannot be listed yet: {error}")
        return None
    return [row[0] for row in rows]


def close_abandoned(worker: Worker) -> None:
    """End the story of recovered calls that nobody answered, refused or repeated within the time of a set-up."""
    global _closed
    if _closed or time.time() < _started_at + SETUP_SECONDS:
        return
    _closed = True
    for key, call_id in _recovered.items():
        if int(worker.port.table_text("seen", key + REPLIED) or 0) >= int(SipCode.OK):
            continue
        worker.journal.event(
            "call.end", call=call_id, by="system", code=None, cause="proxy_restart", method="restart"
        )
