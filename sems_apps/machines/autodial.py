"""autodial: one dial of a campaign, from the order to the report of its end. The machine as one table. Pure.

    machine = AutoDial()
    actions = machine.step(DialDue(order), now)

Broadcast: the person hears a message and chooses by keys, even while it is being said. Progressive and predictive: the
person goes to the queue at once, and is let go with a prompt when no agent is there in time. An agent who is quicker
than the ears is joined when they have heard a person, or have had their time; not with what they know for a machine.
Who is in a queue is a caller like any other: hold_queue runs inside this machine from then on, and its end is the end
of the dial. The end is reported exactly once, whatever happens, with facts; what they mean is decided by
callcore/attempt.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from callcore.attempt import MACHINES, PASSING
from sems_apps.actions import (
    CALLER,
    Action,
    Bridge,
    CancelDial,
    Dial,
    DialStage,
    Finish,
    Hangup,
    LeaveQueue,
    LegKind,
    Notify,
    Play,
    Record,
    ReportDial,
    StartTimer,
    StopPlaying,
    StopTimer,
)
from sems_apps.dial_order import Choice, DialOrder, KeyAction, OnAnswer
from sems_apps.events import (
    CallerHandedOver,
    DialDue,
    Diverted,
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
    Recognised,
    TimerFired,
    TransferAsked,
)
from sems_apps.machines.hold_queue import HoldQueue
from sems_apps.machines.queue_call import Phase as QueuePhase
from sems_apps.machines.table import Row, find_handler, ignore
from sems_apps.settings import QueueSettings
from sems_apps.sounds import prompt

RING = "ring"
KEY = "key"
AGENT = "agent_in_time"
LONGEST = "longest"
DECIDE = "decide"
MESSAGE = "message"
LAST_WORDS = "last_words"
#: Timers of this machine that run while the call is in the queue.
_OWN_TIMERS = (AGENT, LONGEST, DECIDE)
#: The verdict that a person answered.
HUMAN = "human"


class DialPhase(StrEnum):
    """Where a dial stands."""

    #: Nothing has happened yet.
    NEW = "new"
    #: The person's phone is being called.
    CALLING = "calling"
    #: The message is being said.
    SAYING = "saying"
    #: The message is over; a key is waited for.
    CHOOSING = "choosing"
    #: In a queue, or with its agent: hold_queue has the call.
    QUEUED = "queued"
    #: A last prompt, then the end.
    LEAVING = "leaving"
    #: Over.
    ENDED = "ended"


class AutoDial:
    """One dial."""

    def __init__(self, *, can_unbridge: bool = True, can_queue: bool = True) -> None:
        """can_queue: the host can join the person to an agent; else who wants one is called back."""
        self.phase = DialPhase.NEW
        self.order = DialOrder(tenant=0, attempt=0, campaign=0, call="", number="")
        #: hold_queue, once the person is in a queue.
        self.queue: HoldQueue | None = None
        self.rang = self.up = False
        self.verdict = ""
        self.repeats = 0
        self.key = self.choice = ""
        self.abandoned = self.talked = False
        #: Person or machine is not known yet; agents who answered meanwhile.
        self.deciding = False
        self.withheld: list[LegAnswered] = []
        #: Milliseconds of the message that were said, and since when (monotonic seconds) it is being said now.
        self.heard_ms = 0
        self.heard_all = False
        self.said_since: float | None = None
        self.now = 0.0
        self.out: list[Action] = []
        self._can_unbridge, self.can_queue = can_unbridge, can_queue

    @property
    def is_conversation(self) -> bool:
        """Whether a host that stops should wait for this dial."""
        if self.queue is not None:
            return self.queue.is_conversation
        return self.phase in (DialPhase.SAYING, DialPhase.CHOOSING, DialPhase.LEAVING)

    def step(self, event: Event, now: float) -> list[Action]:
        """Take an event at this moment (monotonic seconds) and return what to do, in this order.

        Raises IllegalEvent; nothing has changed then.
        """
        if self.queue is not None and not (isinstance(event, TimerFired) and event.name in _OWN_TIMERS):
            self.now, self.out = now, []
            if isinstance(event, Recognised):
                _recognised_in_queue(self, self.queue, event)
            elif self.deciding:
                _while_deciding(self, self.queue, event)
            else:
                _in_queue(self, self.queue, event)
            return self.out
        handler = find_handler(TABLE, ANY_PHASE, self.phase, event)
        self.now, self.out = now, []
        handler(self, event)
        return self.out

    def do(self, *actions: Action) -> None:
        """Add to what the host is told."""
        self.out.extend(actions)


# ---- calling


def _due(call: AutoDial, event: DialDue) -> None:
    order = call.order = event.order
    call.phase = DialPhase.CALLING
    call.do(
        Dial(
            CALLER,
            LegKind.CALLEE,
            order.number,
            order.caller_id,
            gateway=order.gateway,
            avoid=order.avoid,
            probe=order.probe,
        ),
        StartTimer(RING, order.ring_seconds),
        StartTimer(LONGEST, order.ring_seconds + order.longest_seconds),
    )


def _ringing(call: AutoDial, event: LegRinging) -> None:
    call.rang = True


def _failed(call: AutoDial, event: LegFailed) -> None:
    _report_end(call, code=event.code, cause=event.cause, ours=event.ours)
    _finish(call, f"not answered: {event.code}")


def _rang_too_long(call: AutoDial, event: TimerFired) -> None:
    if event.name in (RING, LONGEST):
        call.do(CancelDial(CALLER, "no answer"))
        _report_end(call, code=408)
        _finish(call, "no answer")


def _recognised_early(call: AutoDial, event: Recognised) -> None:
    """Early media said that nobody will answer: give up before it costs anything."""
    call.verdict = event.verdict
    if event.verdict not in PASSING:
        call.do(CancelDial(CALLER, event.verdict))
        _report_end(call, code=0)
        _finish(call, event.verdict)


def _answered(call: AutoDial, event: LegAnswered) -> None:
    call.up = True
    call.do(StopTimer(RING), ReportDial(attempt=call.order.attempt, stage=DialStage.ANSWERED, rang=call.rang))
    if call.order.record:
        call.do(Record(True))
    if call.order.on_answer is OnAnswer.QUEUE:
        _to_queue(call, call.order.queue, in_time=True)
    else:
        _say(call)


# ---- the message and its keys


def _say(call: AutoDial) -> None:
    call.phase, call.said_since = DialPhase.SAYING, call.now
    call.do(StopTimer(KEY), Play(CALLER, (prompt(call.order.audio),), call.order.language, token=MESSAGE))


def _stop_counting(call: AutoDial) -> None:
    """Add what was said since the message began; a repetition does not count twice."""
    if call.said_since is not None:
        call.heard_ms = max(call.heard_ms, round((call.now - call.said_since) * 1000))
        call.said_since = None


def _said(call: AutoDial, event: PromptEnded) -> None:
    if event.token != MESSAGE:
        return
    _stop_counting(call)
    call.heard_all = True
    if call.order.keys and call.order.key_seconds > 0:
        call.phase = DialPhase.CHOOSING
        call.do(StartTimer(KEY, call.order.key_seconds))
    else:
        _hang_up(call, "said")


def _key(call: AutoDial, event: Dtmf) -> None:
    choice = call.order.keys.get(event.digit)
    if event.leg != CALLER or choice is None:
        return
    _stop_counting(call)
    call.key, call.choice = event.digit, choice.action.value
    _CHOICES[choice.action](call, choice)


def _repeat(call: AutoDial, choice: Choice) -> None:
    call.repeats += 1
    if call.repeats >= call.order.most_repeats:
        _hang_up(call, "repeated often enough")
    else:
        _say(call)


def _opt_out(call: AutoDial, choice: Choice) -> None:
    _tell_choice(call, 0)
    _last_words(call, choice.prompt or call.order.opted_out_prompt)


def _callback(call: AutoDial, choice: Choice) -> None:
    _tell_choice(call, choice.queue or call.order.queue)
    _last_words(call, choice.prompt or call.order.callback_prompt)


def _choose_queue(call: AutoDial, choice: Choice) -> None:
    if not call.can_queue:
        call.choice = KeyAction.CALLBACK.value
        _callback(call, choice)
        return
    _to_queue(call, choice.queue or call.order.queue, in_time=False)


_CHOICES = {
    KeyAction.REPEAT: _repeat,
    KeyAction.OPT_OUT: _opt_out,
    KeyAction.CALLBACK: _callback,
    KeyAction.QUEUE: _choose_queue,
}


def _tell_choice(call: AutoDial, queue: int) -> None:
    """Tell now what must take effect even if the person hangs up, or this host dies, a moment later."""
    call.do(
        ReportDial(
            attempt=call.order.attempt,
            stage=DialStage.CHOSEN,
            key=call.key,
            choice=call.choice,
            queue=queue,
        )
    )


def _no_key(call: AutoDial, event: TimerFired) -> None:
    if event.name in (KEY, LONGEST):
        _hang_up(call, "no key" if event.name == KEY else "too long")


def _too_long(call: AutoDial, event: TimerFired) -> None:
    if event.name == LONGEST:
        _hang_up(call, "too long")


def _recognised(call: AutoDial, event: Recognised) -> None:
    """A machine answered: it is let go, or hears what is said to machines (or the message, which goes on)."""
    if not call.order.detect:
        return
    call.verdict = event.verdict
    if event.verdict not in MACHINES:
        return
    if not call.order.machine_hears:
        _hang_up(call, event.verdict)
    elif call.order.machine_prompt:
        _last_words(call, call.order.machine_prompt)


def _last_words(call: AutoDial, name: str) -> None:
    call.phase = DialPhase.LEAVING
    call.do(StopTimer(KEY), Play(CALLER, (prompt(name),), call.order.language, token=LAST_WORDS))


def _last_words_said(call: AutoDial, event: PromptEnded) -> None:
    if event.token == LAST_WORDS:
        _hang_up(call, "done")


# ---- the queue


def _to_queue(call: AutoDial, queue: int, *, in_time: bool) -> None:
    """Hand the person to hold_queue; in_time: an agent must be there soon."""
    order = call.order
    call.phase = DialPhase.QUEUED
    call.queue = HoldQueue(can_unbridge=call._can_unbridge)
    call.do(StopTimer(KEY), StopTimer(LONGEST))
    if not in_time:
        call.do(StopPlaying(CALLER))
    settings = QueueSettings(tenant=order.tenant, queue=queue, language=order.language)
    if in_time and order.abandon_seconds > 0:
        call.do(StartTimer(AGENT, order.abandon_seconds))
    # What is recorded is not listened to, so there is nothing to wait for.
    if in_time and order.detect and order.decide_seconds > 0 and not (order.machine_hears or order.record):
        call.deciding = True
        call.do(StartTimer(DECIDE, order.decide_seconds))
    _in_queue(call, call.queue, CallerHandedOver(order.number, settings))


def _in_queue(call: AutoDial, queue: HoldQueue, event: Event) -> None:
    """Let hold_queue take an event; before its end comes ours."""
    for action in queue.step(event, call.now):
        if isinstance(action, Bridge):
            call.talked = True
        elif isinstance(action, Finish):
            _report_end(call, ours=action.cause in ("media lost", "host stopped"))
            call.phase = DialPhase.ENDED
        call.do(action)


def _recognised_in_queue(call: AutoDial, queue: HoldQueue, event: Recognised) -> None:
    """A machine takes no agent's time; one who talks with it already hangs up himself."""
    if call.talked or not call.order.detect:
        return
    call.verdict = event.verdict
    if event.verdict in MACHINES and not call.order.machine_hears:
        call.deciding = False
        call.withheld.clear()
        _in_queue(call, queue, HangupAsked(event.verdict))
    elif event.verdict == HUMAN:
        _decided(call, queue)


def _while_deciding(call: AutoDial, queue: HoldQueue, event: Event) -> None:
    """An agent's answer waits until it is known who answered; who hangs up meanwhile has not taken the call."""
    if isinstance(event, LegAnswered):
        call.withheld.append(event)
        return
    if isinstance(event, LegEnded) and LegAnswered(event.leg) in call.withheld:
        call.withheld.remove(LegAnswered(event.leg))
        event = LegFailed(event.leg, 603)
    _in_queue(call, queue, event)


def _decided(call: AutoDial, queue: HoldQueue) -> None:
    """It is a person, or may be one: who has answered is joined."""
    if not call.deciding:
        return
    call.deciding = False
    call.do(StopTimer(DECIDE))
    for event in call.withheld:
        _in_queue(call, queue, event)
    call.withheld.clear()


def _late_in_queue(call: AutoDial, event: TimerFired) -> None:
    if event.name == DECIDE and call.queue is not None:
        _decided(call, call.queue)
    elif event.name == AGENT:
        _no_agent_in_time(call)


def _no_agent_in_time(call: AutoDial) -> None:
    """Nobody was found for the person by now: an apology, and the end. Who is being rung already may still answer."""
    queue = call.queue
    if queue is None or queue.call.offers:
        return
    if queue.phase not in (QueuePhase.ENTERING, QueuePhase.WAITING):
        return
    call.abandoned = True
    call.do(LeaveQueue("abandoned"))
    _in_queue(call, queue, Diverted("", "no agent in time", call.order.abandon_prompt))


# ---- the end


def _gone(call: AutoDial, event: LegEnded) -> None:
    """The person hung up."""
    if event.leg == CALLER:
        _stop_counting(call)
        _report_end(call)
        _finish(call, event.cause or "hung up")


def _hang_up(call: AutoDial, cause: str) -> None:
    _stop_counting(call)
    call.do(Hangup(CALLER, cause))
    _report_end(call)
    _finish(call, cause)


def _give_up(call: AutoDial, cause: str) -> None:
    """A fault of ours, or the host ends: whatever the leg is, it goes."""
    _stop_counting(call)
    if call.phase is not DialPhase.NEW:
        call.do(Hangup(CALLER, cause) if call.up else CancelDial(CALLER, cause))
    _report_end(call, ours=not call.up)
    _finish(call, cause)


def _asked(call: AutoDial, event: HangupAsked) -> None:
    _give_up(call, event.reason)


def _media_lost(call: AutoDial, event: MediaLost) -> None:
    _give_up(call, "media lost")


def _host_stops(call: AutoDial, event: HostStopping) -> None:
    _give_up(call, "host stopped")


def _transfer_declined(call: AutoDial, event: TransferAsked) -> None:
    call.do(Notify(event.leg, 603, "Declined"))


def _report_end(call: AutoDial, *, code: int = 0, cause: int = 0, ours: bool = False) -> None:
    call.do(
        ReportDial(
            attempt=call.order.attempt,
            stage=DialStage.ENDED,
            code=code,
            cause=cause,
            ours=ours,
            rang=call.rang,
            answered=call.up,
            verdict=call.verdict,
            heard_ms=call.heard_ms,
            heard_all=call.heard_all,
            key=call.key,
            choice=call.choice,
            abandoned=call.abandoned,
            talked=call.talked,
        )
    )


def _finish(call: AutoDial, cause: str) -> None:
    call.phase = DialPhase.ENDED
    call.do(Finish(cause))


TABLE: Mapping[DialPhase, Row] = {
    DialPhase.NEW: {DialDue: _due},
    DialPhase.CALLING: {
        LegRinging: _ringing,
        LegAnswered: _answered,
        LegFailed: _failed,
        TimerFired: _rang_too_long,
        Recognised: _recognised_early,
    },
    DialPhase.SAYING: {PromptEnded: _said, Dtmf: _key, Recognised: _recognised, TimerFired: _too_long},
    DialPhase.CHOOSING: {Dtmf: _key, Recognised: _recognised, TimerFired: _no_key},
    DialPhase.QUEUED: {TimerFired: _late_in_queue},
    DialPhase.LEAVING: {PromptEnded: _last_words_said, TimerFired: _too_long},
    DialPhase.ENDED: {
        LegEnded: ignore,
        LegFailed: ignore,
        HangupAsked: ignore,
        MediaLost: ignore,
        HostStopping: ignore,
    },
}

ANY_PHASE: Row = {
    LegEnded: _gone,
    HangupAsked: _asked,
    MediaLost: _media_lost,
    HostStopping: _host_stops,
    TransferAsked: _transfer_declined,
    # May come late: from a timer or a prompt that was stopped a moment ago, from a leg that is about to be answered.
    **dict.fromkeys(
        (
            Dtmf,
            LegAnswered,
            LegHeld,
            LegFailed,
            LegRinging,
            PromptEnded,
            Recognised,
            TimerFired,
        ),
        ignore,
    ),
}
