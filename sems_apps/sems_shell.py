"""The other interpreter of the machines: performs their actions with the `ivr` module of a SEMS 2.x.

Written for SEMS's rules: a callback's default happens only when it returns the literal True; `__init__` never runs; an
audio object lives as long as it is queued; connectCallee raises SystemError after it has worked; nothing may touch a
session after its end, so the outside knows its tag and never the object. What this host cannot do (several agents at
once, whisper, taking a caller back from an agent, supervision) it says, and the machine does without.

It never blocks a callback for long and never talks to the database: that is the background's thread
(sems_background.py).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Protocol
from urllib.parse import unquote

from callcore.errors import BadInput
from sems_apps import actions as do
from sems_apps.acd_actions import ACD_ACTIONS
from sems_apps.actions import CALLER, Action
from sems_apps.events import (
    CallerArrived,
    Dtmf,
    Event,
    HostStopping,
    LegAnswered,
    LegEnded,
    LegFailed,
    LegRinging,
    MediaLost,
    PromptEnded,
    TimerFired,
)
from sems_apps.host.ports import Entry
from sems_apps.ivr_actions import IVR_ACTIONS, ScenarioCalled
from sems_apps.machines.hold_queue import HoldQueue
from sems_apps.machines.ivr_menu import IvrMenu
from sems_apps.machines.table import Machine
from sems_apps.settings import QueueSettings, settings_from
from sems_apps.sounds import Sound

#: Keys as SEMS numbers them; others (an INFO without a body gives random numbers) are ignored.
KEYS = "0123456789*#ABCD"
#: Codes that carry no penalty for the agent, for what is this host's inability.
NOT_HIS_FAULT = 488


class Background(Protocol):
    """What runs beside the calls: database, files, controller."""

    def perform(self, entry: Entry, action: Action) -> None:
        """Give an action to the ACD; answers come by the entry's `post`, in another thread."""

    def forget(self, entry: Entry) -> None:
        """The session is over."""

    def ask(self, entry: Entry, action: Action) -> None:
        """Give an action of a scenario (IVR_ACTIONS) to the world; answers come by the entry's `post`."""

    def find(self, tenant: int, sounds: tuple[Sound, ...], language: str) -> str | None:
        """Return the WAV file that holds these sounds one after the other; None: there is none."""

    def record(self, call: str, on: bool) -> None:
        """Ask the RTP controller to record, or to stop."""


class Mailbox:
    """Events for sessions, by tag: put in from any thread, taken out by the session's own callbacks."""

    def __init__(self, send_message: Callable[[str, str], None]) -> None:
        self._send_message = send_message
        self._lock = threading.Lock()
        self._events: dict[str, deque[Event]] = {}

    def open(self, tag: str) -> None:
        """Begin to take events for a session; what came for it before is kept."""
        with self._lock:
            self._events.setdefault(tag, deque())

    def has_mail(self, tag: str) -> bool:
        """Tell whether something lies there that the session has not taken."""
        with self._lock:
            return bool(self._events.get(tag))

    def close(self, tag: str) -> None:
        """Take none any more; what comes late is lost, as SEMS itself loses messages."""
        with self._lock:
            self._events.pop(tag, None)

    def put(self, tag: str, event: Event) -> None:
        """Put an event in and wake the session."""
        with self._lock:
            box = self._events.get(tag)
            if box is None:
                return
            box.append(event)
        self._send_message(tag, "events")

    def take(self, tag: str) -> list[Event]:
        """Take everything out."""
        with self._lock:
            box = self._events.get(tag)
            taken = list(box or ())
            if box is not None:
                box.clear()
        return taken


class Shell:
    """One call: the machine, and the session object that SEMS gave it."""

    def __init__(
        self,
        ivr: Any,
        session: Any,
        background: Background,
        mailbox: Mailbox,
        entry: Entry,
        machine: Machine,
    ) -> None:
        self._ivr, self._session = ivr, session
        self._background, self._mailbox = background, mailbox
        self.entry = entry
        self.tag = str(session.dialog.local_tag)
        self.machine = machine
        self.finished = False
        #: Audio that SEMS plays: it crashes when Python lets go of it.
        self._audio: list[Any] = []
        self._token: str | None = None
        self._timers: dict[str, int] = {}
        #: The leg that connectCallee calls, "" for none; and whether it has answered.
        self._other = ""
        self._other_up = self._caller_up = False
        self._queue: deque[Event] = deque()
        self._running = False
        self.headers = str(session.invite_req.hdrs)
        mailbox.open(self.tag)
        entry.post = partial(mailbox.put, self.tag)

    # ---- events

    def post(self, event: Event) -> None:
        """Give the machine an event; called in this session's callbacks only."""
        if self.finished:
            return
        self._queue.append(event)
        if self._running:
            return
        self._running = True
        try:
            while self._queue and not self.finished:
                for action in self.machine.step(self._queue.popleft(), time.monotonic()):
                    self._perform(action)
        finally:
            self._running = False

    def message(self) -> None:
        """Take what the background sent."""
        for event in self._mailbox.take(self.tag):
            self.post(event)

    def key(self, number: int) -> None:
        """Take a key."""
        if 0 <= number < len(KEYS):
            self.post(Dtmf(CALLER, KEYS[number]))

    def timer(self, number: int) -> None:
        """Take a timer, unless it was stopped while it fired."""
        name = next((name for name, known in self._timers.items() if known == number), None)
        if name is not None:
            del self._timers[name]
            self.post(TimerFired(name))

    def queue_empty(self) -> None:
        """Everything queued has been played."""
        token, self._token = self._token, None
        self._audio.clear()
        if token is not None:
            self.post(PromptEnded(CALLER, token))

    def other_reply(self, code: int) -> None:
        """Take a response of the leg that is being called."""
        leg = self._other
        if not leg or self._other_up:
            return
        if 100 < code < 200:
            self.post(LegRinging(leg))
        elif 200 <= code < 300:
            self._other_up = True
            self._session.flush()
            self._session.disconnectMedia()  # the two talk past us from now on; else music plays into it
            self._audio.clear()
            self._token = None
            self.post(LegAnswered(leg))
        elif code >= 300:
            self._other = ""
            self.post(LegFailed(leg, code))

    def other_bye(self) -> None:
        """The other leg hung up."""
        leg, self._other, self._other_up = self._other, "", False
        if leg:
            self.post(LegEnded(leg, "BYE"))

    def caller_gone(self, cause: str) -> None:
        """BYE or CANCEL of the caller."""
        self._caller_up = False
        self.post(LegEnded(CALLER, cause))

    def media_lost(self) -> None:
        """No RTP came for long."""
        self.post(MediaLost())

    def shut_down(self) -> None:
        """The server stops."""
        self.post(HostStopping())

    # ---- actions

    def _perform(self, action: Action) -> None:
        if isinstance(action, ACD_ACTIONS):
            self._background.perform(self.entry, action)
        elif isinstance(action, IVR_ACTIONS):
            self._background.ask(self.entry, action)
        elif self.finished:
            return
        else:
            _PERFORM[type(action)](self, action)

    def _ring(self, action: do.Ring) -> None:
        self._session.sendReply(180, "Ringing", "")

    def _answer(self, action: do.Answer) -> None:
        self._caller_up = True
        self._session.sendReply(200, "OK", "")

    def _reject(self, action: do.Reject) -> None:
        self._session.sendReply(action.code, action.reason, "")
        self._session.stopSession()

    def _play(self, action: do.Play) -> None:
        if action.leg != CALLER:  # nothing can be played to the other leg: as if it had been
            self._queue.append(PromptEnded(action.leg, action.token))
            return
        self._session.flush()
        self._audio.clear()
        self._token = None if action.loop else action.token
        path = self._background.find(self.entry.tenant, action.sounds, action.language)
        file = self._open(path) if path is not None else None
        if file is None:
            if self._token is not None:
                self._token = None
                self._queue.append(PromptEnded(CALLER, action.token))
            return
        file.loop = action.loop
        self._audio.append(file)
        self._session.enqueue(file, None)

    def _open(self, path: str) -> Any:
        file = self._ivr.IvrAudioFile()
        try:
            file.open(path, self._ivr.AUDIO_READ)
        except OSError:
            return None
        return file

    def _stop_playing(self, action: do.StopPlaying) -> None:
        if action.leg == CALLER:
            self._session.flush()
            self._audio.clear()
            self._token = None

    def _start_timer(self, action: do.StartTimer) -> None:
        number = self._timers.setdefault(action.name, self._free_number())
        self._session.setTimer(number, max(0.02, action.seconds))

    def _free_number(self) -> int:
        used = set(self._timers.values())
        return next(number for number in range(1, len(used) + 2) if number not in used)

    def _stop_timer(self, action: do.StopTimer) -> None:
        number = self._timers.pop(action.name, None)
        if number is not None:
            self._session.removeTimer(number)

    def _dial(self, action: do.Dial) -> None:
        if self._other:  # one leg at a time is all that SEMS can call
            self._queue.append(LegFailed(action.leg, NOT_HIS_FAULT))
            return
        self._other, self._other_up = action.leg, False
        headers = [f"X-KS-Call: {self.entry.call}", f"X-KS-Leg: {action.kind.value}"]
        if action.offer:
            headers.append(f"X-KS-Offer: {action.offer}")
        _, target = do.split_target(action.target)
        if self.entry.tenant:
            headers.append(f"X-KS-Arg: {do.leg_argument(self.entry.tenant, action)}")
        # What is here goes to the callee, and everything of the caller's that is left in it would too.
        self._session.invite_req.hdrs = "".join(f"{line}\r\n" for line in headers)
        if not target.startswith("sip:"):
            target = f"sip:{target}@{self._domain()}"
        with suppress(SystemError):  # SEMS raises it although the call is made
            self._session.connectCallee(f"<{target}>", target)

    def _domain(self) -> str:
        return str(self._session.dialog.domain)

    def _end_other(self, action: do.CancelDial | do.Hangup) -> None:
        if action.leg == CALLER:
            self._end_caller()
        elif action.leg == self._other:
            self._other, self._other_up = "", False
            self._session.terminateOtherLeg()

    def _end_caller(self) -> None:
        if self._caller_up:
            self._caller_up = False
            self._session.bye()
        self._session.stopSession()

    def _record(self, action: do.Record) -> None:
        self._background.record(self.entry.call, action.on)

    def _nothing(self, action: Action) -> None:
        """What this host cannot do, or what has happened by itself (Bridge)."""

    def _finish(self, action: do.Finish) -> None:
        self.close()
        self._session.stopSession()

    def close(self) -> None:
        """Let go of everything; nothing may use the session after this."""
        if not self.finished:
            self.finished = True
            self._mailbox.close(self.tag)
            self._background.forget(self.entry)


_PERFORM: dict[type[Action], Callable[[Shell, Any], None]] = {
    do.Ring: Shell._ring,
    do.Answer: Shell._answer,
    do.Reject: Shell._reject,
    do.Play: Shell._play,
    do.StopPlaying: Shell._stop_playing,
    do.StartTimer: Shell._start_timer,
    do.StopTimer: Shell._stop_timer,
    do.Dial: Shell._dial,
    do.CancelDial: Shell._end_other,
    do.Hangup: Shell._end_other,
    do.Bridge: Shell._nothing,
    do.Unbridge: Shell._nothing,
    do.Notify: Shell._nothing,
    do.Supervise: Shell._nothing,
    do.Unsupervise: Shell._nothing,
    do.Record: Shell._record,
    do.Finish: Shell._finish,
}


def begin(ivr: Any, session: Any, headers: str, background: Background, mailbox: Mailbox) -> Shell:
    """Begin a queue call from its INVITE; raises BadInput when it names no queue."""
    arguments = _arguments(ivr, headers)
    tenant, queue = _number(arguments, "tenant"), _number(arguments, "queue")
    entry = _entry(ivr, session, headers, arguments, tenant, queue)
    machine = HoldQueue(anchors=True, can_unbridge=False)
    shell = Shell(ivr, session, background, mailbox, entry, machine)
    known = {name: value for name, value in arguments.items() if name not in ("tenant", "queue")}
    settings = settings_from(known, QueueSettings(tenant=tenant, queue=queue))
    shell.post(CallerArrived(entry.caller, settings))
    return shell


def begin_scenario(ivr: Any, session: Any, headers: str, background: Background, mailbox: Mailbox) -> Shell:
    """Begin a call of a scenario from its INVITE; raises BadInput when it names none."""
    arguments = _arguments(ivr, headers)
    scenario, prompt = arguments.get("scenario", ""), arguments.get("prompt", "")
    if bool(scenario) == bool(prompt):
        raise BadInput("X-KS-Arg names neither a scenario nor a prompt")
    tenant = _number(arguments, "tenant")
    entry = _entry(ivr, session, headers, arguments, tenant, 0)
    machine = IvrMenu(anchors=True, can_unbridge=False, has_mailboxes=False)
    shell = Shell(ivr, session, background, mailbox, entry, machine)
    called, then = arguments.get("called", ""), arguments.get("then", "")
    shell.post(ScenarioCalled(entry.caller, called, entry.caller_name, scenario, prompt, tenant, then))
    return shell


def _arguments(ivr: Any, headers: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in ivr.getHeader(headers, "X-KS-Arg").strip().split(";"):
        name, equals, value = item.partition("=")
        if equals:
            found[name.strip()] = unquote(value.strip())
    return found


def _number(arguments: dict[str, str], name: str) -> int:
    text = arguments.get(name, "")
    if not (text.isascii() and text.isdigit()):
        raise BadInput(f"X-KS-Arg names no {name}")
    return int(text)


def _entry(ivr: Any, session: Any, headers: str, arguments: dict[str, str], tenant: int, queue: int) -> Entry:
    call = ivr.getHeader(headers, "X-KS-Call").strip() or str(session.dialog.callid)
    caller = arguments.get("caller", "")
    return Entry(call, tenant, queue, caller, arguments.get("caller_name", ""), time.time())
