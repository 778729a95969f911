"""The door to PostgreSQL: limits that hold, errors that say what happened, wake-ups that never stop."""

from __future__ import annotations

import dataclasses
import enum
import itertools
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg
import pytest

from callcore.errors import AlreadyExists, BadInput, KalibriError, NotFound, StillInUse, Unavailable
from kalibri import db as database
from kalibri.config import Config
from kalibri.config_sections import DatabaseConfig
from kalibri.db import Conn
from kalibri.db_constraints import CHECKS, REFERENCES, UNIQUE
from tests.support.fix_pg import temporary_cluster

NEW_TENANT = "INSERT INTO tenant (name, realm) VALUES (%(name)s, %(realm)s) RETURNING tenant_id"


class Colour(enum.StrEnum):
    RED = "red"


@dataclasses.dataclass(frozen=True)
class Thing:
    number: int
    colour: Colour | None
    colours: tuple[Colour, ...]


@pytest.fixture
def conn(pg_config: Config) -> Iterator[Conn]:
    with database.connect(pg_config, application_name="test") as connection:
        yield connection


def config_for(dsn: str, **limits: int) -> Config:
    return Config(home=Path("/nowhere"), database=DatabaseConfig(dsn=dsn, **limits))


def test_rows_become_dataclasses_with_enums_and_tuples(conn: Conn) -> None:
    statement = "SELECT 1 AS number, NULL AS colour, ARRAY['red'] AS colours"
    assert database.fetch_one(conn, Thing, statement) == Thing(1, None, (Colour.RED,))
    statement = "SELECT 2 AS number, 'red' AS colour, '{}'::text[] AS colours"
    assert database.fetch_all(conn, Thing, statement) == [Thing(2, Colour.RED, ())]


def test_use_case_commits_by_itself_and_dry_run_does_not(conn: Conn) -> None:
    with conn.transaction(force_rollback=True), conn.transaction():
        database.execute(conn, NEW_TENANT, name="dry", realm="dry")
    with conn.transaction():
        database.execute(conn, NEW_TENANT, name="real", realm="real")
    names = "SELECT string_agg(name, ' ' ORDER BY name) FROM tenant"
    assert database.fetch_value(conn, names) == "real system"


def test_slow_statement_ends_as_unavailable(pg_dsn: str) -> None:
    config = config_for(pg_dsn, statement_timeout_ms=50)
    with database.connect(config, application_name="test") as conn:
        with pytest.raises(Unavailable, match="did not finish in time"):
            database.execute(conn, "SELECT pg_sleep(30)")
        assert database.fetch_value(conn, "SELECT 1") == 1


def test_tools_have_no_statement_limit(pg_config: Config) -> None:
    with database.connect_tool(pg_config, application_name="ksctl") as conn:
        assert database.fetch_value(conn, "SHOW statement_timeout") == "0"
        assert database.fetch_value(conn, "SHOW application_name") == "ksctl"


def test_silent_server_is_given_up_in_time() -> None:
    """It accepts the connection and says nothing: what a stopped machine or a full backlog looks like."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        config = config_for(f"host=127.0.0.1 port={port} user=kalibri", connect_timeout_ms=200)
        before = time.monotonic()
        with pytest.raises(Unavailable, match=rf"does not answer within 200 ms \(host=127.0.0.1 port={port}"):
            database.connect(config, application_name="test")
        assert 0.15 < time.monotonic() - before < 2


def test_absent_server_is_told_without_the_password() -> None:
    with pytest.raises(Unavailable, match="cannot be reached") as caught:
        database.connect(config_for("host=/nowhere user=kalibri password=secret"), application_name="test")
    assert "secret" not in caught.value.message


def test_wrong_password_is_told(pg_dsn: str) -> None:
    parts = psycopg.conninfo.conninfo_to_dict(pg_dsn)
    dsn = f"host=127.0.0.1 port={parts['port']} dbname={parts['dbname']} user=kamailio password=wrong"
    with pytest.raises(Unavailable, match="password authentication failed"):
        database.connect(config_for(dsn, connect_timeout_ms=5000), application_name="test")


def test_constraints_become_domain_errors(conn: Conn) -> None:
    tenant = database.fetch_value(conn, NEW_TENANT, name="acme", realm="acme")
    with pytest.raises(AlreadyExists, match="a tenant of this name exists already"):
        database.execute(conn, NEW_TENANT, name="acme", realm="other")
    with pytest.raises(BadInput, match="name of the tenant: 1 to 63"):
        database.execute(conn, NEW_TENANT, name="ACME", realm="other")
    with pytest.raises(NotFound, match="no such tenant"):
        database.execute(conn, "INSERT INTO domain (tenant_id, name) VALUES (%(tenant)s, 'x')", tenant=77)
    database.execute(conn, "INSERT INTO domain (tenant_id, name) VALUES (%(tenant)s, 'x')", tenant=tenant)
    with pytest.raises(StillInUse, match="the tenant still has domains"):
        database.execute(conn, "DELETE FROM tenant WHERE tenant_id = %(tenant)s", tenant=tenant)
    with pytest.raises(BadInput, match="invalid input syntax for type cidr"):
        database.fetch_value(conn, "SELECT %(net)s::cidr", net="nonsense")
    with pytest.raises(KalibriError, match="PostgreSQL refused: relation"):
        database.fetch_value(conn, "SELECT 1 FROM nothing")


def test_every_constraint_of_the_schema_has_a_readable_message(db: Conn) -> None:
    rows = db.execute(
        "SELECT contype::text, conname FROM pg_constraint WHERE connamespace = 'public'::regnamespace"
        " UNION SELECT 'u', indexrelid::regclass::text FROM pg_index JOIN pg_class ON oid = indrelid"
        " WHERE indisunique AND relnamespace = 'public'::regnamespace"
        # What a trigger refuses in the name of a constraint that no index can be: names shared by two tables.
        r" UNION SELECT 'u', told[1] FROM pg_proc, regexp_matches(prosrc, 'USING CONSTRAINT = ''(\w+)''', 'g') told"
        " WHERE pronamespace = 'public'::regnamespace"
    ).fetchall()
    known: dict[str, Mapping[str, object]] = {"u": UNIQUE, "c": CHECKS, "f": REFERENCES}
    # A generated key never collides: those primary keys need no message.
    for kind, messages in known.items():
        wanted = {name for type_, name in rows if type_ == kind and "_pkey" not in name}
        assert {name for name in messages if "_pkey" not in name} == wanted


def test_listener_hears_polls_and_survives_a_restart() -> None:
    with temporary_cluster() as server:
        config = config_for(server.dsn("kalibri"), connect_timeout_ms=5000, statement_timeout_ms=5000)

        def connect() -> Conn:
            return database.connect(config, application_name="listener")

        wakeups = database.listen(connect, "kalibri_change", poll_seconds=0.05)
        assert next(wakeups) == frozenset()  # connected: look at the tables
        assert next(wakeups) == frozenset()  # poll
        with connect() as other:
            database.execute(other, NEW_TENANT, name="a", realm="a")
        assert next(filter(None, itertools.islice(wakeups, 100))) == {"tenant"}
        server.kill()
        assert [next(wakeups) for _ in range(3)] == [frozenset()] * 3
        server.start_again()
        next(wakeups)
        with connect() as other:
            database.execute(other, NEW_TENANT, name="b", realm="b")
        assert next(filter(None, itertools.islice(wakeups, 100))) == {"tenant"}
        wakeups.close()
