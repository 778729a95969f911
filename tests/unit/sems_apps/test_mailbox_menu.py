"""Listening to voice mail: what each key does, who gets in, and whatever may come in any order."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

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
    LegHeld,
    MediaLost,
    PromptEnded,
    TimerFired,
    TransferAsked,
)
from sems_apps.ivr_actions import TellStory
from sems_apps.machines.mailbox_menu import LIMIT, TIMER, BoxPhase, MailboxMenu
from sems_apps.mailbox_actions import (
    BoxClosed,
    BoxOpened,
    BoxRefusal,
    BoxRefused,
    FetchMessage,
    MailboxAsked,
    MessageMissing,
    MessageReady,
    NoteHeard,
    OpenBox,
    RemoveMessages,
    VoiceMessage,
)

NOW = datetime(2026, 11, 22, 18, 30, tzinfo=UTC)
FIRST = VoiceMessage("m1", "+79161234567", NOW - timedelta(hours=9), True)
SECOND = VoiceMessage("m2", "anna", NOW - timedelta(days=1), True)
OLD = VoiceMessage("m3", "", NOW - timedelta(days=3), False)
MESSAGES = (FIRST, SECOND, OLD)
OPENED = BoxOpened("en", NOW, MESSAGES)


class Listener:
    """One call, with what it wanted."""

    def __init__(
        self, *, allowed: bool = True, opened: BoxOpened | None = OPENED, language: str = ""
    ) -> None:
        self.machine, self.out = MailboxMenu(), list[Action]()
        self.feed(MailboxAsked("101", allowed=allowed, language=language))
        if opened is not None:
            self.feed(opened)

    def feed(self, *events: Event) -> list[Action]:
        """Give events; return what the last one led to. Nothing follows the end."""
        actions: list[Action] = []
        for event in events:
            is_over = self.of(do.Finish)
            actions = self.machine.step(event, 0.0)
            assert not (is_over and actions)
            self.out += actions
        return actions

    def of(self, kind: type[Action]) -> list[Action]:
        """Return the actions of a kind."""
        return [one for one in self.out if isinstance(one, kind)]

    def press(self, keys: str) -> Listener:
        self.feed(*(Dtmf(CALLER, key) for key in keys))
        return self

    def said(self, times: int = 1) -> Listener:
        """Let what is played come to its end."""
        for _ in range(times):
            (*_, play) = self.of(do.Play)
            assert isinstance(play, do.Play)
            self.feed(PromptEnded(CALLER, play.token))
        return self

    def hears(self) -> str:
        """Return what is played last, as words."""
        (*_, play) = self.of(do.Play)
        assert isinstance(play, do.Play)
        return " ".join(sound.text for sound in play.sounds)

    def at_message(self, number: int = 1) -> Listener:
        """Go on until a message is played."""
        self.said()
        for each in range(1, number + 1):
            self.feed(MessageReady(f"m{each}", f"/sounds/m{each}"))
            if each < number:
                self.press("3")
        return self.said()

    def told(self) -> list[str]:
        return [one.kind.partition(".")[2] for one in self.out if isinstance(one, TellStory)]


def test_the_owner_hears_how_many_there_are_and_then_each() -> None:
    call = Listener()
    assert call.out[0] == do.Answer(CALLER)
    assert OpenBox("101", True) in call.out
    assert call.hears() == ("mailbox-you-have number-2 message-new-many mailbox-and number-1 message-old-one")
    call.said()
    assert FetchMessage("101", "m1") in call.out
    assert call.hears() == (
        "mailbox-number number-1 today number-9 number-30 am mailbox-from"
        " number-7 number-9 number-1 number-6 number-1 number-2 number-3 number-4 number-5 number-6 number-7"
    )
    call.feed(MessageReady("m1", "/sounds/m1"))
    call.said()
    assert call.hears() == "/sounds/m1"
    assert not call.of(NoteHeard)
    call.said()
    assert call.of(NoteHeard) == [NoteHeard("101", "m1")]
    assert call.hears() == "mailbox-menu"
    call.press("3").feed(MessageReady("m2", "/sounds/m2"))
    assert call.hears() == ("mailbox-number number-2 yesterday number-6 number-30 pm mailbox-from-unknown")
    call.press("3")
    assert call.hears().startswith("mailbox-number number-3 month-11 ordinal-19 number-6 number-30 pm")
    assert call.of(NoteHeard) == [NoteHeard("101", "m1")]  # the second one was passed over unheard
    call.press("3")
    assert call.hears() == "mailbox-no-more mailbox-menu"


@pytest.mark.parametrize(
    ("new", "old", "said"),
    [
        (1, 0, "mailbox-you-have number-1-n message-new-one"),
        (2, 0, "mailbox-you-have number-2 message-new-few"),
        (5, 1, "mailbox-you-have number-5 message-new-many mailbox-and number-1-n message-old-one"),
        (0, 21, "mailbox-you-have number-20 number-1-n message-old-one"),
        (0, 0, "mailbox-empty"),
    ],
)
def test_how_many_there_are_is_said_in_russian(new: int, old: int, said: str) -> None:
    messages = tuple(VoiceMessage(f"n{n}", "", NOW, n < new) for n in range(new + old))
    assert Listener(opened=BoxOpened("ru", NOW, messages)).hears() == said


def test_a_message_that_is_not_there_yet_is_waited_for_and_one_that_is_lost_is_told() -> None:
    call = Listener().said(2)
    assert call.machine.phase is BoxPhase.FETCHING
    call.feed(MessageReady("m1", "/sounds/m1"))
    assert call.hears() == "/sounds/m1"
    call.press("3").said()
    call.feed(MessageMissing("m2", "it lies on n2"))
    assert call.hears() == "mailbox-unplayable mailbox-menu"
    call.press("3").said().feed(TimerFired(TIMER))
    assert call.hears() == "mailbox-unplayable mailbox-menu"
    assert call.of(NoteHeard) == [NoteHeard("101", "m1")]
    assert call.told().count("unplayable") == 2


def test_delete_is_undone_by_the_same_key_until_the_call_is_over() -> None:
    call = Listener().at_message().press("2")
    assert call.hears() == "mailbox-deleted"
    call.press("2")
    assert call.hears() == "mailbox-kept mailbox-menu"
    call.press("2").said()
    assert call.hears().startswith("mailbox-number number-2")
    call.press("9")
    assert call.hears().endswith("mailbox-is-deleted")
    call.press("3").feed(MessageReady("m2", "/sounds/m2"))
    call.said().press("2")
    assert not call.of(RemoveMessages)
    call.press("*").feed(OPENED)
    assert call.hears() == "mailbox-you-have number-1 message-old-one"
    call.feed(LegEnded(CALLER, "BYE"))
    assert call.of(RemoveMessages) == [RemoveMessages("101", ("m1", "m2"))]
    assert not call.of(do.Hangup)
    assert isinstance(call.out[-1], do.Finish)


def test_keys_repeat_and_go_back() -> None:
    call = Listener().at_message().press("1")
    assert call.hears() == "/sounds/m1"
    call.said().press("9")
    assert call.hears().startswith("mailbox-number number-1")
    call.press("#57")
    assert call.hears().startswith("mailbox-number number-1")
    call.feed(MessageReady("m1", "/sounds/m1"))
    call.said(2).press("7")
    assert call.hears() == "invalid mailbox-menu"
    call.press("0")
    assert call.hears() == "goodbye"
    call.said().feed(TimerFired(TIMER))
    assert call.out[-2:] == [do.Hangup(CALLER, "done"), do.Finish("done")]
    assert call.told()[-3:] == ["key", "leave", "end"]


def test_silence_ends_the_call() -> None:
    call = Listener().at_message().said()
    for _ in range(2):
        call.said().feed(TimerFired(TIMER))
        assert call.hears() == "mailbox-menu"
    call.said().feed(TimerFired(TIMER))
    assert call.hears() == "goodbye"


def test_an_empty_mailbox_is_told_and_left() -> None:
    call = Listener(opened=BoxOpened("en", NOW)).said()
    assert call.hears() == "goodbye"


def test_who_hangs_up_within_a_message_has_not_heard_it() -> None:
    call = Listener().at_message()
    call.feed(LegEnded(CALLER, "BYE"))
    assert not call.of(NoteHeard)
    assert "heard" not in call.told()


def test_a_pin_is_asked_for_and_tried_three_times() -> None:
    call = Listener(allowed=False, opened=None)
    assert call.feed(BoxClosed("en"))
    assert call.hears() == "mailbox-enter-pin"
    call.press("47*4711#")
    assert call.of(OpenBox)[-1] == OpenBox("101", False, "4711")
    call.feed(BoxRefused(BoxRefusal.WRONG))
    assert call.hears() == "mailbox-wrong-pin mailbox-enter-pin"
    call.press("12").feed(TimerFired(TIMER))
    assert call.of(OpenBox)[-1] == OpenBox("101", False, "12")
    call.feed(BoxRefused(BoxRefusal.WRONG))
    call.press("1234567890")
    call.feed(BoxRefused(BoxRefusal.WRONG))
    assert call.hears() == "mailbox-refused"
    assert call.machine.failure == "wrong PIN"
    call.said().feed(TimerFired(TIMER))
    assert call.of(do.Finish)
    told = [one.data for one in call.out if isinstance(one, TellStory)]
    assert not [data for data in told if "4711" in str(data)]


def test_the_right_pin_opens_and_need_not_be_given_again() -> None:
    call = Listener(allowed=False, opened=None)
    call.feed(BoxClosed("en"))
    call.press("4711#").feed(OPENED)
    assert call.hears().startswith("mailbox-you-have")
    call.said().press("*")
    assert call.of(OpenBox)[-1] == OpenBox("101", True)


@pytest.mark.parametrize(
    ("event", "heard"),
    [
        (BoxRefused(BoxRefusal.LOCKED), "mailbox-locked"),
        (BoxRefused(BoxRefusal.AWAY), "mailbox-away"),
        (TimerFired(TIMER), "mailbox-away"),
    ],
)
def test_who_is_not_let_in_is_told_why(event: Event, heard: str) -> None:
    call = Listener(allowed=False, opened=None)
    call.feed(event)
    assert call.hears() == heard
    assert call.machine.failure


def _pin(call: Listener) -> None:
    call.feed(BoxClosed("en"))


STATES: dict[str, Callable[[Listener], object]] = {
    "opening": lambda call: None,
    "pin": _pin,
    "summary": lambda call: call.feed(OPENED),
    "header": lambda call: call.feed(OPENED) and call.said(),
    "fetching": lambda call: call.feed(OPENED) and call.said(2),
    "message": lambda call: call.feed(OPENED) and call.at_message(),
    "choice": lambda call: call.feed(OPENED) and call.at_message().said(),
    "deleted": lambda call: call.feed(OPENED) and call.at_message().press("2"),
    "leaving": lambda call: call.feed(OPENED) and call.press("0"),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(
    "event",
    [LegEnded(CALLER, "BYE"), HangupAsked("told"), MediaLost(), HostStopping(), TimerFired(LIMIT)],
    ids=lambda event: type(event).__name__,
)
def test_the_call_may_end_in_any_state(state: str, event: Event) -> None:
    call = Listener(opened=None)
    STATES[state](call)
    assert call.machine.phase == state
    call.feed(event)
    assert isinstance(call.out[-1], do.Finish)
    assert bool(call.of(do.Hangup)) == (not isinstance(event, LegEnded))
    assert bool(call.of(RemoveMessages)) == (state == "deleted")
    call.feed(event, Dtmf(CALLER, "1"), PromptEnded(CALLER, "mailbox:1"), OPENED)


@pytest.mark.parametrize("seed", range(200))
def test_random_keys_and_answers_end(seed: int) -> None:
    rng = random.Random(seed)
    call = Listener(allowed=rng.random() < 0.5, opened=None)
    for _ in range(rng.randint(1, 400)):
        if call.of(do.Finish):
            break
        call.feed(_anything(rng, call))
    for _ in range(60):  # he presses nothing any more: silence must end it
        if call.of(do.Finish):
            break
        plays = call.of(do.Play)
        call.feed(PromptEnded(CALLER, plays[-1].token) if plays else MediaLost(), TimerFired(TIMER))  # type: ignore[attr-defined]
        if call.machine.phase is BoxPhase.OPENING:
            call.feed(BoxRefused(BoxRefusal.WRONG))
    assert len(call.of(do.Finish)) == 1
    assert not call.machine.is_conversation
    removed = [one.message_ids for one in call.of(RemoveMessages) if isinstance(one, RemoveMessages)]
    assert len(removed) <= 1
    assert all(set(ids) <= {"m1", "m2", "m3"} for ids in removed)


def _anything(rng: random.Random, call: Listener) -> Event:
    plays = [one for one in call.of(do.Play) if isinstance(one, do.Play)]
    message = rng.choice(("m1", "m2", "m3", "m9"))
    likely: list[Event] = [Dtmf(CALLER, rng.choice("0123456789*#ABCD")) for _ in range(3)]
    likely += [PromptEnded(CALLER, rng.choice(plays[-2:]).token)] * 4 if plays else []
    likely += [TimerFired(TIMER), MessageReady(message, f"/sounds/{message}"), MessageMissing(message, "")]
    likely += [rng.choice((OPENED, BoxOpened("ru", NOW), BoxClosed("ru")))]
    likely += [BoxRefused(rng.choice(tuple(BoxRefusal)))] if rng.random() < 0.2 else []
    likely += [
        LegHeld(CALLER, True),
        TransferAsked(CALLER, "sip:x@y"),
        LegAnswered("target"),
        Dtmf("other", "1"),
    ]
    return rng.choice(likely)
