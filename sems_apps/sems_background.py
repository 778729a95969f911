"""What a SEMS application needs beside its calls, in one thread of its own: database, controller; and its WAV files.

The thread runs the same loop, ACD port and database connections as the embedded host. Calls hand work in and are told
by messages; nothing here ever touches a session object. SEMS plays files with a header, so each compiled prompt gets a
twin with one (A-law in a WAV), made once.
"""

from __future__ import annotations

import json
import logging
import struct
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from psycopg import sql

from kalibri.config import Config, load_config
from kalibri.db import connect
from kalibri.journal import JournalWriter
from sems_apps.actions import Action
from sems_apps.events import Event
from sems_apps.host.acd_port import AcdPort
from sems_apps.host.acd_rows import AcdRow
from sems_apps.host.ivr_port import IvrPort
from sems_apps.host.loop import Loop
from sems_apps.host.pg_link import PgLink
from sems_apps.host.ports import Clip, Entry
from sems_apps.host.prompts import PromptFiles
from sems_apps.host.rtp_client import RtpClient
from sems_apps.host.workers import Workers
from sems_apps.sounds import Sound

log = logging.getLogger("media")

PCMA = 8
WAVE_FORMAT_ALAW = 6
CAPACITY = 300
#: Web servers that are asked at once.
LOOKUP_WORKERS = 16
#: Prompts may have been changed since.
LOOK_SECONDS = 2.0


class _Caller:
    """A call of SEMS as the IVR port sees it."""

    def __init__(self, entry: Entry, journal: JournalWriter) -> None:
        self.entry, self._journal = entry, journal

    def post(self, event: Event) -> None:
        """Give the call an event, through its mailbox."""
        self.entry.post(event)

    def tell(self, kind: str, **data: object) -> None:
        """Write into the call's story."""
        self._journal.event(kind, call=self.entry.call, tenant=self.entry.tenant or None, **data)


class SemsBackground:
    """The thread beside the calls of one SEMS."""

    def __init__(self, config: Config, name: str) -> None:
        self._config, self._name = config, name
        self._calls = 0
        self._lock = threading.Lock()
        self._ready = threading.Event()
        self._loop = Loop(lambda error: log.error("a callback failed", exc_info=error))
        self._files = PromptFiles(config.prompt_directory, lambda work, done: done(work()))
        self._wave_lock = threading.Lock()
        self._looked = 0.0
        self._acd: AcdPort | None = None
        self._ivr: IvrPort | None = None

    def run(self) -> None:
        """Run; SEMS starts this in a thread once all scripts are loaded."""
        workers = Workers(self._loop, 1)
        links = [self._link(workers, number) for number in range(2)]
        journal = JournalWriter(self._config.journal_directory, self._config.node_name, self._name)
        controllers = [self._config.rtp_controller_ports(n + 1) for n in range(self._config.rtp.controllers)]
        self._rtp = RtpClient(self._loop, [(ports.address, ports.control) for ports in controllers])
        self._acd = AcdPort(self._loop, self._name, links, journal, self, boot=uuid.uuid4())
        self._journal = journal
        lookups = Workers(self._loop, LOOKUP_WORKERS)
        self._ivr = IvrPort(self._loop, links, journal, self._rpc, lookups.submit)
        self._acd.begin()
        self._ready.set()
        self._loop.run()

    def _link(self, workers: Workers, number: int) -> PgLink:
        def open_connection() -> Any:
            conn = connect(self._config, application_name=f"{self._name} {number}", statement_timeout_ms=1500)
            if number == 0:
                conn.execute(sql.SQL("LISTEN {}").format(sql.Identifier(f"host_{self._name}")))
            return conn

        def take() -> None:
            if self._acd is not None:
                self._acd.take()

        return PgLink(self._loop, workers.submit, open_connection, on_notify=take if number == 0 else None)

    # ---- called by the calls' threads

    def perform(self, entry: Entry, action: Action) -> None:
        """Give an action to the ACD."""
        self._later(lambda acd: acd.perform(entry, action))

    def forget(self, entry: Entry) -> None:
        """The session is over."""
        self._later(lambda acd: acd.forget(entry))

    def ask(self, entry: Entry, action: Action) -> None:
        """Give an action of a scenario to the world."""

        def perform() -> None:
            if self._ivr is not None:
                self._ivr.perform(_Caller(entry, self._journal), action)

        self._loop.call_from_thread(perform)

    def _rpc(self, method: str, params: dict[str, Any], done: Callable[[Any], None]) -> None:
        """Call a method of the controller; done with its result or None. On the loop."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}

        def answered(text: str | None) -> None:
            try:
                result = json.loads(text or "null").get("result")
            except (ValueError, AttributeError):
                result = None
            done(result)

        self._rtp.request(json.dumps(request, separators=(",", ":")), answered)

    def _later(self, work: Any) -> None:
        self._loop.call_from_thread(lambda: work(self._acd) if self._acd is not None else None)

    def record(self, call: str, on: bool) -> None:
        """Ask the RTP controller to record, or to stop."""
        request = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "record.start" if on else "record.stop",
            "params": {"call": call, "by": "queue"},
        }
        self._loop.call_from_thread(lambda: self._rtp.request(json.dumps(request), lambda text: None))

    def find(self, tenant: int, sounds: tuple[Sound, ...], language: str) -> str | None:
        """Return the WAV file of these sounds; made now if it is not there. In a call's own thread."""
        found: list[Clip | None] = []
        with self._wave_lock:
            if time.monotonic() - self._looked > LOOK_SECONDS:
                self._looked = time.monotonic()
                self._files.forget()
            self._files.find(tenant, sounds, language, PCMA, found.append)
            return wave_twin(found[0].path) if found[0] is not None else None

    # ---- what the ACD port asks

    @property
    def load_data(self) -> dict[str, object]:
        """What a heartbeat says."""
        return {"load": 0.0, "calls": self._calls, "capacity": CAPACITY, "draining": False, "kind": "sems"}

    def callback(self, row: AcdRow) -> Entry | None:
        """SEMS hosts make no callbacks: the ACD finds another host."""
        return None


def wave_twin(path: str) -> str:
    """Return a WAV file with the A-law frames of a compiled prompt; raises OSError."""
    source, target = Path(f"{path}.{PCMA}"), Path(f"{path}.wav")
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        frames = source.read_bytes()
        temporary = target.with_suffix(f".{threading.get_ident()}")
        temporary.write_bytes(wave_header(len(frames)) + frames)
        temporary.rename(target)
    return str(target)


def wave_header(length: int) -> bytes:
    """Return the header of a WAV file with so many bytes of A-law at 8000 Hz, mono."""
    form = struct.pack("<HHIIHHH", WAVE_FORMAT_ALAW, 1, 8000, 8000, 1, 8, 0)
    body = b"WAVE" + b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", length)
    return b"RIFF" + struct.pack("<I", len(body) + length) + body


def configuration(settings: Mapping[str, str]) -> tuple[Config, str]:
    """Read <script>.conf: home, name. Return the instance's configuration and the name of the node row."""
    home = settings.get("home")
    config = load_config(overrides={"home": home} if home else {})
    return config, settings.get("name") or f"{config.node_name}-media-sems"


def start(settings: Mapping[str, str]) -> SemsBackground:
    """Make the background from <script>.conf."""
    return SemsBackground(*configuration(settings))
