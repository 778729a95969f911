"""ivr_menu: a caller in an IVR scenario, from the INVITE to the end. Pure.

What the scenario does is callcore/ivr_run.py's; this machine is between it and the host: it answers the caller before
the first sound, plays, dials, joins, and lets the caller through a queue as a machine of its own (hold_queue), after
which the scenario goes on, or the call ends. Whom the caller was joined with may hand him on by REFER.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from callcore import ivr_events as ev
from callcore.ivr_call import Stage
from callcore.ivr_model import Hangup as HangupNode
from callcore.ivr_model import Node, Scenario
from callcore.ivr_model import Play as PlayNode
from callcore.ivr_model import Transfer as TransferNode
from callcore.ivr_nodes import RINGBACK
from callcore.ivr_run import Bundle, Run, Version
from callcore.ivr_say import SayItem, SayKind
from sems_apps import actions as do
from sems_apps.actions import CALLER, TARGET, Action, LegKind
from sems_apps.events import (
    AcdAway,
    CallbackTaken,
    CallerArrived,
    Diverted,
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
    Moved,
    OfferClaimed,
    OfferMade,
    OfferWithdrawn,
    PositionKnown,
    PromptEnded,
    TimerFired,
    TransferAsked,
)
from sems_apps.ivr_actions import (
    AskWorld,
    FindQueue,
    LoadScenario,
    MessageFailed,
    QueueFound,
    RecordMessage,
    ScenarioCalled,
    ScenarioLoaded,
    TellStory,
    WorldAnswered,
)
from sems_apps.machines.hold_queue import HoldQueue
from sems_apps.machines.mailbox_menu import MailboxMenu
from sems_apps.mailbox_actions import (
    BoxClosed,
    BoxOpened,
    BoxRefused,
    MailboxAsked,
    MessageMissing,
    MessageReady,
)
from sems_apps.settings import QueueSettings
from sems_apps.sounds import music, prompt, tone

TIMER = "ivr"
LOADING = "ivr-load"
FINDING = "ivr-queue"
TRANSFER = "ivr-transfer"
#: Who is handed on waits so long for the answer.
TRANSFER_SECONDS = 40.0
#: The database answers in milliseconds; who hears nothing for longer than this hangs up.
LOADING_SECONDS = 4.0
TOKEN = "ivr:"


class IvrPhase(StrEnum):
    """Where the call stands."""

    NEW = "new"
    #: The scenario is being read.
    LOADING = "loading"
    #: In the scenario.
    RUNNING = "running"
    ENDED = "ended"


#: What the ACD says of an entry: for the queue that the caller is in, or was in last.
_OF_QUEUE = (
    AcdAway,
    CallbackTaken,
    Diverted,
    Entered,
    Moved,
    OfferClaimed,
    OfferMade,
    OfferWithdrawn,
    PositionKnown,
)
#: What a scenario asked for.
_OF_SCENARIO = (WorldAnswered, QueueFound, ScenarioLoaded, MessageFailed)
#: What concerns a caller while he listens to a mailbox; anything else is about legs and queues that he has left.
_OF_MAILBOX = (
    *(BoxClosed, BoxOpened, BoxRefused, MessageMissing, MessageReady),
    *(Dtmf, PromptEnded, TimerFired, TransferAsked, HangupAsked, MediaLost, HostStopping),
)
#: The end of the call, whatever the scenario would do next.
_FINAL = (HostStopping, MediaLost)


def announcement(name: str, then: str = "") -> Bundle:
    """Return a scenario that says one prompt and hangs up, or connects with `then` (kind:value)."""
    item = SayItem(kind=SayKind.PROMPT, line=0, value=name)
    nodes: dict[str, Node] = {"announcement": HangupNode(name="announcement", line=0, say=(item,))}
    if then:
        kind, _, to = then.partition(":")
        nodes = {
            "announcement": PlayNode(name="announcement", line=0, say=(item,), next="then"),
            "then": TransferNode(
                name="then", line=0, to_kind=kind, to=to, ring_seconds=TRANSFER_SECONDS, on_failure="end"
            ),
            "end": HangupNode(name="end", line=0),
        }
    version = Version(name="announcement", version=1, scenario=Scenario(start="announcement", nodes=nodes))
    return Bundle(scenarios={"announcement": version})


class IvrMenu:
    """One call."""

    def __init__(
        self, *, anchors: bool = True, can_unbridge: bool = True, has_mailboxes: bool = True
    ) -> None:
        self._anchors, self._can_unbridge = anchors, can_unbridge
        self._has_mailboxes = has_mailboxes
        self._phase = IvrPhase.NEW
        self._called = ScenarioCalled("", "", "")
        self._run: Run | None = None
        #: The queue that the caller is in; `_in_queue` tells whether he still is.
        self._queue: HoldQueue | None = None
        self._in_queue = self._was_joined = False
        self._wanted_queue = ""
        #: The mailbox that the caller listens to; None: he is in none.
        self._mailbox: MailboxMenu | None = None
        self._caller_up, self._caller_here = False, True
        #: "": no other leg; else "dialling" or "up", and its name.
        self._other, self._leg = "", TARGET
        #: The leg that is called because the other one has sent REFER, "" if none; how many there were.
        self._next, self._transfers = "", 0
        self._timer_token = 0
        self._began_at, self._began = datetime.min.replace(tzinfo=UTC), 0.0
        self._now = 0.0
        self._events: deque[ev.Event] = deque()
        self._out: list[Action] = []

    @property
    def is_conversation(self) -> bool:
        """Whether a host that stops should wait for this call; who waits in a queue is served sooner elsewhere."""
        if self._in_queue and self._queue is not None:
            return self._queue.is_conversation
        return self._phase in _BUSY_PHASES

    @property
    def phase(self) -> StrEnum:
        """Where the call stands: in a queue, where it stands there."""
        if self._in_queue and self._queue is not None:
            return self._queue.phase
        return self._phase

    def step(self, event: Event, now: float) -> list[Action]:
        """Take an event at this moment (monotonic seconds) and return what to do, in this order."""
        self._now, self._out = now, []
        if self._phase is not IvrPhase.ENDED:
            self._take(event)
        elif isinstance(event, OfferMade) and self._queue is not None:
            self._out += self._queue.step(event, now)  # too late: the agent must be free again
        return self._out

    def _take(self, event: Event) -> None:
        if self._queue is not None and (self._in_queue or isinstance(event, _OF_QUEUE)):
            # An answer that comes when the scenario has gone on to the queue is late; the queue knows no such thing.
            if not (
                isinstance(event, _OF_SCENARIO) or (isinstance(event, TimerFired) and event.name == TIMER)
            ):
                self._through_queue(event)
            return
        if self._mailbox is not None and _is_of_mailbox(event):
            self._through_mailbox(self._mailbox, event)
            return
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(self, event)

    # ---- beginning

    def _arrived(self, event: ScenarioCalled) -> None:
        self._called, self._phase = event, IvrPhase.LOADING
        if event.prompt:
            self._out.append(LoadScenario(""))  # only the time of day is wanted
        else:
            self._out.append(LoadScenario(event.scenario))
        self._out.append(do.StartTimer(LOADING, LOADING_SECONDS))

    def _loaded(self, event: ScenarioLoaded) -> None:
        if self._phase is not IvrPhase.LOADING:
            return
        self._out.append(do.StopTimer(LOADING))
        called = self._called
        bundle = announcement(called.prompt, called.then) if called.prompt else event.bundle
        if bundle is None:
            self._end(event.code, event.reason)
            return
        self._began_at, self._began = event.at, self._now
        given = {"caller": called.number, "called": called.called, "caller_name": called.caller_name}
        self._run = Run(bundle, called.scenario or "announcement", given)
        self._phase = IvrPhase.RUNNING
        self._feed(ev.Begun())

    # ---- the scenario

    def _feed(self, event: ev.Event) -> None:
        """Give the scenario an event, and those that follow from what it wants."""
        if self._run is None:
            return
        self._events.append(event)
        while self._events and self._phase is IvrPhase.RUNNING:
            for action in self._run.step(self._events.popleft(), self._clock()):
                _PERFORM[type(action)](self, action)

    def _clock(self) -> datetime:
        return self._began_at + timedelta(seconds=self._now - self._began)

    def _answer(self) -> None:
        if not self._caller_up:
            self._caller_up = True
            self._out.append(do.Answer(CALLER))

    def _say(self, action: ev.Say) -> None:
        self._answer()
        if not action.prompts:
            self._out.append(do.StopPlaying(CALLER))
            self._events.append(ev.Said(action.token))
            return
        sounds = tuple(prompt(name) for name in action.prompts)
        self._out.append(do.Play(CALLER, sounds, action.language, token=f"{TOKEN}{action.token}"))

    def _play_music(self, action: ev.PlayMusic) -> None:
        """Let the caller hear something until somebody answers; who is not answered hears his own ringing."""
        if not self._caller_up:
            self._out.append(do.Ring(CALLER))
            return
        sound = tone(RINGBACK) if action.name == RINGBACK else music(action.name)
        language = self._run.variables["language"] if self._run is not None else ""
        self._out.append(do.Play(CALLER, (sound,), language, loop=True))

    def _be_quiet(self, action: ev.BeQuiet) -> None:
        if self._caller_up:
            self._out.append(do.StopPlaying(CALLER))

    def _set_timer(self, action: ev.SetTimer) -> None:
        self._timer_token = action.token
        self._out.append(do.StartTimer(TIMER, action.seconds))

    def _dial(self, action: ev.DialOut) -> None:
        target = action.to if action.kind == "number" else f"{action.kind}:{action.to}"
        self._other, self._leg = "dialling", TARGET
        self._out.append(do.Dial(TARGET, LegKind.CALLEE, target, action.caller_id))

    def _give_up_dial(self, action: ev.GiveUpDial) -> None:
        if self._other:
            self._other = ""
            self._out.append(do.CancelDial(TARGET, "no answer"))

    def _enter_queue(self, action: ev.EnterQueue) -> None:
        self._wanted_queue = action.queue
        self._out += [FindQueue(action.queue), do.StartTimer(FINDING, LOADING_SECONDS)]

    def _ended(self, action: ev.End) -> None:
        self._end(action.code, action.cause)

    def _end(self, code: int, cause: str) -> None:
        """End every leg and the session."""
        if self._next:
            self._out.append(do.CancelDial(self._next, cause))
        if self._other:
            other = do.Hangup if self._other == "up" else do.CancelDial
            self._out.append(other(self._leg, cause))
        if self._caller_here:
            self._out.append(
                do.Hangup(CALLER, cause) if self._caller_up else do.Reject(CALLER, code or 480, cause)
            )
        self._phase, self._other, self._next = IvrPhase.ENDED, "", ""
        self._out.append(do.Finish(cause))

    # ---- what happens to the call

    def _key(self, event: Dtmf) -> None:
        if event.leg == CALLER:
            self._feed(ev.Key(event.digit))

    def _prompt_ended(self, event: PromptEnded) -> None:
        if event.leg == CALLER and event.token.startswith(TOKEN):
            self._feed(ev.Said(int(event.token.removeprefix(TOKEN))))

    def _timer_fired(self, event: TimerFired) -> None:
        if event.name == TIMER:
            self._feed(ev.TimeUp(self._timer_token))
        elif event.name == LOADING and self._phase is IvrPhase.LOADING:
            self._end(503, "the scenario cannot be read now")
        elif event.name == TRANSFER and self._next:
            self._out.append(do.CancelDial(self._next, "no answer"))
            self._not_transferred(408)
        elif event.name == FINDING and self._wanted_queue:
            self._wanted_queue = ""
            self._feed(ev.QueueLeft(False, "the queue cannot be asked now"))

    def _world_answered(self, event: WorldAnswered) -> None:
        self._feed(ev.Answered(event.token, event.value, event.reason))

    def _message_failed(self, event: MessageFailed) -> None:
        self._feed(ev.RecordingFailed())

    def _leg_answered(self, event: LegAnswered) -> None:
        if event.leg == self._next != "":
            self._transferred()
            return
        if event.leg != TARGET or self._other != "dialling":
            self._out.append(do.Hangup(event.leg, "too late"))
            return
        self._other = "up"
        self._answer()
        self._out.append(do.Bridge(CALLER, TARGET))
        self._feed(ev.Reached())

    def _leg_failed(self, event: LegFailed) -> None:
        if event.leg == self._next != "":
            self._not_transferred(event.code)
        elif event.leg == TARGET and self._other == "dialling":
            self._other = ""
            self._feed(ev.NotReached(event.code))

    def _leg_ended(self, event: LegEnded) -> None:
        if event.leg == CALLER:
            self._caller_here = False
            if self._run is not None:
                self._feed(ev.CallerLeft())
            else:
                self._end(0, "caller hung up")
        elif event.leg == self._leg and self._other == "up":
            self._other = ""
            if self._next:  # he has handed the caller on, and need not wait for the answer
                return
            if not self._can_unbridge:  # the host ends the caller's leg with the other one
                self._finish_scenario("done")
                return
            self._out.append(do.Unbridge(CALLER, event.leg))
            self._feed(ev.OtherLeft())

    # ---- whom the caller talks to hands him on

    def _transfer_asked(self, event: TransferAsked) -> None:
        """REFER: call the target; who sent it keeps the caller until it answers, or gets him back."""
        asks = event.leg == self._leg and self._other == "up" and not self._next
        if not asks or not self._can_unbridge:
            self._out.append(do.Notify(event.leg, 603, "Decline"))
            return
        self._transfers += 1
        self._next = f"{TARGET}:{self._transfers}"
        language = self._run.variables["language"] if self._run is not None else ""
        self._out += [
            do.Notify(event.leg, 100, "Trying"),
            do.Unbridge(CALLER, event.leg),
            do.Play(CALLER, (music("default"),), language, loop=True),
            do.Dial(self._next, LegKind.CALLEE, event.target, self._called.number, replaces=event.replaces),
            do.StartTimer(TRANSFER, TRANSFER_SECONDS),
        ]

    def _leg_rings(self, event: LegRinging) -> None:
        if event.leg == self._next != "" and self._other == "up":
            self._out.append(do.Notify(self._leg, 180, "Ringing"))

    def _transferred(self) -> None:
        """The target has answered: for the scenario it is still the one whom it has called."""
        self._out.append(do.StopTimer(TRANSFER))
        if self._other == "up":
            self._out += [do.Notify(self._leg, 200, "OK"), do.Hangup(self._leg, "transferred")]
        self._leg, self._other, self._next = self._next, "up", ""
        self._out.append(do.Bridge(CALLER, self._leg))

    def _not_transferred(self, code: int) -> None:
        """The target does not answer: back to who wanted it; if he is gone, the scenario goes on."""
        self._next = ""
        self._out.append(do.StopTimer(TRANSFER))
        if self._other == "up":
            self._out += [do.Notify(self._leg, code, "Not transferred"), do.Bridge(CALLER, self._leg)]
        else:
            self._out.append(do.StopPlaying(CALLER))
            self._feed(ev.OtherLeft())

    def _stopped(self, event: HangupAsked | MediaLost | HostStopping) -> None:
        """Somebody ends the call, or the host cannot go on with it."""
        cause = event.reason if isinstance(event, HangupAsked) else _CAUSES[type(event)]
        if self._run is not None:
            self._finish_scenario(cause)
        elif self._phase is not IvrPhase.ENDED:
            self._end(503, cause)

    def _finish_scenario(self, cause: str) -> None:
        """End the call wherever the scenario stands."""
        assert self._run is not None
        self._run.now, self._run.out = self._clock(), []
        self._run.end(0, cause, by="system")
        for action in self._run.out:
            _PERFORM[type(action)](self, action)

    # ---- the queue

    def _queue_found(self, event: QueueFound) -> None:
        if event.name != self._wanted_queue or self._run is None or self._run.stage is not Stage.QUEUED:
            return
        self._wanted_queue = ""
        self._out.append(do.StopTimer(FINDING))
        if not event.queue:
            self._feed(ev.QueueLeft(False, f"there is no queue {event.name}"))
            return
        self._queue = HoldQueue(anchors=self._anchors, can_unbridge=self._can_unbridge)
        self._in_queue, self._was_joined = True, False
        language = self._run.variables["language"]
        settings = QueueSettings(
            tenant=self._called.tenant, queue=event.queue, name=event.name, language=language
        )
        self._queue_id = event.queue
        self._through_queue(CallerArrived(self._called.number, settings, answered=self._caller_up))

    def _through_queue(self, event: Event) -> None:
        """Let the queue's machine take an event; when the caller leaves the queue, the scenario goes on."""
        assert self._queue is not None
        actions = self._queue.step(event, self._now)
        over = next((action.cause for action in actions if isinstance(action, do.Finish)), None)
        if isinstance(event, LegEnded) and event.leg == CALLER:
            self._caller_here = False
        stops = isinstance(event, _FINAL) or (isinstance(event, HangupAsked) and not event.agent_only)
        stops = stops or (self._was_joined and not self._can_unbridge)
        goes_on = over is not None and self._caller_here and not stops
        for action in actions:
            self._note(action)
            if isinstance(action, do.EnterQueue):
                self._out.append(do.EnterQueue(self._queue_id))
            elif isinstance(action, do.Finish) or (goes_on and _ends_caller(action)):
                continue
            else:
                self._out.append(action)
        if over is not None and self._in_queue:
            self._in_queue = False
            self._leave_queue(over, goes_on=goes_on)

    def _note(self, action: Action) -> None:
        if isinstance(action, do.Answer) and action.leg == CALLER:
            self._caller_up = True
        elif isinstance(action, do.Bridge):
            self._was_joined = True

    def _leave_queue(self, cause: str, *, goes_on: bool) -> None:
        if goes_on:
            if self._caller_up:
                self._out.append(do.StopPlaying(CALLER))
            self._feed(ev.QueueLeft(self._was_joined, cause))
            return
        self._caller_here = False  # the queue's machine has ended his leg already, or he did
        assert self._run is not None
        self._feed(ev.CallerLeft())

    # ---- a mailbox

    def _enter_mailbox(self, action: ev.EnterMailbox) -> None:
        if not self._has_mailboxes:
            self._events.append(ev.MailboxLeft("this host has no mailboxes"))
            return
        self._answer()
        language = self._run.variables["language"] if self._run is not None else ""
        self._mailbox = MailboxMenu()
        asked = MailboxAsked(action.mailbox, allowed=False, language=language, answered=True)
        self._through_mailbox(self._mailbox, asked)

    def _through_mailbox(self, mailbox: MailboxMenu, event: Event) -> None:
        """Let the mailbox's own machine take an event; when it is through with the caller, the scenario goes on."""
        if isinstance(event, LegEnded):
            self._caller_here = False
        actions = mailbox.step(event, self._now)
        over = any(isinstance(action, do.Finish) for action in actions)
        self._out += [
            one for one in actions if not isinstance(one, do.Finish) and not (over and _ends_caller(one))
        ]
        if not over:
            return
        self._mailbox = None
        if isinstance(event, HangupAsked | MediaLost | HostStopping):
            self._stopped(event)
        else:
            self._feed(ev.MailboxLeft(mailbox.failure) if self._caller_here else ev.CallerLeft())


def _is_of_mailbox(event: Event) -> bool:
    return isinstance(event, _OF_MAILBOX) or (isinstance(event, LegEnded) and event.leg == CALLER)


def _ends_caller(action: Action) -> bool:
    return isinstance(action, do.Hangup | do.Reject) and action.leg == CALLER


_CAUSES: Mapping[type[Event], str] = {MediaLost: "media lost", HostStopping: "host stopped"}

_HANDLERS: Mapping[type[Event], Callable[[IvrMenu, Any], None]] = {
    ScenarioCalled: IvrMenu._arrived,
    ScenarioLoaded: IvrMenu._loaded,
    Dtmf: IvrMenu._key,
    PromptEnded: IvrMenu._prompt_ended,
    TimerFired: IvrMenu._timer_fired,
    WorldAnswered: IvrMenu._world_answered,
    MessageFailed: IvrMenu._message_failed,
    LegAnswered: IvrMenu._leg_answered,
    LegFailed: IvrMenu._leg_failed,
    LegRinging: IvrMenu._leg_rings,
    LegEnded: IvrMenu._leg_ended,
    TransferAsked: IvrMenu._transfer_asked,
    HangupAsked: IvrMenu._stopped,
    MediaLost: IvrMenu._stopped,
    HostStopping: IvrMenu._stopped,
    QueueFound: IvrMenu._queue_found,
}

_PERFORM: Mapping[type[ev.Action], Callable[[IvrMenu, Any], None]] = {
    ev.Say: IvrMenu._say,
    ev.PlayMusic: IvrMenu._play_music,
    ev.BeQuiet: IvrMenu._be_quiet,
    ev.SetTimer: IvrMenu._set_timer,
    ev.ClearTimer: lambda menu, action: menu._out.append(do.StopTimer(TIMER)),
    ev.AskHttp: lambda menu, action: menu._out.append(AskWorld(action)),
    ev.AskRow: lambda menu, action: menu._out.append(AskWorld(action)),
    ev.AskFacts: lambda menu, action: menu._out.append(AskWorld(action)),
    ev.AskCallback: lambda menu, action: menu._out.append(AskWorld(action)),
    ev.EnterQueue: IvrMenu._enter_queue,
    ev.EnterMailbox: IvrMenu._enter_mailbox,
    ev.DialOut: IvrMenu._dial,
    ev.GiveUpDial: IvrMenu._give_up_dial,
    ev.StartMessage: lambda menu, action: menu._out.append(RecordMessage(True, action.mailbox)),
    ev.EndMessage: lambda menu, action: menu._out.append(RecordMessage(False)),
    ev.End: IvrMenu._ended,
    ev.Tell: lambda menu, action: menu._out.append(TellStory(action.kind, action.data)),
}

#: Phases in which a host that drains waits for the call; a caller who waits in a queue keeps his place elsewhere.
_BUSY_PHASES = frozenset({IvrPhase.LOADING, IvrPhase.RUNNING})
__all__ = ["IvrMenu", "IvrPhase", "announcement"]
