"""A whole media host for tests: real sippy, a real RTPProxy node, real prompts; only the ACD is played by the test.

rig.acd.answers[EnterQueue] = [Entered(settings)]
call = rig.call(phone)                                   # INVITE with X-KS-App and X-KS-Arg
rig.acd.post(OfferMade(1, "agent", 20.0)); agent.wait_call()
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from psycopg import sql

from callcore.errors import Unavailable
from kalibri.config import Config
from kalibri.db import connect
from kalibri.prompt_index import ANY, INDEX, index_key
from rtpproxy_ctl.ask import ask_counters, ask_version
from sems_apps.actions import Action, EnterQueue
from sems_apps.events import Entered, Event
from sems_apps.host.acd_port import AcdPort
from sems_apps.host.acd_rows import AcdRow
from sems_apps.host.host import HostOptions, MediaHost
from sems_apps.host.loop import Loop
from sems_apps.host.notify import NotifyServer
from sems_apps.host.opener import Opener
from sems_apps.host.pg_link import PgLink
from sems_apps.host.ports import Entry
from sems_apps.host.prompts import PromptFiles
from sems_apps.host.proxies import Address
from sems_apps.host.rtp_client import RtpClient
from sems_apps.host.session import Session
from sems_apps.host.sip_leg_facts import Replaced
from sems_apps.host.supervision import Supervisors
from sems_apps.host.workers import Workers
from sems_apps.ivr_actions import LoadScenario, ScenarioLoaded
from sems_apps.settings import QueueSettings
from tests.support.net_ports import free_port
from tests.support.rtp_peer import known_payload
from tests.support.sip_call import Call
from tests.support.sip_phone import Phone

WAIT_SECONDS = 15.0
#: Name of the host in the node table.
NAME = "here-media-1"
#: Seconds of each prompt; every one has other frames.
PROMPTS = {"jazz": 2.0, "blues": 2.0, "whisper": 0.4, "survey": 0.2, "survey-thanks": 0.2, "ringback": 1.0}


class ScriptedAcd:
    """Plays the ACD: writes down what it is told, answers as the test said."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._changed = threading.Condition()
        self.entries: list[Entry] = []
        self.done: list[Action] = []
        self.supervisions: list[tuple[str, str]] = []
        #: Events that answer an action, by its type.
        self.answers: dict[type[Action], list[Event]] = {}
        self.settings = QueueSettings(music="jazz")
        self.offer_at_once: Event | None = None

    def perform(self, entry: Entry, action: Action) -> None:
        with self._changed:
            self.done.append(action)
            if entry not in self.entries:
                self.entries.append(entry)
            self._changed.notify_all()
        answers = list(self.answers.get(type(action), ()))
        if isinstance(action, EnterQueue):
            answers.insert(0, Entered(self.settings, offered=self.offer_at_once is not None))
            if self.offer_at_once is not None:
                answers.append(self.offer_at_once)
        for event in answers:
            self._loop.call_soon(partial(entry.post, event))

    def supervised(self, leg: str, error: str) -> None:
        with self._changed:
            self.supervisions.append((leg, error))
            self._changed.notify_all()

    def find_leg(self, tenant: int, wanted: Replaced, done: Callable[[Address | None], None]) -> None:
        self._loop.call_soon(lambda: done(None))

    def forget(self, entry: Entry) -> None:
        with self._changed:
            self.entries = [item for item in self.entries if item is not entry]
            self._changed.notify_all()

    def post(self, event: Event, number: int = -1) -> None:
        """Let the ACD say something of a call (the latest)."""
        entry = self.entries[number]
        self._loop.run_in_loop(lambda: entry.post(event))

    def wait(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait until something holds of what was told."""
        with self._changed:
            assert self._changed.wait_for(condition, WAIT_SECONDS), f"{what}: {self.done}"
            return condition()

    def wait_action(self, kind: type[Action], number: int = 1) -> Any:
        """Wait for the n-th action of a kind."""
        self.wait(lambda: len(self.of(kind)) >= number, kind.__name__)
        return self.of(kind)[number - 1]

    def of(self, kind: type[Action]) -> list[Any]:
        """Return the actions of a kind."""
        return [action for action in self.done if isinstance(action, kind)]


class Story:
    """A journal in memory."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []

    def event(
        self, kind: str, /, *, call: str | None = None, tenant: int | None = None, **data: object
    ) -> None:
        self.lines.append((kind, data))

    def kinds(self) -> list[str]:
        """Return the kinds in order."""
        return [kind for kind, _ in self.lines]


class NoScenarios:
    """No scenario exists."""

    def perform(self, caller: Session, action: Action) -> None:
        """Say so."""
        if isinstance(action, LoadScenario):
            caller.post(ScenarioLoaded(datetime.now(UTC), None, 404, "there is no such scenario"))


class MediaRig:
    """The host in a thread, the node in a process."""

    def __init__(
        self, folder: Path, control: tuple[str, int], notify_port: int, config: Config | None = None
    ) -> None:
        """config: of the database whose queues are used; None: the test plays the ACD (`acd`)."""
        self.folder, self.control, self._config = folder, control, config
        #: User part → where a phone of that number is; others are asked at the address in their URI.
        self.route: dict[str, tuple[str, int]] = {}
        self.errors: list[BaseException] = []
        self.rpc_calls: list[tuple[str, dict[str, Any]]] = []
        self.loop = Loop(self.errors.append)
        self.acd, self.story = ScriptedAcd(self.loop), Story()
        self.ivr = NoScenarios()
        self.workers = Workers(self.loop)
        self._links: list[PgLink] = []
        self.prompts = {name: self._compile(name, seconds) for name, seconds in PROMPTS.items()}
        index = {
            "prompts": {index_key(0, ANY, name): name for name in PROMPTS},
            "durations_ms": {
                index_key(0, ANY, name): round(seconds * 1000) for name, seconds in PROMPTS.items()
            },
            "music": {"0:default": ["jazz"]},
        }
        (folder / INDEX).write_text(json.dumps(index))
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(notify_port,), daemon=True)
        self._thread.start()
        assert self._started.wait(WAIT_SECONDS)

    def _compile(self, name: str, seconds: float) -> list[bytes]:
        """Write a prompt of known frames and return them."""
        frames = known_payload(seconds, seed=sum(name.encode()))
        for payload_type in (0, 8):
            (self.folder / f"{name}.{payload_type}").write_bytes(b"".join(frames))
        return frames

    def _run(self, notify_port: int) -> None:
        self.host = MediaHost(
            HostOptions(NAME, capacity=50),
            self.loop,
            ("127.0.0.1", 0),
            rtp=RtpClient(self.loop, [self.control]),
            notify=NotifyServer(self.loop, ("127.0.0.1", notify_port)),
            opener=Opener(self.loop, "127.0.0.1"),
            acd=self._port() if self._config is not None else self.acd,
            ivr=self.ivr,
            prompts=PromptFiles(self.folder, self.workers.submit),
            journal=self.story,
            rpc=lambda method, params, done: self.rpc_calls.append((method, params)),
            supervision=Supervisors("127.0.0.1"),
            accepts=lambda host: host == "127.0.0.1",
            next_hop=self._phone,
        )
        self.host.watch_silence()
        if self._config is not None:
            self.port.begin()
        self._started.set()
        self.loop.run()
        self.host.close()
        for link in self._links:
            link.close()
        self.loop.close()

    def _port(self) -> AcdPort:
        """Connect with the queues of the database, as the program does."""
        config = self._config
        assert config is not None

        def open_connection(listens: bool) -> Any:
            conn = connect(config, application_name=NAME, connect_timeout_ms=1000, statement_timeout_ms=2000)
            if listens:
                conn.execute(sql.SQL("LISTEN {}").format(sql.Identifier(f"host_{NAME}")))
            return conn

        for listens in (True, False):
            self._links.append(
                PgLink(
                    self.loop,
                    self.workers.submit,
                    partial(open_connection, listens),
                    on_up=(lambda: self.loop.call_soon(lambda: self.port.take())) if listens else None,
                    on_notify=(lambda: self.port.take()) if listens else None,
                )
            )
        self.port = AcdPort(self.loop, NAME, self._links, self.story, self, boot=uuid4())
        return self.port

    @property
    def load_data(self) -> dict[str, object]:
        """What a heartbeat says."""
        return self.host.load_data

    def callback(self, row: AcdRow) -> Entry | None:
        """Begin a callback."""
        return self.host.callback(row)

    def _phone(self, proxy: tuple[str, int], target: str) -> tuple[str, int]:
        """A phone stands for the proxy behind which it would be."""
        user, _, address = target.removeprefix("sip:").partition("@")
        host, found, port = address.partition(":")
        return self.route.get(user) or ((host, int(port)) if found else proxy)

    def call(self, phone: Phone, **arguments: str) -> Call:
        """Send the INVITE that a proxy would send."""
        words = {"tenant": "1", "queue": "7", "caller": "+74951234567"} | arguments
        text = ";".join(f"{name}={value}" for name, value in words.items())
        headers = [("X-KS-Call", str(uuid4())), ("X-KS-App", "hold_queue"), ("X-KS-Arg", text)]
        return phone.invite("sip:queue@kalibri.internal", headers=headers)

    def sessions_on_node(self) -> int:
        """Return how many RTP sessions the node has now."""
        counters = ask_counters(self.control, ["nsess_created", "nsess_complete"], 5)
        return int(counters["nsess_created"] - counters["nsess_complete"])

    def wait_packets(self, number: int) -> None:
        """Wait until the node has received so many RTP packets more."""
        before = ask_counters(self.control, ["npkts_rcvd"], 5)["npkts_rcvd"]
        deadline = time.monotonic() + WAIT_SECONDS
        while ask_counters(self.control, ["npkts_rcvd"], 5)["npkts_rcvd"] < before + number:
            assert time.monotonic() < deadline, "no packets came"
            time.sleep(0.02)

    def close(self) -> None:
        self.loop.stop()
        self._thread.join(WAIT_SECONDS)
        self.workers.close()
        assert not self._thread.is_alive()


@contextmanager
def media_rig(folder: Path, config: Config | None = None) -> Iterator[MediaRig]:
    """Start a node and a host; both are ended afterwards."""
    control, notify_port, first = ("127.0.0.1", free_port()), free_port(), free_port(even=True)
    command = [sys.executable, "-m", "rtpproxy_ctl.node", "--control", f"{control[0]}:{control[1]}"]
    command += ["--ports", f"{first}-{min(first + 400, 65_535)}", "--notify", f"tcp:127.0.0.1:{notify_port}"]
    command += ["--spool", str(folder / "spool"), "--recordings", str(folder / "rec")]
    node = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        _wait_ready(node, control)
        rig = MediaRig(folder, control, notify_port, config)
        try:
            yield rig
        finally:
            rig.close()
        assert rig.errors == []
    finally:
        node.terminate()
        node.wait(20)


def _wait_ready(node: subprocess.Popen[bytes], control: tuple[str, int]) -> None:
    for _ in range(200):
        assert node.poll() is None, "the node did not start"
        try:
            ask_version(control, 1)
        except Unavailable:
            select.select([], [], [], 0.05)
        else:
            return
    raise AssertionError("the node does not answer")
