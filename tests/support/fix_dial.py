"""What tests of the dialler need: number ranges, a tenant with a queue, campaigns, lists in every format."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from callcore.dial import CampaignMode
from kalibri.db import Conn
from kalibri.services import campaign as campaigns
from kalibri.services import lead_import, tenant
from kalibri.services.campaign import Campaign
from kalibri.services.lead_import import LeadImport, Problem

#: A Sunday, 13:00 in Moscow, 22:00 in Kamchatka.
NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
#: First, last, region.
RANGES = (
    (74950000000, 74959999999, "г. Москва"),
    (79160000000, 79169999999, "г. Москва * Московская область"),
    (74150000000, 74159999999, "Камчатский край"),
    (73810000000, 73819999999, "Омская область"),
    (78000000000, 78009999999, "Российская Федерация"),
)


def number_ranges(conn: Conn) -> None:
    """Put a small registry in force."""
    with conn.transaction():
        row = conn.execute(
            "INSERT INTO number_range_set (source, range_count, current) VALUES ('test', %s, true) RETURNING set_id",
            [len(RANGES)],
        ).fetchone()
        assert row is not None
        for first, last, region in RANGES:
            conn.execute(
                "INSERT INTO number_range (set_id, first, last, operator, region) VALUES (%s, %s, %s, 'op', %s)",
                [row[0], first, last, region],
            )


def acme(conn: Conn) -> int:
    """Make the tenant acme in Moscow time, with the queue sales; return its id."""
    number_ranges(conn)
    tenant_id = tenant.add(conn, name="acme", time_zone="Europe/Moscow").tenant_id
    conn.execute("INSERT INTO queue (tenant_id, name) VALUES (%s, 'sales')", [tenant_id])
    return tenant_id


def make_campaign(conn: Conn, tenant_id: int, name: str = "spring", **rules: Any) -> Campaign:
    """Make a broadcast that may be started (no consent needed) unless rules say otherwise."""
    rules = {"mode": CampaignMode.BROADCAST, "prompt": "hello", "consent_exemption": "test"} | rules
    return campaigns.add(conn, tenant_id=tenant_id, name=name, **rules)


def take_list(
    conn: Conn, tenant_id: int, file: Path, text: str | bytes | None = None, **options: Any
) -> tuple[LeadImport, list[Problem]]:
    """Import a file (written first, if there is a text) into the campaign spring; return figures and problems."""
    if isinstance(text, str):
        file.write_text(text, encoding="utf-8")
    elif text is not None:
        file.write_bytes(text)
    problems: list[Problem] = []
    known: dict[str, Any] = {"campaign": "spring", "now": NOW, "country_code": "7", "tell": problems.append}
    return lead_import.import_leads(conn, tenant_id=tenant_id, file=file, **(known | options)), problems


def lead_rows(conn: Conn, *columns: str) -> list[tuple[Any, ...]]:
    """Return columns of all leads in order of their ids, as texts."""
    rows: Sequence[Any] = conn.execute("SELECT row_to_json(l) FROM lead l ORDER BY lead_id").fetchall()
    return [tuple(row[0][column] for column in columns) for row in rows]


def ready_prompt(conn: Conn, name: str = "hello") -> None:
    """Store a prompt of the system, of silence."""
    conn.execute(
        "INSERT INTO prompt (tenant_id, name, language, version, duration_ms, master)"
        " VALUES (0, %s, 'any', 1, 1000, '')",
        [name],
    )
