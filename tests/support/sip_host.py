"""The SIP side of a media host alone, for tests: real sippy on a loop in a thread, its legs driven by the test.

with SipHost() as host:
    alice = Phone(net_loop, "100", "demo.example", proxy=host.address)
    call = alice.invite("sip:queue@demo.example"); leg = host.wait_leg()
    host.run(leg.ring); host.run(lambda: leg.answer(host.sdp()))
    host.wait_told("ended", leg)
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from sems_apps.host import sdp
from sems_apps.host.loop import Loop
from sems_apps.host.sdp import Description
from sems_apps.host.sip_leg import SipLeg
from sems_apps.host.sip_stack import Address, SipStack, Verdict

WAIT_SECONDS = 10.0


class SipHost:
    """A loop in a thread, a stack, and an owner of legs that writes down what it is told."""

    def __init__(self, address: Address = ("127.0.0.1", 0)) -> None:
        self.errors: list[BaseException] = []
        self.loop = Loop(self.errors.append)
        self.legs: list[SipLeg] = []
        #: (what, leg, detail) in the order in which it was told.
        self.told: list[tuple[str, SipLeg, Any]] = []
        #: Run when told of something: ("answered", callback(leg)).
        self.on: dict[str, Callable[[SipLeg], None]] = {}
        self.ready = True
        self._changed = threading.Condition()
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(address,), daemon=True)
        self._thread.start()
        assert self._started.wait(WAIT_SECONDS)
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def _run(self, address: Address) -> None:
        try:
            self.stack = SipStack(
                self.loop,
                address,
                accepts=lambda host: host == "127.0.0.1",
                on_invite=self._invite,
                is_ready=lambda: self.ready,
            )
        except OSError as error:
            self._failure = error
            self._started.set()
            return
        self._started.set()
        self.loop.run()
        self.stack.close()
        self.loop.close()

    def __enter__(self) -> SipHost:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.loop.stop()
        self._thread.join(WAIT_SECONDS)
        assert not self._thread.is_alive()

    @property
    def address(self) -> Address:
        """Where it listens."""
        return self.stack.address

    def run(self, action: Callable[[], Any]) -> Any:
        """Run something on the loop."""
        return self.loop.run_in_loop(action)

    def sdp(self, port: int = 9000) -> str:
        """Return an offer that everybody can take."""
        return sdp.write_offer("127.0.0.1", port, 1, sdp.OURS, 101)

    def dial(self, proxy: Address, target: str = "agent", **headers: str) -> SipLeg:
        """Call a phone that stands for the proxy."""
        leg: SipLeg = self.run(
            lambda: SipLeg.outgoing(
                self.stack,
                self,
                "agent",
                proxy=proxy,
                target=target,
                caller="100",
                body=self.sdp(),
                headers=headers,
            )
        )
        return leg

    # ---- waiting

    def wait_leg(self, number: int = 1) -> SipLeg:
        """Wait for the n-th incoming call."""
        self.wait(lambda: len(self.legs) >= number, "an incoming call")
        return self.legs[number - 1]

    def wait_told(self, what: str, leg: SipLeg | None = None) -> Any:
        """Wait until the owner was told, and return the detail."""
        self.wait(lambda: bool(self.found(what, leg)), what)
        return self.found(what, leg)[-1]

    def found(self, what: str, leg: SipLeg | None = None) -> list[Any]:
        """Return the details of what was told."""
        return [detail for kind, about, detail in self.told if kind == what and leg in (None, about)]

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for something on the loop's side."""
        with self._changed:
            assert self._changed.wait_for(condition, WAIT_SECONDS), f"{what}: told {self.told}, {self.errors}"

    # ---- the owner of the legs

    def _invite(self, request: Any, transaction: Any) -> Verdict:
        leg, verdict = SipLeg.incoming(self.stack, self, "caller", request, transaction)
        with self._changed:
            self.legs.append(leg)
            self._changed.notify_all()
        return verdict

    def _tell(self, what: str, leg: SipLeg, detail: Any = None) -> None:
        if what in self.on:
            self.on[what](leg)
        with self._changed:
            self.told.append((what, leg, detail))
            self._changed.notify_all()

    def leg_ringing(self, leg: SipLeg, code: int) -> None:
        self._tell("ringing", leg, code)

    def leg_answered(self, leg: SipLeg) -> None:
        self._tell("answered", leg)

    def leg_failed(self, leg: SipLeg, code: int) -> None:
        self._tell("failed", leg, code)

    def leg_ended(self, leg: SipLeg, cause: str) -> None:
        self._tell("ended", leg, cause)

    def leg_key(self, leg: SipLeg, digit: str) -> None:
        self._tell("key", leg, digit)

    def leg_refer(self, leg: SipLeg, target: str, replaces: str) -> None:
        self._tell("refer", leg, (target, replaces))

    def leg_media(self, leg: SipLeg) -> None:
        self._tell("media", leg, leg.remote)

    def new_offer(self, leg: SipLeg, offer: Description | None) -> str | None:
        if offer is None:
            return self.sdp()
        return sdp.write_answer(offer, "127.0.0.1", 9000, 1, sdp.choose(offer), version=2)
