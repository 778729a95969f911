"""Follows the table `node` while the controller runs, and writes the live figures of the nodes back. Shell, a thread.

NOTIFY kalibri_change is a hint, a look every POLL_SECONDS the net. What was seen last is kept in a file, so a
controller starts without the database; if there is no file either, it begins with this host's own nodes.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import select
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from callcore.errors import BadInput, KalibriError
from callcore.states import NodeKind
from kalibri.config import Config
from kalibri.db import Conn, connect
from kalibri.services import node as table
from rtpproxy_ctl.controller.nodes import NodeSpec

log = logging.getLogger("rtpc")

POLL_SECONDS = 1.0
#: How often the figures are written.
REPORT_SECONDS = 2.0
#: What a node may carry that does not tell how many ports it has.
MOST_SESSIONS = 1_000_000
CONNECT_TIMEOUT_MS, STATEMENT_TIMEOUT_MS = 3000, 5000

Reports = Callable[[], list[dict[str, Any]]]


class NodeTable:
    """The thread that talks to the database."""

    def __init__(
        self, config: Config, copy: Path, apply: Callable[[list[NodeSpec]], None], reports: Reports
    ) -> None:
        """apply: takes the nodes whenever they have changed. reports: the figures to write. Both must be safe to
        call from the thread."""
        self._config, self._copy, self._apply, self._reports = config, copy, apply, reports
        self._known: list[NodeSpec] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="node-table", daemon=True)
        self._broken = False

    def begin(self) -> list[NodeSpec]:
        """Return the nodes as they were last seen, and begin to follow them."""
        self._known = self._remembered()
        self._thread.start()
        return self._known

    def stop(self) -> None:
        """End the thread; waits a moment for it."""
        self._stop.set()
        self._thread.join(2.0)

    def _remembered(self) -> list[NodeSpec]:
        try:
            return [NodeSpec.from_json(row) for row in json.loads(self._copy.read_text(encoding="utf-8"))]
        except (OSError, ValueError, TypeError, BadInput) as error:
            log.info("no copy of the node table (%s): this host's own nodes", error)
        rows = [row for row in table.own_nodes(self._config) if row["kind"] == NodeKind.RTP]
        specs = (spec_of(self._config, {"enabled": True, "draining": False, **row}) for row in rows)
        return [spec for spec in specs if spec is not None]

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with connect(
                    self._config,
                    application_name="rtpc",
                    connect_timeout_ms=CONNECT_TIMEOUT_MS,
                    statement_timeout_ms=STATEMENT_TIMEOUT_MS,
                ) as conn:
                    self._follow(conn)
            except (KalibriError, psycopg.Error, OSError) as error:
                if not self._broken:
                    log.warning("the node table cannot be read, the last copy serves: %s", error)
                self._broken = True
            self._stop.wait(POLL_SECONDS)

    def _follow(self, conn: Conn) -> None:
        conn.execute("SET synchronous_commit = off")  # a heartbeat is worth no wait for the disk
        conn.execute("LISTEN kalibri_change")
        report_at = 0.0
        while not self._stop.is_set():
            self._look(conn)
            if self._broken:
                log.info("the node table can be read again")
                self._broken = False
            if time.monotonic() >= report_at:
                report_at = time.monotonic() + REPORT_SECONDS
                table.report(conn, reports=self._reports())
            _wait_for_notify(conn)

    def _look(self, conn: Conn) -> None:
        rows = table.list_nodes(conn, kind=NodeKind.RTP)
        specs = [spec for row in rows if (spec := spec_of(self._config, vars(row))) is not None]
        if specs == self._known:
            return
        self._known = specs
        self._apply(specs)
        part = self._copy.with_name(self._copy.name + ".new")
        part.write_text(json.dumps([spec.to_json() for spec in specs], indent=1) + "\n", encoding="utf-8")
        part.rename(self._copy)


def _wait_for_notify(conn: Conn) -> None:
    """Wait until something is told or POLL_SECONDS are over."""
    for _ in conn.notifies(timeout=0):
        return
    select.select([conn.fileno()], [], [], POLL_SECONDS)


def spec_of(config: Config, row: dict[str, Any]) -> NodeSpec | None:
    """Make a node of a row of the table; None for one that cannot be reached at all."""
    data = row["data"]
    own = row["host"] == config.node_name
    transport, _, rest = row["address"].partition(":")
    host, _, port = rest.rpartition(":")
    if transport != "udp":
        log.warning("node %s: controllers speak to nodes over udp, not %s", row["name"], row["address"])
        return None
    try:
        address = (_resolved(host), int(port))
    except (OSError, ValueError) as error:
        log.warning("node %s: %s", row["name"], error)
        return None
    return NodeSpec(
        name=row["name"],
        host=row["host"],
        address=address,
        enabled=row["enabled"],
        draining=row["draining"],
        weight=row.get("weight", table.DEFAULT_WEIGHT),
        capacity=min(row.get("capacity", table.DEFAULT_CAPACITY), data.get("most_sessions", MOST_SESSIONS)),
        spool=Path(data["spool"]) if own and data.get("spool") else None,
        recordings=Path(data["recordings"]) if own and data.get("recordings") else None,
        notifies=data.get("notifies") is True and own,
    )


def _resolved(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)[0][4][0])
