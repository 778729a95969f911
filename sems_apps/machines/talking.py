"""Caller and partner talk: hold, transfer, supervision, and what follows. Handlers of the table. Pure."""

from __future__ import annotations

from sems_apps.actions import (
    CALLER,
    SUPERVISOR_PREFIX,
    TARGET,
    Bridge,
    CancelDial,
    Dial,
    EndedBy,
    Hangup,
    LegKind,
    Notify,
    Play,
    Record,
    ReportHold,
    ReportTalkEnd,
    ReportTransfer,
    StartTimer,
    StopPlaying,
    StopTimer,
    Supervise,
    SupervisionMode,
    Unbridge,
    Unsupervise,
)
from sems_apps.events import (
    HangupAsked,
    LegAnswered,
    LegEnded,
    LegFailed,
    LegHeld,
    LegRinging,
    OfferClaimed,
    RecordAsked,
    SuperviseAsked,
    SupervisionEnded,
    TimerFired,
    TransferAsked,
    TransferCommanded,
)
from sems_apps.machines import offers
from sems_apps.machines.ending import ask_survey, caller_gone, end, end_leg, leg_gone
from sems_apps.machines.entering import wait_with_music
from sems_apps.machines.queue_call import LegState, Phase, QueueCall
from sems_apps.settings import AfterAgent
from sems_apps.sounds import music

TRANSFER_SECONDS = 40.0
TRANSFER = "transfer"


# ---- the partner leaves


def leg_ended(call: QueueCall, event: LegEnded) -> None:
    """Somebody hung up."""
    if event.leg == CALLER:
        caller_gone(call, event)
        return
    call.legs[event.leg] = LegState.ENDED
    if event.leg in call.supervisors:
        call.supervisors.pop(event.leg)
        call.do(Unsupervise(event.leg))
    elif event.leg == call.partner:
        partner_left(call, event.cause)


def partner_left(call: QueueCall, cause: str) -> None:
    """The agent hung up: the end, the survey, or the queue again."""
    _part(call)
    if not call.offer or not call.can_unbridge:
        end(call, cause or "partner hung up", EndedBy.AGENT)
        return
    again = call.settings.after_agent is AfterAgent.QUEUE
    call.do(ReportTalkEnd(call.offer, EndedBy.AGENT, cause or "agent hung up", again))
    call.partner, call.offer = "", 0
    if call.settings.after_agent is AfterAgent.SURVEY:
        ask_survey(call)
    elif call.settings.after_agent is AfterAgent.QUEUE:
        _wait_again(call)
    else:
        end(call, "agent hung up", EndedBy.AGENT)


def hang_up(call: QueueCall, event: HangupAsked) -> None:
    """A supervisor ends the call, or the agent's part in it."""
    if not event.agent_only:
        end(call, event.reason)
    elif call.can_unbridge:
        leg = call.partner
        partner_left(call, event.reason)
        if call.is_up(leg):
            call.do(Hangup(leg, event.reason))
            call.legs[leg] = LegState.ENDED


def claim_lost(call: QueueCall, event: OfferClaimed) -> None:
    """The ACD had taken the caller from this agent before he answered: undo the join."""
    if event.won or event.offer != call.offer:
        return
    leg = call.partner
    _part(call)
    call.do(Hangup(leg, "the offer had been taken back"))
    call.legs[leg] = LegState.ENDED
    call.partner, call.offer = "", 0
    call.queued = True
    wait_with_music(call)


def _part(call: QueueCall) -> None:
    """Take caller and partner apart; supervisors leave."""
    for leg in list(call.supervisors):
        call.supervisors.pop(leg)
        end_leg(call, leg, call.legs.get(leg, LegState.ENDED), "the conversation is over")
    if call.can_unbridge:
        call.do(Unbridge(CALLER, call.partner))


def _wait_again(call: QueueCall) -> None:
    call.queued = True
    wait_with_music(call)


# ---- hold and recording


def held(call: QueueCall, event: LegHeld) -> None:
    """A side holds the other: music for who is held."""
    other = {CALLER: call.partner, call.partner: CALLER}.get(event.leg)
    if other is None:
        return
    call.do(ReportHold(event.leg, event.on))
    if event.on:
        call.do(Play(other, (music(call.settings.music),), call.settings.language, loop=True))
    else:
        call.do(StopPlaying(other))


def record(call: QueueCall, event: RecordAsked) -> None:
    """Recording on demand."""
    call.recording = event.on
    call.do(Record(event.on))


# ---- transfer


def transfer_asked(call: QueueCall, event: TransferAsked) -> None:
    """The agent sent REFER: 202 has been sent, now call the target; his leg stays until that answered."""
    if event.leg != call.partner or not call.can_unbridge:
        call.do(Notify(event.leg, 603, "Decline"))
        return
    call.referrer, call.transfer_kind = event.leg, "attended" if event.replaces else "blind"
    call.do(Notify(event.leg, 100, "Trying"))
    _transfer(call, event.target, event.replaces)


def transfer_declined(call: QueueCall, event: TransferAsked) -> None:
    """REFER at a moment when nothing can be transferred."""
    call.do(Notify(event.leg, 603, "Decline"))


def transfer_commanded(call: QueueCall, event: TransferCommanded) -> None:
    """A supervisor or the desktop transfers the caller."""
    if not call.can_unbridge:
        return
    call.referrer, call.transfer_kind = "", "blind"
    _transfer(call, event.target, "")


def _transfer(call: QueueCall, target: str, replaces: str) -> None:
    for leg in list(call.supervisors):
        call.supervisors.pop(leg)
        end_leg(call, leg, call.legs.get(leg, LegState.ENDED), "transfer")
    call.phase, call.transfer_target = Phase.TRANSFERRING, target
    leg = _target_leg(call)
    call.legs[leg] = LegState.DIALLING
    call.do(
        Unbridge(CALLER, call.partner),
        Play(CALLER, (music(call.settings.music),), call.settings.language, loop=True),
        Dial(leg, LegKind.CALLEE, target, call.number, replaces=replaces),
        StartTimer(TRANSFER, TRANSFER_SECONDS),
    )


def _target_leg(call: QueueCall) -> str:
    """Return a name that no leg of this call has had: who was a target may transfer on."""
    number = 1
    while f"{TARGET}:{number}" in call.legs:
        number += 1
    return f"{TARGET}:{number}"


def target_ringing(call: QueueCall, event: LegRinging) -> None:
    """Tell the agent."""
    if call.referrer and call.is_live(call.referrer) and event.leg.startswith(TARGET):
        call.do(Notify(call.referrer, 180, "Ringing"))


def target_answered(call: QueueCall, event: LegAnswered) -> None:
    """The target answered: it is the caller's partner now, and the agent is done."""
    if not event.leg.startswith(TARGET) or call.legs.get(event.leg) is not LegState.DIALLING:
        offers.leg_too_late(call, event)
        return
    call.legs[event.leg] = LegState.UP
    call.do(StopTimer(TRANSFER))
    agent, offer = call.partner, call.offer
    if call.referrer and call.is_up(call.referrer):
        call.do(Notify(call.referrer, 200, "OK"))
    if call.is_up(agent):
        call.do(Hangup(agent, "transferred"))
        call.legs[agent] = LegState.ENDED
    if offer:
        call.do(
            ReportTransfer(offer, call.transfer_kind, call.transfer_target, True),
            ReportTalkEnd(offer, EndedBy.AGENT, "transferred"),
        )
    call.partner, call.offer, call.referrer, call.phase = event.leg, 0, "", Phase.TALKING
    call.do(Bridge(CALLER, event.leg))


def target_failed(call: QueueCall, event: LegFailed) -> None:
    """The target does not answer: back to the agent, or to the queue if he is gone."""
    call.legs[event.leg] = LegState.ENDED
    if event.leg.startswith(TARGET):
        _not_transferred(call, event.code)


def transfer_late(call: QueueCall, event: TimerFired) -> None:
    """The target rang too long."""
    if event.name != TRANSFER:
        return
    for leg, state in call.legs.items():
        if leg.startswith(TARGET) and state is LegState.DIALLING:
            call.do(CancelDial(leg, "no answer"))
            call.legs[leg] = LegState.ENDED
    _not_transferred(call, 408)


def _not_transferred(call: QueueCall, code: int) -> None:
    call.do(StopTimer(TRANSFER))
    if call.referrer and call.is_up(call.referrer):
        call.do(Notify(call.referrer, code or 503, "Not transferred"))
    call.referrer = ""
    if call.offer:
        call.do(ReportTransfer(call.offer, call.transfer_kind, call.transfer_target, False))
    if call.is_up(call.partner):
        call.phase = Phase.TALKING
        call.do(Bridge(CALLER, call.partner))
    elif call.offer:
        call.do(ReportTalkEnd(call.offer, EndedBy.AGENT, "hung up during transfer", again=True))
        call.partner, call.offer = "", 0
        _wait_again(call)
    else:
        end(call, "transfer failed")


def leg_ended_in_transfer(call: QueueCall, event: LegEnded) -> None:
    """The agent may leave while the target rings: the transfer goes on."""
    leg_gone(call, event)


# ---- supervision


def supervise(call: QueueCall, event: SuperviseAsked) -> None:
    """Call the supervisor's phone, or change how he takes part."""
    if not call.can_unbridge or not event.leg.startswith(SUPERVISOR_PREFIX):
        return
    if event.leg in call.supervisors:
        call.supervisors[event.leg] = event.mode
        if call.is_up(event.leg):
            call.do(Supervise(event.leg, event.mode, CALLER, call.partner))
        return
    if event.leg in call.legs:
        return
    call.supervisors[event.leg] = event.mode
    call.legs[event.leg] = LegState.DIALLING
    call.do(Dial(event.leg, LegKind.SUPERVISOR, event.target, call.number))


def supervision_ended(call: QueueCall, event: SupervisionEnded) -> None:
    """Take a supervisor out."""
    if call.supervisors.pop(event.leg, None) is not None:
        if call.is_up(event.leg):
            call.do(Unsupervise(event.leg))
        end_leg(call, event.leg, call.legs[event.leg], "supervision ended")


def leg_answered(call: QueueCall, event: LegAnswered) -> None:
    """A supervisor answered; anybody else is late."""
    mode = call.supervisors.get(event.leg)
    if mode is None or call.legs.get(event.leg) is not LegState.DIALLING:
        offers.leg_too_late(call, event)
        return
    call.legs[event.leg] = LegState.UP
    call.do(Supervise(event.leg, SupervisionMode(mode), CALLER, call.partner))


def leg_failed(call: QueueCall, event: LegFailed) -> None:
    """A supervisor does not answer."""
    call.legs[event.leg] = LegState.ENDED
    call.supervisors.pop(event.leg, None)
