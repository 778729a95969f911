"""The national number-range registry: rows of its files into ranges of E.164 numbers.

Decides what a valid row is. Never reads a file, and never guesses: a row that does not add up is reported
with its line, so that a wrong file cannot quietly become routing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from callcore.errors import BadInput

#: Columns that a file must have, and those that it may have; further columns are passed over.
REQUIRED = ("code", "first", "last", "capacity", "operator", "region")
_OPTIONAL = ("inn",)
#: The heading of the code column mixes Cyrillic АВС with Latin DEF, and not always the same letters.
_LOOKALIKES = str.maketrans("abc", "авс")
#: Headings without spaces, dots and case.
_HEADERS = {
    "авс/def": "code",
    "код": "code",
    "от": "first",
    "до": "last",
    "емкость": "capacity",
    "оператор": "operator",
    "регион": "region",
    "инн": "inn",
}
_NATIONAL_DIGITS = 7
_CODE = re.compile(r"[3-9][0-9]{2}", re.ASCII)
_SUBSCRIBER = re.compile(r"[0-9]{1,7}", re.ASCII)
_INN = re.compile(r"([0-9]{10}|[0-9]{12})?", re.ASCII)


class BadRegistryRow(BadInput):
    """The row is not a number range."""

    error_id = "bad-registry-row"


@dataclass(frozen=True, slots=True)
class RegistryRange:
    """One range, E.164 numbers with country code; region and operator as the registry spells them."""

    first: int
    last: int
    operator: str
    region: str
    inn: str


@dataclass(frozen=True, slots=True)
class Columns:
    """Where each column of a file is."""

    positions: dict[str, int]

    def field(self, row: Sequence[str], name: str) -> str:
        """Return a field with its spaces tidied; a column or field that is not there is empty."""
        position = self.positions.get(name)
        return " ".join(row[position].split()) if position is not None and position < len(row) else ""


def read_header(row: Sequence[str]) -> Columns:
    """Find the columns by their headings; BadRegistryRow names those that are missing or double."""
    positions: dict[str, int] = {}
    for position, heading in enumerate(row):
        plain = re.sub(r"[\s.\ufeff]", "", heading).lower().replace("ё", "е")
        name = _HEADERS.get(plain.translate(_LOOKALIKES))
        if name in positions:
            raise BadRegistryRow(f"the column {heading.strip()!r} is there twice")
        if name is not None:
            positions[name] = position
    missing = [name for name in REQUIRED if name not in positions]
    if missing:
        raise BadRegistryRow(f"not a registry file: no column for {', '.join(missing)}")
    return Columns(positions)


def parse_range(columns: Columns, row: Sequence[str], *, country_code: str) -> RegistryRange:
    """Read one row; BadRegistryRow says what is wrong with it."""
    code, first, last, capacity, operator, region = (columns.field(row, name) for name in REQUIRED)
    inn = columns.field(row, "inn")
    if not _CODE.fullmatch(code):
        raise BadRegistryRow(f"code {code!r} is not three digits from 300 on")
    bounds = []
    for what, text in (("first", first), ("last", last)):
        if not _SUBSCRIBER.fullmatch(text):
            raise BadRegistryRow(f"{what} number {text!r} is not up to seven digits")
        bounds.append(int(country_code + code + text.zfill(_NATIONAL_DIGITS)))
    if bounds[0] > bounds[1]:
        raise BadRegistryRow(f"the range ends ({last}) before it starts ({first})")
    size = bounds[1] - bounds[0] + 1
    if capacity != str(size):
        raise BadRegistryRow(f"capacity is {capacity!r}, but {first}-{last} are {size} numbers")
    if not operator or not region:
        raise BadRegistryRow("operator or region is empty")
    if not _INN.fullmatch(inn):
        raise BadRegistryRow(f"INN {inn!r} is not 10 or 12 digits")
    return RegistryRange(first=bounds[0], last=bounds[1], operator=operator, region=region, inn=inn)
