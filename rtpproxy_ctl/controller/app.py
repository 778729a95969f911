"""The controller as a whole: its parts made and joined, its sockets opened. Shell (Twisted)."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.web.resource import Resource
from twisted.web.server import Site

from callcore.ids import uuid7
from kalibri.config import Config
from kalibri.journal import JournalWriter
from rtpproxy_ctl.balancer import Health
from rtpproxy_ctl.commands import Query
from rtpproxy_ctl.controller.dialogs import DialogEnder
from rtpproxy_ctl.controller.engine import Engine
from rtpproxy_ctl.controller.front import StreamFactory, UdpFront
from rtpproxy_ctl.controller.health import Change
from rtpproxy_ctl.controller.link import NodeLink
from rtpproxy_ctl.controller.manifest import Manifest
from rtpproxy_ctl.controller.metrics import CONTENT_TYPE, Metric, render
from rtpproxy_ctl.controller.node_table import NodeTable
from rtpproxy_ctl.controller.nodes import NodeSpec
from rtpproxy_ctl.controller.notify import NotifyFactory, Relay, tell_lost
from rtpproxy_ctl.controller.recorder import Recorder
from rtpproxy_ctl.controller.recording import Recording, Request
from rtpproxy_ctl.controller.rpc import Rpc
from rtpproxy_ctl.controller.sessions import Session
from rtpproxy_ctl.controller.state_log import StateLog
from rtpproxy_ctl.controller.udp import UdpSocket, bound
from rtpproxy_ctl.protocol import is_error

log = logging.getLogger("rtpc")

TICK_SECONDS = 0.05
#: The front is opened when every node was asked, at the latest after so long.
OPEN_SECONDS = 1.0
#: Restored sessions are asked for at once, others when they are so old, this many at a time.
SWEEP_SECONDS, SWEEP_AGE_SECONDS, SWEEP_BATCH = 1.0, 600.0, 100
#: How often what a node has counted is kept, so that a restart of both is noticed.
KEEP_SECONDS = 5.0
#: One octet of G.711 and G.722 lasts so long.
OCTET_SECONDS = 1 / 8000
PLAYED_AT_8000 = frozenset({0, 8, 9})


class Controller:
    """One controller."""

    def __init__(self, config: Config, name: str, reactor: Any) -> None:
        number = int(name.rpartition("-")[2])
        self.name, self.config = name, config
        self._reactor = reactor
        self.links: dict[str, NodeLink] = {}
        state_folder = config.rtp_state_directory
        for folder in (state_folder, config.rtp_manifest_directory):
            folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        self.journal = JournalWriter(
            config.journal_directory, config.node_name, name, max_line_bytes=config.journal.max_line_bytes
        )
        self.state = StateLog(state_folder / f"{name}.jsonl", reactor)
        self._ports = config.rtp_controller_ports(number)
        self.engine = Engine(
            host=config.node_name,
            timers=reactor,
            nodes=self.links,
            event=self.journal.event,
            notify_socket=f"tcp:{self._ports.address}:{self._ports.notify}",
            prompt_roots=[str(config.prompt_directory)],
        )
        self.recorder = Recorder(
            sessions=self.engine.sessions,
            nodes=self.links,
            timers=reactor,
            event=self.journal.event,
            new_id=lambda: str(uuid7(time.time_ns() // 1_000_000, os.urandom(10))),
            manifest=self._manifest,
            host=config.node_name,
            free_bytes=_free_bytes,
            min_free_bytes=config.rtp.record_min_free_mb * 1024 * 1024,
            save=self.state.save,
        )
        self.engine.observers += [self.recorder, _StateSaver(self.state)]
        self.engine.record_wanted = self.recorder.is_wanted
        self.engine.when_recorded = self.recorder.when_begun
        self.engine.on_record = self._record_command
        self.engine.on_lost = self._session_lost
        self.engine.prompt_seconds = _prompt_seconds
        self.relay = Relay(reactor)
        self.dialogs = DialogEnder(config.kamailio_rpc_socket)
        self.rpc = Rpc(self.engine, self.recorder, name, self._describe_nodes)
        self.front = UdpFront(self.serve, reactor.seconds)
        self.streams = StreamFactory(self.serve)
        self._table = NodeTable(
            config,
            state_folder / f"{name}.nodes.json",
            lambda specs: reactor.callFromThread(self.apply, specs),
            self._reports,
        )
        self._specs: list[NodeSpec] = []
        self._unsure: list[str] = []
        self._next_sweep = self._next_keep = 0.0
        self._lag = self._open_until = 0.0
        self.is_open = False

    def start(self) -> None:
        """Begin; the sockets are opened a moment later."""
        self.apply(self._table.begin())
        self._restore()
        self.dialogs.begin()
        self._open_until = self._reactor.seconds() + OPEN_SECONDS
        self._tick(self._reactor.seconds())
        self.journal.event("rtpc.start", controller=self.name, sessions=len(self.engine.sessions))

    def _open(self) -> None:
        """Open the sockets: not before the nodes have answered, else sessions that they have would be made anew."""
        self.is_open = True
        ports, reactor = self._ports, self._reactor
        front = bound((ports.address, ports.control))
        self.front.send = UdpSocket(reactor, front, self.front.received_datagram, lambda: None).send
        reactor.listenTCP(ports.control, self.streams, interface=ports.address)
        reactor.listenUNIX(
            str(self.config.rtp_controller_socket(self.name)), self.streams, mode=0o660, wantPID=True
        )
        reactor.listenTCP(ports.notify, NotifyFactory(self.engine, self.relay), interface=ports.address)
        reactor.listenTCP(ports.metrics, _site(self.metrics), interface=ports.address)
        log.info("%s serves at %s:%d", self.name, ports.address, ports.control)

    def stop(self) -> None:
        """Write what is still in memory; sessions and recordings go on at the nodes."""
        self._keep_counters()
        self.state.close()
        self._table.stop()
        self.dialogs.stop()
        self.journal.close()

    def serve(self, line: str, reply: Callable[[str], None]) -> None:
        """Serve a line of any front; whatever goes wrong, the asker gets an answer and the others are served."""
        try:
            if line.lstrip().startswith("{"):
                self.rpc.serve(line, reply)
            else:
                self.engine.handle(line, reply)
        except Exception:
            # A fault of ours in one command must not end the media of all calls.
            log.exception("a command failed: %r", line[:500])
            reply("E98")

    # ---- nodes

    def apply(self, specs: list[NodeSpec]) -> None:
        """Take over the nodes of the table: make, change and close links."""
        wanted = {spec.name: spec for spec in specs}
        self._specs = specs
        for name, link in list(self.links.items()):
            spec = wanted.get(name)
            if spec is None or spec.address != link.spec.address:
                self._leave(link, moved=spec is not None)
            else:
                link.set_spec(spec)
        for name, spec in wanted.items():
            if name not in self.links:
                self._meet(spec)

    def _meet(self, spec: NodeSpec) -> None:
        try:
            self.links[spec.name] = NodeLink(self._reactor, spec, self._health_changed)
            log.info("node %s at %s:%d", spec.name, *spec.address)
        except OSError as error:  # no route to it at present: the next look at the table tries again
            log.warning("node %s at %s:%d: %s", spec.name, *spec.address, error)

    def _leave(self, link: NodeLink, *, moved: bool) -> None:
        """Let go of a node that is not in the table any more, as soon as it carries nothing of ours."""
        name = link.spec.name
        if moved or not self.engine.sessions.count(name):
            if moved:
                self.engine.health_changed(name, lost=True)
            del self.links[name]
            link.close()
            log.info("node %s is let go", name)
        elif link.spec.enabled:
            link.set_spec(NodeSpec.from_json({**link.spec.to_json(), "enabled": False}))

    def _health_changed(self, link: NodeLink, change: Change, before: Health) -> None:
        name, health = link.spec.name, change.health.state
        carried = self.engine.sessions.count(name)
        log.warning("node %s: %s, was %s%s", name, health, before, ", sessions lost" if change.lost else "")
        if before is not Health.NEW or health is not Health.UP:
            self.journal.event(
                "rtp.node",
                node=name,
                health=str(health),
                before=str(before),
                lost=carried if change.lost else 0,
            )
        if self.links.get(name) is link:
            self.engine.health_changed(name, change.lost)

    def _session_lost(self, session: Session, node: str) -> None:
        """End the call of a session that is gone with its node."""
        self.journal.event("call.media_lost", call=session.call or None, node=node)
        if session.id.sip_call_id and session.callee.tag:
            self.dialogs.end(session.id.sip_call_id, session.caller.tag, session.callee.tag)
        else:
            tell_lost(self.relay, session)

    # ---- restart

    def _restore(self) -> None:
        """Go on where the last life ended."""
        for row in self.state.entries("node"):
            if row["name"] in self.links:
                self.links[row["name"]].counters = dict(row["counters"])
        now = self._reactor.seconds()
        for session in self._readable("session", lambda row: Session.from_json(row, now)):
            if session.node in self.links:
                self.engine.adopt(session)
                self._unsure.append(session.key)
            else:
                self.state.save("session", session.key, None)
        for request in self._readable("request", Request.from_json):
            self.recorder.restore_request(request)
        for recording in self._readable("recording", Recording.from_json):
            self.recorder.restore(recording)

    def _readable(self, kind: str, read: Callable[[Any], Any]) -> Iterator[Any]:
        for row in self.state.entries(kind):
            try:
                yield read(row)
            except (KeyError, TypeError, ValueError) as error:
                log.warning("a %s cannot be restored: %r", kind, error)

    # ---- what is done again and again

    def _tick(self, planned: float) -> None:
        now = self._reactor.seconds()
        self._lag = max(self._lag, now - planned)
        for link in list(self.links.values()):
            link.tick()
        if not self.is_open and (now >= self._open_until or not self._is_new()):
            try:
                self._open()
            except (CannotListenError, OSError) as error:
                log.error("%s cannot listen: %s", self.name, error)
                self._reactor.stop()
                return
        if now >= self._next_sweep:
            self._next_sweep = now + SWEEP_SECONDS
            self._sweep(now)
        if now >= self._next_keep:
            self._next_keep = now + KEEP_SECONDS
            self._keep_counters()
            for link in [link for name, link in self.links.items() if not self._is_listed(name)]:
                self._leave(link, moved=False)
        self._reactor.callLater(TICK_SECONDS, self._tick, now + TICK_SECONDS)

    def _is_new(self) -> bool:
        """Tell whether a node has not been heard of yet."""
        return any(link.health is Health.NEW for link in self.links.values())

    def _is_listed(self, name: str) -> bool:
        return any(spec.name == name for spec in self._specs)

    def _keep_counters(self) -> None:
        for name, link in self.links.items():
            if link.counters:
                self.state.save("node", name, {"name": name, "counters": link.counters})

    def _sweep(self, now: float) -> None:
        """Ask whether sessions still exist that nobody has asked about for long: a lost D must not be kept forever."""
        if not self._unsure:
            old = now - SWEEP_AGE_SECONDS
            self._unsure = [session.key for session in self.engine.sessions if session.created < old]
            if self._unsure:
                self._next_sweep = now + 60.0
        batch, self._unsure = self._unsure[:SWEEP_BATCH], self._unsure[SWEEP_BATCH:]
        for key in batch:
            session = self.engine.sessions.get(key)
            link = self.links.get(session.node) if session is not None else None
            if session is not None and link is not None and not session.unconfirmed:
                text = Query(session.handle, *session.node_tags()).encode()
                link.ask(text, self._swept(session))

    def _swept(self, session: Session) -> Callable[[str | None], None]:
        def done(text: str | None) -> None:
            if text is not None and is_error(text) == 50 and self.engine.sessions.get(session.key) is session:
                self.engine.timed_out(session)

        return done

    # ---- what is told

    def _manifest(self, recording_id: str) -> Manifest:
        path = self.config.rtp_manifest_directory / f"{recording_id}.jsonl"
        return Manifest(path, lambda: datetime.now(UTC))

    def _record_command(self, session: Session, on: bool, reply: Callable[[str], None]) -> None:
        ids = self.recorder.order_session(session, on)
        self.recorder.when_settled(ids, lambda: reply("0"))

    def _describe_nodes(self) -> list[dict[str, Any]]:
        return [self._describe(link) for link in self.links.values()]

    def _describe(self, link: NodeLink) -> dict[str, Any]:
        facts = link.facts()
        return {
            "name": facts.name,
            "host": facts.host,
            "health": str(facts.health),
            "enabled": facts.enabled,
            "draining": facts.draining,
            "weight": facts.weight,
            "capacity": facts.capacity,
            "sessions": facts.sessions,
            "packets_per_second": round(facts.packets_per_second, 1),
            "load": round(facts.load, 4),
            "discarded": round(facts.discarded, 4),
            "capabilities": sorted(facts.capabilities),
        }

    def _reports(self) -> list[dict[str, Any]]:
        """Return what the table keeps of each node; called from the thread of the table, so it only reads."""
        reports = []
        for link in list(self.links.values()):
            told = self._describe(link)
            live = {
                key: told[key] for key in ("health", "sessions", "packets_per_second", "load", "discarded")
            }
            alive = link.health in (Health.UP, Health.PROBATION, Health.SUSPECT)
            reports.append({"name": told["name"], "alive": alive, "live": {**live, "by": self.name}})
        return reports

    def metrics(self) -> str:
        """Return the metrics as Prometheus text."""
        return render([*self._own_metrics(), *self._node_metrics()])

    def _own_metrics(self) -> Iterator[Metric]:
        engine, own = self.engine, {"controller": self.name}
        lag, self._lag = self._lag, 0.0
        yield "rtpc_sessions", "gauge", "Sessions in the map.", [(own, len(engine.sessions))]
        yield "rtpc_recordings", "gauge", "Recordings that run.", [(own, len(self.recorder.running()))]
        yield (
            "rtpc_recordings_total",
            "counter",
            "Recordings started and failed.",
            [
                ({**own, "result": "started"}, self.recorder.started),
                ({**own, "result": "failed"}, self.recorder.failed),
            ],
        )
        commands = [({**own, "command": name}, float(count)) for name, count in engine.commands.items()]
        yield "rtpc_commands_total", "counter", "Commands served.", commands
        errors = [({**own, "code": f"E{number}"}, float(count)) for number, count in engine.errors.items()]
        yield "rtpc_errors_total", "counter", "Commands refused.", errors
        yield "rtpc_datagrams_total", "counter", "Datagrams received.", [(own, self.front.received)]
        yield "rtpc_repeated_total", "counter", "Datagrams that came again.", [(own, self.front.repeated)]
        yield (
            "rtpc_notifications_total",
            "counter",
            "Lines passed on to media hosts.",
            [(own, self.relay.sent)],
        )
        yield "rtpc_notifications_lost_total", "counter", "Lines nobody took.", [(own, self.relay.dropped)]
        yield (
            "rtpc_dialogs_ended_total",
            "counter",
            "Calls ended for lost media.",
            [(own, self.dialogs.ended)],
        )
        yield "rtpc_lag_seconds", "gauge", "Longest delay of a timer since the last look.", [(own, lag)]
        yield "rtpc_cpu_seconds_total", "counter", "CPU time of the controller.", [(own, time.process_time())]

    def _node_metrics(self) -> Iterator[Metric]:
        links = [({"node": name}, link) for name, link in self.links.items()]
        gauges: list[tuple[str, str, Callable[[NodeLink], float]]] = [
            ("rtp_node_sessions", "Sessions on the node.", lambda link: link.sessions),
            ("rtp_node_load", "Share of the capacity used.", lambda link: link.facts().load),
            (
                "rtp_node_packets_per_second",
                "Packets that arrive.",
                lambda link: link.facts().packets_per_second,
            ),
            ("rtp_node_discarded_ratio", "Share of packets discarded.", lambda link: link.facts().discarded),
            ("rtp_node_slowest_reply_seconds", "Slowest answer so far.", lambda link: link.slowest),
        ]
        for name, text, value in gauges:
            yield name, "gauge", text, [(labels, value(link)) for labels, link in links]
        states = [
            ({**labels, "health": str(state)}, float(link.health is state))
            for labels, link in links
            for state in Health
        ]
        yield "rtp_node_health", "gauge", "1 for the state that the node is in.", states
        for key in (
            "nsess_created",
            "ncmds_rcvd",
            "ncmds_errs",
            "npkts_rcvd",
            "npkts_relayed",
            "npkts_discard",
        ):
            values = [(labels, link.counters.get(key, 0.0)) for labels, link in links]
            yield f"rtp_node_{key}_total", "counter", f"RTPProxy's counter {key}.", values
        placed = [(labels, float(self.engine.placed[labels["node"]])) for labels, _ in links]
        yield "rtp_node_placed_total", "counter", "Sessions that this controller gave it.", placed
        failed = [(labels, float(link.failed)) for labels, link in links]
        yield "rtp_node_unanswered_total", "counter", "Commands that it never answered.", failed


class _StateSaver:
    """Keeps sessions in the state log."""

    def __init__(self, state: StateLog) -> None:
        self._state = state

    def session_changed(self, session: Session) -> None:
        """Keep it."""
        self._state.save("session", session.key, session.to_json())

    def session_ended(self, session: Session, reason: str) -> None:
        """Forget it."""
        self._state.save("session", session.key, None)


class _MetricsPage(Resource):
    """GET /metrics."""

    isLeaf = True

    def __init__(self, text: Callable[[], str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._text = text

    def render_GET(self, request: Any) -> bytes:
        """Answer."""
        request.setHeader(b"content-type", CONTENT_TYPE.encode())
        return self._text().encode()


def _site(text: Callable[[], str]) -> Site:
    return Site(_MetricsPage(text))


def _free_bytes(folder: PurePath) -> int:
    """Return what may still be written there; raises OSError."""
    free = os.statvfs(folder)
    return free.f_bavail * free.f_frsize


def _prompt_seconds(path: str, codecs: str, session: Session) -> float:
    """Return how long a prompt plays, by the size of its file; 0 when that cannot be told."""
    types = (
        session.caller.codecs
        if codecs == "session"
        else [int(word) for word in codecs.split(",") if word.isdecimal()]
    )
    for number in types:
        try:
            size = os.stat(f"{path}.{number}").st_size
        except OSError:
            continue
        return size * OCTET_SECONDS if number in PLAYED_AT_8000 else 0.0
    return 0.0
