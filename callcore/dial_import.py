"""Rows of a list of leads: what a heading means, and what one row says.

Decides how columns are understood and which rows are no leads. Never reads a file or a table: duplicates,
do-not-call lists and regions are looked up by kalibri/services/lead_import.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, tzinfo

from callcore.dial import LeadPriority
from callcore.dial_zones import COUNTRIES, BadZone, read_zone
from callcore.errors import BadInput
from callcore.value import value

#: Most numbers of one lead, and characters of what is stored with it.
MAX_NUMBERS = 20
MAX_VARIABLES_CHARACTERS = 20_000
#: Meanings that a column may have besides number1, number2, … and variable:NAME.
MEANINGS = (
    "number",
    "id",
    "name",
    "priority",
    "zone",
    "region",
    "queue",
    "gateway",
    "consent",
    "consent_at",
    "consent_ref",
    "expires_at",
    "skip",
)
_SYNONYMS: Mapping[str, str] = {
    "phone": "number",
    "tel": "number",
    "telephone": "number",
    "mobile": "number",
    "телефон": "number",
    "номер": "number",
    "мобильный": "number",
    "external_id": "id",
    "externalid": "id",
    "ид": "id",
    "код": "id",
    "имя": "name",
    "фио": "name",
    "fio": "name",
    "клиент": "name",
    "приоритет": "priority",
    "timezone": "zone",
    "time_zone": "zone",
    "tz": "zone",
    "часовой_пояс": "zone",
    "регион": "region",
    "очередь": "queue",
    "согласие": "consent",
    "consent_basis": "consent",
    "дата_согласия": "consent_at",
    "expires": "expires_at",
    "действует_до": "expires_at",
}
_NUMBERED = re.compile(r"(.*?)[ _.]?([0-9]{1,2})", re.ASCII)
_VARIABLE = "variable:"
_SEPARATORS = re.compile(r"[,;/|]")
_EXTERNAL_ID = re.compile(r"[^\x00-\x1f\x7f]{1,128}")
_DOTTED_DATE = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})(?:[ T](\d{1,2}):(\d{2}))?", re.ASCII)
#: Shortest international number that is dialled, and the length of numbers of country 7.
_SHORTEST, _COUNTRY_7 = 8, 11


class BadHeading(BadInput):
    """The heading of the file cannot be understood."""

    error_id = "bad-heading"


class BadLead(BadInput):
    """The row is no lead."""

    error_id = "bad-lead"


@value(kw_only=True)
class LeadRow:
    """What one row says; moments are aware, texts are trimmed."""

    external_id: str
    name: str
    priority: LeadPriority | None
    #: E.164 digits in the order in which they are tried, none twice.
    numbers: tuple[str, ...]
    zone: str
    region: str
    queue: str
    gateway: str
    consent_basis: str
    consent_at: datetime | None
    consent_ref: str
    expires_at: datetime | None
    #: JSON object of texts.
    variables: str


class Columns:
    """Which column of a file means what; build with `read_heading`."""

    def __init__(self, meanings: Sequence[str], headings: Sequence[str]) -> None:
        #: Meaning of each column, in order.
        self.meanings = tuple(meanings)
        #: Heading → meaning, to be kept with the list.
        self.mapping = dict(zip(headings, meanings, strict=True))
        ranked = [(_rank(meaning), place) for place, meaning in enumerate(meanings) if _is_number(meaning)]
        self.numbers = tuple(place for _, place in sorted(ranked))
        self.variables = tuple(
            (place, meaning.removeprefix(_VARIABLE))
            for place, meaning in enumerate(meanings)
            if meaning.startswith(_VARIABLE)
        )
        self.places = {
            meaning: place
            for place, meaning in enumerate(meanings)
            if meaning in MEANINGS and meaning not in ("number", "skip")
        }


def _is_number(meaning: str) -> bool:
    return re.fullmatch("number[0-9]{0,2}", meaning, re.ASCII) is not None


def _rank(meaning: str) -> int:
    return int(meaning.removeprefix("number") or 1)


def meaning_of(heading: str) -> str:
    """Return what a heading means by itself; what is no known word is a variable of that name."""
    word = "_".join(heading.strip().lower().replace("ё", "е").split())
    found = _SYNONYMS.get(word, word)
    if found in MEANINGS or _is_number(found):
        return found
    numbered = _NUMBERED.fullmatch(word)
    if numbered and _SYNONYMS.get(numbered[1], numbered[1]) == "number":
        return f"number{int(numbered[2])}"
    return f"{_VARIABLE}{heading.strip()}"


def read_heading(headings: Sequence[str], mapping: Mapping[str, str]) -> Columns:
    """Return the columns of a file; mapping: heading → meaning, before what headings mean by themselves.

    Raises BadHeading: no number, a meaning twice, a mapping that names no column or means nothing.
    """
    tidy = [heading.strip() for heading in headings]
    for heading, meaning in mapping.items():
        if heading not in tidy:
            raise BadHeading(f'the file has no column "{heading}"')
        if not (meaning in MEANINGS or _is_number(meaning) or meaning.startswith(_VARIABLE)):
            raise BadHeading(f'"{meaning}": a column is one of {", ".join(MEANINGS)}, number2, variable:NAME')
    meanings = [mapping.get(heading) or meaning_of(heading) if heading else "skip" for heading in tidy]
    for place, meaning in enumerate(meanings):
        if meaning not in ("skip", "number") and meaning in meanings[:place]:
            raise BadHeading(f'two columns mean "{meaning}": {tidy[meanings.index(meaning)]}, {tidy[place]}')
    columns = Columns(meanings, [heading or f"column {place + 1}" for place, heading in enumerate(tidy)])
    if not columns.numbers:
        raise BadHeading('no column holds the number (say --map "Heading=number")')
    return columns


class RowReader:
    """Reads the rows of one file.

    to_e164: digits of a number as a person writes it, raises BadInput. zone: of moments that name none.
    """

    def __init__(self, columns: Columns, *, to_e164: Callable[[str], str], zone: tzinfo) -> None:
        self._columns = columns
        self._to_e164 = to_e164
        self._zone = zone

    def read(self, fields: Sequence[str]) -> LeadRow:
        """Return what a row says; raises BadLead."""
        if len(fields) != len(self._columns.meanings):
            raise BadLead(f"{len(fields)} fields, but the heading has {len(self._columns.meanings)}")
        numbers = self._numbers(fields)
        return LeadRow(
            external_id=self._external_id(fields) or numbers[0],
            name=self._text(fields, "name", 200),
            priority=self._priority(fields),
            numbers=numbers,
            zone=self._zone_of(fields),
            region=self._text(fields, "region", 200),
            queue=self._text(fields, "queue", 63),
            gateway=self._text(fields, "gateway", 127),
            consent_basis=self._text(fields, "consent", 128),
            consent_at=self._moment(fields, "consent_at", latest=False),
            consent_ref=self._text(fields, "consent_ref", 200),
            expires_at=self._moment(fields, "expires_at", latest=True),
            variables=self._variables(fields),
        )

    def _field(self, fields: Sequence[str], meaning: str) -> str:
        place = self._columns.places.get(meaning)
        return "" if place is None else fields[place].strip()

    def _text(self, fields: Sequence[str], meaning: str, longest: int) -> str:
        text = self._field(fields, meaning)
        if not text:
            return text
        if len(text) > longest:
            raise BadLead(f"{meaning}: longer than {longest} characters")
        if not text.isprintable():
            raise BadLead(f"{meaning}: characters that do not print")
        return text

    def _numbers(self, fields: Sequence[str]) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for place in self._columns.numbers:
            for text in _SEPARATORS.split(fields[place]):
                if text.strip():
                    found[self._number(text.strip())] = None
        if not found:
            raise BadLead("there is no number")
        if len(found) > MAX_NUMBERS:
            raise BadLead(f"more than {MAX_NUMBERS} numbers")
        return tuple(found)

    def _number(self, text: str) -> str:
        try:
            number = self._to_e164(text)
        except BadInput as error:
            raise BadLead(error.message) from None
        if len(number) < _SHORTEST or (number[0] == "7" and len(number) != _COUNTRY_7) or number[0] == "0":
            raise BadLead(f"{text!r} is not a whole telephone number")
        return number

    def _external_id(self, fields: Sequence[str]) -> str:
        text = self._field(fields, "id")
        if text and not _EXTERNAL_ID.fullmatch(text):
            raise BadLead("id: 1 to 128 printing characters")
        return text

    def _priority(self, fields: Sequence[str]) -> LeadPriority | None:
        text = self._field(fields, "priority").lower()
        if not text:
            return None
        try:
            return LeadPriority(text)
        except ValueError:
            raise BadLead(f"priority {text!r}: one of {', '.join(LeadPriority)}") from None

    def _zone_of(self, fields: Sequence[str]) -> str:
        text = self._field(fields, "zone")
        if text:
            try:
                read_zone(text)
            except BadZone as error:
                raise BadLead(f"zone: {error.message}") from None
        return text

    def _moment(self, fields: Sequence[str], meaning: str, *, latest: bool) -> datetime | None:
        text = self._field(fields, meaning)
        if not text:
            return None
        try:
            return read_moment(text, self._zone, latest=latest)
        except ValueError:
            raise BadLead(
                f"{meaning} {text!r}: write 2026-12-31, 2026-12-31T18:00+03:00 or 31.12.2026"
            ) from None

    def _variables(self, fields: Sequence[str]) -> str:
        if not self._columns.variables:
            return "{}"
        said = {
            name: fields[place].strip() for place, name in self._columns.variables if fields[place].strip()
        }
        text = json.dumps(said, ensure_ascii=False)
        if len(text) > MAX_VARIABLES_CHARACTERS:
            raise BadLead(f"the variables are longer than {MAX_VARIABLES_CHARACTERS} characters")
        return text


def read_moment(text: str, zone: tzinfo, *, latest: bool) -> datetime:
    """Return the moment that a text names; a date alone is its beginning, or (latest) its end. Raises ValueError."""
    dotted = _DOTTED_DATE.fullmatch(text)
    if dotted:
        day, month, year, hour, minute = dotted.groups()
        text = f"{year}-{int(month):02}-{int(day):02}" + (f"T{int(hour):02}:{minute}" if hour else "")
    if len(text) == len("2026-12-31"):
        clock = time(23, 59, 59) if latest else time()
        return datetime.combine(date.fromisoformat(text), clock, zone)
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def country_of(number: str) -> str:
    """Return the country code of a number if its country has one zone, else nothing."""
    for length in (3, 2):
        if number[:length] in COUNTRIES:
            return number[:length]
    return ""
