"""A queue call once an agent has the caller: end, survey, hold, recording, transfer, supervision; callbacks."""

from __future__ import annotations

import pytest

from callcore.call_queue import OfferOutcome
from sems_apps.actions import CALLER, LeaveQueue, ReportCallback, ReportSurvey, SupervisionMode
from sems_apps.events import (
    CallbackDue,
    Dtmf,
    LegAnswered,
    LegEnded,
    LegFailed,
    LegHeld,
    LegRinging,
    OfferWithdrawn,
    PromptEnded,
    Recognised,
    RecordAsked,
    SuperviseAsked,
    SupervisionEnded,
    TimerFired,
    TransferAsked,
    TransferCommanded,
)
from sems_apps.machines.hold_queue import HoldQueue
from sems_apps.settings import AfterAgent, QueueSettings
from tests.support.hold_queue_calls import NUMBER, PLAIN, arrive, offer, talk
from tests.support.queue_world import QueueWorld

# ---- after the agent


def test_agent_hangs_up_and_the_call_ends() -> None:
    world = talk()
    world.feed(LegEnded("agent:1"))
    assert (world.finished, world.talk_ended) == ("agent hung up", [1])


def test_survey_takes_a_mark() -> None:
    world = talk(QueueSettings(after_agent=AfterAgent.SURVEY))
    world.feed(LegEnded("agent:1"))
    assert world.hears(CALLER) == "survey"
    world.feed(Dtmf(CALLER, "9"))
    world.feed(Dtmf(CALLER, "4"))
    assert ReportSurvey(4) in world.reports
    assert world.hears(CALLER) == "survey-thanks"
    world.feed(PromptEnded(CALLER, "last_words"))
    assert world.finished


def test_survey_without_an_answer_ends() -> None:
    world = talk(QueueSettings(after_agent=AfterAgent.SURVEY))
    world.feed(LegEnded("agent:1"))
    world.feed(PromptEnded(CALLER, "survey"))
    world.feed(TimerFired("survey"))
    assert world.finished == "survey without mark"


def test_caller_returns_to_the_queue_after_the_agent() -> None:
    world = talk(QueueSettings(music="jazz", after_agent=AfterAgent.QUEUE))
    world.feed(LegEnded("agent:1"))
    assert world.in_queue
    assert world.hears(CALLER) == "jazz"


def test_host_that_cannot_unbridge_ends_with_the_agent() -> None:
    machine = HoldQueue(can_unbridge=False)
    world = arrive(QueueSettings(after_agent=AfterAgent.SURVEY), machine=machine)
    world.feed(offer())
    world.feed(LegAnswered("agent:1"))
    world.feed(LegEnded("agent:1"))
    assert world.finished


# ---- hold, recording, transfer, supervision


def test_held_caller_hears_music() -> None:
    world = talk()
    world.feed(LegHeld("agent:1", True))
    assert world.hears(CALLER) == "jazz"
    world.feed(LegHeld("agent:1", False))
    assert world.hears(CALLER) == ""


def test_recording_by_queue_and_on_demand() -> None:
    assert talk(QueueSettings(record=True)).recording
    world = talk()
    assert not world.recording
    world.feed(RecordAsked(True))
    assert world.recording


@pytest.mark.parametrize("replaces", ["", "abc;to-tag=1;from-tag=2"])
def test_transfer_hands_the_caller_on(replaces: str) -> None:
    world = talk()
    world.feed(TransferAsked("agent:1", "200", replaces))
    assert world.hears(CALLER) == "jazz"
    world.feed(LegRinging("target:1"))
    world.feed(LegAnswered("target:1"))
    assert world.partner() == "target:1"
    assert [code for _, code in world.notified] == [100, 180, 200]
    assert world.live() == [CALLER, "target:1"]
    assert world.talk_ended == [1]


def test_target_may_transfer_on() -> None:
    world = talk()
    world.feed(TransferAsked("agent:1", "200"))
    world.feed(LegAnswered("target:1"))
    world.feed(TransferAsked("target:1", "300"))
    world.feed(LegAnswered("target:2"))
    assert world.partner() == "target:2"


@pytest.mark.parametrize("late", [False, True])
def test_transfer_that_fails_gives_the_caller_back_to_the_agent(late: bool) -> None:
    world = talk()
    world.feed(TransferAsked("agent:1", "200"))
    world.feed(TimerFired("transfer") if late else LegFailed("target:1", 486))
    assert world.partner() == "agent:1"
    assert [code for _, code in world.notified] == [100, 408 if late else 486]


def test_transfer_that_fails_without_agent_leads_back_to_the_queue() -> None:
    world = talk()
    world.feed(TransferAsked("agent:1", "200"))
    world.feed(LegEnded("agent:1"))
    world.feed(LegFailed("target:1", 486))
    assert world.hears(CALLER) == "jazz"
    assert world.in_queue


def test_supervisor_transfers_without_refer() -> None:
    world = talk()
    world.feed(TransferCommanded("200"))
    world.feed(LegAnswered("target:1"))
    assert (world.partner(), world.notified) == ("target:1", [])


def test_refer_of_the_caller_is_declined() -> None:
    world = talk()
    world.feed(TransferAsked(CALLER, "200"))
    assert world.notified == [(CALLER, 603)]
    assert world.partner() == "agent:1"


def test_supervisor_listens_whispers_barges_and_leaves() -> None:
    world = talk()
    world.feed(SuperviseAsked("supervisor:1", "900", SupervisionMode.LISTEN))
    world.feed(LegAnswered("supervisor:1"))
    assert world.supervised == {"supervisor:1": SupervisionMode.LISTEN}
    world.feed(SuperviseAsked("supervisor:1", "900", SupervisionMode.BARGE))
    assert world.supervised == {"supervisor:1": SupervisionMode.BARGE}
    world.feed(LegEnded("supervisor:1"))
    assert world.partner() == "agent:1"


def test_supervision_is_ended() -> None:
    world = talk()
    world.feed(SuperviseAsked("supervisor:1", "900", SupervisionMode.LISTEN))
    world.feed(LegAnswered("supervisor:1"))
    world.feed(SupervisionEnded("supervisor:1"))
    assert (world.supervised, world.live()) == ({}, [CALLER, "agent:1"])


def test_supervisor_leaves_with_the_agent() -> None:
    world = talk()
    world.feed(SuperviseAsked("supervisor:1", "900", SupervisionMode.LISTEN))
    world.feed(LegAnswered("supervisor:1"))
    world.feed(LegEnded("agent:1"))
    assert world.finished


# ---- callback


def test_callback_agent_first() -> None:
    world = QueueWorld()
    world.feed(CallbackDue(NUMBER, PLAIN, offer=5, target="105"))
    world.feed(LegAnswered("agent:5"))
    assert world.hears("agent:5") == "connecting jazz"
    world.feed(LegAnswered(CALLER))
    assert world.partner() == "agent:5"
    assert ReportCallback("reached") in world.reports


@pytest.mark.parametrize("reading", [0.0, 7.0])
def test_callback_that_is_taken_back_calls_nobody_any_more(reading: float) -> None:
    world = QueueWorld()
    world.feed(CallbackDue(NUMBER, PLAIN, offer=5, target="105", reading_seconds=reading))
    world.feed(LegAnswered("agent:5"))
    assert (CALLER in world.legs) == (reading == 0.0)
    world.feed(OfferWithdrawn(5))
    assert world.finished
    assert not [report for report in world.reports if isinstance(report, ReportCallback | LeaveQueue)]


def test_callback_agent_who_fails_leaves_the_entry_alone() -> None:
    world = QueueWorld()
    world.feed(CallbackDue(NUMBER, PLAIN, offer=5, target="105"))
    world.feed(LegFailed("agent:5", 486))
    assert world.finished
    assert not [report for report in world.reports if isinstance(report, LeaveQueue)]


@pytest.mark.parametrize(("code", "outcome"), [(486, "busy"), (480, "no_answer"), (404, "failed")])
def test_callback_that_does_not_reach_the_caller_frees_the_agent(code: int, outcome: str) -> None:
    world = QueueWorld()
    world.feed(CallbackDue(NUMBER, PLAIN, offer=5, target="105"))
    world.feed(LegAnswered("agent:5"))
    world.feed(LegFailed(CALLER, code))
    assert ReportCallback(outcome, code) in world.reports
    assert world.offers[5] == [OfferOutcome.ANSWERED, OfferOutcome.CALLER_GONE]
    assert world.finished


def test_callback_ends_with_what_early_media_says_of_the_person() -> None:
    world = QueueWorld()
    world.feed(CallbackDue(NUMBER, PLAIN, offer=5, target="105"))
    world.feed(LegAnswered("agent:5"))
    world.feed(Recognised(CALLER, "wait"))
    assert CALLER in world.legs, "an advertisement is no end"
    world.feed(Recognised(CALLER, "not_existing"))
    assert ReportCallback("failed", 487, "not_existing") in world.reports
    assert world.offers[5] == [OfferOutcome.ANSWERED, OfferOutcome.CALLER_GONE]
    assert world.finished


def test_callback_caller_first_waits_with_music_for_the_agent() -> None:
    world = QueueWorld()
    world.feed(CallbackDue(NUMBER, PLAIN))
    world.feed(LegAnswered(CALLER))
    assert world.hears(CALLER) == "jazz"
    world.feed(offer())
    world.feed(LegAnswered("agent:1"))
    assert world.partner() == "agent:1"
