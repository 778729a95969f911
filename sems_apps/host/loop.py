"""The one thread of a media host: sockets, timers, and what other threads hand in.

Replaces sippy's own event dispatcher, which wakes a hundred times a second and moves each datagram through
three threads. Nothing that blocks may run here. A callback that raises is reported and does no harm to others.
"""

from __future__ import annotations

import heapq
import os
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

Callback = Callable[[], None]
#: Told of an exception in a callback.
ErrorHook = Callable[[BaseException], None]


class Timer:
    """A callback that was asked for later."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callback) -> None:
        self.callback: Callback | None = callback

    def cancel(self) -> None:
        """Let it never run; harmless when it has run."""
        self.callback = None


class Loop:
    """Runs in the thread that calls `run`; only `call_from_thread` and `stop` may be called from another."""

    def __init__(self, on_error: ErrorHook, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._on_error, self._clock = on_error, clock
        self._selector = selectors.DefaultSelector()
        #: (when, order of asking, timer): tuples, because a heap compares them without Python.
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = 0
        self._soon: deque[Callback] = deque()
        self._from_threads: deque[Callback] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._selector.register(self._wake, selectors.EVENT_READ, self._woken)
        self._running = True
        self._thread: int | None = None

    # ---- asked from the loop's thread

    def now(self) -> float:
        """Return monotonic seconds."""
        return self._clock()

    def call_later(self, seconds: float, callback: Callback) -> Timer:
        """Run a callback after this time."""
        self._order += 1
        timer = Timer(callback)
        heapq.heappush(self._timers, (self._clock() + seconds, self._order, timer))
        return timer

    def call_soon(self, callback: Callback) -> None:
        """Run a callback when the present one has returned, before anything else is read."""
        self._soon.append(callback)

    def watch(self, file: Any, readable: Callback) -> None:
        """Run a callback whenever a file can be read."""
        self._selector.register(file, selectors.EVENT_READ, readable)

    def unwatch(self, file: Any) -> None:
        """Watch it no more; one that is not watched is no error."""
        with suppress(KeyError, ValueError):
            self._selector.unregister(file)

    # ---- asked from any thread

    def call_from_thread(self, callback: Callback) -> None:
        """Run a callback on the loop, in the order of these calls."""
        self._from_threads.append(callback)
        with suppress(BlockingIOError, OSError):
            os.eventfd_write(self._wake, 1)

    def stop(self) -> None:
        """Let `run` return."""
        self._running = False
        self.call_from_thread(lambda: None)

    def run_in_loop(self, action: Callable[[], Any], timeout: float = 10.0) -> Any:
        """Run something on the loop from another thread and return its result; for tests and tools."""
        done = threading.Event()
        result: list[Any] = [None, None]

        def call() -> None:
            try:
                result[0] = action()
            except BaseException as error:  # handed to the thread that asked
                result[1] = error
            done.set()

        self.call_from_thread(call)
        if not done.wait(timeout):
            raise TimeoutError("the loop does not turn")
        if result[1] is not None:
            raise result[1]
        return result[0]

    # ---- the loop

    def run(self) -> None:
        """Run until `stop`."""
        while self._running:
            self._run_soon()
            self._run_timers()
            self._run_soon()
            for key, _ in self._selector.select(self._patience()):
                self._call(key.data)
                self._run_soon()

    def close(self) -> None:
        """Give everything back, after `run` has returned."""
        self._selector.close()
        os.close(self._wake)

    def _patience(self) -> float | None:
        if self._soon or self._from_threads:
            return 0.0
        timers = self._timers
        while timers and timers[0][2].callback is None:
            heapq.heappop(timers)
        return max(0.0, timers[0][0] - self._clock()) if timers else None

    def _run_timers(self) -> None:
        timers = self._timers
        if not timers:
            return
        now = self._clock()
        while timers and timers[0][0] <= now:
            timer = heapq.heappop(timers)[2]
            callback, timer.callback = timer.callback, None
            if callback is not None:
                self._call(callback)
                self._run_soon()

    def _run_soon(self) -> None:
        while self._soon:
            self._call(self._soon.popleft())

    def _woken(self) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        while self._from_threads:
            self._call(self._from_threads.popleft())
            self._run_soon()

    def _call(self, callback: Callback) -> None:
        try:
            callback()
        # Whatever a callback did wrong concerns its own call; the others must go on.
        except Exception as error:
            self._on_error(error)
