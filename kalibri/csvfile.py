"""CSV files as people send them: encoding and delimiter are found out, every row has its line number.

Decides nothing about the contents of fields. Never holds a whole file in memory.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

#: Called with how many further bytes of a file have been read.
Progress = Callable[[int], None]

_CHUNK_BYTES = 1 << 20
_DELIMITERS = ";,\t"


@dataclass(frozen=True, slots=True)
class RowError:
    """What is wrong with a row. `line` counts from 1 and is where the row starts; 0 is the whole file."""

    line: int
    message: str
    file: str = ""


@dataclass(frozen=True, slots=True)
class CsvRow:
    """The fields of one row and the line on which it starts."""

    line: int
    fields: list[str]


def detect_encoding(path: Path) -> str:
    """Return the encoding of a text file: by its mark, else UTF-8 if all of it decodes, else cp1251."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        chunk = file.read(_CHUNK_BYTES)
        if chunk.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        if chunk.startswith(codecs.BOM_UTF8):
            return "utf-8-sig"
        try:
            while chunk:
                decoder.decode(chunk)
                chunk = file.read(_CHUNK_BYTES)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "cp1251"
    return "utf-8"


def open_csv(path: Path) -> TextIO:
    """Open a file for `read_rows`; what its encoding cannot say becomes U+FFFD, which read_rows reports."""
    return path.open(encoding=detect_encoding(path), errors="replace", newline="")


def counted(text: TextIO, progress: Progress) -> Iterator[str]:
    """Yield the lines of an open file and tell how many bytes of it were read meanwhile."""
    seen = 0
    for line in text:
        position = text.buffer.tell()
        if position != seen:
            progress(position - seen)
            seen = position
        yield line


def detect_delimiter(header: str) -> str:
    """Return the delimiter of a file, seen in its first line: the most frequent of semicolon, comma, tab."""
    return max(_DELIMITERS, key=header.count)


def read_rows(lines: Iterable[str]) -> Iterator[CsvRow | RowError]:
    """Yield the rows of a CSV text, the first line's included; blank lines are skipped.

    A row that cannot be read (open quote, characters that are no text) is a RowError; reading goes on.
    """
    source = iter(lines)
    header = next(source, None)
    if header is None:
        return
    reader = csv.reader(_chain(header, source), delimiter=detect_delimiter(header), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield RowError(line, f"not a CSV row: {error}")
            continue
        complaint = _complaint(fields)
        if complaint:
            yield RowError(line, complaint)
        elif any(fields):
            yield CsvRow(line, fields)


def _chain(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _complaint(fields: Sequence[str]) -> str:
    for position, value in enumerate(fields, 1):
        if "\ufffd" in value:
            return f"column {position} holds bytes that are no text"
        if "\0" in value:
            return f"column {position} holds a zero byte"
    return ""
