"""The private cluster: made once, closed to others, back after a kill, and never left behind."""

from __future__ import annotations

import os
import select
import stat
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from callcore.errors import Unavailable
from kalibri import pg_cluster
from kalibri.config import PROJECT_ROOT
from kalibri.pg_cluster import PgCluster, SocketPathTooLong
from tests.support.fix_pg import RunningCluster, temporary_cluster


def answer(dsn: str, statement: bytes) -> object:
    with psycopg.connect(dsn) as conn:
        row = conn.execute(statement).fetchone()
        assert row is not None
        return row[0]


def tcp_dsn(server: RunningCluster, user: str, password: str) -> str:
    return f"host=127.0.0.1 port={server.cluster.port} dbname=postgres user={user} password={password}"


@pytest.fixture
def server(pg_server: RunningCluster) -> RunningCluster:
    return pg_server


def test_directories_and_secret_are_closed_to_others(server: RunningCluster) -> None:
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in server.config.home.iterdir()}
    assert modes[server.config.pg_directory] == 0o700
    assert modes[server.config.secrets_directory] == 0o700
    assert stat.S_IMODE(server.config.kamailio_password_file.stat().st_mode) == 0o600


def test_settings_are_in_force(server: RunningCluster) -> None:
    dsn = server.dsn("postgres")
    assert answer(dsn, b"SHOW max_connections") == "200"
    assert answer(dsn, b"SHOW listen_addresses") == "127.0.0.1"
    assert answer(dsn, b"SHOW data_checksums") == "on"
    assert answer(dsn, b"SHOW TimeZone") == "UTC"
    assert answer(dsn, b"SHOW server_encoding") == "UTF8"


def test_kamailio_needs_its_password_over_tcp(server: RunningCluster) -> None:
    password = pg_cluster.kamailio_password(server.cluster)
    assert answer(tcp_dsn(server, "kamailio", password), b"SELECT current_user") == "kamailio"
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(tcp_dsn(server, "kamailio", "wrong"))


def test_superuser_is_not_reachable_over_tcp(server: RunningCluster) -> None:
    with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
        psycopg.connect(tcp_dsn(server, "kalibri", "x"))


@pytest.mark.usefixtures("pg_server")
def test_set_up_again_keeps_the_password() -> None:
    with temporary_cluster() as own:
        before = pg_cluster.kamailio_password(own.cluster)
        pg_cluster.set_up(own.cluster)
        assert pg_cluster.kamailio_password(own.cluster) == before


def test_password_is_in_no_log(server: RunningCluster) -> None:
    log = (server.config.home / "postgres.log").read_text()
    assert pg_cluster.kamailio_password(server.cluster) not in log


@pytest.mark.usefixtures("pg_server")
def test_data_survives_kill_and_new_preparation() -> None:
    with temporary_cluster() as own:
        with psycopg.connect(own.dsn("kalibri")) as conn:
            conn.execute("CREATE TABLE kept AS SELECT 42 AS value")
        own.kill()
        pg_cluster.prepare(own.cluster)
        own.start_again()
        assert answer(own.dsn("kalibri"), b"SELECT value FROM kept") == 42


@pytest.mark.usefixtures("pg_server")
def test_long_home_is_refused_with_the_size(tmp_path: Path) -> None:
    cluster = PgCluster(directory=tmp_path / ("x" * 100), port=5432, kamailio_password_file=tmp_path / "p")
    with pytest.raises(SocketPathTooLong, match=r"has \d+ bytes, but at most 107"):
        pg_cluster.prepare(cluster)


def test_taken_port_is_reported_with_the_log(server: RunningCluster, tmp_path: Path) -> None:
    cluster = PgCluster(
        directory=tmp_path / "pg", port=server.cluster.port, kamailio_password_file=tmp_path / "p"
    )
    pg_cluster.prepare(cluster, durable=False)
    with pytest.raises(Unavailable, match="Address already in use"):
        pg_cluster.start(cluster, log_file=tmp_path / "log")


@pytest.mark.usefixtures("pg_server")
def test_server_of_a_killed_test_run_ends_too() -> None:
    """The child prints the server's pid and waits; killed with SIGKILL, it can clean nothing up itself."""
    program = (
        "from tests.support.fix_pg import temporary_cluster\n"
        "with temporary_cluster() as server:\n"
        "    print(server.process.pid, flush=True)\n"
        "    input()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=PROJECT_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdin is not None
    server = os.pidfd_open(int(child.stdout.readline()))
    try:
        child.kill()
        child.communicate()
        ended, _, _ = select.select([server], [], [], 30)
        assert ended, "the server outlived the process that started it"
    finally:
        os.close(server)
