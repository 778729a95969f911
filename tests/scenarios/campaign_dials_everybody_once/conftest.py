"""Campaigns on the shared instance with real media hosts, and carriers where the people are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.call_centre import CallCentre
from tests.support.dial_field import DialField
from tests.support.dialled_people import install_prompts
from tests.support.fix_carriers import Carriers
from tests.support.switch import Switch

PATIENCE = 60.0


@pytest.fixture(scope="module", autouse=True)
def prompts(live_switch: Switch) -> None:
    install_prompts(live_switch, "sale", "goodbye", "callback-accepted", "no-agent")


@pytest.fixture
def carriers(live_switch: Switch, live_centre: CallCentre) -> Iterator[Carriers]:
    made = Carriers(live_switch, live_centre.loop)
    yield made
    made.close()


@pytest.fixture
def field(live_switch: Switch) -> Iterator[DialField]:
    with live_switch.connect() as conn:
        conn.row_factory = None  # type: ignore[assignment]
        field = DialField(tuple_rows(conn), tenant=live_switch.tenant_id)
        yield field
        field.conn.execute("UPDATE campaign SET state = 'stopped' WHERE state <> 'stopped'")


def tuple_rows(conn: Any) -> Any:
    """Rows as tuples: what DialField reads."""
    from psycopg.rows import tuple_row

    conn.row_factory = tuple_row
    return conn


def outcomes(field: DialField, campaign: int) -> dict[str, str]:
    """Return number → outcome of its settled attempts, joined."""
    found: dict[str, str] = {}
    for attempt in field.attempts(campaign):
        if attempt["state"] == "settled":
            before = found.get(attempt["number"])
            found[attempt["number"]] = f"{before} {attempt['outcome']}" if before else attempt["outcome"]
    return found


def wait_for(switch: Switch, condition: Callable[[], Any], what: str) -> Any:
    return switch.wait(condition, PATIENCE, what)
