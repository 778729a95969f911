"""The change log: each change of configuration once, with its ids, in the order of the commits."""

from __future__ import annotations

import threading

import psycopg
import pytest

from kalibri.db import Conn


@pytest.fixture(autouse=True)
def gateway(db: Conn) -> int:
    """Id of a gateway that is there from the start; the log is empty."""
    row = db.execute("INSERT INTO gateway (name, host) VALUES ('g', 'h') RETURNING gateway_id").fetchone()
    assert row is not None
    db.execute("DELETE FROM change_log")
    return int(row[0])


def logged(db: Conn) -> list[tuple[object, ...]]:
    return db.execute("SELECT noun, operation, ids FROM change_log ORDER BY seq").fetchall()


def test_each_statement_is_logged_once_with_its_ids(db: Conn) -> None:
    db.execute("INSERT INTO number (number) SELECT (74950000000 + n)::text FROM generate_series(1, 3) n")
    db.execute("UPDATE number SET state = 'ported' WHERE number <> '74950000002'")
    db.execute("DELETE FROM number WHERE number = '74950000003'")
    assert logged(db) == [
        ("number", "insert", [74950000001, 74950000002, 74950000003]),
        ("number", "update", [74950000001, 74950000003]),
        ("number", "delete", [74950000003]),
    ]


def test_more_than_a_thousand_ids_are_not_named(db: Conn) -> None:
    db.execute("INSERT INTO number (number) SELECT (74950000000 + n)::text FROM generate_series(1, 1001) n")
    assert logged(db) == [("number", "insert", None)]


def test_table_without_an_id_names_none(db: Conn) -> None:
    db.execute("INSERT INTO caller_id (tenant_id, set_name, number) VALUES (0, 's', '1')")
    assert logged(db) == [("caller_id", "insert", None)]


def test_statement_that_meets_no_row_is_not_logged(db: Conn) -> None:
    db.execute("UPDATE gateway SET port = 1 WHERE gateway_id = -1")
    db.execute("DELETE FROM gateway WHERE gateway_id = -1")
    assert logged(db) == []


def test_health_and_notes_are_no_configuration(db: Conn, gateway: int) -> None:
    db.execute(
        "UPDATE gateway SET health = 'down', health_reason = 'x', health_changed_at = now(), note = 'n'"
    )
    db.execute("UPDATE gateway SET port = port")
    assert logged(db) == []
    db.execute("UPDATE gateway SET health = 'up', port = 5080")
    assert logged(db) == [("gateway", "update", [gateway])]


def test_heartbeat_of_a_node_is_not_logged(db: Conn) -> None:
    db.execute("INSERT INTO node (name, kind, host, address) VALUES ('n', 'rtp', 'h', 'a')")
    db.execute("UPDATE node SET heartbeat_at = now(), data = '{\"calls\": 1}'")
    assert [operation for _, operation, _ in logged(db)] == ["insert"]


def test_change_is_notified_with_the_name_of_the_table_only(db: Conn, pg_dsn: str) -> None:
    with psycopg.connect(pg_dsn, autocommit=True) as listener:
        listener.execute("LISTEN kalibri_change")
        db.execute("UPDATE gateway SET port = 5090")
        assert [note.payload for note in listener.notifies(timeout=10, stop_after=1)] == ["gateway"]


def test_sequence_follows_the_order_of_the_commits(db: Conn, pg_dsn: str) -> None:
    """A reader that has seen a number never misses a smaller one: the second writer waits for the first."""
    with psycopg.connect(pg_dsn) as first, psycopg.connect(pg_dsn, autocommit=True) as second:
        first.execute("INSERT INTO gateway (name, host) VALUES ('first', 'h')")
        insert = "INSERT INTO gateway (name, host) VALUES ('second', 'h')"
        writer = threading.Thread(target=second.execute, args=(insert,))
        writer.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while writer.is_alive() and db.execute(waiting).fetchone() != (1,):
            pass
        logged_before = logged(db)
        first.commit()
        writer.join()
    order = "SELECT name FROM change_log JOIN gateway ON gateway_id = ids[1] ORDER BY seq"
    assert db.execute(order).fetchall() == [("first",), ("second",)]
    assert logged_before == []
