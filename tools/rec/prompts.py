"""Keeps the prompts of this machine compiled: the system's at the start, those of the database as they change.

The work is done by a child, because speaking four hundred texts takes some seconds; ks-rec goes on meanwhile.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from callcore.errors import KalibriError
from kalibri.config import Config
from kalibri.db import Conn
from kalibri.services import prompt as prompts
from tools.rec.worker import fork_child, open_connection

log = logging.getLogger("ks-rec")

POLL_SECONDS = 2.0
#: After a failure (a full disk, a broken text) the next try waits.
RETRY_SECONDS = 60.0


@dataclass
class PromptKeeper:
    """Looks after the prompts of one machine."""

    config: Config
    #: Monotonic seconds.
    clock: Callable[[], float]
    _child: int = 0
    _built: bool = False
    _next: float = 0.0
    #: Why the last try failed; None: it did not.
    trouble: str | None = None

    def step(self, conn: Conn | None) -> bool:
        """Look whether something is to be compiled; True: a child must be forked now, by `start`."""
        if self._child:
            self._collect()
        if self._child or self.clock() < self._next:
            return False
        self._next = self.clock() + POLL_SECONDS
        if not self._built:
            return True
        return conn is not None and not prompts.is_synchronised(conn, self.config)

    def start(self) -> None:
        """Begin to compile, in a child."""
        self._child = fork_child(self._work)

    def stop(self) -> int:
        """Return the child to be ended, 0 if there is none."""
        return self._child

    def _collect(self) -> None:
        pid, status = os.waitpid(self._child, os.WNOHANG)
        if pid:
            self._child = 0
            self._built = self._built or status == 0
            self.trouble = None if status == 0 else "prompts cannot be compiled: see the log of ks-rec"
            if status:
                self._next = self.clock() + RETRY_SECONDS

    def _work(self) -> None:
        made = prompts.compile_system(self.config)
        if made:
            log.info("%d prompts of the system are compiled", made)
        try:
            with closing(open_connection(self.config, "prompts")) as conn:
                made = prompts.synchronise(conn, self.config)
        except KalibriError as error:
            log.warning("prompts of the database: %s", error)
        else:
            log.info("%d prompts of the database are compiled", made)
