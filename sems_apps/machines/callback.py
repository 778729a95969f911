"""A callback: the entry waited without its caller; now agent and caller are called, in either order. Handlers. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from callcore.attempt import PASSING
from callcore.call_queue import OfferOutcome
from sems_apps.actions import (
    AGENT_PREFIX,
    CALLER,
    Bridge,
    CancelDial,
    Dial,
    Hangup,
    LegKind,
    Play,
    Record,
    ReportCallback,
    ReportJoin,
    ReportOffer,
    StartTimer,
    StopTimer,
)
from sems_apps.events import (
    CallbackDue,
    Diverted,
    LegAnswered,
    LegEnded,
    LegFailed,
    OfferClaimed,
    OfferWithdrawn,
    Recognised,
    TimerFired,
)
from sems_apps.machines import offers
from sems_apps.machines.ending import end
from sems_apps.machines.entering import wait_with_music
from sems_apps.machines.listening import Listening
from sems_apps.machines.queue_call import Gateways, LegState, Offer, Phase, QueueCall, no_answer, outcome_of
from sems_apps.sounds import music, prompt

CALLER_TIMER = "caller"
READING = "reading"
#: What early media said → how the callback went; all else failed.
_HEARD: Mapping[str, str] = {"busy": "busy", "no_answer": "no_answer", "unreachable": "no_answer"}


def due(call: QueueCall, event: CallbackDue) -> None:
    """Call the reserved agent first, or the caller first where the queue wants that."""
    call.settings, call.number, call.caller_id = event.settings, event.number, event.caller_id
    call.reading_seconds, call.caller_seconds = event.reading_seconds, event.caller_seconds
    call.gateways = Gateways(event.gateway, event.avoid, event.probe)
    call.ear = Listening(event.settings, event.number)
    call.queued = True
    if not event.offer:
        _call_caller(call)
        return
    leg = f"{AGENT_PREFIX}{event.offer}"
    call.offers[event.offer] = Offer(event.offer, leg, ring_all=False)
    call.legs[leg] = LegState.DIALLING
    call.phase = Phase.CALLING_AGENT
    call.do(
        Dial(leg, LegKind.AGENT, event.target, event.number, offer=event.offer),
        StartTimer(f"{offers.OFFER_TIMER}{event.offer}", event.ring_seconds),
    )


def agent_answered(call: QueueCall, event: LegAnswered) -> None:
    """The agent is there: tell him what this is, and call the caller."""
    offer = call.offer_of(event.leg)
    if offer is None:
        offers.leg_too_late(call, event)
        return
    call.legs[event.leg] = LegState.UP
    offer.answered = True
    call.joining = offer
    sounds = (prompt("connecting"), music(call.settings.music))
    call.do(
        StopTimer(f"{offers.OFFER_TIMER}{offer.offer}"),
        ReportOffer(offer.offer, OfferOutcome.ANSWERED, 200),
        Play(event.leg, sounds, call.settings.language),
    )
    if call.reading_seconds > 0:
        call.phase = Phase.CALLING_CALLER
        call.do(StartTimer(READING, call.reading_seconds))
    else:
        _call_caller(call)


def agent_failed(call: QueueCall, event: LegFailed) -> None:
    """The agent does not answer: the ACD reserves another one and begins anew."""
    offer = call.offer_of(event.leg)
    call.legs[event.leg] = LegState.ENDED
    if offer is None:
        return
    call.offers.pop(offer.offer)
    call.do(ReportOffer(offer.offer, outcome_of(event.code, rang=offer.rang), event.code))
    _give_back(call, "agent did not answer")


def agent_timer(call: QueueCall, event: TimerFired) -> None:
    """The agent's phone rang too long."""
    if event.name.startswith(offers.OFFER_TIMER):
        for offer in list(call.offers.values()):
            offers.drop(call, offer, no_answer(rang=offer.rang))
        _give_back(call, "agent did not answer")


def claim_lost(call: QueueCall, event: OfferClaimed) -> None:
    """The offer had been taken back before the agent answered."""
    if not event.won and event.offer in call.offers:
        _give_back(call, "the offer had been taken back")


def withdrawn(call: QueueCall, event: OfferWithdrawn) -> None:
    """The ACD took the agent back before he answered."""
    if event.offer in call.offers:
        offers.drop_all(call, OfferOutcome.CANCELLED)
        _give_back(call, "the offer was taken back")


def cancelled(call: QueueCall, event: Diverted) -> None:
    """A supervisor cancelled the callback while the caller was being called."""
    _give_back(call, event.reason)


def taken_back(call: QueueCall, event: OfferWithdrawn) -> None:
    """The ACD took the task back after the agent had answered: nobody is called, or not any longer."""
    if call.joining is not None and event.offer == call.joining.offer:
        offers.drop_all(call, OfferOutcome.CANCELLED)
        _give_back(call, "the task was taken back")


def agent_ended(call: QueueCall, event: LegEnded) -> None:
    """The agent hung up while the caller was being called."""
    call.legs[event.leg] = LegState.ENDED
    if call.joining is not None and event.leg == call.joining.leg:
        call.do(ReportOffer(call.joining.offer, OfferOutcome.REJECTED, 200))
        call.offers.clear()
        call.joining = None
        _give_back(call, "agent hung up")


def _call_caller(call: QueueCall) -> None:
    call.legs[CALLER] = LegState.DIALLING
    call.phase = Phase.CALLING_CALLER
    call.do(
        Dial(
            CALLER,
            LegKind.CALLER,
            call.number,
            call.caller_id,
            gateway=call.gateways.gateway,
            avoid=call.gateways.avoid,
            probe=call.gateways.probe,
        ),
        StartTimer(CALLER_TIMER, call.caller_seconds),
    )


def caller_answered(call: QueueCall, event: LegAnswered) -> None:
    """The caller is there: to the agent, or into the queue with his old place."""
    if event.leg != CALLER:
        offers.leg_too_late(call, event)
        return
    call.legs[CALLER] = LegState.UP
    call.do(StopTimer(CALLER_TIMER), ReportCallback("reached"))
    offer = call.joining
    if offer is None:
        wait_with_music(call)
        return
    call.offers.clear()
    call.joining, call.queued = None, False
    call.partner, call.offer, call.phase = offer.leg, offer.offer, Phase.TALKING
    call.do(Bridge(CALLER, offer.leg), ReportJoin(offer.offer))
    if call.settings.record:
        call.recording = True
        call.do(Record(True))


def caller_failed(call: QueueCall, event: LegFailed) -> None:
    """The caller cannot be reached now: the ACD decides about another try."""
    call.legs[event.leg] = LegState.ENDED
    if event.leg == CALLER:
        outcome = {408: "no_answer", 480: "no_answer", 486: "busy"}.get(event.code, "failed")
        _unreached(call, "failed" if event.ours else outcome, 0 if event.ours else event.code)


def caller_timer(call: QueueCall, event: TimerFired) -> None:
    """The agent has read; or the caller's phone rang too long."""
    if event.name == READING and call.joining is not None:
        _call_caller(call)
    elif event.name == CALLER_TIMER:
        call.do(CancelDial(CALLER, "no answer"))
        call.legs[CALLER] = LegState.ENDED
        _unreached(call, "no_answer", 408)


def recognised(call: QueueCall, event: Recognised) -> None:
    """Early media said that nobody will answer: neither money nor the agent's time is spent on more of it."""
    if event.leg != CALLER or call.legs.get(CALLER) is not LegState.DIALLING or event.verdict in PASSING:
        return
    call.do(CancelDial(CALLER, event.verdict))
    call.legs[CALLER] = LegState.ENDED
    _unreached(call, _HEARD.get(event.verdict, "failed"), 487, event.verdict)


def _unreached(call: QueueCall, outcome: str, code: int, verdict: str = "") -> None:
    """Free the agent without a mark against him."""
    call.do(ReportCallback(outcome, code, verdict))
    if call.joining is not None:
        call.do(Hangup(call.joining.leg, "the caller was not reached"))
        call.legs[call.joining.leg] = LegState.ENDED
        call.do(ReportOffer(call.joining.offer, OfferOutcome.CALLER_GONE))
        call.offers.clear()
        call.joining = None
    _give_back(call, "caller not reached")


def _give_back(call: QueueCall, cause: str) -> None:
    """End this session; the entry stays in the queue, it was never ours to end."""
    call.queued = False
    end(call, cause)
