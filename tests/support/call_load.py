"""Calls at a steady rate, placed on the loop of the phones: what faults are tried under.

    load = CallLoad(net_loop, carrier, "sip:7200@127.0.0.1:5060", rate=10)   # places calls from now on
    ...                                                                     # the fault
    load.stop()
    load.wait_ended(30)
    assert load.codes() == {200: len(load.calls)}

The called side hangs up (Plan.answer(bye_after=…)), or refuses. A late tick places what is due by the clock, so the
rate holds even when the machine is slow.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from tests.support.net_loop import NetLoop, Timer
from tests.support.sip_call import Call, CallState
from tests.support.sip_phone import Phone


@dataclass(frozen=True)
class Placed:
    """One call of the load."""

    at: float
    call: Call


class CallLoad:
    """Places calls from one phone until `stop`."""

    def __init__(self, loop: NetLoop, phone: Phone, target: str, *, rate: float) -> None:
        self.calls: list[Placed] = []
        self._loop, self._phone, self._target, self._rate = loop, phone, target, rate
        self._timer: Timer | None = None
        self._began = loop.now()
        loop.run(self._tick)

    def stop(self) -> None:
        """Place no more; calls that are up go on."""
        self._loop.run(self._halt)

    def wait_placed(self, more: int, timeout: float = 30.0) -> None:
        """Wait until so many calls more have been placed."""
        wanted = len(self.calls) + more
        self._loop.wait(lambda: len(self.calls) >= wanted, timeout, f"{wanted} calls placed")

    def wait_ended(self, timeout: float = 30.0) -> None:
        """Wait until every call has ended."""
        self._loop.wait(
            lambda: not self._open(), timeout, lambda: f"{len(self._open())} calls have not ended"
        )

    def codes(self) -> dict[int, int]:
        """Return how many calls had each final code."""
        return dict(Counter(placed.call.code for placed in self.calls))

    def call_ids(self) -> list[str]:
        """Return the SIP Call-IDs of all calls."""
        return [placed.call.call_id for placed in self.calls]

    def _open(self) -> list[Call]:
        return [placed.call for placed in self.calls if placed.call.state is not CallState.ENDED]

    def _halt(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = None

    def _tick(self) -> None:
        due = int((self._loop.now() - self._began) * self._rate) + 1
        while len(self.calls) < due:
            self.calls.append(Placed(self._loop.now(), self._phone.invite(self._target)))
        pause = self._began + len(self.calls) / self._rate - self._loop.now()
        self._timer = self._loop.after(max(0.0, pause), self._tick)
