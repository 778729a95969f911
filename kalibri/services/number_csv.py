"""The number inventory as CSV.

An import adds numbers and changes those that are there, removes none, and changes only the columns that the
file has. It obeys the state machine as every other change does: a file does not take a number from its tenant
to give it to another. A file that was exported and imported again changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from callcore.errors import KalibriError, Unavailable
from callcore.inventory import OWNED, NumberState, next_state, operation_to, parse_number
from kalibri import db
from kalibri.csv_table import Complaints, Line, read_table, write_table
from kalibri.csvfile import Progress
from kalibri.db import Conn, dataclass_row, domain_errors
from kalibri.db_constraints import CHECKS
from kalibri.importing import ImportResult, LineReader, unique_lines
from kalibri.services import number as numbers
from kalibri.services.destination import Destination, missing_destinations, parse_destination
from kalibri.services.number import SQL, Number, NumberRecord

REQUIRED = ("number",)
#: The columns of an export, in this order.
COLUMNS = ("number", "state", "tenant", "destination_kind", "destination", "gateway", "note")
#: Rows that are looked at together.
BATCH_ROWS = 5000

Item = TypeVar("Item")


@dataclass(frozen=True)
class _Tenant:
    tenant_id: int
    name: str


def export(conn: Conn, *, tenant_id: int | None = None) -> Iterator[str]:
    """Yield the lines of a CSV with the numbers of a tenant; None: with all."""
    with (
        conn.transaction(),
        domain_errors(),
        conn.cursor(name="number_export", row_factory=dataclass_row(Number)) as cursor,
    ):
        cursor.itersize = BATCH_ROWS
        cursor.execute(SQL["list_numbers"], {**numbers.filters(tenant_id, None, ""), "limit": None})
        yield from write_table(COLUMNS, (_fields(row) for row in cursor))


def _fields(row: Number) -> list[str]:
    values = (getattr(row, column) for column in COLUMNS)
    return ["" if value is None else str(value) for value in values]


def import_(
    conn: Conn, *, file: Path, dry_run: bool = False, progress: Progress = lambda _bytes: None
) -> ImportResult:
    """Add and change numbers, all or none; dry_run: check everything and change nothing.

    Raises CsvRefused naming every line that is wrong.
    """
    complaints = Complaints()
    with conn.transaction(force_rollback=dry_run):
        work = _Import(conn, complaints)
        optional = [column for column in COLUMNS if column not in REQUIRED]
        lines = read_table(
            file, required=REQUIRED, optional=optional, complaints=complaints, progress=progress
        )
        for batch in _batches(lines, BATCH_ROWS):
            work.take(batch)
        unique_lines(work.seen, "number", complaints)
        complaints.raise_if_any()
        return ImportResult(tuple(work.added), tuple(work.changed), tuple(work.unchanged))


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


class _Import:
    """Takes batch after batch into the inventory; what is wrong is noted, and undoes everything at the end."""

    def __init__(self, conn: Conn, complaints: Complaints) -> None:
        self._conn = conn
        self._complaints = complaints
        rows = db.fetch_all(conn, _Tenant, SQL["tenant_names"])
        self._tenants = {row.name: row.tenant_id for row in rows}
        self._gateways = numbers.gateway_ids(conn)
        #: Line → number, of all lines.
        self.seen: dict[int, str] = {}
        self.added: list[str] = []
        self.changed: list[str] = []
        self.unchanged: list[str] = []

    def take(self, lines: list[Line]) -> None:
        """Store what a batch of lines says."""
        named = {line.number: number for line in lines if (number := self._number(line))}
        before = numbers.lock(self._conn, list(named.values()))
        wanted: dict[int, NumberRecord] = {}
        for line in lines:
            if line.number in named:
                number = named[line.number]
                wanted[line.number] = self._record(line, before.get(number) or NumberRecord(number=number))
                self._check_transition(line.number, before.get(number), wanted[line.number])
        differing = {line: record for line, record in wanted.items() if before.get(record.number) != record}
        self._check_destinations(differing)
        self._note(wanted.values(), before)
        if not self._complaints:
            self._save(differing.values(), before)
        self.seen.update(named)

    def _number(self, line: Line) -> str | None:
        try:
            return parse_number(line.fields["number"])
        except KalibriError as error:
            self._complaints.add(line.number, error.message)
            return None

    def _record(self, line: Line, default: NumberRecord) -> NumberRecord:
        """Return the number that a line describes, with what is there already as the default."""
        fields = LineReader(line, self._complaints)
        state = fields.word("state", default.state)
        tenant_id = self._tenant(fields, state, None if "tenant" in line.fields else default.tenant_id)
        destination = _destination(fields, state, default)
        return NumberRecord(
            number=default.number,
            state=state,
            tenant_id=tenant_id,
            destination_kind=destination.kind if destination else None,
            destination=destination.value if destination else "",
            gateway_id=self._gateway(fields, None if "gateway" in line.fields else default.gateway_id),
            note=fields.text("note", default.note),
        )

    def _tenant(self, fields: LineReader, state: NumberState, default: int | None) -> int | None:
        name = fields.optional("tenant")
        if name is not None and name not in self._tenants:
            fields.complain(f'tenant: there is no tenant "{name}"')
            return None
        if name is not None:
            found: int | None = self._tenants[name]
        else:  # what a number was that is given back does not count any more
            found = default if state in OWNED else None
        if (found is not None) != (state in OWNED):
            fields.complain(CHECKS["number_state_check"])
        return found

    def _gateway(self, fields: LineReader, default: int | None) -> int | None:
        name = fields.optional("gateway")
        if name is not None and name not in self._gateways:
            fields.complain(f'gateway: there is no gateway "{name}" (that of a tenant is tenant/name)')
        return default if name is None else self._gateways.get(name)

    def _check_transition(self, line: int, before: NumberRecord | None, after: NumberRecord) -> None:
        if before is None or (before.state, before.tenant_id) == (after.state, after.tenant_id):
            return
        try:
            operation = operation_to(after.state)
            next_state(operation, before.state, owner=before.tenant_id, tenant_id=after.tenant_id)
        except KalibriError as error:
            self._complaints.add(line, error.message)

    def _check_destinations(self, records: Mapping[int, NumberRecord]) -> None:
        wanted = {
            line: (record.tenant_id, Destination(record.destination_kind, record.destination))
            for line, record in records.items()
            if record.destination_kind is not None and record.tenant_id is not None
        }
        for line, message in missing_destinations(self._conn, wanted).items():
            self._complaints.add(line, message)

    def _note(self, records: Iterable[NumberRecord], before: Mapping[str, NumberRecord]) -> None:
        for record in records:
            old = before.get(record.number)
            outcome = self.added if old is None else self.unchanged if old == record else self.changed
            outcome.append(record.number)

    def _save(self, records: Iterable[NumberRecord], before: Mapping[str, NumberRecord]) -> None:
        rows: dict[str, dict[str, Any]] = {record.number: vars(record) for record in records}
        saved = db.execute(
            self._conn,
            SQL["save_numbers"],
            rows=json.dumps(list(rows.values())),
            before=json.dumps({number: before[number].state for number in rows if number in before}),
        )
        if saved != len(rows):
            raise Unavailable("somebody else added the same numbers at the same time: try again")


def _destination(fields: LineReader, state: NumberState, default: NumberRecord) -> Destination | None:
    kind = fields.text("destination_kind", default.destination_kind or "")
    value = fields.text("destination", default.destination)
    if state is not NumberState.ASSIGNED:
        if fields.has("destination_kind") or fields.has("destination"):
            fields.complain(CHECKS["number_destination_check"])
        return None
    if not kind and not value:
        return None
    try:
        return parse_destination(kind, value)
    except KalibriError as error:
        fields.complain(error.message)
        return None
