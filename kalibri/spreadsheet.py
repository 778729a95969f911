"""Rows of the first sheet of an XLSX workbook, as texts, each with its row number.

Decides how a cell becomes a text: whole numbers without a point (telephone numbers are often kept as numbers), dates
in ISO form. Never holds the sheet in memory and never evaluates a formula: the value that was stored counts.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime
from pathlib import Path

import openpyxl
from openpyxl.utils.exceptions import InvalidFileException

from callcore.errors import BadInput
from kalibri.csvfile import CsvRow, Progress

#: Largest uncompressed size of a workbook: a small file can hold an endless one.
MAX_BYTES = 4 << 30
_EXACT = 1 << 53


class BadWorkbook(BadInput):
    """The file is no XLSX workbook."""

    error_id = "bad-workbook"


def is_workbook(path: Path) -> bool:
    """Tell whether a file is a ZIP archive, as each XLSX is; a CSV never is."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def read_workbook(path: Path, progress: Progress = lambda _bytes: None) -> Iterator[CsvRow]:
    """Yield the rows of the first sheet, the heading included; empty rows are skipped. Raises BadWorkbook.

    progress: how far one is inside the file is not told by the workbook, so it is its size at the end.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
                raise BadWorkbook(f"the workbook is larger than {MAX_BYTES >> 30} GiB when it is unpacked")
        workbook = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (zipfile.BadZipFile, InvalidFileException, KeyError, ValueError, OSError) as error:
        raise BadWorkbook(f"{path.name} is no XLSX workbook: {error}") from error
    with closing(workbook):
        width = 0
        for line, cells in enumerate(workbook.worksheets[0].iter_rows(values_only=True), 1):
            fields = [_text(value) for value in cells]
            if not any(fields):
                continue
            if not width:
                width = _width(fields)
            yield CsvRow(line, _fit(fields, width))
    progress(path.stat().st_size)


def _width(heading: list[str]) -> int:
    """Return how many columns have a heading: sheets often end in formatted, empty columns."""
    return max(place for place, text in enumerate(heading, 1) if text)


def _fit(fields: list[str], width: int) -> list[str]:
    if any(fields[width:]):
        return fields
    return fields[:width] + [""] * (width - len(fields))


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return str(int(value))
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == value.time().min else value.isoformat()
    if isinstance(value, date):
        return value.isoformat()
    return str(value).strip()
