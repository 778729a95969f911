"""Number ranges: import of the national registry, comparison, look-up.

Decides that an import is taken whole or not at all, and keeps the last few to go back to. What a row means
is in callcore/number_registry.py; calls use the range file that ks-index builds, not these functions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from callcore.errors import BadInput, NotFound, Refused
from callcore.number_registry import BadRegistryRow, Columns, RegistryRange, parse_range, read_header
from callcore.region import Region, normalise_region
from kalibri.csv_table import Complaints
from kalibri.csvfile import CsvRow, Progress, RowError, counted, open_csv, read_rows
from kalibri.db import Conn, domain_errors, execute, fetch_all, fetch_one, fetch_value, require, statements
from kemi.ks_route.decide import e164

#: Imports that are kept beside the one in force.
KEEP_SETS = 2

_SQL = statements("number_range")


class NothingImported(NotFound):
    """No number ranges were imported yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceCounts:
    """How an import differs from the ranges in force."""

    added: int
    removed: int
    changed: int
    unchanged: int

    @property
    def nothing_new(self) -> bool:
        """Whether the import says exactly what is in force."""
        return self.added == self.removed == self.changed == 0


@dataclass(frozen=True, slots=True)
class RangeDifference:
    """One range that an import would add, remove or change."""

    #: added, removed or changed.
    kind: str
    first: int
    last: int
    old_operator: str | None
    operator: str | None
    old_region: str | None
    region: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeImport:
    """What an import did (or would do, in a dry run)."""

    #: None: it says what is in force already, so nothing was stored.
    set_id: int | None
    counts: DifferenceCounts
    #: Region texts that the table of names does not know, with how many ranges bear them.
    unknown_regions: dict[str, int]


@dataclass(frozen=True, slots=True)
class RangeSet:
    """One import of the registry."""

    set_id: int
    source: str
    imported_at: datetime
    range_count: int
    current: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeOfNumber:
    """What the registry says of one number."""

    number: str
    first: int
    last: int
    operator: str
    #: The one name of the region; routes, gateways and caller-ID sets compare this.
    region: str
    #: As the registry spells it.
    region_text: str
    #: Whether the table of names knows the region.
    region_known: bool
    inn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionInUse:
    """A region of the ranges in force."""

    region: str
    known: bool
    #: The registry's spellings of it.
    texts: tuple[str, ...]
    ranges: int
    numbers: int


@dataclass(frozen=True, slots=True)
class _Overlap:
    file: str
    line: int
    first: int
    other_file: str
    other_line: int


@dataclass(frozen=True, slots=True)
class _Range:
    first: int
    last: int
    operator: str
    region: str
    inn: str


@dataclass(frozen=True, slots=True)
class _RegionCount:
    region: str
    ranges: int
    numbers: int = 0


@dataclass(slots=True)
class _Files:
    """The rows of several registry files, one after the other; what is wrong is collected."""

    paths: Sequence[Path]
    country_code: str
    progress: Progress
    complaints: Complaints = field(default_factory=Complaints)

    def ranges(self) -> Iterator[tuple[str, int, RegistryRange]]:
        for path in self.paths:
            with open_csv(path) as text:
                yield from self._of_file(path, read_rows(counted(text, self.progress)))

    def _of_file(
        self, path: Path, rows: Iterator[CsvRow | RowError]
    ) -> Iterator[tuple[str, int, RegistryRange]]:
        columns: Columns | None = None
        for row in rows:
            try:
                if isinstance(row, RowError):
                    raise BadRegistryRow(row.message)
                if columns is None:
                    columns = read_header(row.fields)
                    continue
                found = parse_range(columns, row.fields, country_code=self.country_code)
            except BadRegistryRow as error:
                self.complaints.add(row.line, error.message, file=str(path))
                if columns is None:  # without columns every further row would be an error too
                    return
            else:
                yield str(path), row.line, found
        if columns is None:
            self.complaints.add(1, "the file is empty", file=str(path))


def import_ranges(
    conn: Conn,
    *,
    files: Sequence[Path],
    country_code: str,
    progress: Progress = lambda _bytes: None,
) -> RangeImport:
    """Put the ranges of registry files in force, together instead of all earlier ones.

    country_code: put before each number (routing.home_country_code). Raises CsvRefused with every bad row.
    """
    with conn.transaction():
        _stage(conn, files=files, country_code=country_code, progress=progress)
        counts = require(fetch_one(conn, DifferenceCounts, _SQL["difference_counts"]), "import", "staged")
        unknown = _unknown_regions(conn)
        if counts.nothing_new:
            return RangeImport(set_id=None, counts=counts, unknown_regions=unknown)
        set_id: int = fetch_value(conn, _SQL["add_set"], source=", ".join(path.name for path in files))
        execute(conn, _SQL["fill_set"], set_id=set_id)
        _put_in_force(conn, set_id)
        execute(conn, _SQL["drop_old_sets"], keep=KEEP_SETS + 1)
        return RangeImport(set_id=set_id, counts=counts, unknown_regions=unknown)


def diff_ranges(
    conn: Conn,
    *,
    files: Sequence[Path],
    country_code: str,
    progress: Progress = lambda _bytes: None,
) -> list[RangeDifference]:
    """Compare registry files with the ranges in force; stores nothing. Raises CsvRefused as an import."""
    with conn.transaction(force_rollback=True):
        _stage(conn, files=files, country_code=country_code, progress=progress)
        return fetch_all(conn, RangeDifference, _SQL["differences"])


def _stage(conn: Conn, *, files: Sequence[Path], country_code: str, progress: Progress) -> None:
    """Fill the staging table, or raise CsvRefused with all that is wrong."""
    execute(conn, _SQL["unstage"])
    execute(conn, _SQL["stage"])
    source = _Files(files, country_code, progress)
    with domain_errors(), conn.cursor() as cursor, cursor.copy(_SQL["copy"]) as copy:
        for file, line, row in source.ranges():
            copy.write_row((file, line, row.first, row.last, row.operator, row.region, row.inn))
    for overlap in fetch_all(conn, _Overlap, _SQL["overlaps"]):
        other = f"line {overlap.other_line}"
        if overlap.other_file != overlap.file:
            other += f" of {overlap.other_file}"
        message = f"{overlap.first} and following stand in {other} or before it already"
        source.complaints.add(overlap.line, message, file=overlap.file)
    source.complaints.raise_if_any()


def _unknown_regions(conn: Conn) -> dict[str, int]:
    rows = fetch_all(conn, _RegionCount, _SQL["staged_regions"])
    return {row.region: row.ranges for row in rows if not normalise_region(row.region).known}


def _put_in_force(conn: Conn, set_id: int) -> None:
    execute(conn, _SQL["retire_current"])
    execute(conn, _SQL["make_current"], set_id=set_id)


def use_set(conn: Conn, *, set_id: int) -> RangeSet:
    """Put an earlier import in force again. Raises NotFound, Refused if it is in force."""
    with conn.transaction():
        found = require(fetch_one(conn, RangeSet, _SQL["get_set"], set_id=set_id), "import", set_id)
        if found.current:
            raise Refused(f"import {set_id} is in force already")
        _put_in_force(conn, set_id)
        return require(fetch_one(conn, RangeSet, _SQL["get_set"], set_id=set_id), "import", set_id)


def list_sets(conn: Conn) -> list[RangeSet]:
    """Return the imports that are kept, newest first."""
    return fetch_all(conn, RangeSet, _SQL["list_sets"])


def list_regions(conn: Conn) -> list[RegionInUse]:
    """Return the regions in force by their one name, each with the registry's spellings."""
    spellings: dict[Region, list[_RegionCount]] = {}
    for row in fetch_all(conn, _RegionCount, _SQL["regions"]):
        spellings.setdefault(normalise_region(row.region), []).append(row)
    return [
        RegionInUse(
            region=region.name,
            known=region.known,
            texts=tuple(row.region for row in rows),
            ranges=sum(row.ranges for row in rows),
            numbers=sum(row.numbers for row in rows),
        )
        for region, rows in sorted(spellings.items(), key=lambda item: item[0].name)
    ]


class NotANumber(BadInput):
    """This is not a telephone number."""

    error_id = "not-a-number"


def to_e164(text: str, *, country_code: str) -> str:
    """Return the E.164 digits of a number as a person writes it: +7 495 …, 8 495 …, 495 …; raises NotANumber."""
    number = re.sub(r"[\s().-]", "", text)
    found = e164(number, country_code) if re.fullmatch(r"\+?[0-9]{3,15}", number, re.ASCII) else None
    if found is None:
        raise NotANumber(f"{text!r} is not a telephone number")
    return found


def lookup(conn: Conn, *, number: str) -> RangeOfNumber | None:
    """Return what the ranges in force say of an E.164 number (digits), None if no range holds it.

    Raises NothingImported when there are no ranges at all.
    """
    if not any(entry.current for entry in list_sets(conn)):
        raise NothingImported()
    found = fetch_one(conn, _Range, _SQL["lookup"], number=int(number))
    if found is None:
        return None
    region = normalise_region(found.region)
    return RangeOfNumber(
        number=number,
        first=found.first,
        last=found.last,
        operator=found.operator,
        region=region.name,
        region_text=found.region,
        region_known=region.known,
        inn=found.inn,
    )
