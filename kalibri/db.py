"""The only door to PostgreSQL: connections with real time limits, named statements, errors a person can read.

Everything that talks to the database goes through `connect`, the statements of kalibri/queries/*.sql and the
helpers `fetch_all`, `fetch_one`, `execute`; these turn what PostgreSQL says into errors of callcore.errors.
It never builds SQL from strings and holds no statement of its own.

Connections are in autocommit mode: a use case that writes opens `conn.transaction()`, which then commits; an
outer `conn.transaction(force_rollback=True)` turns the same use case into a dry run.
"""

from __future__ import annotations

import contextlib
import enum
import re
import select
import time
import typing
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, LiteralString, TypeVar, cast

import psycopg
from psycopg import errors, pq
from psycopg.rows import RowFactory

from callcore.errors import AlreadyExists, BadInput, KalibriError, NotFound, Refused, StillInUse, Unavailable
from kalibri.config import Config
from kalibri.db_constraints import CHECKS, REFERENCES, UNIQUE

Conn = psycopg.Connection[Any]
Row = TypeVar("Row")

QUERIES = Path(__file__).parent / "queries"
#: Limits for a person's tools, which wait where the proxy must not.
TOOL_CONNECT_TIMEOUT_MS = 5000
TOOL_STATEMENT_TIMEOUT_MS = 0


# ---------------------------------------------------------------------------------------------- connect


def connect(
    config: Config,
    *,
    application_name: str,
    connect_timeout_ms: int | None = None,
    statement_timeout_ms: int | None = None,
    connection_type: type[Conn] = psycopg.Connection,
    settings: Mapping[str, str] | None = None,
) -> Conn:
    """Connect in autocommit mode; raises Unavailable.

    application_name: shown in pg_stat_activity. settings: further ones of the session, as role or
    kalibri.actor (who the audit log says it was). Limits in milliseconds; None: those of the configuration (the
    proxy's), 0 for statements: no limit.
    """
    database = config.database
    connect_ms = database.connect_timeout_ms if connect_timeout_ms is None else connect_timeout_ms
    statement_ms = database.statement_timeout_ms if statement_timeout_ms is None else statement_timeout_ms
    conninfo = psycopg.conninfo.make_conninfo(
        config.database_dsn,
        application_name=application_name,
        client_encoding="utf8",
        options=session_options(
            {"statement_timeout": str(statement_ms), "timezone": "UTC", **(settings or {})}
        ),
    )
    pgconn = _connect_in_time(conninfo, connect_ms / 1000)
    conn = connection_type(pgconn)
    conn.autocommit = True
    return conn


def session_options(settings: Mapping[str, str]) -> str:
    """Return libpq's `options` with which a session begins with these settings."""
    return " ".join(
        "-c " + re.sub(r"([\\\s])", r"\\\1", f"{name}={value}") for name, value in settings.items()
    )


def connect_tool(config: Config, *, application_name: str, settings: Mapping[str, str] | None = None) -> Conn:
    """Connect as `connect` does, with the patience of a command-line tool."""
    return connect(
        config,
        application_name=application_name,
        connect_timeout_ms=TOOL_CONNECT_TIMEOUT_MS,
        statement_timeout_ms=TOOL_STATEMENT_TIMEOUT_MS,
        settings=settings,
    )


def _connect_in_time(conninfo: str, seconds: float) -> pq.abc.PGconn:
    """Drive libpq's non-blocking connect: its own connect_timeout knows whole seconds only, at least two."""
    deadline = time.monotonic() + seconds
    pgconn = pq.PGconn.connect_start(conninfo.encode())
    status = pq.PollingStatus.WRITING
    while pgconn.status != pq.ConnStatus.BAD:
        if status == pq.PollingStatus.OK:
            pgconn.nonblocking = 1
            return pgconn
        left = deadline - time.monotonic()
        if left <= 0 or not _wait_socket(pgconn.socket, status, left):
            pgconn.finish()
            raise Unavailable(
                f"PostgreSQL does not answer within {seconds * 1000:.0f} ms ({where(conninfo)})"
            )
        status = pq.PollingStatus(pgconn.connect_poll())
    reason = " ".join(pgconn.get_error_message().split())
    pgconn.finish()
    raise Unavailable(f"PostgreSQL cannot be reached ({where(conninfo)}): {reason}")


def _wait_socket(socket: int, status: pq.PollingStatus, seconds: float) -> bool:
    waiting = select.poll()
    waiting.register(socket, select.POLLIN if status == pq.PollingStatus.READING else select.POLLOUT)
    return bool(waiting.poll(seconds * 1000))


def where(conninfo: str) -> str:
    """Say where a connection string leads, without its password."""
    parts = psycopg.conninfo.conninfo_to_dict(conninfo)
    shown = ("host", "port", "dbname", "user")
    return " ".join(f"{name}={parts[name]}" for name in shown if parts.get(name))


# ------------------------------------------------------------------------------------- named statements


class QueryFileError(KalibriError):
    """A file of named statements is not well formed."""


@cache
def statements(noun: str) -> Mapping[str, LiteralString]:
    """Load kalibri/queries/<noun>.sql: {name: statement}. Raises QueryFileError."""
    path = QUERIES / f"{noun}.sql"
    return parse_statements(path.read_text(encoding="utf-8"), path.name)


def parse_statements(text: str, source: str) -> Mapping[str, LiteralString]:
    """Split a file into statements.

    Each begins with `-- name: some_name`, goes on with at least one comment line that says what it does, and
    holds one statement with parameters as %(name)s.
    """
    parts = re.split(r"^-- name: *(.*)$", text, flags=re.MULTILINE)
    loaded: dict[str, LiteralString] = {}
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in loaded:
            raise QueryFileError(f"{source}: bad or repeated name {name!r}")
        description, statement = _split_description(body)
        if not description or not statement:
            raise QueryFileError(f"{source}: {name} needs a description and a statement")
        # The files are part of the program, as safe as literals in it.
        loaded[name] = statement
    return loaded


def _split_description(body: str) -> tuple[str, str]:
    lines = body.strip().splitlines()
    comments = 0
    while comments < len(lines) and lines[comments].startswith("--"):
        comments += 1
    return "\n".join(lines[:comments]), "\n".join(lines[comments:]).strip()


# ---------------------------------------------------------------------------------------------- execute


def fetch_all(conn: Conn, row_type: type[Row], statement: LiteralString, **params: object) -> list[Row]:
    """Run a statement and return its rows as dataclasses (columns by name, enum columns as enums)."""
    with domain_errors(statement), conn.cursor(row_factory=dataclass_row(row_type)) as cursor:
        return cursor.execute(statement, params).fetchall()


def fetch_one(conn: Conn, row_type: type[Row], statement: LiteralString, **params: object) -> Row | None:
    """Run a statement and return its first row as a dataclass, or None."""
    with domain_errors(statement), conn.cursor(row_factory=dataclass_row(row_type)) as cursor:
        return cursor.execute(statement, params).fetchone()


def fetch_value(conn: Conn, statement: LiteralString, **params: object) -> Any:
    """Run a statement and return the first column of its first row, or None."""
    with domain_errors(statement), conn.cursor() as cursor:
        row = cursor.execute(statement, params).fetchone()
    return None if row is None else row[0]


def execute(conn: Conn, statement: LiteralString, **params: object) -> int:
    """Run a statement and return how many rows it changed."""
    with domain_errors(statement), conn.cursor() as cursor:
        return cursor.execute(statement, params).rowcount


def dataclass_row(row_type: type[Row]) -> RowFactory[Row]:
    """Make a row factory: each column is the field of its name.

    What a field declares as an enum becomes that enum, arrays become tuples.
    """
    enums = _enum_fields(cast(Any, row_type))

    def factory(cursor: psycopg.Cursor[Any]) -> Callable[[Sequence[Any]], Row]:
        names = [column.name for column in cursor.description or ()]

        def make(values: Sequence[Any]) -> Row:
            pairs = zip(names, values, strict=True)
            return row_type(**{name: _field_value(value, enums.get(name)) for name, value in pairs})

        return make

    return factory


def _field_value(value: Any, enum_type: type[enum.Enum] | None) -> Any:
    if isinstance(value, list):
        return tuple(_field_value(item, enum_type) for item in value)
    return value if enum_type is None or value is None else enum_type(value)


@cache
def _enum_fields(row_type: type[Any]) -> dict[str, type[enum.Enum]]:
    found = {}
    for name, hint in typing.get_type_hints(row_type).items():
        for part in typing.get_args(hint) or (hint,):
            if isinstance(part, type) and issubclass(part, enum.Enum):
                found[name] = part
    return found


# ----------------------------------------------------------------------------------------------- errors


@contextlib.contextmanager
def domain_errors(statement: str = "") -> Iterator[None]:
    """Turn PostgreSQL's errors into ours; statement: tells a foreign key's two meanings apart."""
    try:
        yield
    except psycopg.Error as error:
        raise domain_error(error, statement) from error


def domain_error(error: psycopg.Error, statement: str = "") -> KalibriError:
    """Return the error of callcore.errors that says what happened."""
    name = error.diag.constraint_name or ""
    if isinstance(error, errors.UniqueViolation):
        return AlreadyExists(UNIQUE.get(name, ""), constraint=name)
    if isinstance(error, errors.ForeignKeyViolation):
        return _reference_error(name, statement)
    if isinstance(error, errors.CheckViolation):
        return BadInput(CHECKS.get(name, error.diag.message_primary or ""), constraint=name)
    if isinstance(error, errors.DeadlockDetected | errors.SerializationFailure):
        return Unavailable("somebody else changed the same objects at the same time: try again")
    if isinstance(error, errors.QueryCanceled):
        return Unavailable("PostgreSQL did not finish in time")
    if isinstance(error, errors.InsufficientPrivilege):
        return Refused("this belongs to somebody else, or only the system may change it")
    if isinstance(error, psycopg.DataError):
        return BadInput(error.diag.message_primary or str(error))
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return Unavailable(f"PostgreSQL: {' '.join(str(error).split())}")
    return KalibriError(f"PostgreSQL refused: {' '.join(str(error).split())}")


def _reference_error(constraint: str, statement: str) -> KalibriError:
    """Choose by the statement: DELETE meets what refers to the row, the others miss what they name."""
    reference = REFERENCES.get(constraint)
    if statement.lstrip()[:6].upper() == "DELETE":
        return StillInUse(reference.still_used if reference else "", constraint=constraint)
    return NotFound(reference.missing if reference else "", constraint=constraint)


def require(row: Row | None, kind: str, name: object) -> Row:
    """Return the row, or raise NotFound: 'there is no account "101"'."""
    if row is None:
        raise NotFound(f'there is no {kind} "{name}"', kind=kind, name=str(name))
    return row


# ----------------------------------------------------------------------------------------------- listen


def listen(
    connect: Callable[[], Conn],
    channel: LiteralString,
    *,
    poll_seconds: float,
    keep_on: Callable[[], bool] = lambda: True,
) -> Generator[frozenset[str], None, None]:
    """Yield at each notification, and at the latest each `poll_seconds`, until not `keep_on()`.

    Yields the payloads, none when only time went by. A notification is only a hint: whoever is woken looks at
    the tables; hence the first yield right after each connect, when something may have been missed. While the
    database is away the wake-ups go on, poll by poll.
    """
    conn: Conn | None = None
    try:
        while keep_on():
            payloads: frozenset[str] | None = frozenset()
            if conn is not None:
                payloads = _wait(conn, poll_seconds)
            else:
                conn = _listening(connect, channel)
            if conn is None:
                time.sleep(poll_seconds)
            elif payloads is None:
                conn.close()
                conn = None
            yield payloads or frozenset()
    finally:
        if conn is not None:
            conn.close()


def _listening(connect: Callable[[], Conn], channel: LiteralString) -> Conn | None:
    try:
        conn = connect()
        conn.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(channel)))
    except (Unavailable, psycopg.Error):
        return None
    return conn


def _wait(conn: Conn, seconds: float) -> frozenset[str] | None:
    """Return what was notified within this time, None when the connection broke."""
    try:
        # What has come together is one wake-up.
        return frozenset(note.payload for note in conn.notifies(timeout=seconds, stop_after=1))
    except psycopg.Error:
        return None
