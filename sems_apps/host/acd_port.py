"""Call distribution as a media host sees it: what a machine wants becomes a call of an acd_ function, and back.

Statements of one call are sent one after the other, in the order in which the machine wanted them. PostgreSQL is the
authority; nothing is decided here. While the database is away callers wait with music: their entries are made when it
is back, with the moment of their arrival, and what had already happened is told late. Lines of the journal (acd.enter,
acd.end) say what was not told when this process ends before that (docs/acd.md, section 7).
"""

from __future__ import annotations

import json
import logging
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol

from callcore.call_queue import OfferOutcome
from kalibri.db import statements
from sems_apps import actions as do
from sems_apps.actions import AGENT_PREFIX, CALLER, SUPERVISOR_PREFIX, Action
from sems_apps.events import (
    AcdAway,
    CallbackTaken,
    Entered,
    Event,
    Moved,
    OfferClaimed,
    PositionKnown,
)
from sems_apps.host.acd_rows import AcdRow, diverted, offer_made, read_rows, settings_of, to_event
from sems_apps.host.loop import Loop
from sems_apps.host.pg_link import Rows
from sems_apps.host.ports import Entry, Journal
from sems_apps.host.proxies import Address, parse_address
from sems_apps.host.sip_leg_facts import Replaced

log = logging.getLogger("media")

SQL = statements("media_host")
REPORT_SECONDS = 2.0
POLL_SECONDS = 1.0
#: Positions that were read so recently are good for everybody.
POSITIONS_SECONDS = 1.0
#: Pause before what could not be told is tried again.
RETRY_SECONDS = 1.0

#: What a cause of ours is called in the entry's end; anything else is a caller who hung up.
END_REASONS = {"exit": "exit_key", "supervisor": "ejected"}
#: The place is kept: ks-acd finds the call missing in our reports, and a redial finds the place.
KEPT = ("host stopped", "media lost", "internal error")
#: Told by no statement: the end of the entry, or the answer of another, tells it for all offers.
_IMPLIED = (OfferOutcome.CALLER_GONE, OfferOutcome.CANCELLED)
#: How long a command waits for its entry to be known here.
EARLY_SECONDS = 5.0
#: Offers taken back before they were known here, remembered at most.
LONGEST_MEMORY = 10_000


class Link(Protocol):
    """What statements are sent by: PgLink, or a fake."""

    @property
    def is_up(self) -> bool:
        """Whether there is a connection."""

    def execute(self, statement: str, params: dict[str, object], done: Callable[[Rows | None], None]) -> None:
        """Run a statement."""


class Host(Protocol):
    """What commands of the ACD need of the host."""

    @property
    def load_data(self) -> dict[str, object]:
        """What a heartbeat says: load, calls, capacity, draining."""

    def callback(self, row: AcdRow) -> Entry | None:
        """Begin a callback; None: this host takes no calls now."""


@dataclass(slots=True)
class Line:
    """The statements of one call, one after the other."""

    entry: Entry
    actions: deque[Action] = field(default_factory=deque)
    busy: bool = False
    #: The session is over; the line lives until everything is told.
    closed: bool = False
    #: acd.enter is in the journal, since the database could not be told.
    journalled: bool = False
    #: The offer whose agent talks or talked last.
    offer: int = 0
    #: A statement failed since: what the database says now may be a repair of the outage, not an answer.
    late: bool = False


class AcdPort:
    """Every call of this host, and the commands for it."""

    def __init__(
        self,
        loop: Loop,
        name: str,
        links: Sequence[Link],
        journal: Journal,
        host: Host,
        *,
        boot: uuid.UUID,
    ) -> None:
        """links: calls are spread over them; the first also takes commands and reports."""
        self._loop, self._name, self._links = loop, name, links
        self._journal, self._host, self._boot = journal, host, boot
        self._lines: dict[str, Line] = {}
        self._by_entry: dict[int, Line] = {}
        #: Offers taken back before they were made known here.
        self._cancelled: set[int] = set()
        #: Commands for entries whose own making has not been answered yet (another connection brought them).
        self._early: dict[int, list[AcdRow]] = {}
        self._taking = self._take_again = False
        self._positions_at = -POSITIONS_SECONDS
        self._positions: dict[int, tuple[int, float | None]] = {}
        self._askers: list[Line] = []

    # ---- called by sessions

    def perform(self, entry: Entry, action: Action) -> None:
        """Take an action; the answer comes as an event of the entry."""
        line = self._lines.get(entry.call)
        if line is None:
            line = self._lines[entry.call] = Line(entry)
        if isinstance(action, do.AskPosition):
            self._ask_position(line)
            return
        line.actions.append(action)
        self._pump(line)

    def forget(self, entry: Entry) -> None:
        """The session is over: the line ends when everything is told."""
        line = self._lines.get(entry.call)
        if line is not None:
            line.closed = True
            self._pump(line)

    def supervised(self, leg: str, error: str) -> None:
        """Tell how the supervision of this leg began: "" or why it did not."""
        command = leg.removeprefix(SUPERVISOR_PREFIX)
        if command.isdigit():
            self._links[0].execute(SQL["done"], {"command": int(command), "error": error}, lambda rows: None)

    def find_leg(self, tenant: int, wanted: Replaced, done: Callable[[Address | None], None]) -> None:
        """Tell which media host has a dialog of this tenant; None: none has."""
        params: dict[str, object] = {"tenant": tenant, "sip_call_id": wanted.call_id, "tag": wanted.to_tag}

        def found(rows: Rows | None) -> None:
            done(parse_address(rows[0][0] or "") if rows else None)

        self._links[0].execute(SQL["find_leg"], params, found)

    # ---- the line of one call

    def _pump(self, line: Line) -> None:
        while not line.busy and line.actions:
            action = line.actions[0]
            statement = self._statement(line, action)
            if statement is None:
                line.actions.popleft()
                continue
            name, params = statement
            line.busy = True
            self._link(line).execute(SQL[name], params, partial(self._answered, line, action))
        if line.closed and not line.busy and not line.actions:
            self._drop(line)

    def _link(self, line: Line) -> Link:
        return self._links[hash(line.entry.call) % len(self._links)]

    def _drop(self, line: Line) -> None:
        self._lines.pop(line.entry.call, None)
        if self._by_entry.get(line.entry.entry) is line:
            del self._by_entry[line.entry.entry]

    def _answered(self, line: Line, action: Action, rows: Rows | None) -> None:
        line.busy = False
        if rows is None:
            self._away(line, action)
            return
        line.actions.popleft()
        found = read_rows(rows)
        _ANSWERED.get(type(action), AcdPort._other_answered)(self, line, action, found)
        line.late = False
        self._pump(line)

    def _away(self, line: Line, action: Action) -> None:
        """The database did not answer: the caller hears music, and it is told later."""
        line.late = True
        if isinstance(action, do.AskCallback):
            line.actions.popleft()
            line.entry.post(CallbackTaken(False))
        elif isinstance(action, do.EnterQueue) and not line.journalled:
            line.journalled = True
            self._tell(line, "acd.enter")
            line.entry.post(AcdAway())
        if line.closed and isinstance(line.actions[0], do.EnterQueue):
            # Came and went while nobody listened: the journal has it, ks-acd replays it.
            self._tell(line, "acd.end", reason="abandoned")
            self._drop(line)
            return
        self._loop.call_later(RETRY_SECONDS, lambda: self._pump(line))

    def _tell(self, line: Line, kind: str, **data: object) -> None:
        entry = line.entry
        self._journal.event(
            kind,
            call=entry.call,
            tenant=entry.tenant,
            queue=entry.queue,
            caller=entry.caller,
            holder=self._name,
            **data,
        )

    # ---- actions to statements

    def _statement(self, line: Line, action: Action) -> tuple[str, dict[str, object]] | None:
        """Return the statement of an action, or None: there is nothing to tell."""
        make = _STATEMENTS.get(type(action))
        return make(self, line, action) if make is not None else None

    def _enter(self, line: Line, action: do.EnterQueue) -> tuple[str, dict[str, object]]:
        entry = line.entry
        if action.queue and (
            action.queue != entry.queue or entry.entry
        ):  # a scenario leads to a queue, or to the next
            self._by_entry.pop(entry.entry, None)
            entry.queue, entry.entry, line.offer, line.journalled = action.queue, 0, 0, False
        options: dict[str, Any] = {"caller_name": entry.caller_name, **entry.options}
        if entry.called:
            options["variables"] = {"called": entry.called, **options.get("variables", {})}
        if entry.proxy:
            options["proxy"] = entry.proxy
        if line.late:
            options["since"] = datetime.fromtimestamp(entry.since, UTC).isoformat()
        return "enter", {
            "tenant": entry.tenant,
            "queue": entry.queue,
            "call": entry.call,
            "holder": self._name,
            "caller": entry.caller,
            "options": json.dumps(options),
        }

    def _leave(self, line: Line, action: do.LeaveQueue) -> tuple[str, dict[str, object]] | None:
        if action.cause in KEPT or not line.entry.entry:
            return None
        reason = END_REASONS.get(action.cause, "abandoned")
        data = json.dumps({"cause": action.cause, "by": "caller" if reason == "abandoned" else "system"})
        return "end", {"tenant": line.entry.tenant, "entry": line.entry.entry, "reason": reason, "data": data}

    def _report_offer(self, line: Line, action: do.ReportOffer) -> tuple[str, dict[str, object]] | None:
        entry = line.entry
        if action.outcome in _IMPLIED:
            return None
        if action.outcome is OfferOutcome.ANSWERED:
            line.offer = action.offer
            return "answer", {
                "tenant": entry.tenant,
                "offer": action.offer,
                "legs": json.dumps(_legs(entry, action.offer)),
                "joined": not (entry.whispers or entry.is_callback),
            }
        return "outcome", {
            "tenant": entry.tenant,
            "offer": action.offer,
            "outcome": action.outcome.value,
            "code": action.code or None,
            "cause": "",
        }

    def _report_join(self, line: Line, action: do.ReportJoin) -> tuple[str, dict[str, object]] | None:
        if not line.entry.whispers:
            return None
        return "joined", {"tenant": line.entry.tenant, "offer": action.offer}

    def _talk_end(self, line: Line, action: do.ReportTalkEnd) -> tuple[str, dict[str, object]] | None:
        if action.cause == "transferred":  # acd_transfer has told it
            return None
        return "finish", {
            "tenant": line.entry.tenant,
            "offer": action.offer,
            "by": action.by.value,
            "cause": action.cause,
            "next": "queue" if action.again else "end",
        }

    def _transfer(self, line: Line, action: do.ReportTransfer) -> tuple[str, dict[str, object]] | None:
        if not action.succeeded:
            return None
        return "transfer", {
            "tenant": line.entry.tenant,
            "entry": line.entry.entry,
            "to_kind": "number",
            "target": action.target,
            "mode": action.kind,
            "by": "agent",
        }

    def _callback(self, line: Line, action: do.AskCallback) -> tuple[str, dict[str, object]] | None:
        if not line.entry.entry:
            line.entry.post(CallbackTaken(False))
            return None
        return "callback", {"tenant": line.entry.tenant, "entry": line.entry.entry, "number": action.number}

    def _dialled(self, line: Line, action: do.ReportCallback) -> tuple[str, dict[str, object]]:
        return "dialled", {
            "tenant": line.entry.tenant,
            "entry": line.entry.entry,
            "result": action.outcome,
            "code": action.code or None,
            "verdict": action.verdict,
            "legs": json.dumps(_legs(line.entry, 0)),
        }

    def _hold(self, line: Line, action: do.ReportHold) -> tuple[str, dict[str, object]] | None:
        if not line.offer:
            return None
        side = "caller" if action.leg == CALLER else "agent"
        return "hold", {"tenant": line.entry.tenant, "offer": line.offer, "side": side, "on": action.on}

    def _survey(self, line: Line, action: do.ReportSurvey) -> tuple[str, dict[str, object]]:
        return "survey", {"tenant": line.entry.tenant, "entry": line.entry.entry, "score": action.score}

    # ---- answers to events

    def _entered(self, line: Line, action: Action, rows: list[AcdRow]) -> None:
        entry = line.entry
        if not rows:
            return
        entry.entry = rows[0].entry
        self._by_entry[entry.entry] = line
        early = self._early.pop(entry.entry, [])
        offered = any(row.kind == "offer_agent" for row in rows)
        leaving = next((row for row in rows if row.kind == "leave"), None)
        if line.closed and leaving is None:  # gone before the entry was made
            line.actions.append(do.LeaveQueue("caller hung up"))
            return
        if leaving is not None:
            entry.post(diverted(leaving))
            self._over(line, [])
            return
        settings = settings_of(rows[0])
        entry.whispers = bool(settings.whisper)
        entry.post(Entered(settings, offered))
        self._dispatch([*rows, *early])

    def _offer_answered(self, line: Line, action: Action, rows: list[AcdRow]) -> None:
        if not isinstance(action, do.ReportOffer) or action.outcome is not OfferOutcome.ANSWERED:
            self._dispatch(rows)
            return
        lost = any(row.kind == "too_late" and row.offer == action.offer for row in rows)
        if lost and line.late:
            # The deadline passed while the database was away, and the two talk: the conversation counts.
            self._tell(line, "acd.late_answer", offer=action.offer)
            return
        line.entry.post(OfferClaimed(action.offer, won=not lost))
        self._dispatch([row for row in rows if row.kind not in ("join", "too_late", "dial")])

    def _callback_answered(self, line: Line, action: Action, rows: list[AcdRow]) -> None:
        line.entry.post(CallbackTaken(any(row.kind == "ended" for row in rows)))

    def _dial_answered(self, line: Line, action: Action, rows: list[AcdRow]) -> None:
        """The person was called; once reached, he is a caller like any other."""
        if isinstance(action, do.ReportCallback) and action.outcome == "reached":
            line.entry.is_callback = False
        self._dispatch(rows)

    def _transferred(self, line: Line, action: do.ReportTransfer, rows: list[AcdRow]) -> None:
        self._over(line, rows)

    def _talk_ended(self, line: Line, action: do.ReportTalkEnd, rows: list[AcdRow]) -> None:
        if action.again:
            self._dispatch(rows)
        else:
            self._over(line, rows)

    def _over(self, line: Line, rows: list[AcdRow]) -> None:
        """The entry has ended, the call goes on: with who it was handed to, a survey, or where the queue sent it.

        The entry is not reported any more, or the database would have the call ended for which it knows no reason.
        """
        self._dispatch(rows)
        if self._by_entry.get(line.entry.entry) is line:
            del self._by_entry[line.entry.entry]

    def _other_answered(self, line: Line, action: Action, rows: list[AcdRow]) -> None:
        self._dispatch(rows)

    # ---- positions

    def _ask_position(self, line: Line) -> None:
        if self._loop.now() - self._positions_at < POSITIONS_SECONDS:
            self._tell_position(line)
            return
        self._askers.append(line)
        if len(self._askers) == 1:
            self._links[0].execute(SQL["positions"], {"holder": self._name}, self._positions_read)

    def _positions_read(self, rows: Rows | None) -> None:
        askers, self._askers = self._askers, []
        if rows is None:
            return
        self._positions = {
            int(entry or 0): (int(place or 1), float(wait) if wait is not None else None)
            for entry, place, wait in rows
        }
        self._positions_at = self._loop.now()
        for line in askers:
            self._tell_position(line)

    def _tell_position(self, line: Line) -> None:
        place = self._positions.get(line.entry.entry)
        if place is not None:
            event: Event = PositionKnown(*place)
            self._loop.call_soon(lambda: line.entry.post(event))

    # ---- commands and reports

    def begin(self) -> None:
        """Begin to report and to look for commands."""
        self._report()
        self._poll()

    def take(self) -> None:
        """Look for commands now: a notification came."""
        if self._taking:
            self._take_again = True
            return
        self._taking = True
        self._links[0].execute(SQL["take"], {"holder": self._name}, self._taken)

    def _taken(self, rows: Rows | None) -> None:
        self._taking = False
        if rows:
            self._dispatch(read_rows(rows))
        if self._take_again:
            self._take_again = False
            self.take()

    def _poll(self) -> None:
        self.take()
        self._loop.call_later(POLL_SECONDS, self._poll)

    def _report(self) -> None:
        entries = "{" + ",".join(str(entry) for entry in self._by_entry) + "}"
        self._links[0].execute(
            SQL["report"],
            {
                "holder": self._name,
                "boot": self._boot,
                "entries": entries,
                "data": json.dumps(self._host.load_data),
            },
            lambda rows: self._dispatch(read_rows(rows)) if rows else None,
        )
        self._loop.call_later(REPORT_SECONDS, self._report)

    def _dispatch(self, rows: list[AcdRow]) -> None:
        for row in rows:
            try:
                self._take_row(row)
            # A command that cannot be understood must not keep the others.
            except Exception:
                log.exception("a command of the ACD could not be taken: %s", row)

    def _take_row(self, row: AcdRow) -> None:
        if row.kind == "settings":
            self._change_settings(row)
            return
        line = self._by_entry.get(row.entry)
        if row.kind == "cancel_offer":
            self._cancelled.add(row.offer)
            if len(self._cancelled) > LONGEST_MEMORY:
                self._cancelled.clear()
        if row.kind == "offer_agent" and row.offer in self._cancelled:
            return
        if line is None:
            if row.kind in ("offer_agent", "dial"):
                self._begin_callback(row)
            return
        if row.kind == "offer_agent":
            line.entry.whispers = bool(settings_of(row).whisper)
            line.entry.post(offer_made(row))
            return
        event = to_event(row)
        if event is not None:
            line.entry.post(event)
        if row.kind == "leave":
            self._over(line, [])

    def _change_settings(self, row: AcdRow) -> None:
        """Somebody changed a queue: one command for all of its callers who wait here."""
        event, whispers = Moved(settings_of(row)), bool(settings_of(row).whisper)
        for entry in row.data.get("entries") or ():
            if (line := self._by_entry.get(entry)) is not None:
                line.entry.whispers = whispers
                line.entry.post(event)

    def _keep_early(self, row: AcdRow) -> None:
        """Keep a command until its entry is known here; if it never is, the ACD's own deadline frees the agent."""
        self._early.setdefault(row.entry, []).append(row)

        def give_up() -> None:
            self._early.pop(row.entry, None)

        self._loop.call_later(EARLY_SECONDS, give_up)

    def _begin_callback(self, row: AcdRow) -> None:
        """An entry that nobody here holds: a callback whose turn it is."""
        if row.data.get("first") is None:
            self._keep_early(row)
            return
        entry = self._host.callback(row)
        if entry is not None:
            self._by_entry[entry.entry] = self._lines.setdefault(entry.call, Line(entry))


def _legs(entry: Entry, offer: int) -> list[dict[str, str]]:
    """Return the dialogs for Replaces: the caller's, and that of the offer's agent."""
    named = {"caller": CALLER, "agent": f"{AGENT_PREFIX}{offer}"}
    return [
        {"kind": kind, "sip_call_id": dialog[0], "local_tag": dialog[1], "remote_tag": dialog[2]}
        for kind, name in named.items()
        if (dialog := entry.legs.get(name)) is not None
    ]


_STATEMENTS: dict[type[Action], Callable[[AcdPort, Line, Any], tuple[str, dict[str, object]] | None]] = {
    do.EnterQueue: AcdPort._enter,
    do.LeaveQueue: AcdPort._leave,
    do.ReportOffer: AcdPort._report_offer,
    do.ReportJoin: AcdPort._report_join,
    do.ReportTalkEnd: AcdPort._talk_end,
    do.ReportTransfer: AcdPort._transfer,
    do.AskCallback: AcdPort._callback,
    do.ReportCallback: AcdPort._dialled,
    do.ReportHold: AcdPort._hold,
    do.ReportSurvey: AcdPort._survey,
}

_ANSWERED: dict[type[Action], Callable[[AcdPort, Line, Any, list[AcdRow]], None]] = {
    do.EnterQueue: AcdPort._entered,
    do.ReportOffer: AcdPort._offer_answered,
    do.AskCallback: AcdPort._callback_answered,
    do.ReportCallback: AcdPort._dial_answered,
    do.ReportTransfer: AcdPort._transferred,
    do.ReportTalkEnd: AcdPort._talk_ended,
}
