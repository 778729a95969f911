"""The private PostgreSQL cluster of one instance, in <home>/pg.

Makes it, writes its settings, starts and stops it, and says when it really answers. It never touches a
cluster that it did not make, and it knows nothing of the tables (kalibri/services/schema.py does).

Who may connect: any role through the unix socket, because the directory is closed to others (mode 0700);
over TCP, on 127.0.0.1 only, the role kamailio with a password (Kamailio's db_postgres takes no socket path).
"""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from callcore.errors import Refused, Unavailable
from kalibri.config import Config

MAJOR_VERSION = 15
BINARIES = Path(f"/usr/lib/postgresql/{MAJOR_VERSION}/bin")
DATABASE = "kalibri"
SUPERUSER = "kalibri"
KAMAILIO_ROLE = "kamailio"
#: sun_path of unix(7) holds 108 bytes with the closing zero.
LONGEST_SOCKET_PATH_BYTES = 107
START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 30.0
ASK_AGAIN_SECONDS = 0.05

SETTINGS = """\
# Written by kalibri/pg_cluster.py at each start: changes here are lost.
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{socket_directory}'
unix_socket_permissions = 0700
max_connections = 200              # proxy processes hold one or two each, daemons and tools a few
password_encryption = 'scram-sha-256'
shared_buffers = '128MB'
max_wal_size = '1GB'
timezone = 'UTC'
log_timezone = 'UTC'
datestyle = 'iso, ymd'
lc_messages = 'C'
jit = off                          # statements are short; compiling them costs more than it saves
log_line_prefix = '%m [%p] %a '
log_min_duration_statement = '1s'
log_parameter_max_length = 0       # parameters hold password hashes
{extra}"""

HOST_ACCESS = """\
# Written by kalibri/pg_cluster.py at each start: changes here are lost.
local all all trust
host all kamailio 127.0.0.1/32 scram-sha-256
"""


class RootRefused(Refused):
    """PostgreSQL does not run as root: use an ordinary user (tools/as_user.sh COMMAND)."""

    error_id = "root-refused"


class SocketPathTooLong(Refused):
    """The path of the database's unix socket is too long."""

    error_id = "socket-path-too-long"


class PostgresMissing(Unavailable):
    """PostgreSQL 15 is not installed (Debian package postgresql-15)."""

    error_id = "postgres-missing"


@dataclass(frozen=True)
class PgCluster:
    """Where a private cluster lies and how it listens."""

    #: Holds `data` and the socket.
    directory: Path
    port: int
    kamailio_password_file: Path
    #: Further lines of postgresql.conf.
    extra_settings: str = ""

    @classmethod
    def of(cls, config: Config, *, extra_settings: str = "") -> PgCluster:
        """Return the private cluster of an instance."""
        return cls(
            directory=config.pg_directory,
            port=config.database.port,
            kamailio_password_file=config.kamailio_password_file,
            extra_settings=extra_settings,
        )

    @property
    def data(self) -> Path:
        """PostgreSQL's own directory."""
        return self.directory / "data"

    @property
    def socket_path(self) -> Path:
        """The unix socket."""
        return self.directory / f".s.PGSQL.{self.port}"

    @property
    def exists(self) -> bool:
        """Whether the cluster has been made."""
        return (self.data / "PG_VERSION").exists()

    def dsn(self, database: str = DATABASE) -> str:
        """Return the connection string of the superuser, by the socket."""
        return psycopg.conninfo.make_conninfo(
            host=str(self.directory), port=self.port, dbname=database, user=SUPERUSER
        )

    def arguments(self) -> list[str]:
        """Return the command that runs the server in the foreground (stop it with SIGINT)."""
        return [str(binary("postgres")), "-D", str(self.data)]


def binary(name: str) -> Path:
    """Find a program of PostgreSQL 15; raises PostgresMissing."""
    path = BINARIES / name
    if not path.exists():
        raise PostgresMissing()
    return path


def prepare(cluster: PgCluster, *, durable: bool = True) -> None:
    """Make the cluster if there is none, and write its settings. Safe to repeat; the server must not run.

    durable: False saves the flush to disk when a test makes a cluster.
    Raises RootRefused, SocketPathTooLong, PostgresMissing.
    """
    if os.geteuid() == 0:
        raise RootRefused()
    _check_socket_path(cluster)
    cluster.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    cluster.directory.chmod(0o700)
    if not cluster.exists:
        _initialise(cluster, durable=durable)
    _write(cluster.data / "postgresql.conf", _settings(cluster))
    _write(cluster.data / "pg_hba.conf", HOST_ACCESS)


def _check_socket_path(cluster: PgCluster) -> None:
    size = len(os.fsencode(cluster.socket_path))
    if size > LONGEST_SOCKET_PATH_BYTES:
        raise SocketPathTooLong(
            f"the path of the database's unix socket has {size} bytes, but at most"
            f" {LONGEST_SOCKET_PATH_BYTES} are possible: choose a shorter --home ({cluster.socket_path})"
        )


def _initialise(cluster: PgCluster, *, durable: bool) -> None:
    """Run initdb beside the final place and rename: a cluster that exists is whole, even after a kill."""
    half_made = cluster.directory / "data.new"
    shutil.rmtree(half_made, ignore_errors=True)
    command = [str(binary("initdb")), "-D", str(half_made), "-U", SUPERUSER, "--auth=trust"]
    command += ["--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums"]
    command += [] if durable else ["--no-sync"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Unavailable(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")
    half_made.rename(cluster.data)


def _settings(cluster: PgCluster) -> str:
    # Quotes inside the value keep a comma in the path from starting a second directory.
    directory = '"' + str(cluster.directory).replace("'", "''") + '"'
    return SETTINGS.format(port=cluster.port, socket_directory=directory, extra=cluster.extra_settings)


def _write(path: Path, text: str, mode: int = 0o600) -> None:
    """Replace a file in one step."""
    temporary = path.with_name(path.name + ".new")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
        file.write(text)
    temporary.rename(path)


def start(cluster: PgCluster, *, log_file: Path, die_with_parent: bool = False) -> subprocess.Popen[bytes]:
    """Start a prepared cluster as a child process and return when it answers.

    log_file: where the server's messages are appended. die_with_parent: the server ends when the thread that
    started it ends, however that happens (for tests). Raises Unavailable with the end of the log.
    """
    with log_file.open("ab") as log:
        process = subprocess.Popen(
            cluster.arguments(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=_quit_with_parent() if die_with_parent else None,
        )
    try:
        wait_ready(cluster, alive=lambda: process.poll() is None)
    except Unavailable as error:
        stop(process, at_once=True)
        raise Unavailable(f"{error.message}; {log_file} ends with: {_tail(log_file)}") from error
    return process


def _quit_with_parent() -> Callable[[], None]:
    """Return what a child runs before exec; the library is loaded before the fork."""
    libc = ctypes.CDLL(None)
    pr_set_pdeathsig = 1
    return lambda: libc.prctl(pr_set_pdeathsig, signal.SIGQUIT)


def _tail(log_file: Path) -> str:
    return " | ".join(log_file.read_text(encoding="utf-8", errors="replace").splitlines()[-5:])


def wait_ready(
    cluster: PgCluster,
    *,
    timeout_seconds: float = START_TIMEOUT_SECONDS,
    alive: Callable[[], bool] = lambda: True,
) -> None:
    """Return when the server answers an SQL statement.

    alive: tells whether waiting still makes sense. Raises Unavailable when time is up or it does not.
    """
    deadline = time.monotonic() + timeout_seconds
    problem = "no answer"
    while time.monotonic() < deadline:
        try:
            with psycopg.connect(cluster.dsn("postgres"), connect_timeout=2) as conn:
                conn.execute("SELECT 1")
                return
        except psycopg.OperationalError as error:
            problem = " ".join(str(error).split())
        if not alive():
            raise Unavailable("PostgreSQL ended while it was starting")
        time.sleep(ASK_AGAIN_SECONDS)
    raise Unavailable(f"PostgreSQL does not answer after {timeout_seconds:.0f} seconds: {problem}")


def stop(process: subprocess.Popen[bytes], *, at_once: bool = False) -> None:
    """Stop a server that `start` started, ending its connections; at_once: without a checkpoint."""
    if process.poll() is None:
        process.send_signal(signal.SIGQUIT if at_once else signal.SIGINT)
    try:
        process.wait(STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def set_up(cluster: PgCluster) -> None:
    """Make the database and the role kamailio with its password, in a running cluster. Safe to repeat."""
    with psycopg.connect(cluster.dsn("postgres"), autocommit=True) as conn:
        if conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
            conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        if conn.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [KAMAILIO_ROLE]).fetchone() is None:
            conn.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(KAMAILIO_ROLE)))
        _set_kamailio_password(conn, kamailio_password(cluster))


def _set_kamailio_password(conn: psycopg.Connection, password: str) -> None:
    # The verifier is computed here, so that the password itself is in no statement and in no log.
    verifier = conn.pgconn.encrypt_password(password.encode(), KAMAILIO_ROLE.encode(), b"scram-sha-256")
    statement = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}")
    conn.execute(statement.format(sql.Identifier(KAMAILIO_ROLE), sql.Literal(verifier.decode())))


def kamailio_password(cluster: PgCluster) -> str:
    """Return the password of the role kamailio; it is made at the first call (file of mode 0600)."""
    path = cluster.kamailio_password_file
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(path, secrets.token_urlsafe(24) + "\n")
    return path.read_text(encoding="utf-8").strip()


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that was free a moment ago (for tests and second instances)."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
