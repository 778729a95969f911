"""Real PostgreSQL for tests: one server a pytest process, one database a test, nothing left behind.

The schema goes into a template database once; each test gets a clone of it (CREATE DATABASE … TEMPLATE, some
tens of milliseconds). The server is a child that the kernel ends with pytest (PR_SET_PDEATHSIG), also when
pytest is killed; what such a kill leaves on disk is swept away by the next run.

Fixtures: `db` (autocommit connection), `pg_dsn` (connection string), `pg_config` (Config of an instance), all
of the same fresh database; `empty_dsn` (one with nothing in it); `pg_server` (the shared cluster, never
to be stopped). `temporary_cluster()` is a server of your own, to be stopped and killed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from callcore.errors import Unavailable
from kalibri import pg_cluster
from kalibri.config import Config
from kalibri.config_sections import DatabaseConfig
from kalibri.pg_cluster import PgCluster
from kalibri.services import schema

#: Short, because unix sockets lie in it; the number is the pid of the owner.
PREFIX = "kspg-"
#: A test's data must survive a kill of the server, but no power cut.
FAST_SETTINGS = "fsync = off\nfull_page_writes = off\nshared_buffers = '32MB'\n"
TEMPLATE = "kalibri_template"
START_ATTEMPTS = 5

_serial = itertools.count(1)


@dataclasses.dataclass
class RunningCluster:
    """A server of a test: its instance's configuration, its cluster and its process."""

    config: Config
    cluster: PgCluster
    process: subprocess.Popen[bytes]

    def dsn(self, database: str) -> str:
        """Connection string of one database."""
        return self.cluster.dsn(database)

    def kill(self) -> None:
        """End the server as `kill -9` would; its own children notice and end too."""
        self.process.kill()
        self.process.wait()

    def start_again(self) -> None:
        """Start the server after a kill or a stop; returns when it answers."""
        for attempt in itertools.count(1):
            try:
                self.process = pg_cluster.start(
                    self.cluster, log_file=_log(self.config), die_with_parent=True
                )
                return
            except Unavailable:  # after a kill the old backends may still hold the shared memory
                if attempt == START_ATTEMPTS:
                    raise

    def stop(self) -> None:
        """Stop the server in order."""
        pg_cluster.stop(self.process)


def _log(config: Config) -> Path:
    return config.home / "postgres.log"


@contextlib.contextmanager
def temporary_cluster() -> Iterator[RunningCluster]:
    """Run a fresh private cluster with the database `kalibri` and its schema; it is gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir="/tmp"))
    try:
        server = _start(home)
        try:
            pg_cluster.set_up(server.cluster)
            apply_schema(server.dsn(pg_cluster.DATABASE))
            yield server
        finally:
            pg_cluster.stop(server.process, at_once=True)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _start(home: Path) -> RunningCluster:
    """Somebody may take the free port before PostgreSQL does: then another one is tried."""
    for attempt in itertools.count(1):
        config = Config(home=home, database=DatabaseConfig(port=pg_cluster.free_port()))
        cluster = PgCluster.of(config, extra_settings=FAST_SETTINGS)
        pg_cluster.prepare(cluster, durable=False)
        try:
            process = pg_cluster.start(cluster, log_file=_log(config), die_with_parent=True)
        except Unavailable:
            if attempt == START_ATTEMPTS:
                raise
            continue
        return RunningCluster(config, cluster, process)
    raise AssertionError("not reached")


def apply_schema(dsn: str) -> None:
    """Put schema.sql into an empty database."""
    with psycopg.connect(dsn) as conn:
        conn.execute(schema.read().encode())


def _sweep() -> None:
    """Remove what killed runs left: directories whose owner is gone (its server went with it)."""
    for path in Path("/tmp").glob(f"{PREFIX}*"):
        pid = path.name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def pg_server() -> Iterator[RunningCluster]:
    """The server that the tests of this process share."""
    if os.geteuid() == 0:
        pytest.skip("PostgreSQL refuses root: run the tests with tools/as_user.sh")
    _sweep()
    with temporary_cluster() as server:
        with psycopg.connect(server.dsn("postgres"), autocommit=True) as conn:
            rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
            conn.execute(rename.format(sql.Identifier(pg_cluster.DATABASE), sql.Identifier(TEMPLATE)))
        yield server
    _sweep()


@pytest.fixture
def empty_dsn(pg_server: RunningCluster) -> Iterator[str]:
    """Connection string of a database with nothing in it."""
    yield from _database(pg_server, "template0")


@pytest.fixture
def pg_dsn(pg_server: RunningCluster) -> Iterator[str]:
    """Connection string of a fresh database with the whole schema."""
    yield from _database(pg_server, TEMPLATE)


def _database(server: RunningCluster, template: str) -> Iterator[str]:
    name = f"test_{next(_serial)}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
    drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as conn:
        conn.execute(create)
    yield server.dsn(name)
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as conn:
        conn.execute(drop)


@pytest.fixture
def pg_config(pg_dsn: str, tmp_path: Path) -> Config:
    """Configuration of an instance whose database is the fresh one and whose home is the test's folder.

    The database may take its time: on a busy machine the proxy's 200 ms would fail tests of other things.
    """
    patient = DatabaseConfig(dsn=pg_dsn, connect_timeout_ms=30_000, statement_timeout_ms=30_000)
    return Config(home=tmp_path, database=patient)


@pytest.fixture
def db(pg_dsn: str) -> Iterator[psycopg.Connection]:
    """An autocommit connection to the fresh database."""
    with psycopg.connect(pg_dsn, autocommit=True) as conn:
        yield conn
