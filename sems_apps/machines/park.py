"""park: a call that waits at a numbered slot until somebody dials it. Pure.

    machine = Park()
    actions = machine.step(ParkAsked("+74951234567", 1, 0, "101", "*71"), now)

The slot is given by the database; the call is answered when it has one and hears music. Who dials the slot comes as a
leg of this call and is joined; one step takes one event, so nobody takes a call that another one has taken. After
wait_seconds the phone of who parked it rings, then it goes to the overflow, or ends. From the join on it is a
conversation like that of a queue call (talking.py): hold, transfer, another park.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from sems_apps import actions as do
from sems_apps.acd_actions import ACD_ACTIONS
from sems_apps.actions import CALLER, Action, LegKind
from sems_apps.events import (
    Dtmf,
    Event,
    HangupAsked,
    HostStopping,
    LegAnswered,
    LegEnded,
    LegFailed,
    LegHeld,
    LegRinging,
    MediaLost,
    PromptEnded,
    RecordAsked,
    TimerFired,
    TransferAsked,
)
from sems_apps.ivr_actions import TellStory
from sems_apps.machines import hold_queue
from sems_apps.machines.queue_call import LegState, Phase, QueueCall
from sems_apps.machines.table import Row, find_handler, ignore
from sems_apps.park_actions import FreeSlot, ParkAsked, PickupAsked, SlotRefused, SlotTaken, TakeSlot
from sems_apps.settings import QueueSettings
from sems_apps.sounds import music

TIMER = "park"
#: The database answers in milliseconds; a transfer that hangs longer than this is better refused.
TAKING_SECONDS = 4.0
#: The overflow may ring so long.
OVERFLOW_SECONDS = 60.0
#: The phone of who parked the call, and where it overflows to.
BACK, OVERFLOW = "back", "overflow"


class ParkPhase(StrEnum):
    """Where a parked call stands."""

    NEW = "new"
    #: The database is asked for a slot.
    TAKING = "taking"
    #: At its slot, with music.
    WAITING = "waiting"
    #: The phone of who parked it rings.
    RINGING_BACK = "ringing_back"
    #: Where it overflows to rings.
    OVERFLOWING = "overflowing"
    #: Joined: as a queue call's conversation.
    JOINED = "joined"
    ENDED = "ended"


class Park:
    """One parked call."""

    def __init__(self, *, anchors: bool = True, can_unbridge: bool = True) -> None:
        self._call = QueueCall(anchors=anchors, can_unbridge=can_unbridge)
        self._phase = ParkPhase.NEW
        self._asked = ParkAsked("", 0, 0)
        self._taken = SlotTaken(0, 0.0, 0.0)
        #: The leg that is being called; "": none.
        self._called = ""

    @property
    def phase(self) -> StrEnum:
        """Where the call stands."""
        return self._call.phase if self._phase is ParkPhase.JOINED else self._phase

    @property
    def is_conversation(self) -> bool:
        """Whether a host that stops should wait: a parked call is in no queue and would be lost."""
        return self._phase is not ParkPhase.ENDED

    def step(self, event: Event, now: float) -> list[Action]:
        """Take an event at this moment (monotonic seconds) and return what to do, in this order."""
        self._call.now, self._call.out = now, []
        if self._phase is ParkPhase.JOINED and not isinstance(event, _OF_PARK):
            find_handler(hold_queue.TABLE, hold_queue.ANY_PHASE, self._call.phase, event)(self._call, event)
            if self._call.phase is Phase.ENDED:
                self._phase = ParkPhase.ENDED
        else:
            find_handler(_TABLE, _ANY_PHASE, self._phase, event)(self, event)
        return [action for action in self._call.out if not isinstance(action, ACD_ACTIONS)]

    def _do(self, *actions: Action) -> None:
        self._call.do(*actions)

    def _tell(self, kind: str, **data: object) -> None:
        self._do(TellStory(f"park.{kind}", {"slot": self._taken.slot, **data}))

    # ---- a slot

    def arrived(self, event: ParkAsked) -> None:
        """The transferred call is here."""
        self._asked, self._phase = event, ParkPhase.TAKING
        self._call.number = event.number
        self._call.settings = QueueSettings(tenant=event.tenant)
        self._do(TakeSlot(event.slot, event.parker, event.code), do.StartTimer(TIMER, TAKING_SECONDS))

    def slot_taken(self, event: SlotTaken) -> None:
        """It has a slot: answer it, so that who transferred it may go, and let it wait."""
        self._taken, self._phase = event, ParkPhase.WAITING
        self._do(do.Answer(CALLER))
        self._do(
            do.Play(CALLER, (music(self._call.settings.music),), self._call.settings.language, loop=True)
        )
        self._do(do.StartTimer(TIMER, event.wait_seconds))
        self._tell("parked", by=self._asked.parker or None, chosen=self._asked.slot > 0)

    def slot_refused(self, event: SlotRefused) -> None:
        """There is none: who transferred it keeps the call."""
        self._tell("refused", by=self._asked.parker or None, reason=event.reason)
        self._do(do.StopTimer(TIMER), do.Reject(CALLER, event.code, event.reason))
        self._finish(event.reason)

    def taking_late(self, event: TimerFired) -> None:
        """The database does not say."""
        self.slot_refused(SlotRefused(480, "Calls Cannot Be Parked Now"))

    # ---- picked up

    def picked_up(self, event: PickupAsked) -> None:
        """Somebody dialled the slot: the call is his."""
        self._give_up_called("picked up")
        self._tell("picked_up", by=event.by, by_call=event.call)
        self._do(do.Answer(event.leg))
        self._join(event.leg)

    def picked_up_late(self, event: PickupAsked) -> None:
        """Somebody else was first, or the call is gone."""
        self._do(do.Reject(event.leg, 404, "Nobody Is Parked There"))

    def _join(self, leg: str) -> None:
        call = self._call
        call.legs = {CALLER: LegState.UP, leg: LegState.UP}
        call.partner, call.phase = leg, Phase.TALKING
        self._phase, self._called = ParkPhase.JOINED, ""
        self._do(FreeSlot(), do.StopTimer(TIMER), do.Bridge(CALLER, leg))

    # ---- nobody came

    def waited(self, event: TimerFired) -> None:
        """The time is up: ring who parked it."""
        if not self._asked.parker:
            self._overflow()
            return
        self._phase, self._called = ParkPhase.RINGING_BACK, BACK
        self._tell("ring_back", to=self._asked.parker)
        self._dial(f"account:{self._asked.parker}", self._taken.ring_seconds)

    def _dial(self, target: str, seconds: float) -> None:
        self._do(do.Dial(self._called, LegKind.CALLEE, target, self._call.number))
        self._do(do.StartTimer(TIMER, seconds))

    def answered(self, event: LegAnswered) -> None:
        """Who parked the call took it back, or the overflow took it."""
        if event.leg != self._called:
            self._do(do.Hangup(event.leg, "too late"))
            return
        self._tell("taken_back" if event.leg == BACK else "overflowed")
        self._join(event.leg)

    def back_failed(self, event: LegFailed) -> None:
        """Who parked the call does not take it."""
        if event.leg == self._called:
            self._called = ""
            self._overflow()

    def back_late(self, event: TimerFired) -> None:
        """He lets it ring."""
        self._give_up_called("no answer")
        self._overflow()

    def _overflow(self) -> None:
        if not self._taken.overflow:
            self._end("nobody took the parked call")
            return
        self._phase, self._called = ParkPhase.OVERFLOWING, OVERFLOW
        self._tell("overflow", to=self._taken.overflow)
        target = self._taken.overflow.removeprefix("number:")
        self._dial(target, OVERFLOW_SECONDS)

    def overflow_failed(self, event: LegFailed) -> None:
        """Nor does the overflow take it."""
        if event.leg == self._called:
            self._called = ""
            self._end("nobody took the parked call")

    def overflow_late(self, event: TimerFired) -> None:
        """The overflow lets it ring."""
        self._end("nobody took the parked call")

    def _give_up_called(self, reason: str) -> None:
        if self._called:
            self._do(do.CancelDial(self._called, reason))
            self._called = ""

    # ---- the end

    def left(self, event: LegEnded) -> None:
        """The caller hung up; another leg that ended decides nothing here."""
        if event.leg != CALLER:
            return
        self._give_up_called("the caller is gone")
        if self._taken.slot:
            self._tell("abandoned")
        self._finish("caller hung up")

    def stopped(self, event: HangupAsked | MediaLost | HostStopping) -> None:
        """Somebody ends the call, or the host cannot go on with it."""
        self._end(event.reason if isinstance(event, HangupAsked) else _CAUSES[type(event)])

    def declined(self, event: TransferAsked) -> None:
        """Who waits transfers nobody."""
        self._do(do.Notify(event.leg, 603, "Decline"))

    def _end(self, cause: str) -> None:
        self._give_up_called(cause)
        if self._taken.slot:
            self._tell("ended", reason=cause)
            self._do(do.Hangup(CALLER, cause))
        else:
            self._do(do.Reject(CALLER, 480, cause))
        self._finish(cause)

    def _finish(self, cause: str) -> None:
        self._phase = ParkPhase.ENDED
        self._do(FreeSlot(), do.Finish(cause))


_OF_PARK = (ParkAsked, PickupAsked, SlotRefused, SlotTaken)
_CAUSES: Mapping[type[Event], str] = {MediaLost: "media lost", HostStopping: "host stopped"}

_TABLE: Mapping[ParkPhase, Row] = {
    ParkPhase.NEW: {ParkAsked: Park.arrived},
    ParkPhase.TAKING: {
        SlotTaken: Park.slot_taken,
        SlotRefused: Park.slot_refused,
        TimerFired: Park.taking_late,
    },
    ParkPhase.WAITING: {PickupAsked: Park.picked_up, TimerFired: Park.waited},
    ParkPhase.RINGING_BACK: {
        PickupAsked: Park.picked_up,
        LegAnswered: Park.answered,
        LegFailed: Park.back_failed,
        TimerFired: Park.back_late,
    },
    ParkPhase.OVERFLOWING: {
        PickupAsked: Park.picked_up,
        LegAnswered: Park.answered,
        LegFailed: Park.overflow_failed,
        TimerFired: Park.overflow_late,
    },
    ParkPhase.JOINED: {},
    ParkPhase.ENDED: dict.fromkeys((LegEnded, HangupAsked, MediaLost, HostStopping), ignore),
}

_ANY_PHASE: Row = {
    PickupAsked: Park.picked_up_late,
    LegEnded: Park.left,
    LegAnswered: Park.answered,
    HangupAsked: Park.stopped,
    MediaLost: Park.stopped,
    HostStopping: Park.stopped,
    TransferAsked: Park.declined,
    **dict.fromkeys(
        (
            Dtmf,
            LegFailed,
            LegHeld,
            LegRinging,
            PromptEnded,
            RecordAsked,
            SlotRefused,
            SlotTaken,
            TimerFired,
        ),
        ignore,
    ),
}
