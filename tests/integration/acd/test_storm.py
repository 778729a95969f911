"""Under many random operations at once, with killed connections, the rules of call distribution hold.

Never two callers for one agent, never one caller at two agents (ring-all apart), the order is kept, nobody is
lost, and the events tell the state. KALIBRI_STORM_OPERATIONS asks for a longer run (make storm).
"""

from __future__ import annotations

import os
from typing import Any

import psycopg
import pytest

from callcore.agent import TRANSITIONS, AgentEvent, AgentState
from tests.support.acd_field import Field
from tests.support.acd_storm import Storm, Worker

WORKERS = 8
OPERATIONS = int(os.environ.get("KALIBRI_STORM_OPERATIONS", "20000"))

#: Each finds rows that break a rule, in one statement and so in one snapshot.
RULES = {
    "two callers for one agent": """
        SELECT agent_id FROM offer WHERE state <> 'ended' GROUP BY agent_id HAVING count(*) > 1""",
    "one caller at two agents": """
        SELECT entry_id FROM offer WHERE state <> 'ended' GROUP BY entry_id
        HAVING count(*) > 1 AND NOT bool_and(ring_all)""",
    "two answers for one caller": """
        SELECT entry_id FROM offer WHERE state = 'answered' GROUP BY entry_id HAVING count(*) > 1""",
    "an agent does not know his offer": """
        SELECT o.offer_id, o.state, a.offer_id, a.offer_state
        FROM (SELECT * FROM offer WHERE state <> 'ended') o
        FULL JOIN (SELECT * FROM agent_live WHERE offer_id IS NOT NULL) a USING (agent_id)
        WHERE (a.offer_id, a.offer_state) IS DISTINCT FROM (o.offer_id, o.state)""",
    "an entry and its offers contradict each other": """
        SELECT e.entry_id, e.state, count(o.offer_id) FROM queue_entry e
        LEFT JOIN offer o ON o.entry_id = e.entry_id AND o.state <> 'ended'
        GROUP BY e.tenant_id, e.entry_id
        HAVING (e.state IN ('offered', 'talking')) <> (count(o.offer_id) > 0)
            OR (e.state = 'talking') <> (count(*) FILTER (WHERE o.joined_at IS NOT NULL) = 1)""",
    "ready agents are not those who are": """
        SELECT r.agent_id, m.agent_id FROM ready_agent r
        FULL JOIN (SELECT m.agent_id, m.queue_id FROM queue_member m JOIN agent_live a USING (tenant_id, agent_id)
                   WHERE a.ready) m ON m.agent_id = r.agent_id AND m.queue_id = r.queue_id
        WHERE r.agent_id IS NULL OR m.agent_id IS NULL""",
    "a caller waits although an agent is ready for him": """
        SELECT e.entry_id, r.agent_id FROM queue_entry e JOIN ready_agent r ON r.queue_id = e.queue_id
        WHERE e.state = 'waiting' AND e.assigned_agent IS NULL AND r.min_wait = 0 AND e.kind = 'call'
          AND (e.not_before IS NULL)
          AND NOT EXISTS (SELECT FROM rejection x WHERE x.agent_id = r.agent_id
                          AND x.caller = acd_caller_key(e.caller, e.entry_id))""",
    "dialogs are counted wrong": """
        SELECT a.agent_id FROM agent_live a
        WHERE a.legs <> (SELECT count(*) FROM agent_leg l WHERE l.agent_id = a.agent_id)""",
}

#: Two offers of one agent's queues in the wrong order: who came later was offered while one who was first waited,
#: with nothing that kept the agent from him. Found from the offers themselves.
OVERTAKEN = """
    SELECT o.offer_id, o.entry_id, e.entry_id AS first
    FROM offer o
    JOIN queue_entry mine ON mine.entry_id = o.entry_id
    JOIN queue_entry e ON e.queue_id = mine.queue_id AND e.entry_id <> mine.entry_id
    WHERE NOT o.forced AND o.state <> 'ended' AND e.state = 'waiting' AND e.kind = 'call' AND e.state_at < o.made_at
      AND e.not_before IS NULL AND e.assigned_agent IS NULL
      AND (e.order_class > mine.order_class OR e.order_class = mine.order_class AND e.order_at < mine.order_at)
      AND mine.entered_at < o.made_at
      AND NOT EXISTS (SELECT FROM offer x WHERE x.agent_id = o.agent_id AND x.outcome IN ('rejected', 'failed')
                      AND acd_caller_key(x.caller, x.entry_id) = acd_caller_key(e.caller, e.entry_id)
                      AND x.ended_at BETWEEN o.made_at - interval '61 s' AND o.made_at)
      AND NOT EXISTS (SELECT FROM acd_event v WHERE v.entry_id IN (e.entry_id, mine.entry_id) AND v.at >= o.made_at
                      AND v.kind IN ('entry.priority', 'entry.move', 'entry.wait', 'entry.assign'))"""


def broken(conn: psycopg.Connection[Any]) -> dict[str, list[Any]]:
    """Return which rules are broken now, and by which rows."""
    found = {name: conn.execute(rule).fetchall() for name, rule in RULES.items()}  # type: ignore[call-overload]
    found["a caller was overtaken"] = conn.execute(OVERTAKEN).fetchall()
    return {name: rows[:5] for name, rows in found.items() if rows}


@pytest.fixture
def storm(db: psycopg.Connection[Any], pg_dsn: str) -> Storm:
    """Two tenants with queues of every strategy that share their agents."""
    storm = Storm(pg_dsn, [], {}, {}, {}, operations=OPERATIONS // WORKERS)
    for name in ("one", "two"):
        field = Field(db, name)
        short = {f"{word}_delay_seconds": 0 for word in ("no_answer", "reject", "busy", "unreachable")}
        common = {
            "reject_exclusion_seconds": 1,
            "callback_enabled": True,
            "callback_retry_seconds": 1,
            **short,
        }
        queues = [
            field.queue("idle", **common),
            field.queue("all", strategy="ring_all", ring_all_limit=3, **common),
            field.queue("random", strategy="random", priority=2, wrapup_seconds=1, **common),
            field.queue("robin", strategy="round_robin", max_size=30, **common),
        ]
        agents = [field.agent(f"a{n}", *queues[: 1 + n % 4]) for n in range(12)]
        phones = [field.agent(f"p{n}", *queues, number=None) for n in range(4)]
        db.execute(
            "UPDATE agent_live SET registered = true, event = 'register' WHERE tenant_id = %s", [field.tenant]
        )
        accounts = db.execute(
            "SELECT account_id FROM agent WHERE account_id IS NOT NULL AND tenant_id = %s", [field.tenant]
        )
        storm.tenants.append(field.tenant)
        storm.queues[field.tenant], storm.agents[field.tenant] = queues, agents + phones
        storm.accounts[field.tenant] = [row[0] for row in accounts]
    for number in range(WORKERS):
        field.host(f"host-{number}")
    return storm


def count(conn: psycopg.Connection[Any], what: str) -> int:
    row = conn.execute(f"SELECT count(*) FROM {what}").fetchone()  # type: ignore[arg-type]
    assert row is not None
    return int(row[0])


def events_tell_the_state(conn: psycopg.Connection[Any]) -> None:
    """Fold the events of agents and entries, and find what the tables say."""
    legal = {
        (str(state), str(event), str(after))
        for (state, event), follow in TRANSITIONS.items()
        for after in follow
    }
    states = dict.fromkeys(
        (row[0] for row in conn.execute("SELECT agent_id FROM agent")), str(AgentState.OFFLINE)
    )
    rows = conn.execute(
        "SELECT agent_id, data ->> 'from', data ->> 'to', data ->> 'event' FROM acd_event"
        " WHERE kind = 'agent.state' ORDER BY seq"
    )
    for agent, before, after, event in rows:
        assert states[agent] == before
        assert before == after or (before, event, after) in legal
        assert event in tuple(AgentEvent)
        states[agent] = after
    assert states == dict(conn.execute("SELECT agent_id, state::text FROM agent_live").fetchall())
    for kind, table in (("entry.enter", "queue_entry"), ("offer.make", "offer")):
        assert count(conn, f"acd_event WHERE kind = '{kind}'") == count(conn, table)
    for kind, table in (("entry.end", "queue_entry"), ("offer.end", "offer")):
        assert count(conn, f"acd_event WHERE kind = '{kind}'") == count(
            conn, f"{table} WHERE state = 'ended'"
        )
    by_reason = conn.execute(
        "SELECT data ->> 'reason', count(*) FROM acd_event WHERE kind = 'entry.end' GROUP BY 1 ORDER BY 1"
    ).fetchall()
    assert (
        by_reason
        == conn.execute(
            "SELECT end_reason::text, count(*) FROM queue_entry WHERE state = 'ended' GROUP BY 1 ORDER BY 1"
        ).fetchall()
    )


def settle(conn: psycopg.Connection[Any], crew: list[Worker]) -> None:
    """Let the time after the storm go by: every call that hosts still know is hung up, all deadlines come."""
    for worker in crew:
        for call in list(worker.calls.values()):
            conn.execute("SELECT * FROM acd_end(%s, %s, 'abandoned')", [call.tenant, call.entry])
    conn.execute("UPDATE node SET heartbeat_at = now() - interval '1 min'")
    conn.execute("UPDATE queue_entry SET state_at = state_at - interval '1 min' WHERE state <> 'ended'")
    for (host,) in conn.execute("SELECT * FROM acd_silent_hosts()").fetchall():
        conn.execute("SELECT acd_lose_host(%s, 'over')", [host])
    conn.execute("UPDATE queue_entry SET due_at = now() WHERE due_at IS NOT NULL AND state = 'lost'")
    conn.execute("UPDATE offer SET deadline_at = now() WHERE deadline_at IS NOT NULL")
    while due := conn.execute("SELECT acd_tick(tenant) FROM acd_due() AS tenant").fetchall():
        assert any(transitions for (transitions,) in due)


def test_rules_hold_in_a_storm(storm: Storm, db: psycopg.Connection[Any]) -> None:
    failures: list[dict[str, list[Any]]] = []

    def watch() -> None:
        if found := broken(db):
            failures.append(found)

    crew = storm.run(WORKERS, watch, kill_every_seconds=0.5)
    assert [worker.errors for worker in crew if worker.errors] == []
    assert failures == []
    assert sum(worker.operations for worker in crew) >= storm.operations * WORKERS
    assert sum(worker.killed for worker in crew) > 0
    assert count(db, "queue_entry WHERE end_reason = 'served'") > OPERATIONS / 100
    settle(db, crew)
    assert broken(db) == {}
    events_tell_the_state(db)
    assert count(db, "queue_entry WHERE state <> 'ended' AND kind = 'call'") == 0
    assert db.execute(
        "SELECT count(*) FROM agent_live WHERE offer_id IS NOT NULL AND state = 'ringing'"
    ).fetchone() == (0,)
