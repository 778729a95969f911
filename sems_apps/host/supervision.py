"""Supervisors in calls: listen, whisper, barge.

To listen, both sides' RTP is copied by the node to sockets of ours, mixed, and sent into the supervisor's own RTP
session. To be heard, the conversation goes through the mixer: the agent is moved by a re-INVITE to a session of his
own, and the other side of the caller's session becomes the mixer. The agent moves back when the last supervisor leaves.
Only G.711 can be mixed; a call with another codec refuses supervision with a reason.
"""

from __future__ import annotations

import logging
import random
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from sems_apps.actions import CALLER, Supervise, SupervisionMode
from sems_apps.host.loop import Loop, Timer
from sems_apps.host.media import CALLER_SIDE, OTHER_SIDE, MediaSession
from sems_apps.host.mixer import FRAME_SECONDS, PCMA, PCMU, Mixer
from sems_apps.host.sdp import Description
from sems_apps.host.session import Session

log = logging.getLogger("media")

AGENT = "agent"
#: A mixer that is late by more than this skips what it missed.
LATE_SECONDS = 0.2


class Port:
    """A UDP socket of the mixer: packets of one participant come in, packets for one go out."""

    def __init__(self, loop: Loop, host: str, on_packet: Callable[[bytes], None]) -> None:
        self._loop, self._on_packet = loop, on_packet
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind((host, 0))
        self.address: tuple[str, int] = self._socket.getsockname()[:2]
        #: Where packets are sent.
        self.target: tuple[str, int] | None = None
        loop.watch(self._socket, self._readable)

    def send(self, packet: bytes) -> None:
        """Send, if there is where to."""
        if self.target is not None:
            with suppress(OSError):
                self._socket.sendto(packet, self.target)

    def close(self) -> None:
        """Close the socket."""
        self._loop.unwatch(self._socket)
        self._socket.close()

    def describe(self) -> Description:
        """Return this port as the far end of an RTP session."""
        return Description(self.address[0], self.address[1], ())

    def _readable(self) -> None:
        for _ in range(64):
            try:
                self._on_packet(self._socket.recv(2048))
            except BlockingIOError:
                return
            except OSError:
                continue


@dataclass(slots=True)
class Room:
    """One supervised conversation."""

    session: Session
    mixer: Mixer
    #: Leg of the partner when it began: the agent.
    agent: str
    ports: dict[str, Port] = field(default_factory=dict)
    modes: dict[str, SupervisionMode] = field(default_factory=dict)
    #: The agent's own session while he talks through the mixer.
    agent_media: MediaSession | None = None
    timer: Timer | None = None
    due: float = 0.0


class Supervisors:
    """All supervised calls of a host."""

    def __init__(self, host: str) -> None:
        """host: the address on which the mixer exchanges RTP with the nodes."""
        self._host = host
        self._rooms: dict[str, Room] = {}

    def join(self, session: Session, action: Supervise) -> None:
        """Let a supervisor's answered leg take part, or change how."""
        codec = session.media.codec
        if codec is None or codec.number not in (PCMU, PCMA):
            session.refuse_supervision(action.leg, "only G.711 can be supervised")
            return
        room = self._rooms.get(session.entry.call) or self._open(session, action.agent)
        if action.leg not in room.modes:
            self._seat(room, action.leg)
            session.host.acd.supervised(action.leg, "")
        room.modes[action.leg] = action.mode
        self._arrange(room)

    def leave(self, session: Session, leg: str) -> None:
        """Take a supervisor out."""
        room = self._rooms.get(session.entry.call)
        if room is None or room.modes.pop(leg, None) is None:
            return
        self._unseat(room, leg)
        if room.modes:
            self._arrange(room)
        else:
            self._close(room, give_back=True)

    def forget(self, session: Session) -> None:
        """The conversation is over."""
        room = self._rooms.get(session.entry.call)
        if room is not None:
            self._close(room, give_back=False)

    # ---- rooms

    def _open(self, session: Session, agent: str) -> Room:
        codec = session.media.codec
        room = Room(session, Mixer(codec.number if codec else PCMA, random.getrandbits(32)), agent)
        self._rooms[session.entry.call] = room
        for name in (CALLER, AGENT):
            self._port(room, name)
        for side, name in ((CALLER_SIDE, CALLER), (OTHER_SIDE, AGENT)):
            session.media.fork(side, *room.ports[name].address)
        room.due = session.host.loop.now()
        self._tick(room)
        return room

    def _port(self, room: Room, name: str) -> Port:
        room.mixer.add(name)
        port = Port(room.session.host.loop, self._host, partial(room.mixer.receive, name))
        room.ports[name] = port
        return port

    def _seat(self, room: Room, leg: str) -> None:
        """Connect a supervisor's session with a port of the mixer."""
        media = room.session.media_of(leg)
        port = self._port(room, leg)
        if media.ports is not None:
            port.target = media.ports.address, media.ports.other
            media.set_other(port.describe())

    def _unseat(self, room: Room, leg: str) -> None:
        room.mixer.remove(leg)
        port = room.ports.pop(leg, None)
        if port is not None:
            port.close()

    def _arrange(self, room: Room) -> None:
        """Let everybody hear whom he may, through the mixer where somebody is to be heard."""
        heard = {leg for leg, mode in room.modes.items() if mode is not SupervisionMode.LISTEN}
        barging = {leg for leg, mode in room.modes.items() if mode is SupervisionMode.BARGE}
        hears: dict[str, set[str]] = {leg: {CALLER, AGENT} for leg in room.modes}
        if room.agent_media is not None or heard:
            hears |= {CALLER: {AGENT} | barging, AGENT: {CALLER} | heard}
        room.mixer.connect(hears)
        if heard and room.agent_media is None:
            self._through_mixer(room)

    def _through_mixer(self, room: Room) -> None:
        """Move the agent to a session of his own whose other side is the mixer."""
        session, agent = room.session, room.session.legs.get(room.agent)
        codec = session.media.codec
        if agent is None or agent.remote is None or codec is None:
            return
        room.agent_media = session.new_media(f"{room.agent}:mixed")
        room.agent_media.open(
            agent.remote, codec, session.media.dtmf, partial(self._agent_session_ready, room)
        )

    def _agent_session_ready(self, room: Room, opened: bool) -> None:
        session, media = room.session, room.agent_media
        if not opened or media is None or media.ports is None or session.media.ports is None:
            log.error("%s: the agent cannot be moved to the mixer", session.entry.call)
            room.agent_media = None
            return
        for side in (CALLER_SIDE, OTHER_SIDE):
            session.media.stop_fork(side)
        agent, caller = room.ports[AGENT], room.ports[CALLER]
        agent.target = media.ports.address, media.ports.other
        caller.target = session.media.ports.address, session.media.ports.other
        media.set_other(agent.describe())
        session.media.set_other(caller.describe())
        session.place(room.agent, media)
        session.reinvite(room.agent)

    def _close(self, room: Room, *, give_back: bool) -> None:
        session = room.session
        self._rooms.pop(session.entry.call, None)
        if room.timer is not None:
            room.timer.cancel()
        for port in room.ports.values():
            port.close()
        if room.agent_media is not None:
            session.place(room.agent, None)
            if give_back:
                session.put_back(room.agent)
                session.reinvite(room.agent)
            room.agent_media.close()
        elif give_back:
            for side in (CALLER_SIDE, OTHER_SIDE):
                session.media.stop_fork(side)

    # ---- time

    def _tick(self, room: Room) -> None:
        loop = room.session.host.loop
        now = loop.now()
        if now - room.due > LATE_SECONDS:
            room.due = now
        while room.due <= now:
            room.due += FRAME_SECONDS
            for name, packet in room.mixer.tick():
                room.ports[name].send(packet)
        room.timer = loop.call_later(room.due - now, lambda: self._tick(room))
