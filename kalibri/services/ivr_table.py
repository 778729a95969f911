"""Tables that scenarios look things up in: imported from CSV, whole or not at all. The first column is the key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from callcore.errors import NotFound
from callcore.ivr_values import LONGEST_VALUE
from kalibri import db
from kalibri.csv_table import BLANKS, Complaints, CsvRefused, write_table
from kalibri.csvfile import CsvRow, open_csv, read_rows
from kalibri.db import Conn

SQL = db.statements("ivr")
BATCH = 5000
LONGEST_KEY = 200


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table, as it is listed."""

    tenant_id: int
    tenant: str
    name: str
    #: The first one is the key.
    columns: tuple[str, ...]
    imported_at: datetime
    imported_by: str
    rows: int


@dataclass(frozen=True)
class _Row:
    cells: tuple[str, ...]


def list_tables(conn: Conn, *, tenant_id: int | None = None, name: str | None = None) -> list[Table]:
    """Return tables; None: whatever it is."""
    return db.fetch_all(conn, Table, SQL["list_tables"], tenant_id=tenant_id, name=name)


def find(conn: Conn, *, tenant_id: int, name: str) -> Table:
    """Return a table; raises NotFound."""
    found = list_tables(conn, tenant_id=tenant_id, name=name)
    return db.require(found[0] if found else None, "table", name)


def import_(conn: Conn, *, tenant_id: int, name: str, file: Path, by: str = "") -> Table:
    """Put a CSV in the place of a table, or make one. Raises CsvRefused naming every wrong line, BadInput."""
    columns, rows = _read(file)
    with conn.transaction():
        db.execute(conn, SQL["put_table"], tenant_id=tenant_id, name=name, columns=columns, by=by)
        db.execute(conn, SQL["clear_table"], tenant_id=tenant_id, name=name)
        for first in range(0, len(rows), BATCH):
            batch = json.dumps(rows[first : first + BATCH])
            db.execute(conn, SQL["add_rows"], tenant_id=tenant_id, name=name, rows=batch)
        return find(conn, tenant_id=tenant_id, name=name)


def _read(file: Path) -> tuple[list[str], list[list[str]]]:
    complaints = Complaints()
    keys: dict[str, int] = {}
    rows: list[list[str]] = []
    with open_csv(file) as text:
        lines = read_rows(text)
        heading = next(lines, None)
        if not isinstance(heading, CsvRow):
            raise CsvRefused("the file has no heading")
        columns = [name.strip(BLANKS) for name in heading.fields]
        if len(columns) < 2 or len(set(columns)) < len(columns) or not all(columns):
            raise CsvRefused("line 1: a heading has at least two columns with different names")
        for row in lines:
            if not isinstance(row, CsvRow):
                complaints.add(row.line, row.message)
                continue
            cells = [cell.strip(BLANKS) for cell in row.fields]
            wrong = _wrong(cells, columns, keys)
            if wrong:
                complaints.add(row.line, wrong)
            else:
                keys[cells[0]] = row.line
                rows.append(cells)
    complaints.raise_if_any()
    return columns, rows


def _wrong(cells: list[str], columns: list[str], keys: dict[str, int]) -> str:
    """Return what is wrong with a row, "" for nothing."""
    if len(cells) != len(columns):
        return f"{len(cells)} fields, but the heading has {len(columns)}"
    if not 0 < len(cells[0]) <= LONGEST_KEY:
        return f"a key has 1 to {LONGEST_KEY} characters"
    if cells[0] in keys:
        return f'the key "{cells[0]}" is in line {keys[cells[0]]} already'
    if any(len(cell) > LONGEST_VALUE for cell in cells):
        return f"a field has at most {LONGEST_VALUE} characters"
    return ""


def export(conn: Conn, *, tenant_id: int, name: str) -> Iterator[str]:
    """Yield the lines of a CSV with a table; raises NotFound."""
    table = find(conn, tenant_id=tenant_id, name=name)
    rows = db.fetch_all(conn, _Row, SQL["rows"], tenant_id=tenant_id, name=name)
    return write_table(table.columns, (row.cells for row in rows))


def remove(conn: Conn, *, tenant_id: int, name: str) -> None:
    """Remove a table; raises NotFound."""
    with conn.transaction():
        if not db.execute(conn, SQL["remove_table"], tenant_id=tenant_id, name=name):
            raise NotFound(f'there is no table "{name}"')
