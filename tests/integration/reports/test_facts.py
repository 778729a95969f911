"""Facts are what the events say, however they are cut into batches, and are the same when they are built again."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg import sql

from kalibri.db import Conn
from kalibri.services import report_facts
from tests.integration.reports.test_ksctl_report import add_calls
from tests.support.acd_field import Field
from tests.support.rows import add_gateway
from tests.support.waiting import wait_until

FACTS = ("report_entry", "report_attempt", "report_agent_state", "report_call", "report_gateway_call")
SUMS = (
    "report_queue_slot",
    "report_agent_slot",
    "report_state_slot",
    "report_call_slot",
    "report_gateway_slot",
)


def dump(conn: Conn) -> dict[str, list[Any]]:
    """Everything that reports are made of."""
    found = {}
    for table in (*FACTS, *SUMS):
        statement = sql.SQL("SELECT to_jsonb(t) FROM {} t ORDER BY to_jsonb(t)::text").format(
            sql.Identifier(table)
        )
        found[table] = [row for (row,) in conn.execute(statement).fetchall()]
    return found


@pytest.fixture
def field(db: Conn) -> Field:
    """A tenant with a living media host and two queues with two agents."""
    field = Field(db)
    field.host()
    return field


def live_a_day(field: Field) -> None:
    """Everything that can become of a caller."""
    support = field.queue("support", wrapup_seconds=30)
    sales = field.queue(
        "sales",
        wrapup_seconds=30,
        callback_enabled=True,
        overflow={"timeout": {"kind": "queue", "value": "support"}},
    )
    eve = field.agent("eve", sales)
    # Answered, held, finished by the agent, with a survey.
    entry = field.enter(sales, "+7495001")
    field.answer(entry.offer_id)
    field.acts("acd_hold", entry.offer_id, "agent", True)
    field.acts("acd_hold", entry.offer_id, "agent", False)
    field.acts("acd_finish", entry.offer_id, "agent")
    field.acts("acd_survey", entry.entry_id, 5)
    field.call("acd_free", eve, "test")
    # Not answered by Eve, then abandoned; a second one gives up while it rings.
    entry = field.enter(sales, "+7495002")
    field.outcome(entry.offer_id, "no_answer")
    field.acts("acd_end", entry.entry_id, "abandoned")
    field.call("acd_free", eve, "test")
    entry = field.enter(sales, "+7495003")
    field.acts("acd_end", entry.entry_id, "abandoned")
    # Waits, asks for a callback, is called and reached.
    field.call("acd_pause", eve, "lunch", "eve")
    entry = field.enter(sales, "+7495004")
    field.acts("acd_callback", entry.entry_id, "+7495004")
    field.call("acd_resume", eve, "eve")
    # Moved by a supervisor; taken there after a transfer.
    bob = field.agent("bob", support)
    other = field.enter(sales, "+7495005")
    field.acts("acd_move", other.entry_id, support, "boss")
    for action in field.take():
        if action.kind == "offer_agent" and action.entry_id == other.entry_id:
            field.answer(action.offer_id)
    field.acts("acd_transfer", other.entry_id, "queue", "sales", "blind", "bob")
    field.call("acd_logout", bob, "bob")
    field.enter(sales, "+7495006")


def talk_ms(conn: Conn) -> set[Any]:
    """Take what is new; return how long people talked by the facts, and by the sums: one number if they agree."""
    report_facts.catch_up(conn)
    row = conn.execute(
        "SELECT (SELECT sum(talk_ms) FROM report_call), (SELECT sum(talk_ms) FROM report_call_slot)"
    ).fetchone()
    return set(row or ())


@pytest.mark.parametrize("most", [1, 3, 1000])
def test_batches_do_not_matter_and_a_rebuild_gives_the_same(field: Field, db: Conn, most: int) -> None:
    live_a_day(field)
    carrier, cheap = (add_gateway(db, name, tenant_id=field.tenant) for name in ("carrier", "cheap"))
    add_calls(db, field.tenant, carrier, cheap)
    while db.execute("SELECT report_fold(%s, %s)", [field.tenant, most]).fetchone() != (0,):
        pass
    wait_until(lambda: talk_ms(db) == {90_000}, "the calls are taken")
    # What is told later of a call takes the place of what was counted of it.
    db.execute(
        "UPDATE call SET talk_ms = talk_ms + 5000, hung_up_by = 'callee', updated_at = now()"
        " WHERE talk_ms = 60000"
    )
    wait_until(lambda: talk_ms(db) == {95_000}, "the change is taken")
    built = dump(db)
    assert all(built.values()), "every kind of fact and of sum is compared"
    assert len(built["report_entry"]) >= 8
    assert {row["end_reason"] for row in built["report_entry"]} >= {
        "served", "abandoned", "callback", "moved", "transferred", None,
    }  # fmt: skip
    report_facts.rebuild(db)
    assert dump(db) == built
