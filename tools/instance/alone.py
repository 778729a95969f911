"""The proxy without the database: what it starts with when PostgreSQL stays away, and what is kept of that time.

Kamailio's usrloc, dialog, dispatcher and uac modules refuse to start when their database does not answer. They are
then given text files (its module db_text) in <home>/kamailio_text: gateways and registrations at carriers from the
system file that ks-index wrote last, and no locations, so phones have to register anew. Their modules write into the
same files when the proxy ends. Before the next start with PostgreSQL the locations and dialogs go into its tables.

Decides nothing about when: the runner starts the proxy so, the watch restarts it when the database is back.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

import psycopg
from psycopg import sql

from callcore.errors import KalibriError
from callcore.gateway import Gateway
from kalibri.config import Config
from kalibri.db import Conn, connect_tool
from kalibri.index_dir import read_current
from kemi.ks_route.facts import SystemFacts

#: The empty tables that Debian's Kamailio brings along: their first line names and types the columns.
EMPTY_TABLES = Path("/usr/share/kamailio/dbtext/kamailio")
#: Tables that Kamailio writes, and that PostgreSQL gets afterwards; times are Unix times in the text files.
KEPT_TABLES = ("location", "dialog", "dialog_vars")
_TIMES = {"location": ("expires", "last_modified")}
#: A registration at a carrier is refreshed at least so often while we are alone, in seconds.
_TRUNK_EXPIRES = 300


def folder(config: Config) -> Path:
    """Return where the text tables are; while it exists, the proxy runs (or last ran) without the database."""
    return config.home / "kamailio_text"


def is_alone(config: Config) -> bool:
    """Tell whether the proxy was last started without the database."""
    return folder(config).exists()


def prepare(config: Config) -> None:
    """Make the text tables for a start; what an earlier run without the database has written is kept."""
    directory = folder(config)
    directory.mkdir(mode=0o700, exist_ok=True)
    for table in KEPT_TABLES:
        if not (directory / table).exists():
            shutil.copyfile(EMPTY_TABLES / table, directory / table)
    shutil.copyfile(EMPTY_TABLES / "version", directory / "version")
    gateways = list(_gateways(config))
    _write(directory, "dispatcher", (_dispatcher_row(gateway) for gateway in gateways if gateway.probe))
    _write(directory, "uacreg", (row for gateway in gateways for row in _uacreg_rows(gateway)))


def _gateways(config: Config) -> Iterator[Gateway]:
    current = read_current(config.index_directory)
    if current is not None:
        system = json.loads((config.index_directory / current.system).read_bytes())
        yield from SystemFacts.from_json(system).gateways.values()


def _uri(gateway: Gateway) -> str:
    transport = "" if gateway.transport == "udp" else f";transport={gateway.transport}"
    return f"sip:{gateway.host}:{gateway.port}{transport}"


def _dispatcher_row(gateway: Gateway) -> dict[str, object]:
    """As view kamailio.dispatcher has it."""
    return {
        "id": gateway.gateway_id,
        "setid": 1,
        "destination": _uri(gateway),
        "flags": 0,
        "priority": 0,
        "attrs": f"gw={gateway.gateway_id}",
        "description": gateway.name,
    }


def _uacreg_rows(gateway: Gateway) -> Iterator[dict[str, object]]:
    """As view kamailio.uacreg has it."""
    trunk = gateway.trunk
    if trunk is None:
        return
    yield {
        "id": trunk.trunk_id,
        "l_uuid": trunk.contact_user,
        "l_username": trunk.username,
        "l_domain": trunk.domain,
        "r_username": trunk.username,
        "r_domain": trunk.domain,
        "realm": trunk.auth_realm,
        "auth_username": trunk.auth_username,
        "auth_password": "",
        "auth_ha1": trunk.auth_ha1,
        "auth_proxy": _uri(gateway),
        "expires": _TRUNK_EXPIRES,
        "flags": 0,
        "reg_delay": 0,
        "contact_addr": "",
        "socket": "",
    }


# ---------------------------------------------------------------------------------------------- text tables

_ESCAPES = {"\\": "\\\\", ":": "\\:", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_UNESCAPED = {"n": "\n", "r": "\r", "t": "\t", "0": "\0"}


def _write(directory: Path, table: str, rows: Iterable[dict[str, object]]) -> None:
    header = (EMPTY_TABLES / table).read_text(encoding="utf-8").splitlines()[0]
    names = _columns(header)
    lines = [":".join(escape(str(row[name])) for name in names) for row in rows]
    (directory / table).write_text("\n".join([header, *lines, ""]), encoding="utf-8")


def _columns(header: str) -> list[str]:
    return [word.partition("(")[0] for word in header.split()]


def escape(text: str) -> str:
    """Return a value as it stands in a line of a text table."""
    return "".join(_ESCAPES.get(character, character) for character in text)


def read_table(path: Path) -> list[dict[str, str]]:
    """Read a text table as db_text writes it; a field that is empty may be empty or null."""
    lines = path.read_bytes().decode("utf-8", "replace").split("\n")
    names = _columns(lines[0])
    return [dict(zip(names, split_row(line), strict=False)) for line in lines[1:] if line.strip("\r")]


def split_row(line: str) -> list[str]:
    """Split a line of a text table at its colons, and take the backslashes away."""
    fields, escaped = [""], False
    for character in line:
        if escaped:
            fields[-1] += _UNESCAPED.get(character, character)
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == ":":
            fields.append("")
        else:
            fields[-1] += character
    return fields


# ---------------------------------------------------------------------------------------------- taking it over


def take_over_if_possible(config: Config) -> str:
    """Put locations and dialogs of the time without database into it; return what became of them, for the log.

    The text tables are gone afterwards. Those that cannot be taken over are set aside: the proxy has to start.
    """
    try:
        rows = take_over(config)
    except (KalibriError, psycopg.Error, OSError, ValueError, KeyError) as error:
        aside = folder(config).with_name(f"kamailio_text.{time.time():.0f}")
        folder(config).rename(aside)
        return f"registrations and dialogs of the time without database are lost, see {aside}: {error}"
    return f"{rows} rows of registrations and dialogs of the time without database are in it now"


def take_over(config: Config) -> int:
    """As take_over_if_possible, in one transaction; return how many rows. Raises whatever goes wrong."""
    directory = folder(config)
    with connect_tool(config, application_name="ksinit") as conn, conn.transaction():
        count = sum(_copy(conn, table, read_table(directory / table)) for table in KEPT_TABLES)
    shutil.rmtree(directory)
    return count


def _copy(conn: Conn, table: str, rows: list[dict[str, str]]) -> int:
    """Insert rows into a table of Kamailio; its own number (id) stays the database's business."""
    nullable = _nullable(conn, table)
    for row in rows:
        values = {name: _value(table, name, text, nullable) for name, text in row.items() if name != "id"}
        if table == "location":  # the phone registered anew: what it had before would ring it twice
            conn.execute(
                "DELETE FROM kamailio.location"
                " WHERE ruid = %(ruid)s OR (username, contact) = (%(username)s, %(contact)s)"
                " AND domain IS NOT DISTINCT FROM %(domain)s",
                values,
            )
        conn.execute(
            sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                sql.Identifier("kamailio", table),
                sql.SQL(", ").join(map(sql.Identifier, values)),
                sql.SQL(", ").join(map(sql.Placeholder, values)),
            ),
            values,
        )
    return len(rows)


def _nullable(conn: Conn, table: str) -> set[str]:
    rows = conn.execute(
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_schema = 'kamailio' AND table_name = %s AND is_nullable = 'YES'",
        [table],
    ).fetchall()
    return {str(name) for (name,) in rows}


def _value(table: str, name: str, text: str, nullable: set[str]) -> object:
    if text == "" and name in nullable:
        return None
    if name in _TIMES.get(table, ()):
        # Kamailio's PostgreSQL driver writes and reads its process's local time.
        return datetime.fromtimestamp(int(text))  # noqa: DTZ006
    return text
