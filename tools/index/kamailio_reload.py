"""Telling Kamailio that its own tables changed: gateways that it probes, trunks that it registers.

Decides when to ask (only when a fingerprint of the table changed) and keeps asking until the proxy has
obeyed, over restarts of ks-index too. Never waits long: a proxy that is down loads its tables itself.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from callcore.errors import KalibriError
from kalibri.files import write_replacing
from kalibri.rpc import KamailioRpc
from kalibri.services.index_build import KamailioTables

log = logging.getLogger(__name__)

#: What Kamailio is asked when the fingerprint of this name changed.
METHODS: Mapping[str, str] = {"dispatcher": "dispatcher.reload", "uacreg": "uac.reg_reload"}
TIMEOUT_SECONDS = 0.5
RETRY_SECONDS = 2.0
STATE_FILE = "kamailio_reload.json"


class KamailioReload:
    """What Kamailio was told and what it still has to be told."""

    def __init__(
        self, socket_path: Path, index_dir: Path, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """socket_path: Kamailio's JSON-RPC datagram socket. clock: monotonic seconds."""
        self._socket_path = socket_path
        self._state_path = index_dir / STATE_FILE
        self._clock = clock
        self._told = self._read()
        self._wanted = dict(self._told)
        self._retry_at = 0.0
        self._last_problem = ""

    def _read(self) -> dict[str, str]:
        try:
            state = json.loads(self._state_path.read_bytes())
            return {name: str(state[name]) for name in METHODS if name in state}
        except (OSError, ValueError, TypeError):
            return {}

    def want(self, tables: KamailioTables) -> None:
        """Note how the tables are now."""
        self._wanted = asdict(tables)

    @property
    def pending(self) -> list[str]:
        """The tables that Kamailio has to load again."""
        return [name for name in METHODS if self._wanted.get(name) != self._told.get(name)]

    def try_now(self) -> None:
        """Ask for what is pending, unless the last attempt failed a moment ago."""
        if not self.pending or self._clock() < self._retry_at:
            return
        try:
            with KamailioRpc(self._socket_path, timeout_seconds=TIMEOUT_SECONDS) as rpc:
                for name in self.pending:
                    rpc.call(METHODS[name])
                    self._told[name] = self._wanted[name]
                    write_replacing(self._state_path, json.dumps(self._told).encode())
                    log.info("Kamailio loaded its table %s again", name)
            self._last_problem = ""
        except KalibriError as error:
            self._retry_at = self._clock() + RETRY_SECONDS
            if error.message != self._last_problem:
                log.warning("Kamailio has not loaded its tables yet, retried: %s", error.message)
                self._last_problem = error.message
