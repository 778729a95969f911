"""Range file: number ranges as sorted arrays in one read-only file that all processes map together.

After the header (mapped_file.py): first numbers (uint64), last numbers (uint64), region index, operator
index (uint32 each), then a JSON table {"regions": [[name, registry text], ...], "operators": [...]}.
A look-up is one binary search. Never knows where the ranges come from.
"""

from __future__ import annotations

import json
from array import array
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from zlib import crc32

from callcore.region import normalise_region
from kalibri.files import write_replacing
from kalibri.mapped_file import HEADER_BYTES, MappedFile, pack_header

MAGIC = b"KSRANGE\n"
#: Where the arrays of one row's parts start and end, in bytes per row.
_PART_ENDS = (0, 8, 16, 20, 24)
_MAX_DIGITS = 18


@dataclass(frozen=True, slots=True)
class NumberRange:
    """What is known of a number: its range, the region's one name and the registry's text, the operator."""

    first: int
    last: int
    region: str
    region_text: str
    operator: str


def build(path: Path, ranges: Iterable[tuple[int, int, str, str]]) -> int:
    """Write (first, last, region text, operator) rows in ascending order; return how many there were.

    Raises ValueError if ranges overlap or are out of order; the old file stays.
    """
    firsts, lasts = array("Q"), array("Q")
    region_ids, operator_ids = array("I"), array("I")
    regions: dict[str, int] = {}
    operators: dict[str, int] = {}
    for first, last, region, operator in ranges:
        if last < first or (lasts and first <= lasts[-1]):
            raise ValueError(f"range {first}-{last} is empty, out of order or overlaps")
        firsts.append(first)
        lasts.append(last)
        region_ids.append(regions.setdefault(region, len(regions)))
        operator_ids.append(operators.setdefault(operator, len(operators)))
    names = [[normalise_region(text).name, text] for text in regions]
    table = json.dumps({"regions": names, "operators": list(operators)}, ensure_ascii=False).encode()
    body = b"".join(part.tobytes() for part in (firsts, lasts, region_ids, operator_ids)) + table
    header = pack_header(
        MAGIC,
        entries=len(firsts),
        checked_from=HEADER_BYTES,
        size=HEADER_BYTES + len(body),
        checked_crc=crc32(body),
    )
    write_replacing(path, header + body)
    return len(firsts)


class RangeFile(MappedFile):
    """A mapped range file."""

    def __init__(self, path: Path) -> None:
        """Map and check the whole file; FileCorrupt if it is damaged, OSError if absent."""
        super().__init__(path, MAGIC)
        ends = [HEADER_BYTES + len(self) * width for width in _PART_ENDS]
        parts = [self._view[start:end] for start, end in pairwise(ends)]
        self._firsts, self._lasts = parts[0].cast("Q"), parts[1].cast("Q")
        self._region_ids, self._operator_ids = parts[2].cast("I"), parts[3].cast("I")
        table = json.loads(bytes(self._view[ends[-1] :]))
        self._regions: list[tuple[str, str]] = [(name, text) for name, text in table["regions"]]
        self._operators: list[str] = table["operators"]

    def lookup(self, e164: str) -> tuple[str, str] | None:
        """Return (region, operator) of a number in E.164 digits, None if no range holds it."""
        position = self._position(e164)
        if position is None:
            return None
        return self._regions[self._region_ids[position]][0], self._operators[self._operator_ids[position]]

    def find(self, e164: str) -> NumberRange | None:
        """Return all that is known of a number (for people), None if no range holds it."""
        position = self._position(e164)
        if position is None:
            return None
        region, region_text = self._regions[self._region_ids[position]]
        return NumberRange(
            first=self._firsts[position],
            last=self._lasts[position],
            region=region,
            region_text=region_text,
            operator=self._operators[self._operator_ids[position]],
        )

    def _position(self, e164: str) -> int | None:
        if not (e164.isascii() and e164.isdigit()) or len(e164) > _MAX_DIGITS:
            return None
        number = int(e164)
        position = bisect_right(self._firsts, number) - 1
        return position if position >= 0 and number <= self._lasts[position] else None
