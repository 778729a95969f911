"""The ACD port: order of statements, answers to events, what is told late after an outage."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from callcore.call_queue import OfferOutcome
from sems_apps import actions as do
from sems_apps.actions import EndedBy, SupervisionMode
from sems_apps.events import (
    AcdAway,
    CallbackTaken,
    Diverted,
    Entered,
    Event,
    HangupAsked,
    Moved,
    OfferClaimed,
    OfferMade,
    OfferWithdrawn,
    PlayAsked,
    PositionKnown,
    SuperviseAsked,
    SupervisionEnded,
    TransferCommanded,
)
from sems_apps.host.acd_port import AcdPort
from sems_apps.host.acd_rows import AcdRow
from sems_apps.host.ports import Entry
from sems_apps.settings import QueueSettings
from tests.support.fake_link import FakeLink, HandLoop, row

SETTINGS = {"tenant": 1, "queue": 7, "name": "sales", "music": "jazz"}


class Desk:
    """A port with one link, one call, and a host that takes callbacks."""

    def __init__(self) -> None:
        self.load_data: dict[str, object] = {"load": 0.1, "calls": 1}
        self.loop, self.link = HandLoop(), FakeLink()
        self.told: list[tuple[str, dict[str, object]]] = []
        self.callbacks: list[AcdRow] = []
        self.events: list[Event] = []
        self.port = AcdPort(self.loop, "n1-media-1", [self.link], self, self, boot=uuid.uuid4())  # type: ignore[arg-type]
        self.entry = Entry(str(uuid.uuid4()), 1, 7, "+7495", since=1000.0, post=self.events.append)

    def event(
        self, kind: str, /, *, call: str | None = None, tenant: int | None = None, **data: object
    ) -> None:
        self.told.append((kind, data))

    def callback(self, found: AcdRow) -> Entry | None:
        self.callbacks.append(found)
        return Entry("callback", 1, 7, "+7495", entry=found.entry, post=self.events.append, is_callback=True)

    def do(self, *actions: do.Action) -> None:
        for action in actions:
            self.port.perform(self.entry, action)

    def enter(self, *rows: tuple[str | None, ...]) -> None:
        self.do(do.EnterQueue())
        self.link.answer("enter", *(rows or (row("wait", settings=SETTINGS),)))
        self.events.clear()

    def command(self, *rows: tuple[str | None, ...]) -> None:
        self.port.take()
        self.link.answer("take", *rows)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def offer_row(**more: Any) -> tuple[str | None, ...]:
    data = {"to_kind": "number", "to": "101", "domain": None, "ring_seconds": 15, "settings": SETTINGS} | more
    return row("offer_agent", offer=5, **data)


def test_entry_waits_or_is_offered_at_once(desk: Desk) -> None:
    desk.do(do.EnterQueue())
    desk.link.answer("enter", row("wait", settings=SETTINGS))
    assert desk.events == [
        Entered(QueueSettings(tenant=1, queue=7, name="sales", music="jazz"), offered=False)
    ]
    other = Desk()
    other.do(do.EnterQueue())
    other.link.answer("enter", offer_row(domain="demo.example"))
    assert other.events[1:] == [OfferMade(5, "sip:101@demo.example", 15.0)]
    assert isinstance(other.events[0], Entered)
    assert other.events[0].offered


def test_the_number_that_was_dialled_goes_with_the_entry(desk: Desk) -> None:
    desk.entry.called = "78005550100"
    desk.do(do.EnterQueue())
    assert json.loads(str(desk.link.sent[-1][1]["options"]))["variables"] == {"called": "78005550100"}


def test_queue_that_takes_nobody_sends_him_elsewhere(desk: Desk) -> None:
    desk.do(do.EnterQueue())
    desk.link.answer(
        "enter", row("leave", reason="closed", to_kind="number", to="200", announcement="closed")
    )
    assert desk.events == [Diverted("200", "closed", "closed")]


def test_statements_of_a_call_wait_for_each_other(desk: Desk) -> None:
    desk.enter()
    desk.do(do.ReportOffer(5, OfferOutcome.BUSY, 486), do.LeaveQueue("caller hung up"))
    assert desk.link.names() == ["enter", "outcome"]
    desk.link.answer("outcome")
    assert desk.link.names() == ["enter", "outcome", "end"]


def test_answer_is_claimed_and_lost_when_too_late(desk: Desk) -> None:
    desk.enter()
    desk.do(do.ReportOffer(5, OfferOutcome.ANSWERED, 200))
    assert desk.link.sent[-1][1]["joined"] is True
    desk.link.answer("answer", row("join", offer=5), row("cancel_offer", offer=6))
    assert desk.events == [OfferClaimed(5, won=True), OfferWithdrawn(6)]
    desk.events.clear()
    desk.do(do.ReportOffer(7, OfferOutcome.ANSWERED, 200))
    desk.link.answer("answer", row("too_late", offer=7))
    assert desk.events == [OfferClaimed(7, won=False)]


def test_whisper_delays_the_join(desk: Desk) -> None:
    desk.enter(row("wait", settings=SETTINGS | {"whisper": "sales"}))
    desk.do(do.ReportOffer(5, OfferOutcome.ANSWERED, 200), do.ReportJoin(5))
    assert desk.link.sent[-1][1]["joined"] is False
    desk.link.answer("answer", row("join", offer=5))
    assert desk.link.names()[-1] == "joined"


def test_what_the_end_implies_is_not_told_twice(desk: Desk) -> None:
    desk.enter()
    desk.do(do.ReportOffer(5, OfferOutcome.CALLER_GONE), do.ReportOffer(6, OfferOutcome.CANCELLED))
    assert desk.link.names() == ["enter"]


@pytest.mark.parametrize(
    ("cause", "reason"), [("caller hung up", "abandoned"), ("exit", "exit_key"), ("supervisor", "ejected")]
)
def test_why_he_leaves(desk: Desk, cause: str, reason: str) -> None:
    desk.enter()
    desk.do(do.LeaveQueue(cause))
    assert desk.link.sent[-1][1]["reason"] == reason


@pytest.mark.parametrize("cause", ["host stopped", "media lost"])
def test_place_is_kept_when_the_call_is_lost_by_us(desk: Desk, cause: str) -> None:
    desk.enter()
    desk.do(do.LeaveQueue(cause))
    desk.port.forget(desk.entry)
    desk.port.begin()
    assert desk.link.names() == ["enter", "report", "take"]
    assert desk.link.sent[1][1]["entries"] == "{}"


def test_conversation_ends_or_the_caller_waits_again(desk: Desk) -> None:
    desk.enter()
    desk.do(do.ReportTalkEnd(5, EndedBy.AGENT, "hung up", again=True))
    assert desk.link.sent[-1][1]["next"] == "queue"
    desk.link.answer("finish", row("wait"))
    desk.do(do.ReportTransfer(5, "blind", "200", True), do.ReportTalkEnd(5, EndedBy.AGENT, "transferred"))
    desk.link.answer("transfer", row("ended"))
    assert desk.link.names() == ["enter", "finish", "transfer"]


def test_callback_is_taken_or_refused(desk: Desk) -> None:
    desk.enter()
    desk.do(do.AskCallback("+7495"))
    desk.link.answer("callback", row("ended"))
    desk.do(do.AskCallback("+7495"))
    desk.link.answer("callback", row("leave", reason="refused"))
    assert desk.events == [CallbackTaken(True), CallbackTaken(False)]


def test_a_changed_queue_reaches_everybody_who_waits(desk: Desk) -> None:
    desk.enter()
    changed = SETTINGS | {"music": "rock", "whisper": "sales"}
    desk.command((None, "1", "settings", None, None, json.dumps({"settings": changed, "entries": [9, 77]})))
    (event,) = desk.events
    assert isinstance(event, Moved)
    assert (event.settings.music, desk.entry.whispers) == ("rock", True)


def test_positions_are_read_once_for_all_who_ask(desk: Desk) -> None:
    desk.enter()
    desk.do(do.AskPosition(), do.AskPosition())
    desk.link.answer("positions", ("9", "3", "120.5"))
    desk.do(do.AskPosition())
    assert desk.link.names() == ["enter", "positions"]
    assert desk.events == [PositionKnown(3, 120.5)] * 3


@pytest.mark.parametrize(
    ("made", "event"),
    [
        (row("move", settings=SETTINGS), Moved(QueueSettings(tenant=1, queue=7, name="sales", music="jazz"))),
        (row("leave", reason="timeout", to_kind=None, to=None), Diverted("", "timeout")),
        (row("leave", reason="full", to_kind="account", to="vip"), Diverted("account:vip", "full")),
        (row("leave", reason="closed", to_kind="announcement", to="bye"), Diverted("", "closed", "bye")),
        (row("leave", reason="closed", to_kind="reject", to="486"), Diverted("", "closed")),
        (
            row("leave", reason="closed", to_kind="redirect", to="sip:a@b, sip:c@d"),
            Diverted("uri:sip:a@b", "closed"),
        ),
        (row("play", prompt="soon"), PlayAsked("soon")),
        (row("hangup", side="agent", reason="x"), HangupAsked("x", agent_only=True)),
        (row("transfer", to_kind="number", to="200"), TransferCommanded("200")),
        (
            row("supervise", command=3, mode="whisper", to="900"),
            SuperviseAsked("supervisor:3", "900", SupervisionMode.WHISPER),
        ),
        (row("unsupervise", command=4, id=3), SupervisionEnded("supervisor:3")),
        (row("end", reason="repair"), HangupAsked("repair")),
        (row("cancel_offer", offer=5), OfferWithdrawn(5)),
    ],
)
def test_commands_reach_the_call(desk: Desk, made: tuple[str | None, ...], event: Event) -> None:
    desk.enter()
    desk.command(made)
    assert desk.events == [event]


def test_offer_taken_back_before_it_is_known_is_not_rung(desk: Desk) -> None:
    desk.enter()
    desk.command(row("cancel_offer", offer=5), offer_row())
    assert desk.events == [OfferWithdrawn(5)]


def test_command_that_overtakes_the_answer_to_enter_is_kept(desk: Desk) -> None:
    desk.do(do.EnterQueue())
    [(_, _, done)] = desk.link.waiting
    desk.link.waiting.clear()
    desk.command(offer_row(first=None))
    assert desk.events == []
    done([row("wait", settings=SETTINGS)])
    assert desk.events[1:] == [OfferMade(5, "101", 15.0)]


def test_callback_whose_turn_it_is_begins_a_call(desk: Desk) -> None:
    desk.command(offer_row(first="agent", number="+7495"))
    desk.command(row("dial", entry=10, first="caller", number="+7496"))
    assert [found.kind for found in desk.callbacks] == ["offer_agent", "dial"]


def test_supervision_is_answered(desk: Desk) -> None:
    desk.port.supervised("supervisor:3", "busy")
    assert desk.link.sent == [("done", {"command": 3, "error": "busy"})]


# ---- the database is away


def test_entry_is_made_when_the_database_is_back_with_the_original_time(desk: Desk) -> None:
    desk.do(do.EnterQueue())
    desk.link.fail("enter")
    assert desk.events == [AcdAway()]
    assert [kind for kind, _ in desk.told] == ["acd.enter"]
    desk.loop.turn()
    assert '"since": "1970-01-01T00:16:40+00:00"' in desk.link.sent[-1][1]["options"]
    desk.link.answer("enter", row("wait", settings=SETTINGS))
    assert isinstance(desk.events[-1], Entered)


def test_who_came_and_went_meanwhile_is_in_the_journal(desk: Desk) -> None:
    desk.do(do.EnterQueue())
    desk.link.fail("enter")
    desk.do(do.LeaveQueue("caller hung up"))
    desk.port.forget(desk.entry)
    desk.loop.turn()
    while desk.link.waiting:
        desk.link.fail(desk.link.waiting[0][0])
        desk.loop.turn()
    assert [kind for kind, _ in desk.told] == ["acd.enter", "acd.end"]


def test_outcome_is_told_again_until_it_is_heard(desk: Desk) -> None:
    desk.enter()
    desk.do(do.ReportOffer(5, OfferOutcome.BUSY, 486))
    for _ in range(3):
        desk.link.fail("outcome")
        desk.loop.turn()
    desk.link.answer("outcome", row("wait"))
    assert desk.link.names() == ["enter", *["outcome"] * 4]


def test_conversation_that_began_in_the_outage_is_not_undone(desk: Desk) -> None:
    desk.enter()
    desk.do(do.ReportOffer(5, OfferOutcome.ANSWERED, 200))
    desk.link.fail("answer")
    desk.loop.turn()
    desk.link.answer("answer", row("too_late", offer=5))
    assert desk.events == []
    assert [kind for kind, _ in desk.told] == ["acd.late_answer"]


def test_callback_cannot_be_asked_for_in_the_outage(desk: Desk) -> None:
    desk.enter()
    desk.do(do.AskCallback("+7495"))
    desk.link.fail("callback")
    assert desk.events == [CallbackTaken(False)]
