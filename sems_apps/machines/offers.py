"""Agents are rung for a waiting caller, answer, fail, and are joined. Handlers of the table in hold_queue.py. Pure."""

from __future__ import annotations

from callcore.call_queue import OfferOutcome
from sems_apps.actions import (
    AGENT_PREFIX,
    CALLER,
    Answer,
    Bridge,
    CancelDial,
    Dial,
    Hangup,
    LegKind,
    Play,
    Record,
    ReportJoin,
    ReportOffer,
    StartTimer,
    StopTimer,
)
from sems_apps.events import (
    LegAnswered,
    LegEnded,
    LegFailed,
    LegRinging,
    OfferClaimed,
    OfferMade,
    OfferWithdrawn,
)
from sems_apps.machines.queue_call import LegState, Offer, Phase, QueueCall, no_answer, outcome_of
from sems_apps.sounds import prompt

#: After an agent failed and before the caller is answered with music: the next offer mostly comes at once.
NEXT_OFFER_SECONDS = 0.3
NEXT_OFFER = "next_offer"
OFFER_TIMER = "offer:"
WHISPER = "whisper"


def made(call: QueueCall, event: OfferMade) -> None:
    """Ring the agent; the caller hears what he heard, or ringing."""
    if event.offer in call.offers:  # told twice: by the answer of a statement and by the poll
        return
    leg = f"{AGENT_PREFIX}{event.offer}"
    call.offers[event.offer] = Offer(event.offer, leg, event.ring_all)
    call.legs[leg] = LegState.DIALLING
    call.do(
        StopTimer(NEXT_OFFER),
        Dial(leg, LegKind.AGENT, event.target, call.number, offer=event.offer),
        StartTimer(f"{OFFER_TIMER}{event.offer}", event.ring_seconds),
    )


def made_too_late(call: QueueCall, event: OfferMade) -> None:
    """The caller is served or gone: give the agent back."""
    if event.offer not in call.offers and event.offer != call.offer:
        call.do(ReportOffer(event.offer, OfferOutcome.CALLER_GONE))


def ringing(call: QueueCall, event: LegRinging) -> None:
    """The agent's phone rings."""
    offer = call.offer_of(event.leg)
    if offer is not None:
        offer.rang = True
        call.hear(call.ear.ring(True))


def agent_answered(call: QueueCall, event: LegAnswered) -> None:
    """An agent answered: he gets the caller, at once or after the ACD has decided among several."""
    offer = call.offer_of(event.leg)
    if offer is None:
        leg_too_late(call, event)
        return
    call.legs[event.leg] = LegState.UP
    offer.answered = True
    call.do(StopTimer(f"{OFFER_TIMER}{offer.offer}"), ReportOffer(offer.offer, OfferOutcome.ANSWERED, 200))
    if not offer.ring_all and call.joining is None:
        join(call, offer)


def claimed(call: QueueCall, event: OfferClaimed) -> None:
    """The ACD has decided: the agent gets the caller, or another was faster."""
    offer = call.offers.get(event.offer)
    if offer is None or not offer.answered:
        return
    if event.won:
        if call.joining is None:
            join(call, offer)
        return
    if call.joining is offer:
        call.joining = None
        call.phase = Phase.WAITING if call.answered else Phase.RINGING
    _forget(call, offer)
    call.do(Hangup(offer.leg, "another agent was faster"))
    call.legs[offer.leg] = LegState.ENDED
    _none_left(call)


def join(call: QueueCall, offer: Offer) -> None:
    """Begin to join: all other agents are let go, the whisper is said."""
    call.joining = offer
    for other in [item for item in call.offers.values() if item is not offer]:
        drop(call, other, OfferOutcome.CANCELLED)
    if not call.settings.whisper:
        talk(call)
        return
    call.phase = Phase.JOINING
    call.do(
        StopTimer(NEXT_OFFER),
        Play(offer.leg, (prompt(call.settings.whisper),), call.settings.language, token=WHISPER),
    )


def talk(call: QueueCall) -> None:
    """Caller and agent hear each other from now on."""
    offer = call.joining
    if offer is None:
        return
    call.offers.clear()
    call.joining, call.queued = None, False
    call.partner, call.offer, call.phase = offer.leg, offer.offer, Phase.TALKING
    call.do(StopTimer(NEXT_OFFER))
    call.hear(call.ear.stop())
    if not call.answered:
        call.legs[CALLER] = LegState.UP
        call.do(Answer(CALLER))
    call.do(Bridge(CALLER, offer.leg), ReportJoin(offer.offer))
    if call.settings.record and not call.recording:
        call.recording = True
        call.do(Record(True))


def agent_failed(call: QueueCall, event: LegFailed) -> None:
    """An agent does not answer: the caller keeps his music, the ACD looks for another."""
    offer = call.offer_of(event.leg)
    call.legs[event.leg] = LegState.ENDED
    if offer is None:
        return
    _forget(call, offer)
    call.do(ReportOffer(offer.offer, outcome_of(event.code, rang=offer.rang), event.code))
    _none_left(call)


def agent_left_early(call: QueueCall, event: LegEnded) -> None:
    """An agent who had answered hung up before he was joined: the caller waits on."""
    offer = call.offer_of(event.leg)
    call.legs[event.leg] = LegState.ENDED
    if offer is None:
        return
    if call.joining is offer:
        call.joining = None
        call.phase = Phase.WAITING if call.answered else Phase.RINGING
    _forget(call, offer)
    call.do(ReportOffer(offer.offer, OfferOutcome.REJECTED, 200))
    _none_left(call)


def rang_too_long(call: QueueCall, number: int) -> None:
    """The ring timeout of one agent has passed."""
    offer = call.offers.get(number)
    if offer is None or offer.answered:
        return
    drop(call, offer, no_answer(rang=offer.rang))
    _none_left(call)


def withdrawn(call: QueueCall, event: OfferWithdrawn) -> None:
    """The ACD took an offer back; an agent who is being joined keeps the caller."""
    offer = call.offers.get(event.offer)
    if offer is None or call.joining is offer:
        return
    drop(call, offer, OfferOutcome.CANCELLED)
    _none_left(call)


def drop_all(call: QueueCall, outcome: OfferOutcome) -> None:
    """Let every agent go who is rung or being joined."""
    call.joining = None
    for offer in list(call.offers.values()):
        drop(call, offer, outcome)


def drop(call: QueueCall, offer: Offer, outcome: OfferOutcome) -> None:
    """Let one agent go, and tell the ACD why."""
    reason = outcome.value.replace("_", " ")
    call.do(Hangup(offer.leg, reason) if offer.answered else CancelDial(offer.leg, reason))
    call.legs[offer.leg] = LegState.ENDED
    _forget(call, offer)
    call.do(ReportOffer(offer.offer, outcome))


def leg_too_late(call: QueueCall, event: LegAnswered) -> None:
    """A leg answered that nobody wants any more."""
    if call.legs.get(event.leg) is LegState.ENDED:
        return
    call.legs[event.leg] = LegState.ENDED
    call.do(Hangup(event.leg, "too late"))


def _forget(call: QueueCall, offer: Offer) -> None:
    call.offers.pop(offer.offer, None)
    call.do(StopTimer(f"{OFFER_TIMER}{offer.offer}"))


def _none_left(call: QueueCall) -> None:
    if call.offers:
        return
    call.hear(call.ear.ring(False))
    if not call.answered:
        call.do(StartTimer(NEXT_OFFER, NEXT_OFFER_SECONDS))
