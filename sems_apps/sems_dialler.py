"""Beside the dials of a SEMS: pulls orders, originates the calls, watches over each, reports.

One thread, the background's. `dialout` returns nothing, whatever became of the call: so each has a tag of ours and two
watchdogs. The first gives the session up when it rings for too long, the second reports a fault of ours when the
session cannot even be told.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

from kalibri.config import Config
from kalibri.db import connect
from sems_apps.actions import ReportDial
from sems_apps.dial_order import DialOrder
from sems_apps.events import TimerFired
from sems_apps.host.dial_port import DialPort
from sems_apps.host.loop import Loop
from sems_apps.host.pg_link import PgLink
from sems_apps.host.workers import Workers
from sems_apps.machines.autodial import RING
from sems_apps.sems_background import CAPACITY, SemsBackground
from sems_apps.sems_shell import Mailbox

#: After its ringing time a session gets so long to end by its own timer, and so long again to be told.
GRACE_SECONDS = 5.0


class Originator:
    """Calls of a SEMS by tag. Everything runs on the background's loop."""

    def __init__(
        self, loop: Loop, mailbox: Mailbox, dialout: Callable[..., None], proxy: tuple[str, int]
    ) -> None:
        self._loop, self._mailbox, self._dialout, self._proxy = loop, mailbox, dialout, proxy
        self._orders: dict[str, DialOrder] = {}
        #: Told the call of a dial that is over.
        self.forget: Callable[[str], None] = lambda call: None

    @property
    def room(self) -> int:
        """How many calls more it may begin."""
        return max(0, CAPACITY - len(self._orders))

    def order_of(self, tag: str) -> DialOrder | None:
        """Return the order of a session; None: none of ours, or given up."""
        return self._orders.get(tag)

    def dial(self, order: DialOrder) -> None:
        """Originate a call."""
        tag = uuid.uuid4().hex
        self._orders[tag] = order
        self._mailbox.open(tag)
        late = order.ring_seconds + GRACE_SECONDS
        self._loop.call_later(late, partial(self._mailbox_late, tag))
        self._loop.call_later(late + order.longest_seconds + GRACE_SECONDS, partial(self._lost, tag))
        host, port = self._proxy
        headers = f"X-KS-Call: {order.call}\r\nX-KS-Leg: callee\r\nX-KS-Arg: tenant={order.tenant}\r\n"
        caller = f"sip:{order.caller_id or 'anonymous'}@{host}"
        target = f"sip:{order.number}@{host}:{port}"
        self._dialout(
            order.number, "autodial", target, f"<{caller}>", caller, f"<{target}>", tag, headers, {}
        )

    def over(self, tag: str) -> None:
        """A session is over."""
        order = self._orders.pop(tag, None)
        if order is not None:
            self.forget(order.call)

    def _mailbox_late(self, tag: str) -> None:
        """No response came, or the session's own timer did not fire: a response wakes nothing, a message does."""
        if tag in self._orders:
            self._mailbox.put(tag, TimerFired(RING))
            self._loop.call_later(GRACE_SECONDS, partial(self._unheard, tag))

    def _unheard(self, tag: str) -> None:
        """The message found no session: SEMS has refused the call silently."""
        if tag in self._orders and self._mailbox.has_mail(tag):
            self._lost(tag)

    def _lost(self, tag: str) -> None:
        if tag in self._orders:
            self._mailbox.close(tag)
            self.over(tag)


class SemsDialler(SemsBackground):
    """The thread beside the dials of one SEMS."""

    def __init__(self, config: Config, name: str, mailbox: Mailbox, dialout: Callable[..., None]) -> None:
        """dialout: IvrUAC().dialout of the ivr module."""
        super().__init__(config, name)
        address = config.proxy.listen_address
        host = "127.0.0.1" if address in ("0.0.0.0", "::") else address
        self.calls = Originator(self._loop, mailbox, dialout, (host, config.proxy.internal_port))
        self._port: DialPort | None = None

    def run(self) -> None:
        """Run; SEMS starts this in a thread once all scripts are loaded."""
        self._loop.call_soon(self._begin)
        super().run()

    def _begin(self) -> None:
        def open_connection() -> Any:
            conn = connect(self._config, application_name=f"{self._name} dial", statement_timeout_ms=1500)
            conn.execute("LISTEN dial_order")
            return conn

        link = PgLink(self._loop, Workers(self._loop, 1).submit, open_connection, on_notify=self._take)
        self._port = DialPort(self._loop, self._name, link, lambda: self.calls, boot=uuid.uuid4())
        self.calls.forget = self._port.forget
        self._port.begin()

    def _take(self) -> None:
        if self._port is not None:
            self._port.take()

    def report(self, action: ReportDial) -> None:
        """Tell how a dial goes; called by the sessions' threads."""
        self._loop.call_from_thread(lambda: self._port.report(action) if self._port is not None else None)

    def over(self, tag: str) -> None:
        """A session is over; called by its own thread."""
        self._loop.call_from_thread(lambda: self.calls.over(tag))
