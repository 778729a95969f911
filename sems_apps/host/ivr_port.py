"""The world of scenarios as a media host sees it: database and web servers, asked without blocking the loop.

A scenario is read when a call begins, at most once a second for each; while the database is away the last one that was
read goes on serving. Web servers are asked by workers of their own, so a slow one holds up nobody but its callers.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol

from callcore import ivr_events as ev
from callcore.errors import KalibriError
from callcore.ivr_condition import QueueState
from callcore.ivr_http import Allowed
from kalibri.db import statements
from kalibri.ivr_bundle import Loaded, Reader
from kalibri.ivr_fetch import Fetcher
from sems_apps import ivr_actions as ivr
from sems_apps.actions import Action
from sems_apps.events import Event
from sems_apps.host.acd_port import Link
from sems_apps.host.loop import Loop
from sems_apps.host.pg_link import Rows
from sems_apps.host.ports import Entry, Journal, Rpc
from sems_apps.host.prompts import Submit

log = logging.getLogger("media")

SQL = statements("ivr_call")
#: A scenario that was read so recently is good for everybody.
FRESH_SECONDS = 1.0
#: Why a message is recorded (callcore.recording.RecordingReason).
MESSAGE = "message"
#: Scenarios kept for an outage of the database.
MOST_KEPT = 500


class Caller(Protocol):
    """The session that asks."""

    entry: Entry

    def post(self, event: Event) -> None:
        """Take an answer."""

    def tell(self, kind: str, **data: object) -> None:
        """Write into the call's story."""


@dataclass(slots=True)
class _Kept:
    """A scenario that was read, and who waits for it to be read again."""

    loaded: Loaded | None = None
    read_at: float = -FRESH_SECONDS
    exists: bool = True
    waiting: list[Callable[[], None]] = field(default_factory=list)


class IvrPort:
    """Answers what scenarios ask."""

    def __init__(
        self,
        loop: Loop,
        links: Sequence[Link],
        journal: Journal,
        rpc: Rpc,
        submit: Submit,
        fetcher: Fetcher | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """submit: does what blocks. clock: the time of day."""
        self._loop, self._links, self._journal, self._rpc = loop, links, journal, rpc
        self._submit, self._clock = submit, clock
        self._fetcher = fetcher or Fetcher()
        self._reader = Reader()
        self._kept: dict[tuple[int, str], _Kept] = {}
        #: Allow-lists of tenants, as they were read last.
        self._allowed: dict[int, tuple[Allowed, ...]] = {}

    def perform(self, caller: Caller, action: Action) -> None:
        """Take an action of a machine; answers come by `post`, later."""
        _PERFORM[type(action)](self, caller, action)

    # ---- scenarios

    def _load(self, caller: Caller, action: ivr.LoadScenario) -> None:
        if not action.name:
            caller.post(ivr.ScenarioLoaded(self._clock()))
            return
        key = caller.entry.tenant, action.name
        kept = self._kept.get(key)
        if kept is None:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            kept = self._kept[key] = _Kept()
        if self._loop.now() - kept.read_at < FRESH_SECONDS and not kept.waiting:
            self._tell_scenario(caller, kept)
            return
        kept.waiting.append(partial(self._tell_scenario, caller, kept))
        if len(kept.waiting) == 1:
            params = {"tenant": key[0], "name": key[1]}
            self._link(caller).execute(SQL["bundle"], params, partial(self._read, key, kept))

    def _link(self, caller: Caller) -> Link:
        return self._links[hash(caller.entry.call) % len(self._links)]

    def _read(self, key: tuple[int, str], kept: _Kept, rows: Rows | None) -> None:
        text = rows[0][0] if rows else None
        if text is None:  # the database is away: what was read before serves
            self._tell_waiting(kept)
            return
        # Parsing takes milliseconds for a long scenario; calls go on meanwhile.
        self._submit(partial(self._parse, key[0], text), partial(self._parsed, key, kept))

    def _parse(self, tenant: int, text: str) -> Loaded | None:
        try:
            return self._reader.read(tenant, json.loads(text))
        except KalibriError as error:
            log.error("a scenario of tenant %d cannot be run: %s", tenant, error.message)
            return None

    def _parsed(self, key: tuple[int, str], kept: _Kept, loaded: Loaded | None) -> None:
        if loaded is not None:
            kept.exists = key[1] in loaded.bundle.scenarios
            kept.loaded, kept.read_at = loaded, self._loop.now()
            self._allowed[key[0]] = loaded.allowed
        self._tell_waiting(kept)

    def _tell_waiting(self, kept: _Kept) -> None:
        waiting, kept.waiting = kept.waiting, []
        for tell in waiting:
            tell()

    def _tell_scenario(self, caller: Caller, kept: _Kept) -> None:
        now = self._clock()
        if kept.loaded is None:
            caller.post(ivr.ScenarioLoaded(now, None, 503, "the scenario cannot be read now"))
        elif not kept.exists:
            caller.post(ivr.ScenarioLoaded(now, None, 404, "there is no such scenario"))
        else:
            caller.post(ivr.ScenarioLoaded(now, kept.loaded.bundle))

    # ---- questions

    def _ask(self, caller: Caller, action: ivr.AskWorld) -> None:
        question = action.question
        match question:
            case ev.AskHttp():
                self._fetch(caller, question)
            case ev.AskRow():
                params: dict[str, object] = {"table": question.table, "key": question.key}
                self._query(caller, "row", params, question.token, json.loads, "no such row")
            case ev.AskCallback():
                params = {"queue": question.queue, "number": question.number}
                self._query(caller, "callback", params, question.token, int, "the queue takes no callbacks")
            case ev.AskFacts():
                wanted = {number: e164(number) for number in question.numbers}
                params = {
                    "queues": json.dumps(question.queues),
                    "numbers": json.dumps(list(dict.fromkeys(wanted.values()))),
                }
                read = partial(_known, wanted)
                self._query(caller, "facts", params, question.token, read, "not known")

    def _query(
        self,
        caller: Caller,
        statement: str,
        params: dict[str, object],
        token: int,
        read: Callable[[str], object],
        otherwise: str,
    ) -> None:
        def done(rows: Rows | None) -> None:
            text = rows[0][0] if rows else None
            if text is not None:
                caller.post(ivr.WorldAnswered(token, read(text)))
            else:
                reason = otherwise if rows else "the database does not answer"
                caller.post(ivr.WorldAnswered(token, None, reason))

        self._link(caller).execute(SQL[statement], {"tenant": caller.entry.tenant, **params}, done)

    def _fetch(self, caller: Caller, question: ev.AskHttp) -> None:
        allowed = self._allowed.get(caller.entry.tenant, ())

        def work() -> ivr.WorldAnswered:
            try:
                data = self._fetcher.fetch(caller.entry.tenant, question.request, allowed)
            except KalibriError as error:
                return ivr.WorldAnswered(question.token, None, error.message)
            return ivr.WorldAnswered(question.token, {} if data is None else data)

        def done(answer: ivr.WorldAnswered | None) -> None:
            caller.post(answer or ivr.WorldAnswered(question.token, None, "the look-up failed"))

        self._submit(work, done)

    def _find_queue(self, caller: Caller, action: ivr.FindQueue) -> None:
        def done(rows: Rows | None) -> None:
            if rows is not None:  # else the machine's timer says so
                caller.post(ivr.QueueFound(action.name, int(rows[0][0] or 0) if rows else 0))

        params = {"tenant": caller.entry.tenant, "name": action.name}
        self._link(caller).execute(SQL["queue"], params, done)

    # ---- story and messages

    def _tell(self, caller: Caller, action: ivr.TellStory) -> None:
        caller.tell(action.kind, **action.data)

    def _record(self, caller: Caller, action: ivr.RecordMessage) -> None:
        entry = caller.entry
        if not action.on:
            self._rpc("record.stop", {"call": entry.call, "by": MESSAGE}, lambda result: None)
            return
        params = {"call": entry.call, "by": MESSAGE, "tenant": entry.tenant or None}

        def done(result: Any) -> None:
            if result is None:
                caller.tell("media.not_recorded")
                caller.post(ivr.MessageFailed())

        self._rpc("record.start", params | {"a": entry.caller, "b": action.mailbox}, done)


def e164(number: str) -> str:
    """Return a number as the ranges have it: digits, the national prefix of country 7 replaced."""
    digits = number.removeprefix("+")
    if digits == number and len(digits) == 11 and digits.startswith("8"):
        return f"7{digits[1:]}"
    return f"7{digits}" if digits == number and len(digits) == 10 else digits


def _known(wanted: dict[str, str], text: str) -> ev.Known:
    facts = json.loads(text)
    queues = {name: None if row is None else _state(row) for name, row in facts["queues"].items()}
    return ev.Known(queues, {number: facts["regions"].get(sent) for number, sent in wanted.items()})


def _state(row: dict[str, Any]) -> QueueState:
    wait = row["wait_seconds"]
    return QueueState(
        row["waiting"],
        row["free_agents"],
        row["logged_in_agents"],
        bool(row["is_open"]),
        None if wait is None else float(wait),
    )


_PERFORM: dict[type[Action], Callable[[IvrPort, Caller, Any], None]] = {
    ivr.LoadScenario: IvrPort._load,
    ivr.AskWorld: IvrPort._ask,
    ivr.FindQueue: IvrPort._find_queue,
    ivr.TellStory: IvrPort._tell,
    ivr.RecordMessage: IvrPort._record,
}
