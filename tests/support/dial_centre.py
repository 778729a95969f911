"""A queue with agents, a campaign that calls them first, and an engine whose clock the test moves."""

from __future__ import annotations

import time
from typing import Any

from kalibri.db import Conn
from tests.support.acd_field import HOST, Field
from tests.support.dial_field import DialField
from tools.dial.engine import Engine


class Centre:
    """Everything of one tenant; the test plays the media host."""

    def __init__(self, conn: Conn) -> None:
        self.acd = Field(conn)
        self.acd.host()
        self.queue = self.acd.queue()
        self.field = DialField(conn, tenant=self.acd.tenant)
        conn.execute(
            "UPDATE node SET heartbeat_at = now() + interval '1 hour',"
            ' data = data || \'{"capacity": 99, "calls": 0}\''
        )
        self.now = time.monotonic()
        self.engine = Engine(clock=lambda: self.now, load=lambda: 0.0)

    def agent(self, name: str = "anna") -> int:
        return self.acd.agent(name, self.queue)

    def campaign(self, *numbers: str, **columns: Any) -> int:
        values: dict[str, Any] = {
            "mode": "agent_first",
            "prompt": "",
            "queue_id": self.queue,
            "reading_seconds": 7,
        }
        return self.field.campaign(leads=list(numbers), **(values | columns))

    def look(self, times: int = 3) -> None:
        for _ in range(times):
            self.now += 1.0
            self.engine.look(self.field.conn, may_judge=True)
        self.field.check()

    def offer(self) -> dict[str, Any]:
        """Return the open offer, as the host takes it."""
        rows = self.field.rows("SELECT * FROM acd_take(%s) WHERE kind = 'offer_agent'", HOST)
        assert len(rows) == 1, rows
        return rows[0]

    def previews(self) -> list[dict[str, Any]]:
        """Return the leads that agents look at."""
        return self.field.rows("SELECT * FROM offer WHERE preview_until IS NOT NULL ORDER BY offer_id")

    def attempts(self, campaign: int) -> list[str | None]:
        return [attempt["outcome"] for attempt in self.field.attempts(campaign)]
