"""ks-acd on a real database: one leads, deadlines come when they come, queues open and close, proxies are compared."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg.types.json import Jsonb

from callcore.steadiness import GAP_SECONDS, SETTLE_SECONDS, Steadiness
from kalibri.config import Config
from kalibri.db import Conn
from kalibri.services import acd, schedule
from kalibri.services import queue as queues
from tests.support.acd_field import HOST, PROXY, Field
from tools.ks_acd import AcdDaemon

MONDAY_NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MONDAY_NIGHT = datetime(2026, 11, 23, 22, tzinfo=UTC)


@pytest.fixture
def daemon(pg_config: Config) -> Iterator[AcdDaemon]:
    with closing(AcdDaemon(pg_config)) as daemon:
        yield daemon


def test_one_leads_and_another_takes_over(field: Field, pg_config: Config, daemon: AcdDaemon) -> None:
    with closing(AcdDaemon(pg_config)) as second:
        daemon.step()
        second.step()
        assert (daemon.leads, second.leads) == (True, False)
        daemon.close()
        deadline = time.monotonic() + 30
        while not second.leads:
            assert time.monotonic() < deadline
            second.step()


def test_wrap_up_ends_at_its_deadline(field: Field, daemon: AcdDaemon) -> None:
    queue = field.queue(wrapup_seconds=1)
    agent = field.agent("anna", queue)
    action = field.enter(queue)
    field.answer(action.offer_id)
    field.acts("acd_finish", action.offer_id, "caller")
    waiting = field.enter(queue).entry_id
    while field.state(agent) == "wrapup":
        time.sleep(daemon.step())
    ended = field.events("agent.state")[-2]
    assert (ended["from"], ended["to"]) == ("wrapup", "free")
    assert 1.0 <= ended["seconds"] < 60
    assert field.entry(waiting)["state"] == "offered"


def test_it_sleeps_to_the_nearest_deadline_but_no_longer_than_a_second(
    field: Field, daemon: AcdDaemon
) -> None:
    assert daemon.step() == 1.0
    agent = field.agent("anna")
    field.call("acd_wrapup", agent, 100)
    assert daemon.step() == 1.0
    field.conn.execute(
        "UPDATE agent_live SET wrapup_until = clock_timestamp() + interval '300 ms', event = 'wrapup'"
    )
    assert daemon.step() < 0.35


def test_queues_open_and_close_by_their_hours(field: Field, db: Conn) -> None:
    schedule.add(db, tenant_id=field.tenant, name="office", hours="mon-fri 09:00-18:00", time_zone="UTC")
    queue = queues.add(db, tenant_id=field.tenant, name="sales", schedule="office").queue_id
    assert acd.apply_hours(db, now=MONDAY_NOON) == 0
    assert acd.apply_hours(db, now=MONDAY_NIGHT) == 1
    closed = field.enter(queue)
    assert (closed.kind, closed.data["reason"]) == ("leave", "closed")
    queues.change(db, tenant_id=field.tenant, name="sales", schedule=None)
    assert acd.apply_hours(db, now=MONDAY_NIGHT) == 1
    assert field.enter(queue).kind == "wait"
    assert [
        name for (name,) in db.execute("SELECT kind FROM acd_event WHERE kind LIKE 'queue.%' ORDER BY seq")
    ] == [
        "queue.close",
        "queue.open",
    ]


def test_silent_host_is_found_once_everybody_could_have_reported(field: Field, pg_config: Config) -> None:
    queue = field.queue()
    entry = field.enter(queue, "700").entry_id
    field.conn.execute("UPDATE node SET heartbeat_at = now() - interval '6 s' WHERE name = %s", [HOST])
    field.conn.execute("UPDATE queue_entry SET state_at = state_at - interval '6 s'")
    seconds = iter(range(100))
    now = [0.0]
    with closing(AcdDaemon(pg_config, clock=lambda: now[0])) as daemon:
        while now[0] < SETTLE_SECONDS:
            daemon.step()
            # The database may have been away until a moment ago, and nobody could report.
            assert field.entry(entry)["state"] == "waiting"
            now[0] = float(next(seconds))
        daemon.step()
        assert field.entry(entry)["state"] == "lost"
        assert daemon.detail() == "leader, 1 repairs"


def test_silence_is_not_judged_after_a_gap() -> None:
    steadiness = Steadiness()
    assert not steadiness.may_judge(0.0)
    for second in range(10):
        steadiness.looks(float(second))
    assert steadiness.may_judge(9.0)
    # The look itself hung, because the database was frozen.
    assert not steadiness.may_judge(9.0 + GAP_SECONDS + 1)
    steadiness.looks(20.0)
    assert not steadiness.may_judge(20.0)
    steadiness.looks(21.0)
    steadiness.lost()
    assert not steadiness.may_judge(21.0)


def test_it_survives_the_loss_of_its_connection(field: Field, daemon: AcdDaemon) -> None:
    daemon.step()
    field.conn.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name LIKE 'ks-acd%' AND datname = current_database()"
    )
    assert daemon.step() < 1
    assert "waiting for the database" in daemon.detail()
    daemon.step()
    assert daemon.leads


def test_only_legs_that_last_count_as_new(field: Field, db: Conn) -> None:
    agent = field.agent("101", number=None)
    field.conn.execute("UPDATE agent_live SET registered = true, event = 'register'")
    account = field.value("SELECT account_id FROM agent")
    told = [
        {"call_id": "x", "state": 4, "variables": {"ks_tenant": str(field.tenant), "ks_agent": str(account)}}
    ]
    dialogs = acd.dialogs_of(told)
    assert acd.sync_proxy(db, proxy=PROXY, dialogs=dialogs, before=None) == 0
    assert acd.sync_proxy(db, proxy=PROXY, dialogs=dialogs, before=dialogs) == 1
    assert field.state(agent) == "busy"


def test_dialogs_of_dead_hosts_are_named(field: Field, db: psycopg.Connection) -> None:
    told = [
        {"call_id": name, "state": 4, "h_entry": 1, "h_id": n, "variables": {"ks_host": host}}
        for n, (name, host) in enumerate([("a", HOST), ("b", "gone-media-1")])
    ]
    assert acd.dialogs_of_dead_hosts(db, acd.dialogs_of(told)) == [(1, 1)]


def test_what_came_and_went_during_an_outage_is_entered_once(field: Field, daemon: AcdDaemon) -> None:
    queue, call, start = field.queue(), uuid.uuid4(), datetime.now(UTC) - timedelta(minutes=5)
    told = {"queue": queue, "caller": "700", "holder": HOST}
    store_line(field, "acd.enter", call, start, told)
    store_line(field, "acd.end", call, start + timedelta(seconds=40), {**told, "reason": "abandoned"})
    daemon.step()
    row = field.row("SELECT since, waited_ms, end_reason::text FROM queue_entry")
    assert (row["since"], row["waited_ms"], row["end_reason"]) == (start, 40_000, "abandoned")
    assert acd.replay_outages(field.conn) == 0


def test_a_host_that_still_holds_a_replayed_call_takes_it_up_with_its_time(
    field: Field, daemon: AcdDaemon
) -> None:
    queue, call, start = field.queue(), uuid.uuid4(), datetime.now(UTC) - timedelta(minutes=5)
    store_line(field, "acd.enter", call, start, {"queue": queue, "caller": "700", "holder": HOST})
    daemon.step()
    assert field.row("SELECT state::text FROM queue_entry")["state"] == "lost"
    field.enter(queue, "700", call=call, since=start.isoformat())
    row = field.row("SELECT state::text, since, due_at FROM queue_entry")
    grace_end = datetime.now(UTC) + timedelta(minutes=11)
    assert (row["state"], row["since"]) == ("waiting", start)
    assert row["due_at"] is None or row["due_at"] > grace_end


def store_line(field: Field, kind: str, call: uuid.UUID, at: datetime, data: dict[str, object]) -> None:
    """Store a line of a media host's journal as ks-cdr does."""
    field.conn.execute("SELECT ensure_day_partitions(%s)", [at.date()])
    field.conn.execute(
        "INSERT INTO call_event (event_id, at, call_id, tenant_id, kind, node, process, data)"
        " VALUES (gen_random_uuid(), %s, %s, %s, %s, 'n1', 'media-1', %s)",
        [at, call, field.tenant, kind, Jsonb(data)],
    )
