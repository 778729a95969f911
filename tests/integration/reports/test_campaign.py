"""The report of campaigns: dials by outcome, a few of them, counted by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

from callcore.report_period import Step
from kalibri.db import Conn
from kalibri.services import report_calls
from tests.support.dial_field import DialField

DAY = date(2026, 3, 10)
NINE = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)


def test_dials_by_outcome(db: Conn) -> None:
    field = DialField(db)
    campaign = field.campaign("spring", run=False)
    # Outcome, seconds until the answer, seconds of talk; each a quarter of an hour after the one before.
    dials = [
        ("answered", 10, 60),
        ("answered", 20, 30),
        ("machine", 6, 4),
        ("abandoned", 8, 2),
        ("busy", None, None),
        ("no_answer", None, None),
        ("refused", None, None),  # never dialled
    ]
    for number, (outcome, rang, talked) in enumerate(dials):
        lead = field.lead(campaign, f"7495000000{number}")
        at = NINE + timedelta(minutes=15 * number)
        answered = None if rang is None else at + timedelta(seconds=rang)
        ended = (answered or at) + timedelta(seconds=talked or 5)
        db.execute(
            "INSERT INTO attempt (tenant_id, campaign_id, lead_id, position, call_id, number, state, outcome,"
            " ordered_at, expires_at, taken_at, answered_at, ended_at, settled_at)"
            " VALUES (%s, %s, %s, 1, %s, '1', 'settled', %s, %s, %s, %s, %s, %s, %s)",
            [field.tenant, campaign, lead, uuid4(), outcome, at, at, at, answered, ended, ended],
        )
    [row] = report_calls.campaign(db, tenant_id=field.tenant, from_day=DAY).rows
    expected = {
        "campaign": "spring",
        "dials": 6,
        "picked_up": 4,
        "answered": 2,
        "answered_percent": 33.3,  # 2 / 6
        "abandoned": 1,
        "abandoned_percent": 33.3,  # 1 / (2 + 1)
        "machine": 1,
        "busy": 1,
        "no_answer": 1,
        "refused": 1,
        "open": 0,
        "average_ring_seconds": 11.0,  # (10 + 20 + 6 + 8) / 4
        "average_talk_seconds": 45.0,  # (60 + 30) / 2
    }
    assert {name: row[name] for name in expected} == expected
    hours = report_calls.campaign(db, tenant_id=field.tenant, from_day=DAY, step=Step.HOUR).rows
    assert [row["dials"] for row in hours] == [4, 2]
    assert report_calls.campaign(db, tenant_id=field.tenant, from_day=DAY, campaigns=["other"]).rows == []
