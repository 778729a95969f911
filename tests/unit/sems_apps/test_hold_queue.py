"""A queue call from the first INVITE to the end, told as scenarios; the world checks every single action."""

from __future__ import annotations

import pytest

from callcore.call_queue import OfferOutcome
from sems_apps import events
from sems_apps.actions import CALLER, LeaveQueue
from sems_apps.events import (
    AcdAway,
    CallbackDue,
    CallbackTaken,
    CallerArrived,
    CallerHandedOver,
    DialDue,
    Diverted,
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
    Moved,
    OfferClaimed,
    OfferWithdrawn,
    PlayAsked,
    PositionKnown,
    PromptEnded,
    TimerFired,
)
from sems_apps.machines.hold_queue import ANY_PHASE, TABLE, HoldQueue
from sems_apps.machines.queue_call import Phase
from sems_apps.machines.table import IllegalEvent
from sems_apps.settings import AfterAgent, QueueSettings, WhileRinging
from tests.support.hold_queue_calls import NUMBER, PLAIN, arrive, offer, talk
from tests.support.queue_world import QueueWorld

# ---- arriving


def test_nobody_free_answers_with_music() -> None:
    world = arrive()
    assert world.legs[CALLER] == "up"
    assert world.hears(CALLER) == "jazz"


def test_free_agent_rings_before_the_caller_is_answered() -> None:
    world = arrive(offered=True)
    assert (world.rang, world.legs[CALLER]) == (True, "incoming")
    world.feed(offer())
    world.feed(LegRinging("agent:1"))
    world.feed(LegAnswered("agent:1"))
    assert world.partner() == "agent:1"
    assert world.legs[CALLER] == "up"
    assert world.joined == [1]


def test_agent_who_fails_before_the_answer_is_followed_by_the_next() -> None:
    world = arrive(offered=True)
    world.feed(offer(1))
    world.feed(LegFailed("agent:1", 486))
    assert world.offers[1] == [OfferOutcome.BUSY]
    world.feed(offer(2))
    assert world.legs[CALLER] == "incoming"
    world.feed(LegAnswered("agent:2"))
    assert world.partner() == "agent:2"


def test_no_further_agent_begins_the_waiting() -> None:
    world = arrive(offered=True)
    world.feed(offer(1))
    world.feed(LegFailed("agent:1", 486))
    world.feed(TimerFired("next_offer"))
    assert world.hears(CALLER) == "jazz"


@pytest.mark.parametrize("event", [AcdAway(), TimerFired("entering")])
def test_database_away_begins_music_and_the_entry_comes_later(event: Event) -> None:
    world = QueueWorld()
    world.feed(CallerArrived(NUMBER, PLAIN))
    world.feed(event)
    assert world.hears(CALLER) == "jazz"
    world.feed(Entered(QueueSettings(music="blues")))
    assert world.hears(CALLER) == "blues"
    world.feed(offer())
    world.feed(LegAnswered("agent:1"))
    assert world.partner() == "agent:1"


def test_queue_that_answers_at_once_plays_its_greeting_first() -> None:
    settings = QueueSettings(music="jazz", greeting="welcome", answer_at_once=True)
    world = QueueWorld()
    world.feed(CallerArrived(NUMBER, settings))
    assert world.hears(CALLER) == "welcome"
    world.feed(Entered(settings))
    world.feed(PromptEnded(CALLER, "said"))
    assert world.hears(CALLER) == "jazz"


def test_a_change_that_nobody_hears_begins_nothing_anew() -> None:
    world = arrive(QueueSettings(music="jazz", announce_position=True))
    before = dict(world.timers)
    world.timers.clear()
    world.feed(Moved(QueueSettings(music="jazz", announce_position=True)))
    assert (world.timers, bool(before)) == ({}, True)
    world.feed(Moved(QueueSettings(music="rock", announce_position=True)))
    assert (world.hears(CALLER), world.timers) == ("rock", before)


# ---- agents


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (408, OfferOutcome.UNREACHABLE),
        (480, OfferOutcome.UNREACHABLE),
        (486, OfferOutcome.BUSY),
        (603, OfferOutcome.REJECTED),
        (404, OfferOutcome.UNREACHABLE),
        (503, OfferOutcome.UNREACHABLE),
        (488, OfferOutcome.FAILED),
        (0, OfferOutcome.FAILED),
    ],
)
def test_agent_fails_and_the_caller_keeps_his_music(code: int, outcome: OfferOutcome) -> None:
    world = arrive()
    world.feed(offer())
    world.feed(LegFailed("agent:1", code))
    assert world.offers[1] == [outcome]
    assert world.hears(CALLER) == "jazz"
    assert world.in_queue


@pytest.mark.parametrize("code", [408, 480, 487])
def test_who_rang_before_did_not_answer(code: int) -> None:
    world = arrive()
    world.feed(offer())
    world.feed(LegRinging("agent:1"))
    world.feed(LegFailed("agent:1", code))
    assert world.offers[1] == [OfferOutcome.NO_ANSWER]


def test_ring_timeout_cancels_the_agent() -> None:
    world = arrive()
    world.feed(offer())
    assert world.timers["offer:1"] == 15.0
    world.feed(LegRinging("agent:1"))
    world.feed(TimerFired("offer:1"))
    assert (world.legs["agent:1"], world.offers[1]) == ("ended", [OfferOutcome.NO_ANSWER])


def test_a_phone_that_never_rang_is_unreachable() -> None:
    world = arrive()
    world.feed(offer())
    world.feed(TimerFired("offer:1"))
    assert (world.legs["agent:1"], world.offers[1]) == ("ended", [OfferOutcome.UNREACHABLE])


def test_withdrawn_offer_cancels_the_agent() -> None:
    world = arrive()
    world.feed(offer())
    world.feed(OfferWithdrawn(1))
    assert (world.legs["agent:1"], world.offers[1]) == ("ended", [OfferOutcome.CANCELLED])


def test_ring_all_first_claimed_wins_and_the_others_are_let_go() -> None:
    world = arrive()
    for number in (1, 2, 3):
        world.feed(offer(number, ring_all=True))
    world.feed(LegAnswered("agent:2"))
    world.feed(LegAnswered("agent:3"))
    assert world.hears(CALLER) == "jazz"
    world.feed(OfferClaimed(3, won=True))
    world.feed(OfferClaimed(2, won=False))
    assert world.partner() == "agent:3"
    assert world.offers[2] == [OfferOutcome.ANSWERED, OfferOutcome.CANCELLED]
    assert world.offers[1] == [OfferOutcome.CANCELLED]
    assert sorted(world.live()) == ["agent:3", CALLER]


def test_ring_all_lost_claim_leaves_the_caller_waiting() -> None:
    world = arrive()
    world.feed(offer(1, ring_all=True))
    world.feed(LegAnswered("agent:1"))
    world.feed(OfferClaimed(1, won=False))
    assert world.live() == [CALLER]
    assert world.hears(CALLER) == "jazz"


def test_join_is_undone_when_the_offer_had_been_taken_back() -> None:
    world = talk()
    world.joined.clear()
    world.talk_ended.append(1)
    world.feed(OfferClaimed(1, won=False))
    assert world.live() == [CALLER]
    assert world.hears(CALLER) == "jazz"


def test_whisper_is_said_to_the_agent_while_the_music_goes_on() -> None:
    world = arrive(QueueSettings(music="jazz", whisper="queue_sales"))
    world.feed(offer())
    world.feed(LegAnswered("agent:1"))
    assert (world.hears("agent:1"), world.hears(CALLER)) == ("queue_sales", "jazz")
    world.feed(PromptEnded("agent:1", "whisper"))
    assert world.partner() == "agent:1"


def test_agent_who_hangs_up_in_the_whisper_leaves_the_caller_waiting() -> None:
    world = arrive(QueueSettings(music="jazz", whisper="queue_sales"))
    world.feed(offer())
    world.feed(LegAnswered("agent:1"))
    world.feed(LegEnded("agent:1"))
    assert world.offers[1] == [OfferOutcome.ANSWERED, OfferOutcome.REJECTED]
    assert world.hears(CALLER) == "jazz"


def test_ringback_is_heard_while_an_agent_rings_and_music_when_he_fails() -> None:
    world = arrive(QueueSettings(music="jazz", while_ringing=WhileRinging.RINGBACK))
    world.feed(offer())
    world.feed(LegRinging("agent:1"))
    assert world.hears(CALLER) == "ringback"
    world.feed(LegFailed("agent:1", 486))
    assert world.hears(CALLER) == "jazz"


def test_offer_that_comes_twice_rings_once() -> None:
    world = arrive()
    world.feed(offer())
    world.feed(offer())
    assert world.live() == [CALLER, "agent:1"]


def test_offer_that_comes_too_late_is_given_back() -> None:
    world = talk()
    world.feed(offer(2))
    assert world.offers[2] == [OfferOutcome.CALLER_GONE]


# ---- the caller goes away


@pytest.mark.parametrize(
    "phase", ["entering", "ringing", "waiting", "offered", "whisper", "talking", "survey"]
)
def test_caller_gone_ends_everything(phase: str) -> None:
    settings = QueueSettings(whisper="w", after_agent=AfterAgent.SURVEY)
    world = QueueWorld()
    steps: list[Event] = [CallerArrived(NUMBER, settings)]
    if phase == "ringing":
        steps += [Entered(settings, offered=True), offer()]
    elif phase != "entering":
        steps.append(Entered(settings))
    if phase in ("offered", "whisper", "talking", "survey"):
        steps.append(offer())
    if phase in ("whisper", "talking", "survey"):
        steps.append(LegAnswered("agent:1"))
    if phase in ("talking", "survey"):
        steps.append(PromptEnded("agent:1", "whisper"))
    if phase == "survey":
        steps.append(LegEnded("agent:1"))
    for step in steps:
        world.feed(step)
    world.feed(LegEnded(CALLER))
    assert world.finished


@pytest.mark.parametrize("event", [HangupAsked(), MediaLost(), HostStopping()])
@pytest.mark.parametrize("talking", [False, True])
def test_call_is_ended_from_outside(event: Event, talking: bool) -> None:
    world = talk() if talking else arrive()
    world.feed(event)
    assert world.finished


# ---- announcements and keys

TALKATIVE = QueueSettings(
    music="jazz",
    announce_position=True,
    announce_wait=True,
    announce_every_seconds=30,
    periodic_prompt="important",
    periodic_every_seconds=45,
    comfort_prompt="stay",
    comfort_every_seconds=20,
    callback_key="1",
    exit_key="0",
    exit_target="100",
    position_key="9",
)


def test_position_and_wait_are_said_and_music_comes_back() -> None:
    world = arrive(TALKATIVE)
    assert world.timers["announce"] == 3.0
    world.feed(TimerFired("announce"))
    assert world.timers["announce"] == 30
    world.feed(PositionKnown(4, 400.0))
    assert world.hears(CALLER) == "position:4-0 wait:5-10 callback-offer"
    world.feed(PromptEnded(CALLER, "said"))
    assert world.hears(CALLER) == "jazz"


@pytest.mark.parametrize(("timer", "said"), [("periodic", "important"), ("comfort", "stay")])
def test_messages_are_said(timer: str, said: str) -> None:
    world = arrive(TALKATIVE)
    world.feed(TimerFired(timer))
    assert world.hears(CALLER) == said
    assert timer in world.timers


def test_position_on_demand_interrupts_an_announcement() -> None:
    world = arrive(TALKATIVE)
    world.feed(TimerFired("periodic"))
    world.feed(Dtmf(CALLER, "9"))
    world.feed(PositionKnown(1, None))
    assert world.hears(CALLER) == "position:1-0"


def test_position_that_never_comes_leaves_no_silence() -> None:
    world = arrive(TALKATIVE)
    world.feed(TimerFired("periodic"))
    world.feed(Dtmf(CALLER, "9"))
    world.feed(PromptEnded(CALLER, "said"))
    assert world.hears(CALLER) == "jazz"


def test_exit_key_leads_to_its_target() -> None:
    world = arrive(TALKATIVE)
    world.feed(Dtmf(CALLER, "0"))
    assert (world.in_queue, world.reports) == (False, [LeaveQueue("exit")])
    world.feed(LegAnswered("target"))
    assert world.partner() == "target"
    world.feed(LegEnded("target"))
    assert world.finished


def test_exit_key_without_target_leaves_it_to_the_acd() -> None:
    settings = QueueSettings(music="jazz", exit_key="0")
    for answer, heard in (
        (Moved(QueueSettings(music="blues")), "blues"),
        (Diverted("", "exit_key", "bye"), "bye"),
    ):
        world = arrive(settings)
        world.feed(Dtmf(CALLER, "0"))
        assert world.reports == [LeaveQueue("exit")]
        world.feed(answer)
        assert world.hears(CALLER) == heard


def test_supervisor_plays_a_prompt_to_the_caller() -> None:
    world = arrive()
    world.feed(PlayAsked("soon"))
    assert world.hears(CALLER) == "soon"
    world.feed(PromptEnded(CALLER, "said"))
    assert world.hears(CALLER) == "jazz"


def test_supervisor_takes_the_agent_out_of_the_call() -> None:
    world = talk(QueueSettings(music="jazz", after_agent=AfterAgent.QUEUE))
    world.feed(HangupAsked("supervisor", agent_only=True))
    assert world.live() == [CALLER]
    assert world.hears(CALLER) == "jazz"


def test_callback_to_the_own_number() -> None:
    world = arrive(TALKATIVE)
    world.feed(Dtmf(CALLER, "1"))
    assert world.hears(CALLER) == f"callback-your-number {NUMBER} callback-confirm"
    world.feed(Dtmf(CALLER, "1"))
    assert world.hears(CALLER) == "jazz"
    world.feed(CallbackTaken(True))
    assert world.hears(CALLER) == "callback-accepted"
    world.feed(PromptEnded(CALLER, "last_words"))
    assert world.finished


def test_callback_to_a_number_that_is_typed() -> None:
    world = arrive(TALKATIVE)
    for digit in "12":
        world.feed(Dtmf(CALLER, digit))
    assert world.hears(CALLER) == "callback-number"
    for digit in "4951112233#":
        world.feed(Dtmf(CALLER, digit))
    assert world.hears(CALLER) == "callback-your-number 4951112233 callback-confirm"
    world.feed(Dtmf(CALLER, "1"))
    asked = [action.number for action in world.done if type(action).__name__ == "AskCallback"]
    assert asked == ["4951112233"]


def test_typed_number_is_complete_after_silence() -> None:
    world = arrive(TALKATIVE)
    for digit in "124955":
        world.feed(Dtmf(CALLER, digit))
    world.feed(TimerFired("keys"))
    assert world.hears(CALLER) == "callback-your-number 4955 callback-confirm"


def test_callback_dialogue_ends_by_star_and_by_silence() -> None:
    world = arrive(TALKATIVE)
    world.feed(Dtmf(CALLER, "1"))
    world.feed(Dtmf(CALLER, "*"))
    assert world.hears(CALLER) == "jazz"
    world.feed(Dtmf(CALLER, "1"))
    for _ in range(10):
        world.feed(PromptEnded(CALLER, "said"))
        if "keys" in world.timers:
            world.feed(TimerFired("keys"))
    assert world.hears(CALLER) == "jazz"


def test_refused_callback_goes_on_waiting() -> None:
    world = arrive(TALKATIVE)
    world.feed(Dtmf(CALLER, "1"))
    world.feed(Dtmf(CALLER, "1"))
    world.feed(CallbackTaken(False))
    assert world.hears(CALLER) == "callback-refused"
    assert world.in_queue


def test_agent_who_answers_ends_the_dialogue() -> None:
    world = arrive(TALKATIVE)
    world.feed(offer())
    world.feed(Dtmf(CALLER, "1"))
    world.feed(LegAnswered("agent:1"))
    assert world.partner() == "agent:1"
    world.feed(Dtmf(CALLER, "1"))
    assert world.partner() == "agent:1"


def test_move_to_another_queue_changes_the_music() -> None:
    world = arrive()
    world.feed(Moved(QueueSettings(music="blues")))
    assert world.hears(CALLER) == "blues"


@pytest.mark.parametrize(
    ("target", "announcement"), [("", ""), ("", "closed"), ("200", ""), ("200", "closed")]
)
@pytest.mark.parametrize("answered", [False, True])
def test_overflow_leads_away(target: str, announcement: str, answered: bool) -> None:
    world = arrive() if answered else arrive(offered=True)
    world.feed(Diverted(target, "full", announcement))
    if announcement:
        assert world.hears(CALLER) == "closed"
        world.feed(PromptEnded(CALLER, "last_words"))
    if not target:
        assert world.finished
        return
    world.feed(LegAnswered("target"))
    assert world.partner() == "target"


def test_diversion_that_fails_ends_the_call() -> None:
    world = arrive()
    world.feed(Diverted("200", "full"))
    world.feed(LegFailed("target", 486))
    assert world.finished == "diversion failed: 486"


# ---- the table


def test_event_without_a_row_is_illegal_and_changes_nothing() -> None:
    machine = HoldQueue()
    machine.call.phase = Phase.ENDED
    with pytest.raises(IllegalEvent, match="CallerArrived in phase ended"):
        machine.step(CallerArrived(NUMBER, PLAIN), 0.0)
    assert (machine.phase, machine.call.out) == (Phase.ENDED, [])


def test_every_event_has_a_handler_in_every_phase_but_the_beginnings() -> None:
    kinds = {item for item in vars(events).values() if isinstance(item, type) and issubclass(item, Event)} - {
        Event
    }
    assert set(TABLE) == set(Phase)
    assert kinds - set(ANY_PHASE) == {CallerArrived, CallbackDue, CallerHandedOver, DialDue}
    assert {CallerArrived, CallbackDue, CallerHandedOver} == set(TABLE[Phase.NEW])
