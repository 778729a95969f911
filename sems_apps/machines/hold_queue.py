"""hold_queue: a caller of a queue, from the INVITE (or the callback) to the end. The machine as one table. Pure.

    machine = HoldQueue()
    actions = machine.step(CallerArrived("+74951234567", settings), now)

Each phase has a row of handlers; ANY_PHASE has what counts everywhere (a caller who hangs up, a leg that answers too
late). An event that has neither is a mistake of the host: IllegalEvent, and nothing has changed. What the caller
hears while he waits is a machine of its own beside this one (listening.py).
"""

from __future__ import annotations

from collections.abc import Mapping

from sems_apps.actions import Action
from sems_apps.events import (
    AcdAway,
    CallbackDue,
    CallbackTaken,
    CallerArrived,
    CallerHandedOver,
    Diverted,
    Dtmf,
    Entered,
    Event,
    HangupAsked,
    HostStopping,
    LegAnswered,
    LegEnded,
    LegFailed,
    LegHeld,
    LegRinging,
    MediaLost,
    Moved,
    OfferClaimed,
    OfferMade,
    OfferWithdrawn,
    PlayAsked,
    PositionKnown,
    PromptEnded,
    Recognised,
    RecordAsked,
    SuperviseAsked,
    SupervisionEnded,
    TimerFired,
    TransferAsked,
    TransferCommanded,
)
from sems_apps.machines import callback, ending, entering, offers, talking
from sems_apps.machines.queue_call import Phase, QueueCall
from sems_apps.machines.table import Row, find_handler, ignore


def _whispered(call: QueueCall, event: PromptEnded) -> None:
    """The whisper is over: join. The caller's own announcements go on meanwhile."""
    if event.token == offers.WHISPER:
        offers.talk(call)
    else:
        entering.prompt_ended(call, event)


def _last_words_ended(call: QueueCall, event: PromptEnded) -> None:
    """The last prompt is over: divert if there is where to, else end."""
    if event.token != ending.LAST_WORDS:
        return
    if call.transfer_target:
        entering.divert(call, call.transfer_target)
    else:
        ending.end(call, "done")


def _leg_ended_while_waiting(call: QueueCall, event: LegEnded) -> None:
    """The caller hung up, or an agent who had answered."""
    if call.offer_of(event.leg) is not None:
        offers.agent_left_early(call, event)
    else:
        ending.leg_gone(call, event)


def _leg_ended_in_callback(call: QueueCall, event: LegEnded) -> None:
    callback.agent_ended(call, event)


#: While nobody has answered the caller, and while he waits, agents come and go the same way.
_OFFERS: Row = {
    OfferMade: offers.made,
    OfferWithdrawn: offers.withdrawn,
    OfferClaimed: offers.claimed,
    LegRinging: offers.ringing,
    LegAnswered: offers.agent_answered,
    LegFailed: offers.agent_failed,
    LegEnded: _leg_ended_while_waiting,
    Moved: entering.moved,
    Diverted: entering.diverted,
    Entered: entering.entered,
}

_WAITING: Row = {
    **_OFFERS,
    TimerFired: entering.timer_waiting,
    PromptEnded: entering.prompt_ended,
    PositionKnown: entering.position_known,
    Dtmf: entering.key,
    CallbackTaken: entering.callback_taken,
    PlayAsked: entering.play_asked,
}

TABLE: Mapping[Phase, Row] = {
    Phase.NEW: {
        CallerArrived: entering.arrived,
        CallerHandedOver: entering.handed_over,
        CallbackDue: callback.due,
    },
    Phase.ENTERING: {
        **_OFFERS,
        AcdAway: entering.entry_late,
        OfferMade: entering.offered_early,
        TimerFired: entering.timer_entering,
    },
    Phase.RINGING: {**_OFFERS, TimerFired: entering.timer_entering},
    Phase.WAITING: _WAITING,
    Phase.JOINING: {**_WAITING, OfferMade: offers.made_too_late, PromptEnded: _whispered},
    Phase.TALKING: {
        LegEnded: talking.leg_ended,
        LegAnswered: talking.leg_answered,
        LegFailed: talking.leg_failed,
        LegHeld: talking.held,
        TransferAsked: talking.transfer_asked,
        TransferCommanded: talking.transfer_commanded,
        SuperviseAsked: talking.supervise,
        SupervisionEnded: talking.supervision_ended,
        HangupAsked: talking.hang_up,
        RecordAsked: talking.record,
        OfferClaimed: talking.claim_lost,
    },
    Phase.TRANSFERRING: {
        LegRinging: talking.target_ringing,
        LegAnswered: talking.target_answered,
        LegFailed: talking.target_failed,
        LegEnded: talking.leg_ended_in_transfer,
        TimerFired: talking.transfer_late,
        RecordAsked: talking.record,
    },
    Phase.DIVERTING: {
        LegAnswered: entering.diversion_answered,
        LegFailed: entering.diversion_failed,
        TimerFired: entering.diversion_late,
    },
    Phase.CALLING_AGENT: {
        LegRinging: offers.ringing,
        LegAnswered: callback.agent_answered,
        LegFailed: callback.agent_failed,
        TimerFired: callback.agent_timer,
        OfferWithdrawn: callback.withdrawn,
        Diverted: callback.cancelled,
    },
    Phase.CALLING_CALLER: {
        LegAnswered: callback.caller_answered,
        LegFailed: callback.caller_failed,
        LegEnded: _leg_ended_in_callback,
        TimerFired: callback.caller_timer,
        Recognised: callback.recognised,
        OfferClaimed: callback.claim_lost,
        OfferWithdrawn: callback.taken_back,
        Diverted: callback.cancelled,
    },
    Phase.SURVEY: {
        PromptEnded: ending.survey_asked,
        Dtmf: ending.survey_key,
        TimerFired: ending.survey_silent,
    },
    Phase.LEAVING: {PromptEnded: _last_words_ended},
    Phase.ENDED: {
        LegEnded: ignore,
        HangupAsked: ignore,
        MediaLost: ignore,
        HostStopping: ignore,
    },
}

ANY_PHASE: Row = {
    LegEnded: ending.leg_gone,
    LegFailed: ending.leg_gone,
    LegAnswered: ending.leg_answered_late,
    OfferMade: offers.made_too_late,
    HangupAsked: ending.hang_up,
    MediaLost: ending.media_lost,
    HostStopping: ending.host_stops,
    TransferAsked: talking.transfer_declined,
    # What follows may come late from the ACD, from a key or from a timer that was stopped a moment ago.
    **dict.fromkeys(
        (
            AcdAway,
            CallbackTaken,
            Diverted,
            Dtmf,
            Entered,
            LegHeld,
            LegRinging,
            Moved,
            OfferClaimed,
            OfferWithdrawn,
            PositionKnown,
            PromptEnded,
            Recognised,
            RecordAsked,
            SuperviseAsked,
            SupervisionEnded,
            PlayAsked,
            TimerFired,
            TransferCommanded,
        ),
        ignore,
    ),
}


_CONVERSATIONS = frozenset({Phase.TALKING, Phase.TRANSFERRING, Phase.JOINING, Phase.SURVEY, Phase.LEAVING})


class HoldQueue:
    """One queue call."""

    def __init__(self, *, anchors: bool = True, can_unbridge: bool = True) -> None:
        self.call = QueueCall(anchors=anchors, can_unbridge=can_unbridge)

    @property
    def phase(self) -> Phase:
        """Where the call stands."""
        return self.call.phase

    @property
    def is_conversation(self) -> bool:
        """Whether a host that stops should wait for this call; who only waits is served sooner elsewhere."""
        return self.call.phase in _CONVERSATIONS

    def step(self, event: Event, now: float) -> list[Action]:
        """Take an event at this moment (monotonic seconds) and return what to do, in this order.

        Raises IllegalEvent; nothing has changed then.
        """
        handler = find_handler(TABLE, ANY_PHASE, self.call.phase, event)
        self.call.now = now
        self.call.out = []
        handler(self.call, event)
        return self.call.out
