"""Journal files into tables: each case on real PostgreSQL, with real files."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from callcore.cdr import PROXY_RESTART
from callcore.event import Event
from callcore.restart import start_parts
from kalibri.config import Config
from kalibri.journal import JournalWriter
from kalibri.services.journal import add_files, finish_files, store_new
from tests.support.events import START, CallBuilder, Journals, line_of, talked_call
from tools.ks_cdr import PROXY_FILE_SECONDS, CdrDaemon


def about_nothing(builder: CallBuilder, ms: float, kind: str, **data: Any) -> Event:
    """Make an event that belongs to no call."""
    event = builder.add(ms, kind, **data)
    builder.events.remove(event)
    return Event(id=event.id, at=event.at, kind=kind, node=builder.node, process="kamailio:100", data=data)


@pytest.fixture
def journals(pg_config: Config) -> Journals:
    return Journals(pg_config)


@pytest.fixture
def daemon(pg_config: Config) -> Iterator[CdrDaemon]:
    daemon = CdrDaemon(pg_config)
    yield daemon
    daemon.close()


def one(db: psycopg.Connection, query: str, *params: object) -> tuple[Any, ...]:
    row = db.execute(query, params).fetchone()
    assert row is not None
    return tuple(row)


def count(db: psycopg.Connection, table: str) -> int:
    return int(one(db, f"SELECT count(*) FROM {table}")[0])


def test_a_call_is_stored_with_its_events_and_its_file_is_deleted(
    db: psycopg.Connection, journals: Journals, daemon: CdrDaemon
) -> None:
    call = talked_call()
    path = journals.append("a", *call.events)
    assert daemon.settle()
    row = one(
        db,
        "SELECT started_at, tenant_id, direction, a_number, b_sent, route_ids, gateway_out_id, ring_ms,"
        " talk_ms, final_code, cause, hung_up_by, attempts, answered_at FROM call WHERE call_id = %s",
        call.call_id,
    )
    assert row[:12] == (
        START, 7, "account", "alice", "+78121234567", [12, 15], 6, 3000, 60000, 200, "normal", "callee",
    )  # fmt: skip
    assert [(a["n"], a["gateway_id"], a["code"], a["failover"]) for a in row[12]] == [
        (1, 5, 408, True),
        (2, 6, 200, False),
    ]
    assert datetime.fromisoformat(row[12][1]["ringing_at"]) == START + timedelta(milliseconds=2103)
    assert count(db, "call_event") == len(call.events)
    assert not path.exists()
    assert one(db, "SELECT finished, offset_bytes > 0 FROM journal_file") == (True, True)


def test_the_events_of_a_call_may_come_in_any_files_at_any_time(
    db: psycopg.Connection, journals: Journals, daemon: CdrDaemon
) -> None:
    call = talked_call()
    for n, event in enumerate(reversed(call.events)):
        journals.append(f"worker-{n % 3}", event)
        assert daemon.settle()
    assert one(db, "SELECT talk_ms, hung_up_by, a_number FROM call") == (60000, "callee", "alice")
    assert count(db, "call") == 1


def test_the_same_lines_twice_are_stored_once(
    db: psycopg.Connection, journals: Journals, daemon: CdrDaemon
) -> None:
    call = talked_call()
    journals.append("a", *call.events)
    journals.append("b", *call.events, *call.events)
    assert daemon.settle()
    assert count(db, "call_event") == len(call.events)
    assert count(db, "call") == 1


def test_a_file_whose_writer_lives_is_followed_and_kept(
    pg_config: Config, db: psycopg.Connection, daemon: CdrDaemon
) -> None:
    writer = JournalWriter(pg_config.journal_directory, "n1", "ks-acd")
    writer.event("first")
    assert daemon.settle()
    assert os.path.exists(writer.path or "")
    writer.event("second")
    assert daemon.settle()
    assert [kind for (kind,) in db.execute("SELECT kind FROM call_event ORDER BY at")] == ["first", "second"]
    path = writer.path or ""
    writer.close()
    assert daemon.settle()
    assert not os.path.exists(path)


def test_the_journal_of_a_dead_proxy_is_left_for_the_next_one_to_read(
    pg_config: Config, db: psycopg.Connection, daemon: CdrDaemon
) -> None:
    writer = JournalWriter(pg_config.journal_directory, "n1", "kamailio")
    writer.event("first")
    path = writer.path or ""
    writer.close()
    assert daemon.settle()
    assert (count(db, "call_event"), os.path.exists(path)) == (1, True)
    long_ago = time.time() - PROXY_FILE_SECONDS - 1
    os.utime(path, (long_ago, long_ago))
    assert daemon.settle()
    assert not os.path.exists(path)


def test_a_torn_tail_waits_while_the_writer_lives_and_is_quarantined_when_it_is_gone(
    pg_config: Config, db: psycopg.Connection, daemon: CdrDaemon
) -> None:
    writer = JournalWriter(pg_config.journal_directory, "n1", "ks-acd")
    writer.event("whole")
    with open(writer.path or "", "ab") as file:
        file.write(b'{"id":"01')
    assert daemon.settle()
    assert count(db, "journal_quarantine") == 0
    name, path = os.path.basename(writer.path or ""), Path(writer.path or "")
    writer.close()
    assert daemon.settle()
    assert one(db, "SELECT file, line, reason FROM journal_quarantine") == (
        name,
        b'{"id":"01',
        "torn: the writer died within this line",
    )
    assert count(db, "call_event") == 1
    assert not path.exists()


def test_bad_lines_are_quarantined_where_they_stand_and_the_others_are_stored(
    db: psycopg.Connection, journals: Journals, daemon: CdrDaemon
) -> None:
    call = talked_call()
    good = [line_of(event) for event in call.events]
    journals.append("a", good[0], b"\xff\x00nonsense\n", good[1], b"{}\n", b"\n", *good[2:])
    assert daemon.settle()
    assert count(db, "call_event") == len(good)
    rows = db.execute("SELECT offset_bytes, line FROM journal_quarantine ORDER BY offset_bytes").fetchall()
    assert rows == [
        (len(good[0]), b"\xff\x00nonsense"),
        (len(good[0]) + 11 + len(good[1]), b"{}"),
    ]


def test_a_line_that_only_postgresql_refuses_does_not_stop_the_others(
    db: psycopg.Connection, journals: Journals, daemon: CdrDaemon
) -> None:
    """A constraint stands for whatever the database may object to."""
    db.execute("ALTER TABLE call_event ADD CONSTRAINT no_wonder CHECK (kind <> 'call.wonder')")
    call = talked_call()
    call.add(70_000, "call.wonder")
    journals.append("a", *call.events)
    assert daemon.settle()
    assert count(db, "call_event") == len(call.events) - 1
    assert one(db, "SELECT talk_ms FROM call") == (60000,)
    [reason] = one(db, "SELECT reason FROM journal_quarantine")
    assert "not stored" in reason


def test_a_call_that_the_database_refuses_does_not_stop_the_others(
    db: psycopg.Connection, journals: Journals, daemon: CdrDaemon
) -> None:
    db.execute("ALTER TABLE call ADD CONSTRAINT no_bob CHECK (a_number <> 'bob')")
    refused = CallBuilder(2)
    refused.start(a="bob")
    journals.append("a", *refused.events, *talked_call().events)
    assert daemon.settle()
    assert one(db, "SELECT count(*), min(a_number) FROM call") == (1, "alice")
    assert count(db, "call_event") == 1 + len(talked_call().events)


def test_texts_that_postgresql_cannot_store_come_in_with_escapes(
    pg_config: Config, db: psycopg.Connection, daemon: CdrDaemon
) -> None:
    writer = JournalWriter(pg_config.journal_directory, "n1", "ks-acd")
    call = talked_call()
    writer.event("call.start", call=call.call_id, a="al\x00ice\udcff", b=b"\xfe1")
    assert daemon.settle()
    assert one(db, "SELECT a_number, b_number FROM call") == ("al\\u0000ice\\udcff", "\\xfe1")
    assert count(db, "journal_quarantine") == 0


def test_events_of_any_day_find_a_partition(
    db: psycopg.Connection, journals: Journals, daemon: CdrDaemon
) -> None:
    """A machine that starts in 1970, and a clock that jumps far ahead."""
    days = [datetime(1970, 1, 1, tzinfo=UTC), datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC)]
    calls = [talked_call(n, start=day) for n, day in enumerate(days)]
    journals.append("a", *(event for call in calls for event in call.events))
    assert daemon.settle()
    assert count(db, "call") == 2
    assert count(db, "call_event_19700101") > 0
    assert count(db, "call_20991231") == 1
    assert count(db, "call_event_21000101") > 0
    assert count(db, "journal_quarantine") == 0


def test_a_partition_that_was_dropped_meanwhile_is_made_again(
    db: psycopg.Connection, journals: Journals, daemon: CdrDaemon
) -> None:
    journals.append("a", *talked_call(1).events)
    assert daemon.settle()
    db.execute("DROP TABLE call_20261122, call_event_20261122")
    journals.append("b", *talked_call(2).events)
    assert daemon.settle()
    assert count(db, "call") == 1
    assert count(db, "journal_quarantine") == 0


def test_a_truncated_file_is_read_again_and_nothing_is_doubled(
    pg_config: Config, db: psycopg.Connection, daemon: CdrDaemon
) -> None:
    writer = JournalWriter(pg_config.journal_directory, "n1", "ks-acd")
    for n in range(10):
        writer.event("before", n=n)
    assert daemon.settle()
    os.truncate(writer.path or "", 0)
    writer.event("after")
    assert daemon.settle()
    assert count(db, "call_event") == 11
    assert one(db, "SELECT count(*) FROM journal_quarantine WHERE reason LIKE 'truncated%%'") == (1,)


def test_a_file_that_was_truncated_and_has_grown_again_is_noticed(
    pg_config: Config, db: psycopg.Connection, daemon: CdrDaemon
) -> None:
    writer = JournalWriter(pg_config.journal_directory, "n1", "ks-acd")
    writer.event("a")
    assert daemon.settle()
    os.truncate(writer.path or "", 0)
    for n in range(5):
        writer.event("longer than before", n=n)
    assert daemon.settle()
    assert one(db, "SELECT count(*) FROM call_event WHERE kind = 'longer than before'") == (5,)


def test_a_file_bigger_than_one_batch_is_stored_whole(
    pg_config: Config, db: psycopg.Connection, daemon: CdrDaemon
) -> None:
    writer = JournalWriter(pg_config.journal_directory, "n1", "ks-acd")
    for n in range(60):
        writer.event("big", n=n, text="x" * 50_000)
    assert daemon.settle()
    assert count(db, "call_event") == 60


@pytest.fixture
def gateway(db: psycopg.Connection) -> int:
    [known] = one(db, "INSERT INTO gateway (name, host) VALUES ('g', '192.0.2.1') RETURNING gateway_id")
    return int(known)


def test_health_of_a_gateway_follows_the_latest_event_whatever_the_order(
    db: psycopg.Connection, journals: Journals, daemon: CdrDaemon, gateway: int
) -> None:
    proxy = CallBuilder()
    down = about_nothing(proxy, 1000, "gateway.down", gateway_id=gateway, reason="OPTIONS unanswered")
    up = about_nothing(proxy, 2000, "gateway.up", gateway_id=gateway, reason="")
    later = about_nothing(proxy, 3000, "gateway.down", gateway_id=gateway, reason="5 failures", code=503)
    unknown = about_nothing(proxy, 1, "gateway.up", gateway_id=4711)
    journals.append("a", up, down, unknown)
    assert daemon.settle()
    query = "SELECT health::text, health_reason, health_changed_at FROM gateway WHERE gateway_id = %s"
    assert one(db, query, gateway) == ("up", "", up.at)
    journals.append("b", later)
    assert daemon.settle()
    assert one(db, query, gateway) == ("down", "503 5 failures", later.at)
    journals.append("c", about_nothing(proxy, 2500, "gateway.up", gateway_id=gateway))
    assert daemon.settle()
    assert one(db, query, gateway)[0] == "down"


def test_state_of_a_trunk_follows_its_events(
    db: psycopg.Connection, journals: Journals, daemon: CdrDaemon, gateway: int
) -> None:
    [trunk] = one(
        db,
        "INSERT INTO trunk (gateway_id, username, domain, auth_username, auth_realm, auth_ha1)"
        " VALUES (%s, 'u', 'd', 'u', 'r', repeat('0', 32)) RETURNING trunk_id",
        gateway,
    )
    proxy = CallBuilder()
    journals.append(
        "a", about_nothing(proxy, 1, "trunk.registered", trunk_id=trunk, gateway_id=gateway, code=200)
    )
    assert daemon.settle()
    assert one(db, "SELECT state::text, state_reason FROM trunk") == ("registered", "200")
    journals.append("b", about_nothing(proxy, 2, "trunk.lost", trunk_id=trunk, code=403, reason="Forbidden"))
    assert daemon.settle()
    assert one(db, "SELECT state::text, state_reason FROM trunk") == ("lost", "403 Forbidden")


def test_calls_that_a_restarted_proxy_does_not_have_any_more_are_closed(
    db: psycopg.Connection, journals: Journals, daemon: CdrDaemon
) -> None:
    lost, alive, elsewhere, done = (CallBuilder(n, node="n2" if n == 3 else "n1") for n in range(1, 5))
    for call in (lost, alive, elsewhere, done):
        call.start()
        call.answer(1000)
    done.end(9000)
    back = [
        about_nothing(CallBuilder(9), 10_000 + n, "proxy.start", **part)
        for n, part in enumerate(start_parts([alive.call_id], "run"))
    ]
    journals.append("a", *(e for call in (lost, alive, elsewhere, done) for e in call.events))
    journals.append("b", *back)
    for _ in range(2):  # the second time finds nothing left to do
        assert daemon.settle()
    rows = db.execute("SELECT call_id, cause, hung_up_by, talk_ms, ended_at FROM call").fetchall()
    told = {row[0]: tuple(row[1:]) for row in rows}
    assert told[lost.call_id] == (PROXY_RESTART, "system", 9000, START + timedelta(seconds=10))
    assert told[alive.call_id] == told[elsewhere.call_id] == ("", None, None, None)
    assert told[done.call_id][:2] == ("normal", "callee")
    assert one(db, "SELECT count(*) FROM call_event WHERE data ->> 'cause' = %s", PROXY_RESTART) == (1,)


def test_an_end_that_turns_up_after_a_call_was_closed_counts(
    db: psycopg.Connection, journals: Journals, daemon: CdrDaemon
) -> None:
    call = CallBuilder()
    call.start()
    call.answer(1000)
    back = about_nothing(CallBuilder(9), 10_000, "proxy.start", dialogs=[])
    journals.append("a", *call.events, back)
    assert daemon.settle()
    assert one(db, "SELECT cause FROM call") == (PROXY_RESTART,)
    journals.append("b", call.end(5000))
    assert daemon.settle()
    assert one(db, "SELECT cause, hung_up_by, talk_ms FROM call") == ("normal", "callee", 4000)


def test_an_empty_file_of_a_dead_writer_is_deleted(
    db: psycopg.Connection, journals: Journals, daemon: CdrDaemon
) -> None:
    path = journals.append("a")
    assert daemon.settle()
    assert not path.exists()


def test_other_files_in_the_directory_are_left_alone(journals: Journals, daemon: CdrDaemon) -> None:
    other = journals.directory / "notes.txt"
    other.write_text("x")
    assert daemon.settle()
    assert other.exists()


def test_a_missing_directory_is_an_empty_one(daemon: CdrDaemon) -> None:
    assert daemon.settle()


def test_a_line_whose_call_id_tells_no_time_is_quarantined(
    db: psycopg.Connection, journals: Journals, daemon: CdrDaemon
) -> None:
    event = talked_call().events[0]
    spoilt = line_of(event).replace(str(event.call).encode(), str(uuid4()).encode())
    journals.append("a", spoilt)
    assert daemon.settle()
    assert (count(db, "call_event"), count(db, "journal_quarantine")) == (0, 1)


def test_rows_of_files_that_are_long_gone_are_forgotten(
    pg_config: Config, db: psycopg.Connection, journals: Journals
) -> None:
    db.execute(
        "INSERT INTO journal_file (file, finished, last_stored_at)"
        " VALUES ('old', true, now() - interval '31 days'), ('young', true, now())"
    )
    daemon = CdrDaemon(pg_config)
    assert daemon.settle()
    daemon.close()
    assert db.execute("SELECT file FROM journal_file").fetchall() == [("young",)]


def test_call_ids_stay_what_they_are(db: psycopg.Connection, journals: Journals, daemon: CdrDaemon) -> None:
    call = talked_call()
    journals.append("a", *call.events)
    assert daemon.settle()
    [stored] = one(db, "SELECT call_id FROM call")
    assert isinstance(stored, UUID)
    assert stored == call.call_id


def test_two_that_store_events_of_one_call_at_once_fold_it_from_both(
    pg_config: Config, db: psycopg.Connection, journals: Journals, daemon: CdrDaemon
) -> None:
    """The second one folds after the first one's commit; else its row would miss the first one's events."""
    db.execute("SELECT ensure_day_partitions(%s)", [START.date()])
    days = {START.date()}
    call = talked_call()
    journals.append("a", *call.events[:4])
    journals.append("b", *call.events[4:])
    add_files(db, ["a.jsonl", "b.jsonl"])
    with psycopg.connect(db.info.dsn, autocommit=True) as first, ThreadPoolExecutor() as pool:
        with first.transaction():
            store_new(first, journals.directory, ["a.jsonl"], known_days=days)
            done = pool.submit(store_new, db, journals.directory, ["b.jsonl"], known_days=days)
            with psycopg.connect(db.info.dsn, autocommit=True) as observer:
                while not done.done() and not _waits(observer, db.info.backend_pid):
                    pass
        assert done.result(10).events == len(call.events) - 4
    assert one(db, "SELECT a_number, talk_ms FROM call") == ("alice", 60000)


def _waits(observer: psycopg.Connection, backend_pid: int) -> bool:
    query = "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %s"
    return one(observer, query, backend_pid) == (True,)


def test_a_file_that_another_one_is_storing_is_passed_over(
    db: psycopg.Connection, journals: Journals, daemon: CdrDaemon
) -> None:
    journals.append("a", *talked_call().events)
    add_files(db, ["a.jsonl"])
    with psycopg.connect(db.info.dsn, autocommit=True) as first:
        with first.transaction():
            assert store_new(first, journals.directory, ["a.jsonl"], known_days=set()).events > 0
            assert store_new(db, journals.directory, ["a.jsonl"], known_days=set()).offsets == {}
            assert finish_files(db, journals.directory, ["a.jsonl"]) == []
        assert store_new(db, journals.directory, ["a.jsonl"], known_days=set()).events == 0
    assert finish_files(db, journals.directory, ["a.jsonl"]) == ["a.jsonl"]
