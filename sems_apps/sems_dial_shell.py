"""A dial of a campaign in a SEMS 2.x: performs what the machine autodial wants with a session that SEMS originated.

Such a session has rules of its own: nothing runs in it before the first response, so a watchdog beside it
(sems_dialler.py) gives up a call that nobody answers at all; a call that failed stays for ever unless its session is
stopped; and only the tag that we chose before names it. What needs a second leg is not done here: who wants an agent is
called back.
"""

from __future__ import annotations

import re
import time
from typing import Any, Protocol

from sems_apps import actions as do
from sems_apps.actions import CALLER, Action
from sems_apps.dial_order import DialOrder
from sems_apps.events import DialDue, LegAnswered, LegFailed, LegRinging
from sems_apps.host.ports import Entry
from sems_apps.host.sip_leg_facts import q850_cause
from sems_apps.machines.autodial import AutoDial
from sems_apps.sems_shell import Background, Mailbox, Shell

_BY_PROXY = re.compile(r"^x-ks-by\s*:", re.IGNORECASE | re.MULTILINE)
_REASON = re.compile(r"^reason\s*:\s*(.*)$", re.IGNORECASE | re.MULTILINE)


class Dialler(Background, Protocol):
    """What runs beside the dials."""

    def report(self, action: do.ReportDial) -> None:
        """Tell how a dial goes."""

    def over(self, tag: str) -> None:
        """The session of this tag is over."""


class DialShell(Shell):
    """One dial."""

    def __init__(self, ivr: Any, session: Any, dialler: Dialler, mailbox: Mailbox, order: DialOrder) -> None:
        """Begin at the session's first callback, whatever it is."""
        entry = Entry(order.call, order.tenant, order.queue, order.number, since=time.time())
        super().__init__(ivr, session, dialler, mailbox, entry, AutoDial(can_queue=False))
        self._dialler = dialler
        self.post(DialDue(order))

    def replied(self, code: int, headers: str) -> None:
        """Take a response to our INVITE; the answer itself comes as `started`."""
        if 100 < code < 200:
            self.post(LegRinging(CALLER))
        elif code >= 300:
            reasons = [q850_cause(text) for text in _REASON.findall(headers)]
            self.post(LegFailed(CALLER, code, max(reasons, default=0), bool(_BY_PROXY.search(headers))))

    def started(self) -> None:
        """The person answered."""
        self._caller_up = True
        self.post(LegAnswered(CALLER))

    def _perform(self, action: Action) -> None:
        if isinstance(action, do.ReportDial):
            self._dialler.report(action)
        elif not isinstance(action, do.Dial):  # SEMS calls already
            super()._perform(action)

    def _end_caller(self) -> None:
        """BYE, or CANCEL of what is not answered: SEMS chooses."""
        self._caller_up = False
        self._session.bye()
        self._session.stopSession()

    def close(self) -> None:
        """Let go of everything; nothing may use the session after this."""
        if not self.finished:
            super().close()
            self._dialler.over(self.tag)
