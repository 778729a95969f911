"""How a queue call ends: last words, the survey, the hang-up of everything. Handlers of the table. Pure."""

from __future__ import annotations

from callcore.call_queue import OfferOutcome
from sems_apps.actions import (
    CALLER,
    SUPERVISOR_PREFIX,
    CancelDial,
    EndedBy,
    Finish,
    Hangup,
    LeaveQueue,
    Play,
    Reject,
    ReportSurvey,
    ReportTalkEnd,
    StartTimer,
    StopTimer,
)
from sems_apps.events import (
    Dtmf,
    HangupAsked,
    HostStopping,
    LegAnswered,
    LegEnded,
    LegFailed,
    MediaLost,
    PromptEnded,
    TimerFired,
)
from sems_apps.machines import offers
from sems_apps.machines.queue_call import LegState, Phase, QueueCall
from sems_apps.sounds import prompt

LAST_WORDS = "last_words"
SURVEY = "survey"
#: Silence after the question; then the call ends without a mark.
SURVEY_SECONDS = 10.0
SURVEY_ROUNDS = 2


def end(call: QueueCall, cause: str, by: EndedBy = EndedBy.SYSTEM) -> None:
    """End every leg and the session."""
    offers.drop_all(call, OfferOutcome.CALLER_GONE)
    if call.offer and call.phase in (Phase.TALKING, Phase.TRANSFERRING):
        call.do(ReportTalkEnd(call.offer, by, cause))
    if call.queued:
        call.queued = False
        call.do(LeaveQueue(cause))
    for leg, state in call.legs.items():
        end_leg(call, leg, state, cause)
    call.partner, call.offer = "", 0
    call.phase = Phase.ENDED
    call.do(Finish(cause))


def end_leg(call: QueueCall, leg: str, state: LegState, cause: str) -> None:
    """End one leg as its state demands."""
    if state is LegState.INCOMING:
        call.do(Reject(leg, 480, cause))
    elif state is LegState.DIALLING:
        call.do(CancelDial(leg, cause))
    elif state is LegState.UP:
        call.do(Hangup(leg, cause))
    call.legs[leg] = LegState.ENDED


def caller_gone(call: QueueCall, event: LegEnded) -> None:
    """The caller hung up, at whatever moment."""
    call.legs[CALLER] = LegState.ENDED
    call.hear(call.ear.stop())
    talked = call.phase in (Phase.TALKING, Phase.TRANSFERRING)
    end(call, event.cause if talked and event.cause else "caller hung up", EndedBy.CALLER)


def leg_gone(call: QueueCall, event: LegEnded | LegFailed) -> None:
    """A leg ended that decides nothing in this phase."""
    if event.leg == CALLER and isinstance(event, LegEnded):
        caller_gone(call, event)
        return
    call.legs[event.leg] = LegState.ENDED


def hang_up(call: QueueCall, event: HangupAsked) -> None:
    """A supervisor ends the call."""
    if not event.agent_only:
        end(call, event.reason)


def media_lost(call: QueueCall, event: MediaLost) -> None:
    """There is nothing to hear any more: a waiting caller keeps the place, not the call."""
    end(call, "media lost")


def host_stops(call: QueueCall, event: HostStopping) -> None:
    """The host ends: who waits keeps the place for a redial; conversations were waited for already."""
    end(call, "host stopped")


def say_and_leave(call: QueueCall, name: str) -> None:
    """Say one prompt to the answered caller, then end (or divert, if a target is set)."""
    call.hear(call.ear.stop())
    call.phase = Phase.LEAVING
    call.do(Play(CALLER, (prompt(name),), call.settings.language, token=LAST_WORDS))


# ---- survey


def ask_survey(call: QueueCall) -> None:
    """Ask for a mark."""
    call.phase = Phase.SURVEY
    call.survey_rounds += 1
    call.do(Play(CALLER, (prompt(call.settings.survey_prompt),), call.settings.language, token=SURVEY))


def survey_asked(call: QueueCall, event: PromptEnded) -> None:
    """The question is over: wait for the key."""
    if event.token == SURVEY:
        call.do(StartTimer(SURVEY, SURVEY_SECONDS))


def survey_key(call: QueueCall, event: Dtmf) -> None:
    """A mark from 1 to 5; another key is asked again."""
    if event.leg != CALLER:
        return
    call.do(StopTimer(SURVEY))
    if event.digit in "12345":
        call.do(ReportSurvey(int(event.digit)))
        say_and_leave(call, "survey-thanks")
    elif call.survey_rounds < SURVEY_ROUNDS:
        ask_survey(call)
    else:
        end(call, "survey without mark")


def survey_silent(call: QueueCall, event: TimerFired) -> None:
    """No key came."""
    if event.name == SURVEY:
        end(call, "survey without mark")


# ---- any phase


def leg_answered_late(call: QueueCall, event: LegAnswered) -> None:
    """Nobody waits for this leg any more."""
    if call.legs.get(event.leg) is LegState.DIALLING and event.leg.startswith(SUPERVISOR_PREFIX):
        call.supervisors.pop(event.leg, None)
    offers.leg_too_late(call, event)
