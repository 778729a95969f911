"""What one Kamailio process holds: configuration, journal, directory, the KSR port. Made once per process, lazily.

Kamailio imports the script before it forks (style.md 2), so nothing here opens a file or reads a clock at import;
a process is recognised by its pid, and each opens its own journal and its own view of the index.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from callcore.ids import TICKS_PER_MS, uuid7_text
from kalibri.config import Config
from kalibri.journal import JournalWriter
from kemi.acd_database import AcdDatabase
from kemi.directory import Directory
from kemi.ksr_port import KsrPort
from kemi.relay_sockets import RelaySockets
from kemi.rtp_control import RtpControl


@dataclass(slots=True)
class Worker:
    """The tools of a Kamailio process; shells get it as their first argument."""

    port: KsrPort
    config: Config
    journal: JournalWriter
    directory: Directory
    secret: bytes
    pid: int
    journal_directory: Path
    #: Orders to the RTP controllers.
    rtp: RtpControl
    relay_sockets: RelaySockets
    acd: AcdDatabase
    #: What this process still does for the message, once nobody waits for it any more.
    later: list[Callable[[], None]] = field(default_factory=list)

    def now(self) -> datetime:
        """Return the wall-clock time."""
        return datetime.now(UTC)

    def new_call_id(self) -> str:
        """Make the id of a new call: a UUIDv7 as text."""
        ticks = time.time_ns() * TICKS_PER_MS // 1_000_000
        return uuid7_text(ticks, int.from_bytes(os.urandom(8), "big") >> 2)

    def refresh_directory(self) -> Directory:
        """Return the directory in its newest generation."""
        if self.directory.refresh():
            self.show_generation()
        return self.directory

    def show_generation(self) -> None:
        """Tell which index generation this process serves, in the shared table "worker"."""
        self.port.table_set("worker", str(self.pid), str(self.directory.generation))


def make_worker(port: KsrPort, config: Config) -> Worker:
    """Open what a process needs. Raises kalibri errors when configuration or index cannot be read."""
    secret_file = config.secrets_directory / "kamailio_auth"
    worker = Worker(
        port=port,
        config=config,
        journal=JournalWriter(config.journal_directory, config.node_name, "kamailio"),
        directory=Directory.open(config.index_directory),
        secret=secret_file.read_bytes().strip(),
        pid=os.getpid(),
        journal_directory=config.journal_directory,
        rtp=RtpControl(config),
        relay_sockets=RelaySockets(config.relay_controls),
        acd=AcdDatabase.of(config),
    )
    worker.show_generation()
    return worker
