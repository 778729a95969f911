"""Work that blocks (files), away from the loop: a small pool of threads, results told on the loop."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sems_apps.host.loop import Loop

log = logging.getLogger("media")


class Workers:
    """Threads that do what must not be done on the loop."""

    def __init__(self, loop: Loop, count: int = 2) -> None:
        self._loop = loop
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="media-worker")

    def submit(self, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        """Do the work, then tell its result on the loop; None when it raised."""

        def run() -> None:
            try:
                result = work()
            # It is logged, and whoever waits gets None.
            except Exception:
                log.exception("work failed")
                result = None
            self._loop.call_from_thread(lambda: done(result))

        self._pool.submit(run)

    def close(self) -> None:
        """Wait for what is being done."""
        self._pool.shutdown(wait=True, cancel_futures=True)
