"""The caller arrives, gets an entry, waits, chooses by keys, is sent elsewhere. Handlers of the table. Pure."""

from __future__ import annotations

from callcore.call_queue import OfferOutcome
from sems_apps.actions import (
    CALLER,
    TARGET,
    Answer,
    Bridge,
    CancelDial,
    Dial,
    EnterQueue,
    LeaveQueue,
    LegKind,
    Play,
    Reject,
    Ring,
    StartTimer,
    StopTimer,
)
from sems_apps.events import (
    AcdAway,
    CallbackTaken,
    CallerArrived,
    CallerHandedOver,
    Diverted,
    Dtmf,
    Entered,
    LegAnswered,
    LegFailed,
    Moved,
    OfferMade,
    PlayAsked,
    PositionKnown,
    PromptEnded,
    TimerFired,
)
from sems_apps.machines import offers
from sems_apps.machines.ending import end, say_and_leave
from sems_apps.machines.listening import TIMERS, Listening, Wish
from sems_apps.machines.queue_call import LegState, Phase, QueueCall
from sems_apps.sounds import music

#: The ACD answers in milliseconds; a caller who hears nothing for longer than this hangs up.
ENTERING_SECONDS = 0.5
ENTERING = "entering"
DIVERT_SECONDS = 40.0
DIVERT = "divert"


def arrived(call: QueueCall, event: CallerArrived) -> None:
    """A caller: ask for an entry, and answer him at once where the queue wants that."""
    call.settings, call.number = event.settings, event.number
    call.ear = Listening(event.settings, event.number)
    call.legs[CALLER] = LegState.UP if event.answered else LegState.INCOMING
    call.queued = True
    call.phase = Phase.ENTERING
    call.do(EnterQueue())
    if event.settings.answer_at_once or event.answered:
        wait_with_music(call)
    else:
        call.do(StartTimer(ENTERING, ENTERING_SECONDS))


def handed_over(call: QueueCall, event: CallerHandedOver) -> None:
    """A caller whom a campaign has called, answered already: he waits with music from now on."""
    call.settings, call.number = event.settings, event.number
    call.ear = Listening(event.settings, event.number)
    call.legs[CALLER] = LegState.UP
    call.queued = True
    call.do(EnterQueue(event.settings.queue))
    wait_with_music(call)


def entered(call: QueueCall, event: Entered) -> None:
    """The entry is made: wait with music, or ring while the agent's phone rings."""
    call.settings = event.settings
    call.hear(call.ear.change(event.settings))
    if call.phase is not Phase.ENTERING:
        return
    call.do(StopTimer(ENTERING))
    if event.offered and not event.settings.answer_at_once:
        call.phase = Phase.RINGING
        call.do(Ring(CALLER), StartTimer(offers.NEXT_OFFER, offers.NEXT_OFFER_SECONDS))
    else:
        wait_with_music(call)


def entry_late(call: QueueCall, event: AcdAway | TimerFired) -> None:
    """The ACD does not answer: music begins, the entry is made when it is back."""
    wait_with_music(call)


def wait_with_music(call: QueueCall) -> None:
    """Answer the caller if he is not, and begin to play."""
    if not call.answered:
        call.legs[CALLER] = LegState.UP
        call.do(Answer(CALLER))
    call.phase = Phase.WAITING
    call.do(StopTimer(ENTERING), StopTimer(offers.NEXT_OFFER))
    call.hear(call.ear.begin())


def offered_early(call: QueueCall, event: OfferMade) -> None:
    """An offer, and the caller hears ringing from now on."""
    if call.phase is Phase.ENTERING:
        call.phase = Phase.RINGING
        call.do(StopTimer(ENTERING), Ring(CALLER))
    offers.made(call, event)


def timer_entering(call: QueueCall, event: TimerFired) -> None:
    """A timer before the caller is answered."""
    if event.name in (ENTERING, offers.NEXT_OFFER):
        if not call.offers:
            wait_with_music(call)
    else:
        timer_offers(call, event)


def timer_offers(call: QueueCall, event: TimerFired) -> None:
    """A ring timeout, or nothing of ours."""
    if event.name.startswith(offers.OFFER_TIMER):
        offers.rang_too_long(call, int(event.name.removeprefix(offers.OFFER_TIMER)))


def timer_waiting(call: QueueCall, event: TimerFired) -> None:
    """A ring timeout, an announcement, or the end of typing."""
    if event.name in TIMERS:
        call.hear(call.ear.timer(event.name))
    else:
        timer_offers(call, event)


def prompt_ended(call: QueueCall, event: PromptEnded) -> None:
    """What was said to the waiting caller is over."""
    if event.leg == CALLER:
        call.hear(call.ear.prompt_ended())


def position_known(call: QueueCall, event: PositionKnown) -> None:
    """Say it."""
    call.hear(call.ear.position_known(event.position, event.wait_seconds))


def key(call: QueueCall, event: Dtmf) -> None:
    """A key of the waiting caller."""
    if event.leg != CALLER:
        return
    for wish in call.hear(call.ear.key(event.digit)):
        if wish.wish is Wish.EXIT:
            call.do(LeaveQueue("exit"))
            if call.settings.exit_target:
                call.queued = False
                divert(call, call.settings.exit_target)
            # Else the ACD knows where to: Diverted or Moved follows.


def play_asked(call: QueueCall, event: PlayAsked) -> None:
    """Say what somebody wants the caller to hear."""
    call.hear(call.ear.say(event.prompt))


def callback_taken(call: QueueCall, event: CallbackTaken) -> None:
    """The place is kept by a callback: say so and end; or go on waiting."""
    if not event.accepted:
        call.hear(call.ear.callback_refused())
        return
    call.queued = False
    offers.drop_all(call, OfferOutcome.CANCELLED)
    say_and_leave(call, "callback-accepted")


def moved(call: QueueCall, event: Moved) -> None:
    """The entry is in another queue: its music and announcements count from now on."""
    call.settings = event.settings
    call.hear(call.ear.change(event.settings))


def diverted(call: QueueCall, event: Diverted) -> None:
    """The ACD sends the caller elsewhere, or away."""
    call.queued = False
    offers.drop_all(call, OfferOutcome.CANCELLED)
    call.transfer_target = event.target
    if event.announcement:
        if not call.answered:
            call.legs[CALLER] = LegState.UP
            call.do(Answer(CALLER))
        say_and_leave(call, event.announcement)
    elif event.target:
        divert(call, event.target)
    elif call.answered:
        end(call, event.reason)
    else:
        call.legs[CALLER] = LegState.ENDED
        call.do(Reject(CALLER, 480, event.reason))
        end(call, event.reason)


def divert(call: QueueCall, target: str) -> None:
    """Call where the caller is sent; he hears music, or ringing if he is not answered."""
    offers.drop_all(call, OfferOutcome.CANCELLED)
    call.hear(call.ear.stop())
    call.phase, call.transfer_target = Phase.DIVERTING, target
    call.legs[TARGET] = LegState.DIALLING
    call.do(StopTimer(ENTERING), StopTimer(offers.NEXT_OFFER))
    if call.answered:
        call.do(Play(CALLER, (music(call.settings.music),), call.settings.language, loop=True))
    else:
        call.do(Ring(CALLER))
    call.do(Dial(TARGET, LegKind.CALLEE, target, call.number), StartTimer(DIVERT, DIVERT_SECONDS))


def diversion_answered(call: QueueCall, event: LegAnswered) -> None:
    """Where the caller was sent answered."""
    if event.leg != TARGET:
        offers.leg_too_late(call, event)
        return
    call.legs[TARGET] = LegState.UP
    call.do(StopTimer(DIVERT))
    if not call.answered:
        call.legs[CALLER] = LegState.UP
        call.do(Answer(CALLER))
    call.partner, call.offer, call.phase = TARGET, 0, Phase.TALKING
    call.do(Bridge(CALLER, TARGET))


def diversion_failed(call: QueueCall, event: LegFailed) -> None:
    """Where the caller was sent does not answer."""
    call.legs[event.leg] = LegState.ENDED
    if event.leg == TARGET:
        end(call, f"diversion failed: {event.code}")


def diversion_late(call: QueueCall, event: TimerFired) -> None:
    """It rang too long."""
    if event.name == DIVERT:
        call.legs[TARGET] = LegState.ENDED
        call.do(CancelDial(TARGET, "no answer"))
        end(call, "diversion not answered")
