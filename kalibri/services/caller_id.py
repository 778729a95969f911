"""Caller-ID sets of tenants: which number is shown towards which region of destinations.

Decides that regions are kept under their one name (callcore/region.py), and that a set does not vanish while
a route names it. Which set a call uses, and what towards, is decided in routing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from callcore.errors import NotFound, StillInUse
from callcore.region import normalise_region
from kalibri import db
from kalibri.csv_table import Complaints, read_table, write_table
from kalibri.db import Conn
from kalibri.db_constraints import CHECKS
from kalibri.importing import ImportResult, LineReader, unique_lines

SQL = db.statements("caller_id")

#: The columns of an export, in this order.
COLUMNS = ("set_name", "region", "number")
#: The region of a set's default.
DEFAULT = ""

_SET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", re.ASCII)
_NUMBER = re.compile(r"\+?[0-9]{1,20}", re.ASCII)

#: (set, region) → number.
Numbers = Mapping[tuple[str, str], str]


@dataclass(frozen=True, kw_only=True)
class CallerId:
    """The number that a set shows towards one region."""

    tenant_id: int
    tenant: str
    set_name: str
    #: Under its one name; empty: towards every region that has no number of its own.
    region: str
    number: str

    @property
    def region_known(self) -> bool:
        """Whether the number-range registry can have such a region."""
        return self.region == DEFAULT or normalise_region(self.region).known


def list_caller_ids(conn: Conn, *, tenant_id: int | None, set_name: str | None = None) -> list[CallerId]:
    """Return the numbers of sets, the system's first. None: of all tenants, all sets."""
    return _fetch(conn, tenant_id, set_name, None)


def _fetch(conn: Conn, tenant_id: int | None, set_name: str | None, region: str | None) -> list[CallerId]:
    return db.fetch_all(
        conn, CallerId, SQL["list_caller_ids"], tenant_id=tenant_id, set_name=set_name, region=region
    )


def find(conn: Conn, *, tenant_id: int, set_name: str, region: str = DEFAULT) -> CallerId:
    """Return what a set shows towards a region; raises NotFound if it has no number of its own for it."""
    found = _fetch(conn, tenant_id, set_name, _tidy_region(region))
    return db.require(found[0] if found else None, "caller id", _place(set_name, region))


def add(conn: Conn, *, tenant_id: int, set_name: str, number: str, region: str = DEFAULT) -> CallerId:
    """Give a set a number for a region; the set begins with its first. Raises AlreadyExists, BadInput."""
    with conn.transaction():
        _lock(conn, tenant_id)
        _write(conn, "add_caller_ids", tenant_id, {(set_name, _tidy_region(region)): number})
        return find(conn, tenant_id=tenant_id, set_name=set_name, region=region)


def change(conn: Conn, *, tenant_id: int, set_name: str, number: str, region: str = DEFAULT) -> CallerId:
    """Change the number that a set shows towards a region; raises NotFound, BadInput."""
    with conn.transaction():
        _lock(conn, tenant_id)
        before = find(conn, tenant_id=tenant_id, set_name=set_name, region=region)
        _write(conn, "set_caller_ids", tenant_id, {(set_name, before.region): number})
        return find(conn, tenant_id=tenant_id, set_name=set_name, region=region)


def remove(conn: Conn, *, tenant_id: int, set_name: str, region: str | None = None) -> int:
    """Take a region from a set, or (region None) remove the set; return how many numbers went.

    Raises NotFound, and StillInUse when a route would name a set that nobody has any more.
    """
    with conn.transaction():
        _lock(conn, tenant_id)
        gone = _fetch(conn, tenant_id, set_name, None if region is None else _tidy_region(region))
        if not gone:
            raise NotFound(f'the tenant has no caller id "{_place(set_name, region)}"')
        _remove(conn, tenant_id, [(row.set_name, row.region) for row in gone])
        return len(gone)


def _place(set_name: str, region: str | None) -> str:
    return f"{set_name} towards {region}" if region else set_name


def _tidy_region(region: str) -> str:
    return normalise_region(region).name


def _lock(conn: Conn, tenant_id: int) -> None:
    db.execute(conn, SQL["lock_tenant_caller_ids"], tenant_id=tenant_id)


def _write(conn: Conn, statement: str, tenant_id: int, numbers: Numbers) -> None:
    if numbers:
        db.execute(
            conn,
            SQL[statement],
            tenant_id=tenant_id,
            set_names=[set_name for set_name, _ in numbers],
            regions=[region for _, region in numbers],
            numbers=list(numbers.values()),
        )


def _remove(conn: Conn, tenant_id: int, keys: Sequence[tuple[str, str]]) -> None:
    if not keys:
        return
    names = [set_name for set_name, _ in keys]
    regions = [region for _, region in keys]
    db.execute(conn, SQL["remove_caller_ids"], tenant_id=tenant_id, set_names=names, regions=regions)
    routes = db.fetch_value(conn, SQL["routes_without_set"], tenant_id=tenant_id, set_names=names)
    if routes:
        told = ", ".join(map(str, routes))
        raise StillInUse(f"routes would name a set that is gone: {told}", route_ids=routes)


# --------------------------------------------------------------------------------------------------- CSV


def export(conn: Conn, *, tenant_id: int) -> Iterator[str]:
    """Yield the lines of a CSV with a tenant's sets; an import of it changes nothing."""
    rows = list_caller_ids(conn, tenant_id=tenant_id)
    return write_table(COLUMNS, ([row.set_name, row.region, row.number] for row in rows))


def import_(conn: Conn, *, tenant_id: int, file: Path, dry_run: bool = False) -> ImportResult:
    """Add and change the numbers of sets, all or none; dry_run: check everything and change nothing.

    Raises CsvRefused naming every line that is wrong.
    """
    wanted = _read(file)
    with conn.transaction(force_rollback=dry_run):
        _lock(conn, tenant_id)
        rows = list_caller_ids(conn, tenant_id=tenant_id)
        stored = {(row.set_name, row.region): row.number for row in rows}
        added = {key: number for key, number in wanted.items() if key not in stored}
        changed = {key: number for key, number in wanted.items() if stored.get(key, number) != number}
        _write(conn, "add_caller_ids", tenant_id, added)
        _write(conn, "set_caller_ids", tenant_id, changed)
    return ImportResult(
        added=tuple(_place(*key) for key in added),
        changed=tuple(_place(*key) for key in changed),
        unchanged=tuple(_place(*key) for key in wanted if key not in added and key not in changed),
    )


def _read(file: Path) -> Numbers:
    complaints = Complaints()
    lines = {
        line.number: _row(LineReader(line, complaints))
        for line in read_table(file, required=COLUMNS, complaints=complaints)
    }
    unique_lines({number: _place(*key) for number, (key, _) in lines.items()}, "caller id", complaints)
    complaints.raise_if_any()
    return dict(lines.values())


def _row(fields: LineReader) -> tuple[tuple[str, str], str]:
    set_name, region, number = (fields.text(column) for column in COLUMNS)
    if not _SET_NAME.fullmatch(set_name):
        fields.complain(f'"{set_name}": {CHECKS["caller_id_set_name_check"]}')
    if not region.isprintable():
        fields.complain(CHECKS["caller_id_region_check"])
    if not _NUMBER.fullmatch(number):
        fields.complain(f'"{number}": {CHECKS["caller_id_number_check"]}')
    return (set_name, _tidy_region(region)), number
