"""One call of an application: performs what its machine wants with real legs, RTP, timers and the ACD.

Events are taken one after the other, each with all that it causes, so the machine never runs inside itself. Decides
nothing: what follows from what is the machine's. An exception ends this call and no other.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sems_apps import actions as do
from sems_apps.acd_actions import ACD_ACTIONS
from sems_apps.actions import CALLER, Action
from sems_apps.events import (
    Dtmf,
    Event,
    LegAnswered,
    LegEnded,
    LegFailed,
    LegHeld,
    LegRinging,
    MediaLost,
    PromptEnded,
    TimerFired,
    TransferAsked,
)
from sems_apps.host import sdp, silence
from sems_apps.host.calling import Calling
from sems_apps.host.ears import Hearing
from sems_apps.host.loop import Timer
from sems_apps.host.media import CALLER_SIDE, FOR_EVER, OTHER_SIDE, MediaSession
from sems_apps.host.ports import Clip, Entry
from sems_apps.host.sip_leg import SipLeg
from sems_apps.host.sip_stack import Address, Verdict
from sems_apps.ivr_actions import IVR_ACTIONS
from sems_apps.machines.table import Machine
from sems_apps.mailbox_actions import MAILBOX_ACTIONS
from sems_apps.park_actions import PARK_ACTIONS

if TYPE_CHECKING:
    from sems_apps.host.host import MediaHost

log = logging.getLogger("media")


@dataclass(slots=True)
class _Playing:
    """What plays to one side."""

    #: Tells a clip that is found too late from the one that is wanted.
    number: int
    timer: Timer | None = None


class Session:
    """One call."""

    def __init__(self, host: MediaHost, entry: Entry, proxy: Address, machine: Machine) -> None:
        self.host, self.entry, self.proxy, self.machine = host, entry, proxy, machine
        self.legs: dict[str, SipLeg] = {}
        self.finished = False
        #: The leg whose media is on the other side.
        self.other = ""
        self.media = MediaSession(
            host.rtp,
            host.notify,
            host.opener,
            f"{host.owner}:{entry.call}:{CALLER}",
            on_key=self._on_key,
            on_lost=self._media_lost,
        )
        #: Legs that are not on the caller's session: supervisors, an agent who talks through the mixer.
        self._places: dict[str, MediaSession] = {}
        self.began = time.time()
        self._events: deque[Event] = deque()
        self._running = False
        self._timers: dict[str, Timer] = {}
        self._playing: dict[str, _Playing] = {}
        self._serial = 0
        #: What waits for the ports.
        self._waiting: list[Callable[[], None]] = []
        self.calling: Calling = Calling(self)
        self._held: dict[str, bool] = {}
        self._sides: dict[str, silence.Side] = {}
        #: What the person's leg of a dial hears, from the dial on; None: nobody listens.
        self.hearing: Hearing | None = None
        entry.post = self.post

    # ---- events in

    def post(self, event: Event) -> None:
        """Give the machine an event, after those that came before."""
        if self.finished:
            return
        self._events.append(event)
        if not self._running:
            self._run()

    def _run(self) -> None:
        self._running = True
        try:
            while self._events and not self.finished:
                for action in self.machine.step(self._events.popleft(), self.host.loop.now()):
                    self._perform(action)
        # One call's fault must not hang it silently, nor touch another.
        except Exception:
            log.exception("%s: the call is ended by a fault of ours", self.entry.call)
            self.tell("media.fault")
            self.close("internal error")
        finally:
            self._running = False

    def tell(self, kind: str, **data: object) -> None:
        """Write into the call's story."""
        self.host.journal.event(kind, call=self.entry.call, tenant=self.entry.tenant or None, **data)

    # ---- actions out

    def _perform(self, action: Action) -> None:
        if isinstance(action, ACD_ACTIONS):
            self.host.acd.perform(self.entry, action)
        elif isinstance(action, IVR_ACTIONS):
            self.host.ivr.perform(self, action)
        elif isinstance(action, PARK_ACTIONS):
            self.host.parking.perform(self, action)
        elif isinstance(action, MAILBOX_ACTIONS):
            self.host.mailboxes.perform(self, action)
        else:
            _PERFORM[type(action)](self, action)

    def _start_timer(self, action: do.StartTimer) -> None:
        self._stop_timer(action.name)
        self._timers[action.name] = self.host.loop.call_later(
            action.seconds, lambda: self._timer_fired(action.name)
        )

    def _timer_fired(self, name: str) -> None:
        self._timers.pop(name, None)
        self.post(TimerFired(name))

    def _stop_timer(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    # ---- legs

    def _ring(self, action: do.Ring) -> None:
        leg = self.legs.get(action.leg)
        if leg is not None and not leg.ended and not leg.answered:
            leg.ring()

    def _answer(self, action: do.Answer) -> None:
        self.with_ports(lambda: self._answer_now(action.leg))

    def _answer_now(self, name: str) -> None:
        leg, ports, codec = self.legs.get(name), self.media.ports, self.media.codec
        if leg is None or leg.ended or ports is None or codec is None:
            return
        port = ports.caller if name == CALLER else ports.other
        if leg.remote is None:  # they want our offer; the ACK brings theirs
            body = sdp.write_offer(ports.address, port, self.session_id(), (codec,), self.media.dtmf)
        else:
            body = sdp.write_answer(leg.remote, ports.address, port, self.session_id(), codec)
        leg.answer(body)
        self.tell("media.answer", **({} if name == CALLER else {"leg": name}))

    def take_in(self, request: Any, transaction: Any, event: Callable[[str], Event]) -> Verdict:
        """Take somebody in who calls this call; the machine is told by `event` of his leg, once there is a port.

        Raises BadSdp when he cannot speak what the caller speaks; nothing has been answered then.
        """
        body = request.getBody()
        if body is None or self.media.codec is None:
            raise sdp.BadSdp("no offer")
        sdp.choose(sdp.parse(body.localStr()), (self.media.codec,))
        name = f"pickup:{sum(known.startswith('pickup:') for known in self.legs) + 1}"
        shared = self.is_other_side_used()
        leg, verdict = SipLeg.incoming(self.host.stack, self, name, request, transaction)
        self.legs[name] = leg

        def ready(port: int | None) -> None:
            if port is None:
                leg.reject(503, "No Media")
            else:
                self.post(event(name))

        # Not before sippy has the transaction.
        self.host.loop.call_soon(lambda: self.with_ports(lambda: self.media.other_port(ready, shared=shared)))
        return verdict

    def is_other_side_used(self) -> bool:
        """Tell whether somebody else than the caller is there, or is being called."""
        return any(not leg.ended for name, leg in self.legs.items() if name != CALLER)

    def _reject(self, action: do.Reject) -> None:
        leg = self.legs.get(action.leg)
        if leg is not None:
            leg.reject(action.code, action.reason)

    def _cancel_dial(self, action: do.CancelDial) -> None:
        self._end_leg(action.leg, action.reason)

    def _hang_up(self, action: do.Hangup) -> None:
        self._end_leg(action.leg, action.reason)

    def _end_leg(self, name: str, reason: str) -> None:
        self.calling.forget(name)
        leg = self.legs.get(name)
        if leg is not None and not leg.ended:
            self.tell("media.hangup", leg=name, reason=reason)
            leg.hang_up(reason)
        if name == self.other:
            self.other = ""
        self._free_place(name)

    def _free_place(self, name: str) -> None:
        """Give back the RTP session of a supervisor who is gone."""
        if name.startswith(do.SUPERVISOR_PREFIX):
            self.host.supervision.leave(self, name)
            place = self._places.pop(name, None)
            if place is not None:
                place.close()

    def _notify(self, action: do.Notify) -> None:
        leg = self.legs.get(action.leg)
        if leg is not None:
            leg.notify(action.code, action.reason)

    # ---- media

    def prepare_media(self) -> None:
        """Ask for the RTP session as soon as the call is there: it is ready when it is needed."""
        caller = self.legs.get(CALLER)
        remote = caller.remote if caller is not None else None
        codec = sdp.choose(remote) if remote is not None else sdp.PCMA
        dtmf = remote.dtmf if remote is not None else sdp.DEFAULT_DTMF
        self.media.open(remote, codec, dtmf, self._media_opened)

    def _media_opened(self, opened: bool) -> None:
        if not opened:
            self._media_lost()
            return
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            callback()

    def _media_lost(self) -> None:
        if not self.finished:
            self.tell("media.lost")
            self.host.loop.call_soon(lambda: self.post(MediaLost()))

    @property
    def payload_type(self) -> int:
        """In which codec the caller hears."""
        return (self.media.codec or sdp.PCMA).number

    def with_ports(self, callback: Callable[[], None]) -> None:
        """Call back as soon as the RTP session is there."""
        if self.media.is_open:
            callback()
        else:
            self._waiting.append(callback)

    def _play(self, action: do.Play) -> None:
        side = self._side(action.leg)
        number = self._new_playing(side)

        def found(clip: Clip | None) -> None:
            playing = self._playing.get(side)
            if playing is not None and playing.number == number and not self.finished:
                self._play_clip(action, side, playing, clip)

        self.host.prompts.find(self.entry.tenant, action.sounds, action.language, self.payload_type, found)

    def _play_clip(self, action: do.Play, side: str, playing: _Playing, clip: Clip | None) -> None:
        if clip is None:
            log.warning("%s: no file for %s", self.entry.call, [sound.text for sound in action.sounds])
            self.media.stop(side)
        else:
            self.media.play(side, clip.path, times=FOR_EVER if action.loop else 1)
        if not action.loop:
            seconds = clip.seconds if clip is not None else 0.0
            playing.timer = self.host.loop.call_later(
                seconds, lambda: self._prompt_ended(action, side, playing)
            )

    def _prompt_ended(self, action: do.Play, side: str, playing: _Playing) -> None:
        if self._playing.get(side) is playing:
            del self._playing[side]
            self.media.played(side)
            self.post(PromptEnded(action.leg, action.token))

    def _new_playing(self, side: str) -> int:
        self._forget_playing(side)
        self._serial += 1
        self._playing[side] = _Playing(self._serial)
        return self._serial

    def _forget_playing(self, side: str) -> None:
        playing = self._playing.pop(side, None)
        if playing is not None and playing.timer is not None:
            playing.timer.cancel()

    def _stop_playing(self, action: do.StopPlaying) -> None:
        side = self._side(action.leg)
        self._forget_playing(side)
        self.media.stop(side)

    def _side(self, name: str) -> str:
        """Return the side of a leg; whoever is played to or talked to is put on the other side first."""
        if name == CALLER:
            return CALLER_SIDE
        self._put_on_other_side(name)
        return OTHER_SIDE

    def _put_on_other_side(self, name: str) -> None:
        leg = self.legs.get(name)
        if name != self.other and leg is not None and leg.remote is not None:
            self.other = name
            self.media.set_other(leg.remote)

    def _bridge(self, action: do.Bridge) -> None:
        if self.hearing is not None:  # the agent hears for himself, and may be recorded
            self.hearing.end()
        other = action.right if action.left == CALLER else action.left
        self._put_on_other_side(other)
        for side in (OTHER_SIDE, CALLER_SIDE):
            self._forget_playing(side)
            self.media.stop(side)
        self.tell("media.join", leg=other)

    def _unbridge(self, action: do.Unbridge) -> None:
        self.tell("media.part", leg=action.right if action.left == CALLER else action.left)

    def _record(self, action: do.Record) -> None:
        method = "record.start" if action.on else "record.stop"
        params = {"call": self.entry.call, "by": "queue", "tenant": self.entry.tenant or None}

        def ask() -> None:
            self.host.rpc(method, params | {"a": self.entry.caller}, self._recorded)

        if self.hearing is None:
            ask()
        else:  # a node copies each side once
            self.hearing.end(then=ask)

    def _recorded(self, result: Any) -> None:
        if result is None:
            self.tell("media.not_recorded")

    # ---- silence

    def look_for_silence(self, now: float) -> None:
        """Ask the node what has come; a side that has fallen silent is asked whether it is still there."""
        caller = self.legs.get(CALLER)
        if self.finished or caller is None or not caller.answered or not self.media.is_open:
            return
        self.media.query(lambda counts: self._counted(counts, now))

    def _counted(self, counts: tuple[int, int] | None, now: float) -> None:
        if counts is None or self.finished:
            return
        for name, packets in ((CALLER, counts[0]), (self.other, counts[1])):
            leg = self.legs.get(name)
            if leg is None or leg.ended or not leg.answered or name in self._places:
                continue
            side = self._sides.get(name)
            if side is None:
                side = self._sides[name] = silence.begin(now)
            if silence.look(side, packets, now):
                leg.probe()
            if silence.remind(side, now):
                self.media.remind(CALLER_SIDE if name == CALLER else OTHER_SIDE)

    # ---- legs on other sessions

    def new_media(self, name: str) -> MediaSession:
        """Make another RTP session of this call."""
        key = f"{self.host.owner}:{self.entry.call}:{name}"
        return MediaSession(
            self.host.rtp, None, self.host.opener, key, on_key=lambda *_: None, on_lost=lambda: None
        )

    def media_of(self, name: str) -> MediaSession:
        """Return the RTP session of a leg."""
        return self._places.get(name, self.media)

    def place(self, name: str, media: MediaSession | None) -> None:
        """Put a leg on a session of its own, or (None) back on the caller's."""
        if media is None:
            self._places.pop(name, None)
        else:
            self._places[name] = media

    def put_back(self, name: str) -> None:
        """Let the caller's session send to this leg again."""
        leg = self.legs.get(name)
        if leg is not None and leg.remote is not None:
            self.other = name
            self.media.set_other(leg.remote)

    def reinvite(self, name: str) -> None:
        """Tell a leg where its RTP goes now."""
        leg, media = self.legs.get(name), self.media_of(name)
        if leg is None or media.ports is None or media.codec is None:
            return
        port = media.ports.other if media is self.media else media.ports.caller
        body = sdp.write_offer(
            media.ports.address, port, self.session_id(), (media.codec,), self.media.dtmf, self._version()
        )
        leg.reinvite(body)

    def refuse_supervision(self, leg: str, reason: str) -> None:
        """A supervisor cannot take part: end his leg and say why."""
        self.host.acd.supervised(leg, reason)
        self._end_leg(leg, reason)
        self.post(LegEnded(leg, reason))

    def _supervise(self, action: do.Supervise) -> None:
        self.host.supervision.join(self, action)

    def _unsupervise(self, action: do.Unsupervise) -> None:
        self._free_place(action.leg)

    def session_id(self) -> int:
        """A number for our descriptions, the same for the whole call."""
        return int(self.began)

    def _version(self) -> int:
        """A number for a new description, greater than every one before (RFC 3264 section 8)."""
        return int(self.host.loop.now() * 1000)

    # ---- the end

    def _finish(self, action: do.Finish) -> None:
        self.tell("media.end", cause=action.cause)
        self.close(action.cause)

    def close(self, cause: str) -> None:
        """End whatever there is; safe to call twice."""
        if self.finished:
            return
        self.finished = True
        if self.hearing is not None:
            self.hearing.end(failed=True)
        for timer in self._timers.values():
            timer.cancel()
        for side in list(self._playing):
            self._forget_playing(side)
        for leg in self.legs.values():
            with suppress(Exception):  # a leg that cannot be ended must not keep the others
                leg.hang_up(cause)
        self.host.supervision.forget(self)
        self.media.close()
        for media in self._places.values():
            media.close()
        self.host.session_ended(self)

    # ---- told by the legs

    def leg_ringing(self, leg: SipLeg, code: int) -> None:
        """180 or 183."""
        self.tell("media.ring", leg=leg.name, code=code)
        self._know_place(leg)  # what it says before the answer is listened to
        self.post(LegRinging(leg.name))

    def leg_answered(self, leg: SipLeg) -> None:
        """200."""
        self.tell("media.up", leg=leg.name)
        self.entry.legs[leg.name] = leg.dialog
        self._know_place(leg)
        if leg.name == CALLER and self.hearing is not None:
            self.hearing.answered()
        self.post(LegAnswered(leg.name))

    def _know_place(self, leg: SipLeg) -> None:
        """Tell the node where the media of a leg is that has a caller's side."""
        if leg.remote is not None and (leg.name == CALLER or leg.name in self._places):
            self.media_of(leg.name).set_caller(leg.remote)

    def leg_failed(self, leg: SipLeg, code: int) -> None:
        """A final response that is none."""
        code = code if leg.heard else 0
        self.tell("media.failed", leg=leg.name, code=code, cause=leg.q850 or None)
        if leg.name.startswith(do.SUPERVISOR_PREFIX):
            self.host.acd.supervised(leg.name, f"the supervisor did not answer: {code}")
            self._free_place(leg.name)
        if leg.name == CALLER and self.hearing is not None:
            self.hearing.end(code=code, failed=True)
        self.post(LegFailed(leg.name, code, leg.q850, leg.refused_by_proxy or not leg.heard))

    def leg_ended(self, leg: SipLeg, cause: str) -> None:
        """BYE or CANCEL, or the far end is gone."""
        self.tell("media.gone", leg=leg.name, cause=cause)
        if leg.name == self.other:
            self.other = ""
        self.post(LegEnded(leg.name, cause))

    def leg_key(self, leg: SipLeg, digit: str) -> None:
        """A key by INFO."""
        self._key(leg.name, digit)

    def leg_refer(self, leg: SipLeg, target: str, replaces: str) -> None:
        """REFER, already accepted."""
        self.tell("media.refer", leg=leg.name, to=target, replaces=replaces or None)
        self.post(TransferAsked(leg.name, target, replaces))

    def leg_media(self, leg: SipLeg) -> None:
        """A new description of the far end: hold, resume, another address."""
        if leg.remote is None:
            return
        if leg.name == CALLER or leg.name in self._places:
            self.media_of(leg.name).set_caller(leg.remote)
        elif leg.name == self.other:
            self.media.set_other(leg.remote)
        holds = leg.remote.holds
        if holds != self._held.get(leg.name, False):
            self._held[leg.name] = holds
            self.post(LegHeld(leg.name, holds))

    def new_offer(self, leg: SipLeg, offer: sdp.Description | None) -> str | None:
        """Answer a re-INVITE: the ports stay, and so does the codec."""
        media = self.media_of(leg.name)
        ports, codec = media.ports, media.codec
        if ports is None or codec is None:
            return None
        port = ports.other if media is self.media and leg.name != CALLER else ports.caller
        identity, version = self.session_id(), self._version()
        if offer is None:
            return sdp.write_offer(ports.address, port, identity, (codec,), self.media.dtmf, version)
        sdp.choose(offer, (codec,))  # raises BadSdp: 488
        return sdp.write_answer(offer, ports.address, port, identity, codec, version)

    def _on_key(self, digit: str, from_caller: bool) -> None:
        self._key(CALLER if from_caller else self.other, digit)

    def _key(self, name: str, digit: str) -> None:
        if name:
            self.tell("media.key", leg=name)  # which key is the caller's business: it may be a card number
            self.post(Dtmf(name, digit))


_PERFORM: dict[type[Action], Callable[[Session, Any], None]] = {
    do.Ring: Session._ring,
    do.Answer: Session._answer,
    do.Reject: Session._reject,
    do.Play: Session._play,
    do.StopPlaying: Session._stop_playing,
    do.StartTimer: Session._start_timer,
    do.StopTimer: lambda session, action: session._stop_timer(action.name),
    do.Dial: lambda session, action: session.calling.dial(action),
    do.CancelDial: Session._cancel_dial,
    do.Hangup: Session._hang_up,
    do.Bridge: Session._bridge,
    do.Unbridge: Session._unbridge,
    do.Record: Session._record,
    do.Notify: Session._notify,
    do.Supervise: Session._supervise,
    do.Unsupervise: Session._unsupervise,
    do.ReportDial: lambda session, action: session.host.dialling.report(action),
    do.Finish: Session._finish,
}
