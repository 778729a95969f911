"""Campaigns as a media host sees them: orders are pulled when there is room, reports are told in batches.

PostgreSQL is the authority; nothing is decided here. An order belongs to whoever takes it, by one statement that
commits before anything is dialled: so a number is dialled at most once for each attempt, whatever dies. A host that
could not read the answer in time does not dial: its lease runs out, and the lead is dialled later by another attempt.
Reports are kept until the database has them; repeating one changes nothing. Each heartbeat names every dial that this
host holds, which renews the leases; what the database believes to be here and is not ends as lost.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Protocol

from callcore.errors import BadInput
from kalibri.db import statements
from sems_apps.actions import DialStage, ReportDial
from sems_apps.dial_order import DialOrder, read_order
from sems_apps.host.loop import Loop
from sems_apps.host.pg_link import Rows

log = logging.getLogger("media")

SQL = statements("dial_host")
POLL_SECONDS = 1.0
#: Reports wait so long for others: a batch costs one commit.
GATHER_SECONDS = 0.05
RETRY_SECONDS = 1.0
BEAT_SECONDS = 5.0
#: An answer that took longer is too old to be dialled by: the lease may be somebody else's by then.
STALE_SECONDS = 5.0
#: Orders that are taken at once.
MOST_ORDERS = 50
MOST_REPORTS = 500


class Link(Protocol):
    """What statements are sent by: PgLink, or a fake."""

    def execute(self, statement: str, params: dict[str, object], done: Callable[[Rows | None], None]) -> None:
        """Run a statement."""


class Host(Protocol):
    """What dialling needs of the host."""

    @property
    def room(self) -> int:
        """How many calls more it may begin now; 0 while it drains."""

    def dial(self, order: DialOrder) -> object:
        """Begin a dial."""


class DialPort:
    """Every dial of this host."""

    def __init__(
        self, loop: Loop, name: str, link: Link, host: Callable[[], Host], *, boot: uuid.UUID
    ) -> None:
        self._loop, self._name, self._link, self._host, self._boot = loop, name, link, host, boot
        #: Call → attempt, of dials whose end has not been reported.
        self._attempts: dict[str, int] = {}
        #: What the database has not confirmed yet.
        self._reports: list[dict[str, Any]] = []
        self._taking = self._take_again = self._telling = self._gathering = False

    def begin(self) -> None:
        """Begin to look for orders and to renew leases."""
        self._poll()
        self._beat()

    # ---- orders

    def take(self) -> None:
        """Look for orders now: a notification came."""
        if self._taking:
            self._take_again = True
            return
        room = min(MOST_ORDERS, self._host().room)
        if room <= 0:
            return
        self._taking = True
        asked = self._loop.now()
        params = {"host": self._name, "boot": self._boot, "room": room}
        self._link.execute(SQL["take"], params, lambda rows: self._taken(rows, asked, room))

    def _taken(self, rows: Rows | None, asked: float, room: int) -> None:
        self._taking = False
        if rows and self._loop.now() - asked > STALE_SECONDS:
            log.warning("%d orders came too late and are not dialled", len(rows))
            rows = []  # not among the dials that we hold: the next heartbeat says so
        for row in rows or ():
            self._dial(row)
        if rows is not None and (self._take_again or len(rows) == room):
            self._take_again = False
            self._loop.call_soon(self.take)

    def _dial(self, row: tuple[str | None, ...]) -> None:
        tenant, attempt, campaign, call, number, data = row
        identity = int(attempt or 0)
        self._attempts[call or ""] = identity
        try:
            order = read_order(
                tenant=int(tenant or 0),
                attempt=identity,
                campaign=int(campaign or 0),
                call=call or "",
                number=number or "",
                data=json.loads(data or "{}"),
            )
            self._host().dial(order)
        except BadInput as error:
            log.error("%s", error.message)
            self.forget(call or "")
        # One order that cannot be dialled must not keep the others, nor leave its lead waiting.
        except Exception:
            log.exception("attempt %s could not be dialled", attempt)
            self.forget(call or "")

    def _poll(self) -> None:
        self.take()
        self._loop.call_later(POLL_SECONDS, self._poll)

    # ---- reports

    def report(self, action: ReportDial) -> None:
        """Tell how a dial goes."""
        if action.stage is DialStage.ENDED:
            call = next((call for call, known in self._attempts.items() if known == action.attempt), None)
            if call is None:
                return
            del self._attempts[call]
        self._add(asdict(action))

    def forget(self, call: str) -> None:
        """The session of this call is over; a dial whose end was not reported ended by a fault of ours."""
        attempt = self._attempts.pop(call, None)
        if attempt is not None:
            self._add(asdict(ReportDial(attempt=attempt, stage=DialStage.ENDED, ours=True)))

    def _add(self, report: dict[str, Any]) -> None:
        self._reports.append(report | {"at": time.time()})
        if not self._gathering:
            self._gathering = True
            self._loop.call_later(GATHER_SECONDS, self._tell)

    def _tell(self) -> None:
        self._gathering = False
        if self._telling or not self._reports:
            return
        self._telling = True
        batch = self._reports[:MOST_REPORTS]
        params = {"host": self._name, "boot": self._boot, "reports": json.dumps(batch)}
        self._link.execute(SQL["report"], params, lambda rows: self._told(rows, len(batch)))

    def _told(self, rows: Rows | None, count: int) -> None:
        self._telling = False
        if rows is None:
            self._loop.call_later(RETRY_SECONDS, self._tell)
            return
        del self._reports[:count]
        if self._reports:
            self._loop.call_soon(self._tell)
        self.take()  # who has ended made room

    def _beat(self) -> None:
        """Name every dial that is here, and those whose end is not told yet."""
        held = {*self._attempts.values(), *(report["attempt"] for report in self._reports)}
        live = "{" + ",".join(str(attempt) for attempt in sorted(held)) + "}"
        params = {"host": self._name, "boot": self._boot, "live": live}
        if not self._taking:  # else an order that is on its way to us would seem to be lost
            self._link.execute(SQL["beat"], params, lambda rows: None)
        self._loop.call_later(BEAT_SECONDS if not self._taking else POLL_SECONDS / 4, self._beat)
