"""One media host as a process.

python -m sems_apps.host.main --name media-1 [--home DIRECTORY] [--config FILE]

Wires sockets, database, files and the clock to the host, and turns SIGTERM into a clean end: no new calls, the
conversations are waited for, waiting callers keep their place.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import sys
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import click

from kalibri.config import Config
from kalibri.db import connect
from kalibri.heartbeat import Heartbeat
from kalibri.journal import JournalWriter
from kalibri.program import daemon_options
from kalibri.prompt_index import INDEX
from sems_apps.host.acd_port import SQL, AcdPort
from sems_apps.host.dial_port import DialPort
from sems_apps.host.ears import EarsClient
from sems_apps.host.host import HostOptions, MediaHost
from sems_apps.host.ivr_port import IvrPort
from sems_apps.host.loop import Loop
from sems_apps.host.mailbox_port import MailboxPort
from sems_apps.host.notify import NotifyServer
from sems_apps.host.opener import Opener
from sems_apps.host.park_port import ParkPort
from sems_apps.host.pg_link import PgLink, Rows
from sems_apps.host.prompts import PromptFiles
from sems_apps.host.proxies import Proxies
from sems_apps.host.rtp_client import RtpClient
from sems_apps.host.supervision import Supervisors
from sems_apps.host.workers import Workers

log = logging.getLogger("media")

#: How often the directory of prompts and our own node row are looked at.
LOOK_SECONDS = 2.0
PROXIES_SECONDS = 5.0
CONNECT_MS = 1000
#: Voice messages that are made ready, and PINs that are compared, at once.
MAILBOX_WORKERS = 3
#: Web servers that are asked at once.
LOOKUP_WORKERS = 32
#: A call leaves few circles behind (sippy breaks its own): the collector looks less often than by default.
GC_THRESHOLDS = (20_000, 20, 20)
STATEMENT_MS = 1500


class Program:
    """One media host with everything that it needs."""

    def __init__(self, config: Config, name: str) -> None:
        """Open the sockets; raises OSError when an address is in use."""
        self._config, self._name = config, name
        self.loop = Loop(_report)
        self._workers = Workers(self.loop)
        #: Connecting to a database that restarts takes a second each time, and music must begin meanwhile.
        self._connecting = Workers(self.loop, config.media.connections + 1)
        #: Web servers of scenarios may be slow: what waits for them must not keep files waiting.
        self._lookups = Workers(self.loop, LOOKUP_WORKERS)
        self._mailbox_work = Workers(self.loop, MAILBOX_WORKERS)
        self._beat = Heartbeat(config.run_directory, name)
        self._node = f"{config.node_name}-{name}"
        media = config.media
        address = media.listen_address, config.media_port(name)
        self._files = PromptFiles(config.prompt_directory, self._workers.submit)
        controllers = [config.rtp_controller_ports(n) for n in range(1, config.rtp.controllers + 1)]
        self._rtp = RtpClient(self.loop, [(ports.address, ports.control) for ports in controllers])
        self._proxies = Proxies({config.proxy.listen_address, "127.0.0.1", "::1"})
        self._boot = uuid.uuid4()
        self._links: list[PgLink] = []
        self._links.extend(self._link(number) for number in range(media.connections))
        journal = JournalWriter(config.journal_directory, config.node_name, name)
        proxy = config.proxy.listen_address
        options = HostOptions(
            self._node,
            media.capacity,
            ("127.0.0.1" if proxy in ("0.0.0.0", "::") else proxy, config.proxy.internal_port),
        )
        self.host = MediaHost(
            options,
            self.loop,
            address,
            rtp=self._rtp,
            notify=NotifyServer(self.loop, address),
            opener=Opener(self.loop, media.listen_address),
            acd=self._acd(journal),
            ivr=IvrPort(self.loop, self._links, journal, self._rpc, self._lookups.submit),
            prompts=self._files,
            journal=journal,
            rpc=self._rpc,
            supervision=Supervisors(media.listen_address),
            accepts=self._proxies.accepts,
            next_hop=self._proxies.next_hop,
            proxy_silent=self._proxies.silent,
        )
        self._dial_link = self._link_for_dialling()
        self.dialling = DialPort(self.loop, self._node, self._dial_link, lambda: self.host, boot=self._boot)
        self.host.dialling = self.dialling
        self._parking = ParkPort(self.loop, self._node, self._links)
        self.host.parking = self._parking
        self._mailboxes = MailboxPort(self.loop, config, self._node, self._links, self._mailbox_work.submit)
        self.host.mailboxes = self._mailboxes
        if config.ears.enabled:
            self.host.ears = EarsClient(self.loop, config.ears_socket)
        self._serial = 0
        self._stamp: object = None

    def _acd(self, journal: JournalWriter) -> AcdPort:
        self.acd = AcdPort(self.loop, self._node, self._links, journal, self, boot=self._boot)
        return self.acd

    def _link(self, number: int) -> PgLink:
        """The first connection listens for commands as well."""
        listens = number == 0

        def open_connection() -> Any:
            conn = connect(
                self._config,
                application_name=f"{self._node} {number}",
                connect_timeout_ms=CONNECT_MS,
                statement_timeout_ms=STATEMENT_MS,
            )
            if listens:
                conn.execute(_listen(self._node))
            return conn

        return PgLink(
            self.loop,
            self._connecting.submit,
            open_connection,
            on_up=self._database_is_back if listens else None,
            on_notify=self._notified if listens else None,
        )

    def _link_for_dialling(self) -> PgLink:
        """A connection of its own: what campaigns tell must not delay what callers wait for."""

        def open_connection() -> Any:
            conn = connect(
                self._config,
                application_name=f"{self._node} dial",
                connect_timeout_ms=CONNECT_MS,
                statement_timeout_ms=STATEMENT_MS,
            )
            conn.execute("LISTEN dial_order")
            return conn

        def take() -> None:
            self.loop.call_soon(lambda: self.dialling.take())

        return PgLink(self.loop, self._connecting.submit, open_connection, on_up=take, on_notify=take)

    def _database_is_back(self) -> None:
        self.loop.call_soon(lambda: self.acd.take())

    def _notified(self) -> None:
        self.acd.take()

    # ---- what the ACD port needs of the host

    @property
    def load_data(self) -> dict[str, object]:
        """What a heartbeat says."""
        return self.host.load_data

    def callback(self, row: Any) -> Any:
        """Begin a callback."""
        return self.host.callback(row)

    # ---- RTP controller

    def _rpc(self, method: str, params: dict[str, Any], done: Callable[[Any], None]) -> None:
        """Call a method of the controller (JSON-RPC on its command socket)."""
        self._serial += 1
        request = {"jsonrpc": "2.0", "id": self._serial, "method": method, "params": params}

        def answered(text: str | None) -> None:
            with suppress(ValueError, TypeError):
                done(json.loads(text or "null").get("result"))
                return
            done(None)

        self._rtp.request(json.dumps(request, separators=(",", ":")), answered)

    # ---- running

    def run(self) -> None:
        """Run until SIGTERM."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.loop.call_from_thread(self._stop))
        self.acd.begin()
        self.dialling.begin()
        self._parking.begin()
        self._mailboxes.begin()
        self.host.watch_silence()
        self._look()
        self._read_proxies()
        gc.collect()
        gc.freeze()  # what is there now stays: the collector need not look at it again and again
        gc.set_threshold(*GC_THRESHOLDS)
        log.info("%s listens at %s", self._node, self.host.stack.address)
        self.loop.run()
        self.host.close()
        for link in (*self._links, self._dial_link):
            link.close()
        for workers in (self._workers, self._connecting, self._lookups, self._mailbox_work):
            workers.close()
        self.loop.close()

    def _stop(self) -> None:
        log.info("stopping: %d calls", len(self.host.sessions))
        self.host.stop(self._config.media.stop_seconds, self.loop.stop)

    def _look(self) -> None:
        """Give a sign of life, follow the index of prompts and our node row."""
        with suppress(OSError):
            self._beat.beat(f"{len(self.host.sessions)} calls")
        self._workers.submit(self._prompts_stamp, self._follow_prompts)
        self._links[-1].execute(SQL["own_node"], {"holder": self._node}, self._set_draining)
        self.loop.call_later(LOOK_SECONDS, self._look)

    def _prompts_stamp(self) -> object:
        """Return what changes with the index of prompts; in a worker."""
        with suppress(OSError):
            status = (self._config.prompt_directory / INDEX).stat()
            return status.st_ino, status.st_mtime_ns
        return None

    def _follow_prompts(self, stamp: object) -> None:
        if stamp != self._stamp:
            self._stamp = stamp
            self._files.forget()

    def _set_draining(self, rows: Rows | None) -> None:
        if rows and not self.host.is_stopping:
            self.host.draining = rows[0][0] == "t"

    def _read_proxies(self) -> None:
        self._links[-1].execute(SQL["proxies"], {}, self._set_proxies)
        self.loop.call_later(PROXIES_SECONDS, self._read_proxies)

    def _set_proxies(self, rows: Rows | None) -> None:
        if rows:
            self._proxies.set((address, None if lives is None else lives == "t") for address, lives in rows)


def _listen(node: str) -> Any:
    from psycopg import sql

    return sql.SQL("LISTEN {}").format(sql.Identifier(f"host_{node}"))


def _report(error: BaseException) -> None:
    log.error("a callback failed", exc_info=error)


@click.command(help=(__doc__ or "").partition("\n\n")[0])
@click.option("--name", required=True, help="media-1, media-2 …")
@daemon_options
def main(config: Config, name: str) -> None:
    """Run the media host until SIGTERM."""
    if not name.removeprefix("media-").isdecimal():
        raise click.BadParameter("write media-1, media-2 …", param_hint="--name")
    config.run_directory.mkdir(parents=True, exist_ok=True)
    try:
        program = Program(config, name)
    except OSError as error:
        raise click.ClickException(f"{name} cannot listen: {error}") from error
    program.run()
    sys.stdout.flush()
    os._exit(0)  # the interpreter's own end waits for threads of libraries that have none of our work left


if __name__ == "__main__":
    main()
