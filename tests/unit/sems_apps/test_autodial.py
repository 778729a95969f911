"""The autodial machine: message, keys, queue, and exactly one report of the end, whatever happens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callcore.call_queue import OfferOutcome
from sems_apps import actions as do
from sems_apps.actions import CALLER, Action, DialStage, EnterQueue, LegKind, Play, ReportDial, ReportOffer
from sems_apps.dial_order import Choice, DialOrder, KeyAction, OnAnswer, read_order
from sems_apps.events import (
    DialDue,
    Dtmf,
    Entered,
    Event,
    HangupAsked,
    HostStopping,
    LegAnswered,
    LegEnded,
    LegFailed,
    LegRinging,
    MediaLost,
    OfferMade,
    PromptEnded,
    Recognised,
    TimerFired,
    TransferAsked,
)
from sems_apps.machines.autodial import (
    AGENT,
    DECIDE,
    KEY,
    LAST_WORDS,
    LONGEST,
    MESSAGE,
    RING,
    AutoDial,
    DialPhase,
)
from sems_apps.settings import QueueSettings

KEYS = {
    "1": Choice(KeyAction.REPEAT),
    "2": Choice(KeyAction.QUEUE, 7),
    "3": Choice(KeyAction.CALLBACK, 8),
    "9": Choice(KeyAction.OPT_OUT, prompt="goodbye"),
}
ORDER = DialOrder(
    tenant=1,
    attempt=5,
    campaign=3,
    call="c",
    number="74951234567",
    caller_id="78000000000",
    audio="sale",
    keys=KEYS,
    queue=7,
)


class Dialled:
    """A dial in memory."""

    def __init__(self, order: DialOrder = ORDER) -> None:
        self.machine, self.now = AutoDial(), 100.0
        self.done: list[Action] = []
        self.feed(DialDue(order))

    def feed(self, event: Event, after: float = 0.1) -> list[Action]:
        self.now += after
        actions = list(self.machine.step(event, self.now))
        self.done += actions
        return actions

    def answer(self) -> Dialled:
        self.feed(LegRinging(CALLER))
        self.feed(LegAnswered(CALLER), 2.0)
        return self

    def of(self, kind: type[Action]) -> list[Any]:
        return [action for action in self.done if isinstance(action, kind)]

    @property
    def end(self) -> ReportDial:
        (found,) = [report for report in self.of(ReportDial) if report.stage is DialStage.ENDED]
        assert isinstance(found, ReportDial)
        return found


def test_the_message_is_said_and_the_end_reported() -> None:
    dialled = Dialled()
    assert dialled.of(do.Dial) == [do.Dial(CALLER, LegKind.CALLEE, "74951234567", "78000000000")]
    dialled.answer()
    assert [play.sounds[0].text for play in dialled.of(Play)] == ["sale"]
    dialled.feed(PromptEnded(CALLER, MESSAGE), 6.0)
    dialled.feed(TimerFired(KEY), 5.0)
    end = dialled.end
    assert (end.answered, end.heard_ms, end.heard_all, end.choice) == (True, 6000, True, "")
    assert isinstance(dialled.done[-1], do.Finish)


def test_without_keys_the_call_ends_with_the_message() -> None:
    dialled = Dialled(read_order(tenant=1, attempt=5, campaign=3, call="c", number="7", data={"audio": "x"}))
    dialled.answer().feed(PromptEnded(CALLER, MESSAGE))
    assert dialled.end.heard_all


@pytest.mark.parametrize(("code", "cause", "ours"), [(486, 17, False), (503, 0, True), (404, 1, False)])
def test_a_refusal_is_reported_as_it_came(code: int, cause: int, ours: bool) -> None:
    dialled = Dialled()
    dialled.feed(LegFailed(CALLER, code, cause, ours))
    assert (dialled.end.code, dialled.end.cause, dialled.end.ours, dialled.end.answered) == (
        code,
        cause,
        ours,
        False,
    )


def test_who_does_not_answer_is_given_up() -> None:
    dialled = Dialled()
    dialled.feed(LegRinging(CALLER))
    dialled.feed(TimerFired(RING), 30.0)
    assert dialled.of(do.CancelDial)
    assert (dialled.end.code, dialled.end.rang) == (408, True)


def test_a_key_is_heard_while_the_message_is_said() -> None:
    dialled = Dialled().answer()
    dialled.feed(Dtmf(CALLER, "5"))
    dialled.feed(Dtmf(CALLER, "1"), 2.0)
    assert len(dialled.of(Play)) == 2
    dialled.feed(LegEnded(CALLER, "hung up"), 1.0)
    assert (dialled.end.choice, dialled.end.key, dialled.end.heard_ms) == ("repeat", "1", 2100)


def test_the_message_is_not_repeated_for_ever() -> None:
    dialled = Dialled().answer()
    for _ in range(ORDER.most_repeats):
        dialled.feed(Dtmf(CALLER, "1"))
    assert len(dialled.of(Play)) == ORDER.most_repeats
    assert dialled.end.choice == "repeat"


def test_an_opt_out_is_told_at_once_and_confirmed() -> None:
    dialled = Dialled().answer()
    actions = dialled.feed(Dtmf(CALLER, "9"))
    assert [(a.stage, a.choice, a.key) for a in actions if isinstance(a, ReportDial)] == [
        (DialStage.CHOSEN, "opt_out", "9")
    ]
    assert dialled.of(Play)[-1].sounds[0].text == "goodbye"
    dialled.feed(PromptEnded(CALLER, LAST_WORDS))
    assert dialled.end.choice == "opt_out"


def test_a_callback_names_its_queue() -> None:
    dialled = Dialled().answer()
    dialled.feed(Dtmf(CALLER, "3"))
    (chosen,) = [report for report in dialled.of(ReportDial) if report.stage is DialStage.CHOSEN]
    assert (chosen.choice, chosen.queue) == ("callback", 8)


def test_who_wants_an_agent_waits_in_the_queue_and_talks() -> None:
    dialled = Dialled().answer()
    dialled.feed(Dtmf(CALLER, "2"))
    assert dialled.of(EnterQueue) == [EnterQueue(7)]
    dialled.feed(Entered(QueueSettings(tenant=1, queue=7, music="jazz")))
    dialled.feed(OfferMade(1, "sip:eve@x", 20.0))
    dialled.feed(LegAnswered("agent:1"))
    assert dialled.of(do.Bridge)
    dialled.feed(LegEnded("agent:1"))
    assert dialled.machine.phase is DialPhase.ENDED
    assert (dialled.end.talked, dialled.end.choice) == (True, "queue")


PREDICTIVE = DialOrder(
    tenant=1, attempt=5, campaign=3, call="c", number="7495", on_answer=OnAnswer.QUEUE, queue=7
)


def test_predictive_leads_to_the_queue_at_once() -> None:
    dialled = Dialled(PREDICTIVE).answer()
    assert dialled.of(EnterQueue) == [EnterQueue(7)]
    dialled.feed(Entered(QueueSettings(tenant=1, queue=7)))
    dialled.feed(OfferMade(1, "sip:eve@x", 20.0))
    dialled.feed(TimerFired(DECIDE), 1.8)
    dialled.feed(TimerFired(AGENT), 0.2)
    dialled.feed(LegAnswered("agent:1"))
    dialled.feed(LegEnded(CALLER))
    assert (dialled.end.abandoned, dialled.end.talked) == (False, True)


def test_who_finds_no_agent_in_time_is_told_so_and_counted() -> None:
    dialled = Dialled(PREDICTIVE).answer()
    dialled.feed(Entered(QueueSettings(tenant=1, queue=7)))
    dialled.feed(TimerFired(AGENT), 2.0)
    assert dialled.of(do.LeaveQueue)
    assert dialled.of(Play)[-1].sounds[0].text == "no-agent"
    dialled.feed(PromptEnded(CALLER, LAST_WORDS), 3.0)
    assert (dialled.end.abandoned, dialled.end.talked) == (True, False)


def test_early_media_that_says_no_ends_the_dial_before_it_costs() -> None:
    dialled = Dialled()
    dialled.feed(Recognised(CALLER, "wait"))
    assert not dialled.of(do.CancelDial)
    dialled.feed(Recognised(CALLER, "not_existing"))
    assert dialled.of(do.CancelDial)
    assert (dialled.end.verdict, dialled.end.answered) == ("not_existing", False)


def test_a_machine_is_let_go() -> None:
    dialled = Dialled().answer()
    dialled.feed(Recognised(CALLER, "voicemail"))
    assert (dialled.end.verdict, dialled.end.answered) == ("voicemail", True)


def test_a_machine_hears_what_is_said_to_machines() -> None:
    order = replace(ORDER, machine_hears=True, machine_prompt="voicemail", record=True)
    dialled = Dialled(order).answer()
    assert dialled.of(do.Record) == [do.Record(True)]
    dialled.feed(Recognised(CALLER, "voicemail"), 2.0)
    assert dialled.of(Play)[-1].sounds[0].text == "voicemail"
    dialled.feed(PromptEnded(CALLER, LAST_WORDS), 8.0)
    assert dialled.end.verdict == "voicemail"


def test_a_machine_in_the_queue_takes_no_agents_time() -> None:
    dialled = Dialled(PREDICTIVE).answer()
    dialled.feed(Entered(QueueSettings(tenant=1, queue=7)))
    dialled.feed(Recognised(CALLER, "human"))
    assert not dialled.of(do.Hangup)
    dialled.feed(Recognised(CALLER, "machine"))
    assert dialled.of(do.Hangup)
    assert (dialled.end.verdict, dialled.end.talked) == ("machine", False)


def test_where_machines_are_not_told_from_people_nobody_is_hung_up_on() -> None:
    dialled = Dialled(replace(PREDICTIVE, detect=False)).answer()
    dialled.feed(Entered(QueueSettings(tenant=1, queue=7)))
    dialled.feed(Recognised(CALLER, "machine"))
    assert not dialled.of(do.Hangup)


def test_an_agent_who_talks_with_a_machine_hangs_up_himself() -> None:
    dialled = Dialled(PREDICTIVE).answer()
    dialled.feed(Entered(QueueSettings(tenant=1, queue=7)))
    dialled.feed(OfferMade(1, "sip:eve@x", 20.0))
    dialled.feed(LegAnswered("agent:1"))
    dialled.feed(TimerFired(DECIDE), 1.8)
    assert dialled.of(do.Bridge)  # a doubtful case is a person
    dialled.feed(Recognised(CALLER, "machine"), 4.0)
    assert not dialled.of(do.Hangup)


def rung(order: DialOrder = PREDICTIVE) -> Dialled:
    """A dial whose person has answered, and an agent's phone rings."""
    dialled = Dialled(order).answer()
    dialled.feed(Entered(QueueSettings(tenant=1, queue=7)))
    dialled.feed(OfferMade(1, "sip:eve@x", 20.0))
    return dialled


def test_an_agent_who_is_quick_is_joined_as_soon_as_a_person_was_heard() -> None:
    dialled = rung()
    dialled.feed(LegAnswered("agent:1"))
    assert not dialled.of(do.Bridge)
    dialled.feed(Recognised(CALLER, "human"))
    assert dialled.of(do.Bridge)
    assert not dialled.feed(TimerFired(DECIDE), 1.0)


def test_an_agent_who_is_quick_is_not_joined_with_a_machine() -> None:
    dialled = rung()
    dialled.feed(LegAnswered("agent:1"))
    dialled.feed(Recognised(CALLER, "voicemail"))
    assert not dialled.of(do.Bridge)
    assert (dialled.end.verdict, dialled.end.talked) == ("voicemail", False)
    assert not dialled.feed(TimerFired(DECIDE), 1.0)


def test_an_agent_who_hangs_up_before_it_is_clear_has_not_taken_the_call() -> None:
    dialled = rung()
    dialled.feed(LegAnswered("agent:1"))
    dialled.feed(LegEnded("agent:1"))
    assert [(report.offer, report.outcome) for report in dialled.of(ReportOffer)] == [
        (1, OfferOutcome.REJECTED)
    ]
    dialled.feed(Recognised(CALLER, "human"))
    assert not dialled.of(do.Bridge)


@pytest.mark.parametrize("changes", [{"detect": False}, {"decide_seconds": 0.0}, {"record": True}])
def test_where_nobody_listens_nobody_waits(changes: dict[str, Any]) -> None:
    dialled = rung(replace(PREDICTIVE, **changes))
    dialled.feed(LegAnswered("agent:1"))
    assert dialled.of(do.Bridge)


def test_a_callee_transfers_nobody() -> None:
    dialled = Dialled().answer()
    dialled.feed(TransferAsked(CALLER, "sip:somebody@x"))
    assert dialled.of(do.Notify) == [do.Notify(CALLER, 603, "Declined")]


def test_a_host_that_stops_says_that_it_was_ours() -> None:
    dialled = Dialled()
    dialled.feed(HostStopping())
    assert dialled.end.ours
    assert dialled.of(do.CancelDial)


EVENTS = st.one_of(
    st.sampled_from(
        [
            LegRinging(CALLER),
            LegAnswered(CALLER),
            LegFailed(CALLER, 486),
            LegEnded(CALLER),
            HangupAsked(),
            MediaLost(),
            HostStopping(),
            PromptEnded(CALLER, MESSAGE),
            PromptEnded(CALLER, LAST_WORDS),
            Recognised(CALLER, "machine"),
            Recognised(CALLER, "human"),
            TransferAsked(CALLER, "sip:x"),
        ]
    ),
    st.sampled_from([RING, KEY, AGENT, LONGEST, DECIDE]).map(TimerFired),
    st.sampled_from("1239*").map(lambda key: Dtmf(CALLER, key)),
    st.just(Entered(QueueSettings(tenant=1, queue=7))),
    st.integers(1, 2).map(lambda offer: OfferMade(offer, "sip:eve@x", 20.0)),
)


def _can_happen(event: Event, leg: str, dialled: Dialled) -> bool:
    """What a host would never say."""
    if isinstance(event, LegAnswered | LegFailed | LegRinging):
        return leg == "dialling"
    if isinstance(event, LegEnded | Dtmf | TransferAsked):
        return leg == "up"
    return not isinstance(event, Entered | OfferMade) or dialled.machine.queue is not None


@given(order=st.sampled_from([ORDER, PREDICTIVE]), events=st.lists(EVENTS, max_size=25))
@settings(max_examples=400, deadline=None)
def test_whatever_happens_the_end_is_reported_once_and_the_leg_is_gone(
    order: DialOrder, events: list[Event]
) -> None:
    dialled = Dialled(order)
    leg = "dialling"
    for event in [*events, HostStopping()]:
        if not _can_happen(event, leg, dialled):
            continue
        if isinstance(event, LegAnswered):
            leg = "up"
        if isinstance(event, LegFailed | LegEnded):
            leg = "ended"
        dialled.feed(event)
        if any(isinstance(a, do.Hangup | do.CancelDial) and a.leg == CALLER for a in dialled.done):
            leg = "ended"
        if dialled.of(do.Finish):
            break
    assert len(dialled.of(do.Finish)) == 1
    assert isinstance(dialled.done[-1], do.Finish)
    assert leg == "ended"
    assert dialled.end.attempt == order.attempt
