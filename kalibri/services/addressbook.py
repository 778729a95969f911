"""Public address books of tenants: names, numbers, notes. Nothing here takes part in routing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from callcore.errors import NotFound
from kalibri import db
from kalibri.csv_table import Complaints, read_table, write_table
from kalibri.db import Conn
from kalibri.importing import ImportResult, LineReader, stage, unique_lines

SQL = db.statements("addressbook")
COLUMNS = ("name", "number", "note")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An entry of an address book; entry_id 0: not stored yet."""

    tenant_id: int
    entry_id: int = 0
    name: str
    number: str
    note: str = ""

    @property
    def label(self) -> str:
        """Name and number, which together are unique in a tenant."""
        return f"{self.name} {self.number}"


def list_entries(conn: Conn, *, tenant_id: int, text: str | None = None) -> list[Entry]:
    """Return the entries of a tenant by name; text: only those that hold it somewhere, in any case."""
    return db.fetch_all(conn, Entry, SQL["list_entries"], tenant_id=tenant_id, text=text)


def find(conn: Conn, *, tenant_id: int, entry_id: int) -> Entry:
    """Return one entry of a tenant; raises NotFound, also for another tenant's."""
    found = db.fetch_one(conn, Entry, SQL["find_entry"], tenant_id=tenant_id, entry_id=entry_id)
    return db.require(found, "address book entry", entry_id)


def add(conn: Conn, *, tenant_id: int, name: str, number: str, note: str = "") -> Entry:
    """Make an entry; raises AlreadyExists, BadInput."""
    entry = Entry(tenant_id=tenant_id, name=name, number=number, note=note)
    with conn.transaction():
        return replace(entry, entry_id=db.fetch_value(conn, SQL["add_entry"], **vars(entry)))


def change(conn: Conn, *, tenant_id: int, entry_id: int, **changes: Any) -> Entry:
    """Change name, number or note of an entry; raises NotFound, AlreadyExists, BadInput."""
    with conn.transaction():
        entry = replace(find(conn, tenant_id=tenant_id, entry_id=entry_id), **changes)
        db.execute(conn, SQL["set_entry"], **vars(entry))
        return entry


def remove(conn: Conn, *, tenant_id: int, entry_id: int) -> None:
    """Remove an entry; raises NotFound."""
    with conn.transaction():
        if not db.execute(conn, SQL["remove_entry"], tenant_id=tenant_id, entry_id=entry_id):
            raise NotFound(f'there is no address book entry "{entry_id}"')


def export(conn: Conn, *, tenant_id: int) -> Iterator[str]:
    """Yield the lines of a CSV with the address book of a tenant."""
    entries = list_entries(conn, tenant_id=tenant_id)
    return write_table(COLUMNS, ([entry.name, entry.number, entry.note] for entry in entries))


def import_(conn: Conn, *, tenant_id: int, file: Path, dry_run: bool = False) -> ImportResult:
    """Add entries and change notes, all or none; dry_run: check everything and change nothing.

    Raises CsvRefused naming every wrong line.
    """
    complaints = Complaints()
    with conn.transaction(force_rollback=dry_run):
        before = {entry.label: entry for entry in list_entries(conn, tenant_id=tenant_id)}
        lines: dict[int, Entry] = {}
        for line in read_table(file, required=COLUMNS[:2], optional=COLUMNS[2:], complaints=complaints):
            fields = LineReader(line, complaints)
            entry = Entry(tenant_id=tenant_id, name=fields.text("name"), number=fields.text("number"))
            old = before.get(entry.label, entry)
            lines[line.number] = replace(old, note=fields.text("note", old.note))
        unique_lines({number: entry.label for number, entry in lines.items()}, "entry", complaints)
        wanted = {number: entry for number, entry in lines.items() if before.get(entry.label) != entry}
        db.execute(conn, SQL["make_entry_staging"])
        stage(conn, SQL["stage_entry"], {number: vars(entry) for number, entry in wanted.items()}, complaints)
        complaints.raise_if_any()
        db.execute(conn, SQL["take_over_entries"])
    return ImportResult(
        added=tuple(entry.label for entry in wanted.values() if entry.label not in before),
        changed=tuple(entry.label for entry in wanted.values() if entry.label in before),
        unchanged=tuple(entry.label for number, entry in lines.items() if number not in wanted),
    )
