"""Ends calls whose media is lost: asks this host's Kamailio to end their dialogs, which sends BYE to both. A thread.

By the ids that the proxy's own commands carried (SIP Call-ID and tags), so no list of dialogs is searched.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from pathlib import Path

from callcore.errors import KalibriError, Unavailable
from kalibri.rpc import KamailioRpc

log = logging.getLogger("rtpc")

ATTEMPTS = 3
PAUSE_SECONDS = 1.0


class DialogEnder:
    """Takes orders from the reactor and carries them out one after the other."""

    def __init__(self, rpc_socket: Path) -> None:
        self._rpc_socket = rpc_socket
        self._orders: queue.SimpleQueue[tuple[str, str, str] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="dialogs", daemon=True)
        self.ended = self.failed = 0

    def begin(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread when its orders are done; waits a moment for it."""
        self._orders.put(None)
        self._thread.join(2.0)

    def end(self, sip_call_id: str, from_tag: str, to_tag: str) -> None:
        """Have a dialog ended."""
        self._orders.put((sip_call_id, from_tag, to_tag))

    def _run(self) -> None:
        with KamailioRpc(self._rpc_socket) as rpc:
            while (order := self._orders.get()) is not None:
                self._end(rpc, order)

    def _end(self, rpc: KamailioRpc, order: tuple[str, str, str]) -> None:
        for attempt in range(ATTEMPTS):
            try:
                rpc.call("dlg.terminate_dlg", *order)
                self.ended += 1
                return
            except Unavailable as error:
                log.warning("ending the call %s: %s", order[0], error)
                if attempt + 1 < ATTEMPTS:
                    time.sleep(PAUSE_SECONDS)
            except KalibriError as error:  # it was never answered, or has ended meanwhile
                log.info("the call %s is not ended: %s", order[0], error)
                break
        self.failed += 1
