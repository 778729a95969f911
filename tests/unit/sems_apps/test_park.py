"""The machine of parked calls: every way out of the slot, and whatever may come in any order."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from sems_apps import actions as do
from sems_apps.actions import CALLER, Action
from sems_apps.events import (
    Dtmf,
    Event,
    HangupAsked,
    HostStopping,
    LegAnswered,
    LegEnded,
    LegFailed,
    LegHeld,
    MediaLost,
    TimerFired,
    TransferAsked,
)
from sems_apps.ivr_actions import TellStory
from sems_apps.machines.park import BACK, OVERFLOW, TIMER, Park
from sems_apps.park_actions import FreeSlot, ParkAsked, PickupAsked, SlotRefused, SlotTaken, TakeSlot

TAKEN = SlotTaken(3, 90.0, 30.0, "queue:sales")
PICKUP = PickupAsked("pickup:1", "102", "call")


class Parked:
    """One call, with what it wanted."""

    def __init__(self, taken: SlotTaken | None = TAKEN, parker: str = "101") -> None:
        self.machine, self.out = Park(), list[Action]()
        self.feed(ParkAsked("100", 1, 0, parker, "*71"))
        if taken is not None:
            self.feed(taken)

    def feed(self, *events: Event) -> list[Action]:
        """Give events; return what the last one led to."""
        actions: list[Action] = []
        for event in events:
            actions = self.machine.step(event, 0.0)
            self.out += actions
        return actions

    def told(self) -> list[str]:
        """Return what the story says."""
        return [one.kind for one in self.out if isinstance(one, TellStory)]


def of(actions: Sequence[Action], kind: type[Action]) -> list[Action]:
    return [one for one in actions if isinstance(one, kind)]


def test_the_call_is_answered_when_it_has_a_slot() -> None:
    call = Parked(None)
    assert call.out == [TakeSlot(0, "101", "*71"), do.StartTimer(TIMER, 4.0)]
    actions = call.feed(TAKEN)
    assert actions[0] == do.Answer(CALLER)
    assert actions[2] == do.StartTimer(TIMER, 90.0)
    assert call.told() == ["park.parked"]


@pytest.mark.parametrize("event", [SlotRefused(486, "Slot Is Taken"), TimerFired(TIMER)])
def test_without_a_slot_it_is_refused_unanswered(event: Event) -> None:
    actions = Parked(None).feed(event)
    assert of(actions, do.Reject)
    assert isinstance(actions[-1], do.Finish)


def test_the_first_who_dials_the_slot_is_joined_and_the_next_is_refused() -> None:
    call = Parked()
    actions = call.feed(PICKUP)
    assert actions.index(do.Answer("pickup:1")) < actions.index(do.Bridge(CALLER, "pickup:1"))
    assert FreeSlot() in actions
    assert call.feed(PickupAsked("pickup:2", "103", "other")) == [
        do.Reject("pickup:2", 404, "Nobody Is Parked There")
    ]
    assert of(call.feed(LegHeld("pickup:1", True)), do.Play)
    ended = call.feed(LegEnded("pickup:1", "BYE"))
    assert do.Hangup(CALLER, "BYE") in ended
    assert isinstance(ended[-1], do.Finish)


def test_it_comes_back_to_the_parker_and_goes_on_from_there() -> None:
    call = Parked()
    assert do.Dial(BACK, do.LegKind.CALLEE, "account:101", "100") in call.feed(TimerFired(TIMER))
    actions = call.feed(TimerFired(TIMER))
    assert actions[0] == do.CancelDial(BACK, "no answer")
    assert do.Dial(OVERFLOW, do.LegKind.CALLEE, "queue:sales", "100") in actions
    assert do.Hangup(BACK, "too late") in call.feed(LegAnswered(BACK))
    assert do.Bridge(CALLER, OVERFLOW) in call.feed(LegAnswered(OVERFLOW))
    assert call.told() == ["park.parked", "park.ring_back", "park.overflow", "park.overflowed"]


def test_who_dials_the_slot_while_the_parker_is_rung_has_the_call() -> None:
    call = Parked()
    call.feed(TimerFired(TIMER))
    actions = call.feed(PICKUP)
    assert actions[0] == do.CancelDial(BACK, "picked up")
    assert do.Hangup(BACK, "too late") in call.feed(LegAnswered(BACK)) or not of(call.out, do.Hangup)


def test_without_parker_and_overflow_it_ends() -> None:
    call = Parked(SlotTaken(1, 1.0, 1.0, ""), "")
    actions = call.feed(TimerFired(TIMER))
    assert do.Hangup(CALLER, "nobody took the parked call") in actions
    assert FreeSlot() in actions


def test_the_caller_goes_whenever_he_likes() -> None:
    for events in ([], [TAKEN], [TAKEN, TimerFired(TIMER)], [TAKEN, PICKUP]):
        call = Parked(None)
        call.feed(*events)
        assert isinstance(call.feed(LegEnded(CALLER, "BYE"))[-1], do.Finish)
        assert of(call.out, FreeSlot)


def test_whatever_comes_in_any_order_nothing_follows_the_end() -> None:
    events: list[Event] = [
        TAKEN,
        PICKUP,
        PickupAsked("pickup:2", "103", "x"),
        SlotRefused(486, "x"),
        TimerFired(TIMER),
        TimerFired("transfer"),
        LegAnswered(BACK),
        LegFailed(BACK, 486),
        LegAnswered(OVERFLOW),
        LegFailed(OVERFLOW, 480),
        LegEnded(BACK, "BYE"),
        LegEnded("pickup:1", "BYE"),
        LegAnswered("target:1"),
        LegFailed("target:1", 404),
        LegHeld("pickup:1", True),
        TransferAsked("pickup:1", "sip:101@x"),
        TransferAsked(CALLER, "sip:101@x"),
        Dtmf(CALLER, "1"),
        HangupAsked(),
        HostStopping(),
        MediaLost(),
        LegEnded(CALLER, "BYE"),
    ]
    for seed in range(400):
        chance = random.Random(seed)
        call = Parked(None)
        finished = False
        for _ in range(30):
            actions = call.feed(chance.choice(events))
            if finished:
                assert all(isinstance(one, do.Reject | do.Hangup | do.Notify) for one in actions), actions
            finished = finished or bool(of(actions, do.Finish))
        if finished:
            assert of(call.out, FreeSlot)
