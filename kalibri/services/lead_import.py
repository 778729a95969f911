"""Import of leads: a list of persons into a campaign, from CSV, TSV or XLSX.

Decides which rows become leads, which change leads that are there, and which are not taken, each with a reason. Rows
are streamed into a temporary table (COPY) and judged there by a few statements, however many there are. One
transaction: what is taken is there as a whole. Rows that are not taken do not keep the others out: a list of a million
persons always has some.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import lru_cache
from pathlib import Path

from callcore.dial import LeadPriority
from callcore.dial_import import BadHeading, BadLead, Columns, LeadRow, RowReader, country_of, read_heading
from callcore.dial_zones import zones_of_country, zones_of_number
from callcore.errors import BadInput
from callcore.region import normalise_region
from callcore.schedule import time_zone
from kalibri import db
from kalibri.csvfile import CsvRow, Progress, RowError, counted, open_csv, read_rows
from kalibri.db import Conn, domain_errors
from kalibri.services import campaign as campaigns
from kalibri.services import number_range
from kalibri.services import tenant as tenants
from kalibri.services.campaign import Campaign
from kalibri.services.campaign_hours import open_sets
from kalibri.spreadsheet import is_workbook, read_workbook

SQL = db.statements("lead_import")

#: Steps that judge the staged rows before the zones are known.
_JUDGE_ROWS = (
    "analyze_rows", "repeated_ids", "unknown_queues", "known_leads", "analyze_known",
    "spread_numbers", "analyze_numbers",
)  # fmt: skip
_JUDGE_NUMBERS = ("repeated_numbers", "taken_numbers", "rows_without_number")
_TABLES = (
    "stage", "stage_numbers_table", "stage_zones_table", "stage_places_table", "stage_known_table",
    "stage_new_table", "stage_problems_table",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something about a row of the file (the heading is line 1)."""

    line: int
    #: bad, duplicate, do_not_call; number: only one of the numbers was left out.
    kind: str
    message: str


@dataclass(frozen=True, kw_only=True)
class LeadImport:
    """What an import did, or would do; figures are rows of the file."""

    rows: int
    #: New leads.
    added: int
    #: Leads that are there and say something else now.
    changed: int
    unchanged: int
    #: Not taken: the lead, or all its numbers, stand in the file or the campaign already.
    duplicate: int
    #: Not taken: no leads.
    bad: int
    #: Of the new ones: all numbers are on do-not-call lists; stored as done.
    do_not_call: int
    #: Of the new ones: nobody knows the zone.
    no_zone: int
    #: Of the new ones: too early or too late to call them now.
    outside_hours: int
    #: Of the new ones: the campaign demands a consent that the row does not state.
    no_consent: int

    @property
    def valid(self) -> int:
        """Rows that were taken, or would be."""
        return self.added + self.changed + self.unchanged


@dataclass(frozen=True, kw_only=True)
class _List:
    list_id: int
    mapping: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class _NewCounts:
    added: int
    do_not_call: int
    no_zone: int
    outside_hours: int
    no_consent: int


@dataclass(frozen=True, kw_only=True)
class _KindCount:
    kind: str
    rows: int


@dataclass(frozen=True, kw_only=True)
class _Place:
    zone: str
    region: str
    country: str
    range_region: str


@dataclass(frozen=True, kw_only=True)
class _Line:
    line: int


def import_leads(
    conn: Conn,
    *,
    tenant_id: int,
    campaign: str,
    file: Path,
    now: datetime,
    country_code: str,
    list_name: str | None = None,
    mapping: Mapping[str, str] | None = None,
    priority: LeadPriority = LeadPriority.MEDIUM,
    dry_run: bool = False,
    progress: Progress = lambda _bytes: None,
    tell: Callable[[Problem], None] = lambda _problem: None,
) -> LeadImport:
    """Take the rows of a file into a list of a campaign; dry_run: judge them and change nothing.

    country_code: of numbers that name none. list_name: None, the file's name. mapping: heading → meaning, kept with
    the list for the next file. priority: of rows that name none. tell: gets each problem, in the order of the file.
    Raises NotFound, BadHeading, BadInput (no workbook).
    """
    wanted = mapping or {}
    with conn.transaction(force_rollback=dry_run):
        found = campaigns.find(conn, tenant_id=tenant_id, name=campaign)
        work = _Import(conn, found, now, list_name or _list_name(file))
        work.begin()
        with _rows_of(file, progress) as rows:
            columns = _heading(rows, {**work.stored_mapping(), **wanted}, wanted)
            total = work.copy(rows, columns, country_code)
        work.judge()
        result = work.finish(total, columns, source=file.name, priority=priority, dry_run=dry_run)
        for problem in db.fetch_all(conn, Problem, SQL["problems"]):
            tell(problem)
        return result


def _list_name(file: Path) -> str:
    """Return the name of a list that is called as its file: what a name cannot hold becomes _."""
    kept = "".join(
        char if char.isascii() and (char.isalnum() or char in "_.-") else "_" for char in file.stem
    )
    name = kept.lstrip("_.-")[:63]
    return name or "list"


@contextmanager
def _rows_of(file: Path, progress: Progress) -> Iterator[Iterator[CsvRow | RowError]]:
    if is_workbook(file):
        yield iter(read_workbook(file, progress))
        return
    with open_csv(file) as text:
        yield read_rows(counted(text, progress))


def _heading(
    rows: Iterator[CsvRow | RowError], mapping: Mapping[str, str], wanted: Mapping[str, str]
) -> Columns:
    """Read the first row; of a mapping that an earlier file had, only headings that are there count."""
    first = next(rows, None)
    if not isinstance(first, CsvRow):
        raise BadHeading("the file has no heading")
    headings = [heading.strip() for heading in first.fields]
    return read_heading(
        headings, {name: word for name, word in mapping.items() if name in headings or name in wanted}
    )


class _Import:
    """One file on its way into a campaign; lives in one transaction."""

    def __init__(self, conn: Conn, campaign: Campaign, now: datetime, list_name: str) -> None:
        self._conn = conn
        self._campaign = campaign
        self._now = now
        self._list_name = list_name
        self._ids = {"tenant_id": campaign.tenant_id, "campaign_id": campaign.campaign_id}

    def begin(self) -> None:
        """Make the temporary tables; nobody else imports into the campaign meanwhile."""
        db.fetch_value(self._conn, SQL["lock_campaign"], **self._ids)
        db.execute(self._conn, SQL["unstage"])
        for table in _TABLES:
            db.execute(self._conn, SQL[table])

    def stored_mapping(self) -> Mapping[str, str]:
        """Return what the last file of this list said of its headings."""
        found = db.fetch_one(self._conn, _List, SQL["find_list"], **self._ids, name=self._list_name)
        return found.mapping if found else {}

    def copy(self, rows: Iterable[CsvRow | RowError], columns: Columns, country_code: str) -> int:
        """Stream the rows into the staging table; return how many there were."""
        reader = RowReader(columns, to_e164=_e164_of(country_code), zone=self._zone())
        bad: list[tuple[int, str, str]] = []
        total = 0
        with domain_errors(), self._conn.cursor() as cursor, cursor.copy(SQL["copy"]) as copy:
            for row in rows:
                total += 1
                try:
                    if isinstance(row, RowError):
                        raise BadLead(row.message)
                    copy.write_row(_staged(row.line, reader.read(row.fields)))
                except BadLead as error:
                    bad.append((row.line, "bad", error.message))
        with domain_errors(), self._conn.cursor() as cursor, cursor.copy(SQL["copy_problems"]) as copy:
            for problem in bad:
                copy.write_row(problem)
        return total

    def _zone(self) -> tzinfo:
        return time_zone(tenants.find(self._conn, name=self._campaign.tenant).time_zone)

    def judge(self) -> None:
        """Sort the rows into those that are taken and those that are not, and find the place of each number."""
        for step in (*_JUDGE_ROWS, *_JUDGE_NUMBERS):
            self._run(step)
        for place in db.fetch_all(self._conn, _Place, SQL["known_places"]):
            self._add_zone(place)
        self._run("place_numbers", now=self._now)
        self._run("analyze_places")
        self._run("listed_numbers")

    def _run(self, step: str, **params: object) -> int:
        return db.execute(self._conn, SQL[step], **self._ids, **params)

    def _add_zone(self, place: _Place) -> None:
        # What the list says of the person's region counts; the number's own region chooses the caller id.
        zones = zones_of_number(
            "", zone=place.zone, region=place.region, range_region=place.range_region
        ) or zones_of_country(place.country)
        region = place.range_region or place.region
        self._run(
            "add_zone",
            zone=place.zone,
            region=place.region,
            country=place.country,
            range_region=place.range_region,
            one_name=normalise_region(region).name if region else "",
            zone_set_id=db.fetch_value(self._conn, SQL["zone_set_of"], zones=list(zones)),
        )

    def finish(
        self, total: int, columns: Columns, *, source: str, priority: LeadPriority, dry_run: bool
    ) -> LeadImport:
        """Change and add leads, and count; in a dry run new ones are only counted."""
        known = db.fetch_value(self._conn, SQL["count_known"], **self._ids)
        changed = self._change() if known else 0
        new = db.fetch_one(
            self._conn,
            _NewCounts,
            SQL["count_new"],
            **self._ids,
            open_sets=open_sets(self._conn, self._campaign, self._now),
            consent_required=self._campaign.consent_required,
        )
        assert new is not None
        if not dry_run:
            self._add(columns, source, priority)
        kinds = {row.kind: row.rows for row in db.fetch_all(self._conn, _KindCount, SQL["problem_counts"])}
        return LeadImport(
            rows=total,
            added=new.added,
            changed=changed,
            unchanged=known - changed,
            duplicate=kinds.get("duplicate", 0),
            bad=kinds.get("bad", 0),
            do_not_call=new.do_not_call,
            no_zone=new.no_zone,
            outside_hours=new.outside_hours,
            no_consent=new.no_consent,
        )

    def _change(self) -> int:
        """Change the leads that are there; return how many rows said something new."""
        lines: dict[str, set[int]] = {}
        for step in ("change_leads", "move_numbers", "more_numbers"):
            lines[step] = {row.line for row in db.fetch_all(self._conn, _Line, SQL[step], **self._ids)}
        if lines["move_numbers"]:
            self._run("follow_numbers")
        return len(set().union(*lines.values()))

    def _add(self, columns: Columns, source: str, priority: LeadPriority) -> None:
        list_id = db.fetch_value(
            self._conn,
            SQL["put_list"],
            **self._ids,
            name=self._list_name,
            source=source,
            mapping=json.dumps(columns.mapping),
        )
        self._run("add_leads", list_id=list_id, priority=priority.value, now=self._now)
        self._run("analyze_new")
        self._run("add_numbers")


def _e164_of(country_code: str) -> Callable[[str], str]:
    @lru_cache(maxsize=10_000)
    def to_e164(text: str) -> str:
        try:
            return number_range.to_e164(text, country_code=country_code)
        except BadInput as error:
            raise BadLead(error.message) from None

    return to_e164


def _staged(line: int, row: LeadRow) -> tuple[object, ...]:
    return (
        line,
        row.external_id,
        row.name,
        row.priority.value if row.priority else None,
        " ".join(row.numbers),
        " ".join(country_of(number) or "-" for number in row.numbers),
        row.zone,
        row.region,
        row.queue,
        row.gateway,
        row.consent_basis,
        row.consent_at,
        row.consent_ref,
        row.expires_at,
        row.variables,
    )
