"""ivr_menu without a host: joins, queues within scenarios, and whatever may come in any order."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from callcore import ivr_events as ev
from callcore.ivr_run import Bundle, Version
from sems_apps import actions as do
from sems_apps.actions import CALLER, TARGET, Action
from sems_apps.events import (
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
    OfferClaimed,
    OfferMade,
    PromptEnded,
    TimerFired,
    TransferAsked,
)
from sems_apps.ivr_actions import (
    AskWorld,
    FindQueue,
    MessageFailed,
    QueueFound,
    RecordMessage,
    ScenarioCalled,
    ScenarioLoaded,
    WorldAnswered,
)
from sems_apps.machines.ivr_menu import IvrMenu
from sems_apps.mailbox_actions import (
    BoxClosed,
    BoxOpened,
    BoxRefusal,
    BoxRefused,
    MessageReady,
    OpenBox,
    RemoveMessages,
    VoiceMessage,
)
from sems_apps.settings import QueueSettings
from sems_apps.sounds import prompt
from tests.support.ivr_random import random_scenario
from tests.support.ivr_world import bundle, version

AT = datetime(2026, 11, 24, 9, tzinfo=UTC)
SETTINGS = QueueSettings(tenant=1, queue=7, music="jazz")


class Menu:
    """One call, with what it wanted."""

    def __init__(self, given: Bundle, **capabilities: bool) -> None:
        self.machine = IvrMenu(**capabilities)
        self.now = 0.0
        self.out: list[Action] = []
        self.finished = False
        self.feed(ScenarioCalled("100", "200", "", "main", "", 1))
        self.feed(ScenarioLoaded(AT, given))

    def feed(self, event: Event) -> list[Action]:
        """Give an event; nothing may follow the end."""
        actions = self.machine.step(event, self.now)
        if self.finished:
            assert not [one for one in actions if not isinstance(one, do.ReportOffer)], actions
        for action in actions:
            assert not self.finished or isinstance(action, do.ReportOffer)
            self.finished = self.finished or isinstance(action, do.Finish)
        self.out += actions
        return actions

    def said(self) -> list[Action]:
        """Let the latest prompt end."""
        plays = [one for one in self.out if isinstance(one, do.Play) and one.token]
        return self.feed(PromptEnded(CALLER, plays[-1].token))


TALK = """
nodes:
  first: {kind: transfer, to: "number:+7495", next: second, on_failure: second}
  second: {kind: queue, queue: sales, next: third, on_failure: bye}
  third: {kind: queue, queue: support, next: bye, on_failure: bye}
  bye: {kind: hangup, say: bye}
"""


@pytest.mark.parametrize("then", ["account:101", "number:84951112233"])
def test_an_announcement_that_leads_on(then: str) -> None:
    machine = IvrMenu()
    machine.step(ScenarioCalled("100", "9", "", "", "sorry", 1, then), 0.0)
    (play,) = [action for action in machine.step(ScenarioLoaded(AT), 0.0) if isinstance(action, do.Play)]
    assert play.sounds == (prompt("sorry"),)
    actions = machine.step(PromptEnded(CALLER, play.token), 1.0)
    (dial,) = [action for action in actions if isinstance(action, do.Dial)]
    assert (dial.target, dial.caller_id) == (then.removeprefix("number:"), "100")
    assert do.Bridge(CALLER, TARGET) in machine.step(LegAnswered(TARGET), 2.0)


def test_an_unanswered_caller_hears_ringing_until_somebody_answers() -> None:
    menu = Menu(bundle(TALK))
    assert do.Ring(CALLER) in menu.out
    assert do.Answer(CALLER) not in menu.out
    assert menu.out[-2] == do.Dial(TARGET, do.LegKind.CALLEE, "+7495", "100")
    actions = menu.feed(LegAnswered(TARGET))
    assert actions.index(do.Answer(CALLER)) < actions.index(do.Bridge(CALLER, TARGET))
    assert menu.feed(TransferAsked(CALLER, "x")) == [do.Notify(CALLER, 603, "Decline")]
    simple = Menu(bundle(TALK), can_unbridge=False)
    simple.feed(LegAnswered(TARGET))
    assert simple.feed(TransferAsked(TARGET, "x")) == [do.Notify(TARGET, 603, "Decline")]


def test_whom_the_caller_talks_to_hands_him_on() -> None:
    menu = Menu(bundle(TALK))
    menu.feed(LegAnswered(TARGET))
    actions = menu.feed(TransferAsked(TARGET, "sip:102@x", "replaced"))
    assert do.Dial("target:1", do.LegKind.CALLEE, "sip:102@x", "100", replaces="replaced") in actions
    assert menu.feed(LegRinging("target:1")) == [do.Notify(TARGET, 180, "Ringing")]
    actions = menu.feed(LegFailed("target:1", 486))
    assert do.Notify(TARGET, 486, "Not transferred") in actions
    assert do.Bridge(CALLER, TARGET) in actions
    menu.feed(TransferAsked(TARGET, "sip:103@x"))
    assert do.Bridge(CALLER, TARGET) in menu.feed(TimerFired("ivr-transfer"))
    menu.feed(TransferAsked(TARGET, "sip:104@x"))
    actions = menu.feed(LegAnswered("target:3"))
    assert do.Hangup(TARGET, "transferred") in actions
    assert actions[-1] == do.Bridge(CALLER, "target:3")
    assert menu.feed(LegEnded(TARGET, "BYE")) == []
    menu.feed(LegEnded("target:3", "BYE"))
    assert isinstance(menu.out[-2], FindQueue)  # the scenario goes on


BOX = """
language: en
nodes:
  box: {kind: mailbox, mailbox: "{called}", next: bye, on_failure: sorry}
  bye: {kind: hangup, say: bye}
  sorry: {kind: hangup, say: sorry}
"""
MESSAGES = BoxOpened("ru", AT, (VoiceMessage("m1", "100", AT, True),))


def test_a_caller_listens_to_a_mailbox_and_comes_back_to_the_scenario() -> None:
    menu = Menu(bundle(BOX))
    assert menu.out[-2] == OpenBox("200", False)
    assert do.Answer(CALLER) in menu.out
    menu.feed(BoxClosed("ru"))
    for key in "4711#":
        menu.feed(Dtmf(CALLER, key))
    assert OpenBox("200", False, "4711") in menu.out
    menu.feed(MESSAGES)
    assert menu.said()
    menu.feed(Dtmf(CALLER, "2"))
    menu.feed(Dtmf(CALLER, "0"))
    menu.said()
    actions = menu.feed(TimerFired("mailbox"))
    assert RemoveMessages("200", ("m1",)) in actions
    assert not [one for one in actions if isinstance(one, do.Hangup | do.Finish)]
    assert [one.sounds[0].text for one in actions if isinstance(one, do.Play)] == ["bye"]
    assert {one.language for one in menu.out if isinstance(one, do.Play)} == {"en"}


@pytest.mark.parametrize("has_mailboxes", [True, False])
def test_who_is_not_let_in_takes_the_failure_branch(has_mailboxes: bool) -> None:
    menu = Menu(bundle(BOX), has_mailboxes=has_mailboxes)
    if has_mailboxes:
        menu.feed(BoxRefused(BoxRefusal.LOCKED))
        menu.said()
        menu.feed(TimerFired("mailbox"))
    plays = [one.sounds[0].text for one in menu.out if isinstance(one, do.Play)]
    assert plays[-1] == "sorry"
    assert not menu.finished


@pytest.mark.parametrize("event", [LegEnded(CALLER, "BYE"), HangupAsked("told"), MediaLost(), HostStopping()])
def test_a_call_that_ends_in_a_mailbox_ends_as_a_whole(event: Event) -> None:
    menu = Menu(bundle(BOX))
    menu.feed(MESSAGES)
    menu.said()
    menu.feed(Dtmf(CALLER, "2"))
    actions = menu.feed(event)
    assert RemoveMessages("200", ("m1",)) in actions
    assert menu.finished
    hangs_up = [one for one in actions if isinstance(one, do.Hangup)]
    assert len(hangs_up) == (0 if isinstance(event, LegEnded) else 1)


def test_who_hands_the_caller_on_may_leave_at_once() -> None:
    for answered in (True, False):
        menu = Menu(bundle(TALK))
        menu.feed(LegAnswered(TARGET))
        menu.feed(TransferAsked(TARGET, "sip:102@x"))
        assert menu.feed(LegEnded(TARGET, "BYE")) == []
        if answered:
            assert menu.feed(LegAnswered("target:1"))[-1] == do.Bridge(CALLER, "target:1")
        else:
            menu.feed(LegFailed("target:1", 480))
            assert isinstance(menu.out[-2], FindQueue)


def test_a_caller_who_leaves_while_he_is_handed_on_leaves_nobody_ringing() -> None:
    menu = Menu(bundle(TALK))
    menu.feed(LegAnswered(TARGET))
    menu.feed(TransferAsked(TARGET, "sip:102@x"))
    actions = menu.feed(LegEnded(CALLER, "BYE"))
    assert [one.leg for one in actions if isinstance(one, do.CancelDial | do.Hangup)] == ["target:1", TARGET]


def test_one_queue_after_the_other_with_the_same_caller() -> None:
    menu = Menu(bundle(TALK))
    menu.feed(LegFailed(TARGET, 486))
    assert isinstance(menu.out[-2], FindQueue)
    for queue, offer in ((7, 1), (8, 2)):
        actions = menu.feed(QueueFound("sales" if queue == 7 else "support", queue))
        assert do.EnterQueue(queue) in actions
        menu.feed(Entered(SETTINGS))
        menu.feed(OfferMade(offer, "sip:eve@x", 20.0))
        menu.feed(LegAnswered(f"agent:{offer}"))
        menu.feed(OfferClaimed(offer, True))
        assert do.Bridge(CALLER, f"agent:{offer}") in menu.out
        actions = menu.feed(LegEnded(f"agent:{offer}", "BYE"))
        assert not any(isinstance(one, do.Finish | do.Hangup) for one in actions)
    assert isinstance(menu.out[-1], do.Play)
    menu.said()
    menu.feed(TimerFired("ivr"))
    assert menu.out[-2:] == [do.Hangup(CALLER, "hang up"), do.Finish("hang up")]


def test_a_queue_that_nobody_can_ask_takes_the_failure_branch() -> None:
    menu = Menu(bundle(TALK))
    menu.feed(LegFailed(TARGET, 486))
    menu.feed(TimerFired("ivr-queue"))
    assert isinstance(menu.out[-1], do.Play)
    assert menu.feed(QueueFound("sales", 7)) == []


@pytest.mark.parametrize("event", [HostStopping(), MediaLost(), HangupAsked(), LegEnded(CALLER, "BYE")])
def test_the_end_ends_every_leg(event: Event) -> None:
    menu = Menu(bundle(TALK))
    menu.feed(LegAnswered(TARGET))
    actions = menu.feed(event)
    assert any(isinstance(one, do.Hangup) and one.leg == TARGET for one in actions)
    assert isinstance(actions[-1], do.Finish)
    hung_up = any(isinstance(one, do.Hangup) and one.leg == CALLER for one in actions)
    assert hung_up is not isinstance(event, LegEnded)


@pytest.mark.parametrize("seed", range(50))
def test_whatever_comes_nothing_is_raised_and_the_call_ends(seed: int) -> None:
    rng = random.Random(seed)
    _, scenario = random_scenario(rng)
    other = version(
        "nodes: {a: {kind: menu, say: x, keys: {1: b}, on_failure: b}, b: {kind: return}}", "other"
    )
    main = Version(name="main", version=1, scenario=scenario)
    menu = Menu(Bundle(scenarios={"main": main, "other": other}), can_unbridge=rng.random() < 0.7)
    for _ in range(3000):
        if menu.finished:
            break
        menu.now += rng.random() * 3
        menu.feed(_event(rng, menu))
    if not menu.finished:
        menu.feed(LegEnded(CALLER, "BYE"))
    assert menu.finished
    assert menu.feed(Dtmf(CALLER, "1")) == []


def _event(rng: random.Random, menu: Menu) -> Event:
    last = menu.out[-12:]
    plays = [one for one in last if isinstance(one, do.Play) and one.token]
    asks = [one for one in last if isinstance(one, AskWorld)]
    dials = [one for one in last if isinstance(one, do.Dial)]
    finds = [one for one in last if isinstance(one, FindQueue)]
    likely: list[Event] = [TimerFired("ivr"), Dtmf(CALLER, rng.choice("0123456789*#"))]
    likely += [PromptEnded(CALLER, one.token) for one in plays[-1:]]
    likely += [
        WorldAnswered(one.question.token, rng.choice((None, {"value": 5}, ev.Known()))) for one in asks[-1:]
    ]
    likely += [event for one in dials[-1:] for event in (LegAnswered(one.leg), LegFailed(one.leg, 486))]
    likely += [LegEnded(one.leg, "BYE") for one in dials[-1:]]
    likely += [TransferAsked(one.leg, "sip:101@x") for one in dials]
    likely += [TimerFired("ivr-transfer")] if dials else []
    likely += [QueueFound(one.name, rng.choice((0, 7))) for one in finds[-1:]]
    likely += [Entered(SETTINGS), OfferMade(rng.randrange(99), "sip:eve@x", 20.0)] if finds else []
    if any(isinstance(one, OpenBox) for one in last):
        opened = BoxOpened("ru", AT, (VoiceMessage("m1", "100", AT, True),))
        likely += [BoxClosed("ru"), BoxRefused(rng.choice(tuple(BoxRefusal))), opened]
        likely += [TimerFired("mailbox"), MessageReady("m1", "/m1")]
    likely += [MessageFailed()] if any(isinstance(one, RecordMessage) for one in last) else []
    return rng.choice(likely)
