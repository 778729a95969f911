"""A tenant with campaigns and leads, and a media host that tests play: what engine and hosts do to the database.

field = DialField(conn)
sales = field.campaign(leads=["74951110001", "74951110002"])
host = field.host()
for order in host.take(): host.end(order, code=486)
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from typing import Any

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from kalibri.db import Conn
from tests.support.rows import add_tenant


@dataclass(frozen=True)
class Order:
    """What dial_take gave a host."""

    tenant: int
    attempt: int
    campaign: int
    call: str
    number: str
    data: dict[str, Any]


class PlayedHost:
    """One life of a media host: what it has dialled is written down in `network`."""

    def __init__(self, field: DialField, name: str) -> None:
        self._field, self.name = field, name
        self.boot = uuid.uuid4()
        #: Orders that it holds.
        self.held: dict[int, Order] = {}

    def take(self, room: int = 100) -> list[Order]:
        """Take orders and dial them."""
        rows = self._field.conn.execute(
            "SELECT * FROM dial_take(%s, %s, %s)", [self.name, self.boot, room]
        ).fetchall()
        orders = [Order(row[0], row[1], row[2], str(row[3]), row[4], row[5]) for row in rows]
        for order in orders:
            self.held[order.attempt] = order
            self._field.network.append(order)
        return orders

    def report(self, order: Order, stage: str, **facts: Any) -> None:
        """Tell how a dial goes."""
        told = {"attempt": order.attempt, "stage": stage, "at": time.time(), **facts}
        self._field.conn.execute("SELECT dial_report(%s, %s, %s)", [self.name, self.boot, json.dumps([told])])

    def answered(self, order: Order, **facts: Any) -> None:
        """Somebody answered and heard everything."""
        self.report(order, "answered")
        self.end(order, **{"answered": True, "heard_all": True, "heard_ms": 5000, **facts})

    def end(self, order: Order, **facts: Any) -> None:
        """A dial is over."""
        self.report(order, "ended", **facts)
        self.held.pop(order.attempt, None)

    def beat(self) -> int:
        """Say what it holds; return how many dials were lost."""
        row = self._field.conn.execute(
            "SELECT dial_beat(%s, %s, %s::bigint[])", [self.name, self.boot, list(self.held)]
        ).fetchone()
        assert row is not None
        return int(row[0])

    def restart(self) -> PlayedHost:
        """Die and come back as another life, which knows nothing."""
        return PlayedHost(self._field, self.name)


class DialField:
    """Campaigns of one tenant."""

    def __init__(self, conn: Conn, *, tenant: int | None = None) -> None:
        """tenant: one that is there, whose instance has real media hosts; None: a new one and hosts that tests play."""
        self.conn = conn
        #: Every dial that reached the network, in order.
        self.network: list[Order] = []
        if tenant is not None:
            self.tenant = tenant
            return
        self.tenant = add_tenant(conn, "acme")
        conn.execute(
            "INSERT INTO node (name, kind, host, address, heartbeat_at, data) VALUES ('here-media-1', 'media', 'here',"
            " 'udp:127.0.0.1:1', clock_timestamp() + interval '1 hour', '{\"capacity\": 500, \"calls\": 0}')"
        )

    def host(self, name: str = "here-media-1") -> PlayedHost:
        """Return a media host."""
        return PlayedHost(self, name)

    def campaign(
        self, name: str = "sale", *, leads: list[str] | None = None, run: bool = True, **columns: Any
    ) -> int:
        """Make a campaign that dials at any time, with leads, and start it; return its id."""
        values = {
            "name": name,
            "mode": "broadcast",
            "prompt": "sale",
            "hours": "mon-sun 00:00-24:00",
            "unknown_zones": ["UTC"],
            "consent_required": False,
            "consent_exemption": "test",
            "lines": 100,
            "calls_per_second": 1000,
            **columns,
        }
        wrapped = {key: Jsonb(value) if isinstance(value, dict) else value for key, value in values.items()}
        names, marks = ", ".join(wrapped), ", ".join(["%s"] * len(wrapped))
        campaign = int(
            self.value(
                f"INSERT INTO campaign (tenant_id, {names}) VALUES (%s, {marks}) RETURNING campaign_id",
                self.tenant,
                *wrapped.values(),
            )
        )
        for number in leads or ():
            self.lead(campaign, number)
        if run:
            assert self.value("SELECT campaign_step(%s, %s, 'start', 'test')", self.tenant, campaign)
        return campaign

    def lead(self, campaign: int, *numbers: str, **columns: Any) -> int:
        """Add a lead with these numbers."""
        tenant = self.tenant
        self.conn.execute(
            "INSERT INTO campaign_list (tenant_id, campaign_id, name) VALUES (%s, %s, 'test')"
            " ON CONFLICT (tenant_id, campaign_id, name) DO NOTHING",
            [tenant, campaign],
        )
        values = {"external_id": numbers[0], "rank": 1, "zone_set_id": 0, **columns}
        wrapped = {key: Jsonb(value) if isinstance(value, dict) else value for key, value in values.items()}
        names, marks = ", ".join(wrapped), ", ".join(["%s"] * len(wrapped))
        lead = int(
            self.value(
                f"INSERT INTO lead (tenant_id, campaign_id, list_id, {names}) SELECT %s, %s, list_id, {marks}"
                " FROM campaign_list WHERE campaign_id = %s RETURNING lead_id",
                tenant,
                campaign,
                *wrapped.values(),
                campaign,
            )
        )
        for position, number in enumerate(numbers, 1):
            self.conn.execute(
                "INSERT INTO lead_number (tenant_id, lead_id, position, campaign_id, number, zone_set_id)"
                " VALUES (%s, %s, %s, %s, %s, 0)",
                [tenant, lead, position, campaign, number],
            )
        return lead

    # ---- looking

    def value(self, statement: str, *values: Any) -> Any:
        """Return the first column of the first row."""
        row = self.conn.execute(statement.encode(), values).fetchone()
        return None if row is None else row[0]

    def rows(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Return rows as dictionaries."""
        with self.conn.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(statement.encode(), values).fetchall()

    def attempts(self, campaign: int) -> list[dict[str, Any]]:
        """Return the attempts of a campaign in order."""
        return self.rows("SELECT * FROM attempt WHERE campaign_id = %s ORDER BY attempt_id", campaign)

    def leads(self, campaign: int) -> list[dict[str, Any]]:
        """Return the leads of a campaign in order."""
        return self.rows("SELECT * FROM lead WHERE campaign_id = %s ORDER BY lead_id", campaign)

    def make_due(self, campaign: int) -> None:
        """Let the time until every retry pass."""
        self.conn.execute(
            "UPDATE lead SET due_at = clock_timestamp() WHERE campaign_id = %s AND state = 'waiting'",
            [campaign],
        )

    def check(self) -> None:
        """What holds at every moment, whatever was killed: no double dial, no lost lead, counts equal attempts."""
        dialled = [order.attempt for order in self.network]
        assert len(dialled) == len(set(dialled)), "an attempt was dialled twice"
        lost = self.rows(
            "SELECT lead_id FROM lead l WHERE state = 'dialling'"
            " AND NOT EXISTS (SELECT FROM attempt a WHERE a.lead_id = l.lead_id AND a.state <> 'settled')"
        )
        assert not lost, f"leads that nobody dials: {lost}"
        twice = self.rows(
            "SELECT lead_id FROM attempt WHERE state <> 'settled' GROUP BY 1 HAVING count(*) > 1"
        )
        assert not twice, f"leads with two open attempts: {twice}"
        counted = self.rows(
            "SELECT campaign_id, outcome, sum(attempts)::integer AS n FROM campaign_count GROUP BY 1, 2 ORDER BY 1, 2"
        )
        there = self.rows(
            "SELECT campaign_id, outcome, count(*)::integer AS n FROM attempt WHERE state = 'settled'"
            " GROUP BY 1, 2 ORDER BY 1, 2"
        )
        assert counted == there
