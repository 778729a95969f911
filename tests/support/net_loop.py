"""One thread with a selector and timers, on which the phones, carriers and RTP peers of a test live.

All state of a phone is changed on this thread only. The test's own thread asks for actions with `run` and
waits for conditions with `wait`; it never sleeps. An error raised in a callback is kept and raised in the
test at its next `wait`.
"""

from __future__ import annotations

import heapq
import itertools
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")
Readiness = Callable[[int], None]


class WaitTimeout(AssertionError):
    """The condition did not come true in time."""


class Timer:
    """A callback in the future; `cancel` makes it never happen."""

    def __init__(self, due: float, action: Callable[[], None]) -> None:
        self.due = due
        self._action: Callable[[], None] | None = action

    def cancel(self) -> None:
        """Forget the callback (harmless when it ran already)."""
        self._action = None

    def fire(self) -> None:
        """Run the callback, at most once."""
        action, self._action = self._action, None
        if action:
            action()


class NetLoop:
    """Event loop on a thread of its own.

    with NetLoop() as loop:
        phone = Phone(loop, ...)
        loop.wait(lambda: phone.calls, 5, "a call")
    """

    def __init__(self, name: str = "net-loop") -> None:
        self.errors: list[BaseException] = []
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._jobs: deque[Callable[[], None]] = deque()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._selector.register(self._wake_in, selectors.EVENT_READ, self._drain_wake)
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def __enter__(self) -> NetLoop:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if kind is None:
            self.check()

    def now(self) -> float:
        """Return the clock of timers and of received packets (monotonic seconds)."""
        return time.monotonic()

    def run(self, action: Callable[[], T], timeout: float = 10.0) -> T:
        """Run `action` on the loop's thread and return its result (directly when already there)."""
        if threading.current_thread() is self._thread:
            return action()
        future: Future[T] = Future()
        self.post(lambda: _resolve(future, action))
        return future.result(timeout)

    def post(self, action: Callable[[], None]) -> None:
        """Run `action` on the loop's thread soon, without waiting."""
        self._jobs.append(action)
        with suppress(BlockingIOError, OSError):  # a full pipe means that the loop is awake already
            self._wake_out.send(b"x")

    def after(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Run `action` on the loop's thread in `seconds`; call it on the loop's thread only."""
        timer = Timer(self.now() + seconds, action)
        heapq.heappush(self._timers, (timer.due, next(self._order), timer))
        return timer

    def watch(self, sock: socket.socket, events: int, ready: Readiness) -> None:
        """Call `ready(events)` when `sock` is ready; replaces an earlier watch of the same socket."""
        if sock in self._selector.get_map():
            self._selector.modify(sock, events, ready)
        else:
            self._selector.register(sock, events, ready)

    def unwatch(self, sock: socket.socket) -> None:
        """Stop watching `sock` (harmless when it is not watched)."""
        with suppress(KeyError, ValueError):
            self._selector.unregister(sock)

    def wait(self, condition: Callable[[], T], timeout: float = 5.0, what: str | Callable[[], str] = "") -> T:
        """Wait until `condition()` is true and return its value.

        Raises what a callback raised meanwhile, or `WaitTimeout` naming `what` (a text, or a function that
        makes one).
        """
        deadline = self.now() + timeout
        with self._changed:
            while True:
                self.check()
                value = condition()
                if value:
                    return value
                left = deadline - self.now()
                if left <= 0:
                    raise WaitTimeout(f"not within {timeout:g} s: {what() if callable(what) else what}")
                self._changed.wait(left)

    def check(self) -> None:
        """Raise the first error that a callback left behind."""
        if self.errors:
            raise self.errors.pop(0)

    def changed(self) -> None:
        """Wake everybody who waits for a condition (done by itself after each round of callbacks)."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Stop the thread; sockets stay with their owners, who close them before."""
        if self._thread.is_alive():
            self.post(self._stop)
            self._thread.join(5)
        self._selector.close()
        self._wake_in.close()
        self._wake_out.close()

    def _stop(self) -> None:
        self._stopping = True

    def _drain_wake(self, _events: int) -> None:
        with suppress(BlockingIOError):
            while self._wake_in.recv(4096):
                pass

    def _work(self) -> None:
        while not self._stopping:
            for key, events in self._selector.select(self._next_due()):
                if self._is_watched(key.fileobj):  # an earlier callback may have closed it
                    self._guard(lambda key=key, events=events: key.data(events))  # type: ignore[misc]
            self._run_jobs()
            self._fire_timers()
            self.changed()

    def _is_watched(self, sock: Any) -> bool:
        return sock.fileno() >= 0 and sock in self._selector.get_map()

    def _next_due(self) -> float | None:
        if self._jobs:
            return 0
        return max(0.0, self._timers[0][0] - self.now()) if self._timers else None

    def _run_jobs(self) -> None:
        for _ in range(len(self._jobs)):
            self._guard(self._jobs.popleft())

    def _fire_timers(self) -> None:
        now = self.now()
        while self._timers and self._timers[0][0] <= now:
            self._guard(heapq.heappop(self._timers)[2].fire)

    def _guard(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:
            self.errors.append(error)


def _resolve(future: Future[T], action: Callable[[], T]) -> None:
    try:
        future.set_result(action())
    except BaseException as error:
        future.set_exception(error)
