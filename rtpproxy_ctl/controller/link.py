"""The link to one node: its UDP socket, its heartbeat, its health. Shell (Twisted).

A question for counters each HEARTBEAT_SECONDS shows that the node lives and what it carries. What it shows is turned
into signs for the state machine in health.py; what follows from a change is the engine's business.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from typing import Any

from rtpproxy_ctl.balancer import Health, NodeFacts
from rtpproxy_ctl.client import Client, Send
from rtpproxy_ctl.commands import SINGLE_SHOT_CAPABILITY, Counters, HasCapability
from rtpproxy_ctl.controller.health import Change, NodeHealth, Sign, expired, step
from rtpproxy_ctl.controller.nodes import NOTIFY, RECORD, SINGLE_SHOT, Done, NodeSpec
from rtpproxy_ctl.controller.udp import UdpSocket, connected
from rtpproxy_ctl.errors import BadReply

log = logging.getLogger("rtpc")

HEARTBEAT_SECONDS = 0.5
#: A heartbeat is repeated then, and held for unanswered at last.
HEARTBEAT_SCHEDULE = (0.15, 0.35, 0.6)
#: A node that refuses is asked again after so long.
REFUSED_SECONDS = 0.1
#: VF 20081224: told only by a node that was started with -n.
NOTIFY_CAPABILITY = 20081224

COUNTERS = Counters(
    (
        "nsess_created",
        "nsess_destroyed",
        "ncmds_rcvd",
        "ncmds_errs",
        "npkts_rcvd",
        "npkts_relayed",
        "npkts_played",
        "npkts_discard",
        "pps_in",
    )
)
COUNTERS_TEXT = COUNTERS.encode()


class NodeLink:
    """One node."""

    def __init__(
        self,
        reactor: Any,
        spec: NodeSpec,
        changed: Callable[[NodeLink, Change, Health], None],
    ) -> None:
        """changed: called with each change of health, and the health before."""
        self.spec = spec
        self.counters: dict[str, float] = {}
        #: How its answers fared: asked, answered late or never, not understood.
        self.asked = self.failed = self.lied = 0
        #: Slowest answer to a command since the metrics were last read, in seconds.
        self.slowest = 0.0
        self._reactor = reactor
        self._changed = changed
        self._client = Client([spec.address], random_bytes=os.urandom(6))
        self._health = NodeHealth(Health.NEW, reactor.seconds())
        self._capabilities: frozenset[str] = frozenset()
        self._taken = 0
        self._discarded = 0.0
        self._refused = False
        self._next_beat = 0.0
        self._beating = False
        self._socket = UdpSocket(reactor, connected(spec.address), self._received, self._unreachable)

    # ---- what the engine sees

    @property
    def health(self) -> Health:
        """How the node is."""
        return self._health.state

    @property
    def sessions(self) -> int:
        """How many sessions it carries: by its last report, and what it was given since."""
        counters = self.counters
        reported = counters.get("nsess_created", 0.0) - counters.get("nsess_destroyed", 0.0)
        return int(reported) + self._taken

    @property
    def capabilities(self) -> frozenset[str]:
        """What it can do."""
        return self._capabilities

    def facts(self) -> NodeFacts:
        """Return what the balancer needs to know."""
        spec = self.spec
        return NodeFacts(
            name=spec.name,
            host=spec.host,
            health=self._health.state,
            enabled=spec.enabled,
            draining=spec.draining,
            weight=spec.weight,
            capacity=spec.capacity,
            sessions=self.sessions,
            packets_per_second=self.counters.get("pps_in", 0.0),
            discarded=self._discarded,
            capabilities=self._capabilities,
        )

    def took_session(self) -> None:
        """Count a session that it was given, until it reports by itself."""
        self._taken += 1

    def ask(self, text: str, done: Done, schedule: Sequence[float] | None = None) -> None:
        """Send a command; `done` gets the reply, None when there is none."""
        self.asked += 1
        for send in self._client.request(text, done, self._reactor.seconds(), schedule=schedule):
            self._socket.send(send.datagram)

    def set_spec(self, spec: NodeSpec) -> None:
        """Take over what was changed; the address stays (another address is another link)."""
        self.spec = spec
        self._note_capability(RECORD, spec.recordings is not None)

    # ---- the socket

    def _received(self, datagram: bytes, address: Any) -> None:
        """A reply, or something that pretends to be one."""
        answer = self._client.receive(datagram, (address[0], address[1]), self._reactor.seconds())
        if answer is None:
            return
        self.slowest = max(self.slowest, answer.seconds)
        answer.token(answer.text)

    def _unreachable(self) -> None:
        """Nobody listens there."""
        self._refused = True
        self._beating = False
        self._next_beat = self._reactor.seconds() + REFUSED_SECONDS
        self._sign(Sign.REFUSED)
        self._perform(self._client.unreachable(self.spec.address, self._reactor.seconds()))

    def close(self) -> None:
        """Close the socket; whoever waits gets no answer."""
        for done in self._client.cancel_all():
            done(None)
        self._socket.close()

    def tick(self) -> None:
        """Repeat what is due, and ask how it is; called every some ten milliseconds."""
        now = self._reactor.seconds()
        self._perform(self._client.tick(now))
        if now >= self._next_beat and not self._beating:
            self._next_beat, self._beating = now + HEARTBEAT_SECONDS, True
            self.ask(COUNTERS_TEXT, self._beat, HEARTBEAT_SCHEDULE)
        if expired(self._health, now):
            self._sign(Sign.EXPIRED)

    # ---- inside

    def _perform(self, effects: Sequence[Any]) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                self._socket.send(effect.datagram)
            else:
                self.failed += 1
                if effect.token != self._beat:  # which gives its own sign
                    self._sign(Sign.SILENT)
                effect.token(None)

    def _beat(self, text: str | None) -> None:
        self._beating = False
        if text is None:
            if not self._refused:
                self._next_beat = 0.0
                self._sign(Sign.SILENT)
            return
        try:
            counters = COUNTERS.parse(text)
        except BadReply as error:
            self.lied += 1
            log.warning("%s: %s", self.spec.name, error)
            self._sign(Sign.SILENT)
            return
        restarted = self._refused or self._forgot(counters)
        self._refused = False
        self._note(counters, restarted)
        if restarted or self._health.state is Health.NEW:
            self._ask_capabilities()
        self._sign(Sign.RESTARTED if restarted else Sign.ANSWERED)

    def _forgot(self, counters: dict[str, float]) -> bool:
        """Tell whether a counter that only grows has shrunk: it is another process."""
        return any(counters[name] < self.counters.get(name, 0.0) for name in ("nsess_created", "ncmds_rcvd"))

    def _note(self, counters: dict[str, float], restarted: bool) -> None:
        before = {} if restarted else self.counters
        received = counters["npkts_rcvd"] - before.get("npkts_rcvd", 0.0)
        discarded = counters["npkts_discard"] - before.get("npkts_discard", 0.0)
        self._discarded = min(1.0, discarded / received) if received > 0 else 0.0
        self.counters, self._taken = counters, 0

    def _ask_capabilities(self) -> None:
        self._note_capability(RECORD, self.spec.recordings is not None)
        for name, number in ((SINGLE_SHOT, SINGLE_SHOT_CAPABILITY), (NOTIFY, NOTIFY_CAPABILITY)):
            self.ask(HasCapability(number).encode(), self._capability_known(name))

    def _capability_known(self, name: str) -> Done:
        def known(text: str | None) -> None:
            able = text == "1" and (name != NOTIFY or self.spec.notifies)
            self._note_capability(name, able)

        return known

    def _note_capability(self, name: str, able: bool) -> None:
        self._capabilities = self._capabilities | {name} if able else self._capabilities - {name}

    def _sign(self, sign: Sign) -> None:
        before = self._health.state
        change = step(self._health, sign, self._reactor.seconds())
        self._health = change.health
        if change.lost or change.health.state is not before:
            self._changed(self, change, before)
