"""What all imports have in common: fields of a CSV line, rows tried against the constraints, the outcome.

An import is one transaction: everything or nothing. Rows are first put into a temporary table that has the
constraints of the real one; a row that is refused there is a complaint about its line. Only then are the real
tables changed, in a few statements, however many rows there are: the change log gets one entry each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, LiteralString, TypeVar

import psycopg

from callcore.errors import KalibriError
from kalibri import db
from kalibri.csv_table import Complaints, Line
from kalibri.db import Conn

Word = TypeVar("Word", bound=StrEnum)

TRUE = ("true", "yes", "1", "t", "y")
FALSE = ("false", "no", "0", "f", "n")


@dataclass(frozen=True)
class ImportResult:
    """What an import did, or would do: names of the objects, in the order of the file."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: tuple[str, ...]
    removed: tuple[str, ...] = ()


class LineReader:
    """Reads the fields of one line; what cannot be read is noted as a complaint, and the default returned.

    The default also counts where the file has no such column: an import changes only what it names.
    """

    def __init__(self, line: Line, complaints: Complaints) -> None:
        self._line = line
        self._complaints = complaints

    def complain(self, message: str) -> None:
        """Note what is wrong with this line."""
        self._complaints.add(self._line.number, message)

    def has(self, name: str) -> bool:
        """Tell whether the line has a value for a column."""
        return bool(self._line.fields.get(name))

    def text(self, name: str, default: str = "") -> str:
        """Return a text."""
        return self._line.fields.get(name, default)

    def optional(self, name: str, default: str | None = None) -> str | None:
        """Return a text, None for an empty field."""
        return self._line.fields.get(name, default) or None

    def words(self, name: str, default: Sequence[str] = ()) -> tuple[str, ...]:
        """Return words that blanks separate."""
        value = self._line.fields.get(name)
        return tuple(default) if value is None else tuple(value.split())

    def number(self, name: str, default: int) -> int:
        """Return a whole number; an empty field is the default."""
        found = self.optional_number(name, default)
        return default if found is None else found

    def optional_number(self, name: str, default: int | None = None) -> int | None:
        """Return a whole number, None for an empty field."""
        value = self._line.fields.get(name)
        if value is None:
            return default
        if value.isascii() and value.isdigit() and len(value) < 10:
            return int(value)
        if value:
            self.complain(f'{name}: "{value}" is not a whole number')
        return None

    def decimal(self, name: str, default: Decimal, smallest: Decimal) -> Decimal:
        """Return an amount of money; a decimal comma is understood, an empty field is the default.

        smallest: amounts are whole multiples of it; what is finer is a complaint, for it would be lost.
        """
        value = self._line.fields.get(name)
        if not value:
            return default
        try:
            amount = Decimal(value.replace(",", "."))
            if amount == amount.quantize(
                smallest
            ):  # raises for NaN and for what is too large to count so finely
                return amount
        except InvalidOperation:
            pass
        self.complain(f'{name}: "{value}" is not an amount in steps of {smallest}')
        return default

    def flag(self, name: str, default: bool) -> bool:
        """Return yes or no; an empty field is the default."""
        value = self._line.fields.get(name, "").lower()
        if value and value not in TRUE + FALSE:
            self.complain(f'{name}: "{value}" is neither true nor false')
        return value in TRUE if value in TRUE + FALSE else default

    def optional_flag(self, name: str, default: bool | None) -> bool | None:
        """Return yes or no, None for an empty field."""
        value = self._line.fields.get(name)
        if value is None:
            return default
        return self.flag(name, False) if value else None

    def word(self, name: str, default: Word) -> Word:
        """Return one of the words of the default's enum; an empty field is the default."""
        value = self._line.fields.get(name)
        words = type(default)
        if value and value not in [word.value for word in words]:
            self.complain(f'{name}: "{value}" is none of {", ".join(words)}')
            return default
        return words(value) if value else default


def stage(
    conn: Conn, statement: LiteralString, rows: Mapping[int, Mapping[str, Any]], complaints: Complaints
) -> None:
    """Run a statement for each row {line number: parameters}; complain of each line that PostgreSQL refuses.

    All rows go at once; only when one is refused are they tried one by one, to name the lines.
    """
    try:
        with conn.transaction(), conn.cursor() as cursor:
            cursor.executemany(statement, list(rows.values()))
            return
    except psycopg.Error as error:
        if not isinstance(error, psycopg.DataError | psycopg.IntegrityError):
            raise db.domain_error(error) from error
    for number, parameters in rows.items():
        try:
            with conn.transaction():
                db.execute(conn, statement, **parameters)
        except KalibriError as error:
            complaints.add(number, error.message)


def unique_lines(lines: Mapping[int, str], what: str, complaints: Complaints) -> None:
    """Complain of lines {line number: key} that name the same object as an earlier one."""
    first: dict[str, int] = {}
    for number, name in lines.items():
        if name in first:
            complaints.add(number, f'{what} "{name}" is in line {first[name]} already')
        first.setdefault(name, number)
