"""CSV tables with a heading: what ksctl imports and exports, and how rows that are wrong are told.

Decides how a heading maps to columns and which line an error belongs to. Knows no noun: each import hands in
its columns and reads text fields. Files may be UTF-8 (with or without mark), UTF-16 or cp1251, with commas,
semicolons or tabs (kalibri/csvfile.py).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from callcore.errors import BadInput
from kalibri.csvfile import CsvRow, Progress, RowError, counted, open_csv, read_rows

#: Taken away at both ends of a field; the schema refuses them there, so that a round trip is identical.
BLANKS = " \t"
#: More complaints than this help nobody on a screen; the details of CsvRefused hold all.
SHOWN_ERRORS = 20


class CsvRefused(BadInput):
    """The file cannot be imported; nothing was changed."""

    error_id = "csv-refused"


@dataclass(frozen=True)
class Line:
    """One row of a file: its line number (the heading is line 1) and its fields by column, blanks trimmed."""

    number: int
    fields: Mapping[str, str]


class Complaints:
    """Collects what is wrong with a file, line by line, to be told at once."""

    def __init__(self) -> None:
        self._errors: list[RowError] = []

    def add(self, line: int, message: str, *, file: str = "") -> None:
        """Note what is wrong with a line; file: when several are read."""
        self._errors.append(RowError(line, message, file))

    def __bool__(self) -> bool:
        """Tell whether anything is wrong so far."""
        return bool(self._errors)

    def raise_if_any(self) -> None:
        """Raise CsvRefused naming the lines; does nothing when there was no complaint."""
        if not self._errors:
            return
        ordered = sorted(self._errors, key=lambda error: (error.file, error.line))
        told = [f"{_place(error)}: {error.message}" for error in ordered[:SHOWN_ERRORS]]
        more = len(ordered) - len(told)
        told += [f"and {more} more"] if more else []
        raise CsvRefused(
            f"{len(ordered)} wrong rows, nothing was changed\n  " + "\n  ".join(told),
            errors=[{"line": error.line, "message": error.message, "file": error.file} for error in ordered],
        )


def _place(error: RowError) -> str:
    return f"{error.file}, line {error.line}" if error.file else f"line {error.line}"


def read_table(
    file: Path,
    *,
    required: Sequence[str],
    optional: Sequence[str] = (),
    complaints: Complaints,
    progress: Progress = lambda _bytes: None,
) -> Iterator[Line]:
    """Yield the rows of a file whose first row names the columns, in any order and any case.

    Raises CsvRefused for a wrong heading; rows that cannot be read are noted in `complaints`. A column that
    is not in the file is not in the fields.
    """
    with open_csv(file) as text:
        rows = read_rows(counted(text, progress))
        heading = next(rows, None)
        if not isinstance(heading, CsvRow):
            raise CsvRefused("the file has no heading")
        columns = _columns(heading.fields, required, optional)
        for row in rows:
            if isinstance(row, RowError):
                complaints.add(row.line, row.message)
            elif len(row.fields) != len(columns):
                complaints.add(row.line, f"{len(row.fields)} fields, but the heading has {len(columns)}")
            else:
                fields = (value.strip(BLANKS) for value in row.fields)
                yield Line(row.line, dict(zip(columns, fields, strict=True)))


def _columns(heading: Sequence[str], required: Sequence[str], optional: Sequence[str]) -> list[str]:
    known = [*required, *optional]
    columns = [name.strip().lower() for name in heading]
    for name in columns:
        if name not in known:
            near = get_close_matches(name, known, 1)
            raise CsvRefused(
                f'line 1: unknown column "{name}"' + (f" (did you mean {near[0]}?)" if near else "")
            )
        if columns.count(name) > 1:
            raise CsvRefused(f'line 1: the column "{name}" is there twice')
    for name in required:
        if name not in columns:
            raise CsvRefused(f'line 1: the column "{name}" is missing')
    return columns


def write_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a CSV text in UTF-8 form: comma, newline, quotes where they are needed."""
    yield _csv_line(columns)
    for row in rows:
        yield _csv_line(row)


def _csv_line(fields: Sequence[str]) -> str:
    # The csv module quotes a lone carriage return only if the line terminator holds one.
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\r\n").writerow(fields)
    return buffer.getvalue().removesuffix("\r\n") + "\n"
