"""Variables of a scenario: templates, comparison, and what is picked out of JSON. Pure.

A template is a text with {names}; a variable that is not set is empty. Values are texts; whoever needs a number
reads one out of the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, time
from decimal import Decimal, InvalidOperation
from typing import Any

VARIABLE = re.compile(r"[a-z][a-z0-9_]{0,31}", re.ASCII)
_PLACE = re.compile(r"\{([^{}]*)\}")
#: Longer values are cut: nothing that is said or sent is longer.
LONGEST_VALUE = 500
#: Set by the host or computed; a scenario cannot set them.
BUILT_IN = frozenset({"caller", "called", "caller_name", "today", "clock", "weekday"})
#: Set by nodes for their failure branch, readable everywhere.
OUTCOMES = frozenset({"failure", "message_seconds"})


def names_in(template: str) -> tuple[str, ...]:
    """Return the names that a template asks for, as they are written."""
    return tuple(_PLACE.findall(template))


def fill(template: str, variables: Mapping[str, str], quote: Callable[[str], str] = str) -> str:
    """Return a template with its variables' values, each passed through `quote`."""
    return _PLACE.sub(lambda match: quote(variables.get(match[1], "")), template)


def to_number(text: str) -> Decimal | None:
    """Read a number; None: it is none."""
    try:
        value = Decimal(text.strip().replace(",", "."))
    except InvalidOperation:
        return None
    return value if value.is_finite() and abs(value) < 10**15 else None


def to_date(text: str) -> date | None:
    """Read an ISO date, also out of an ISO time stamp; None: it is none."""
    try:
        return date.fromisoformat(text.strip()[:10])
    except ValueError:
        return None


def to_time(text: str) -> time | None:
    """Read HH:MM, also out of an ISO time stamp; None: it is none."""
    found = re.fullmatch(r"(?:\d{4}-\d\d-\d\d[T ])?(\d{1,2}):(\d\d).*", text.strip(), re.ASCII | re.DOTALL)
    if found is None or int(found[1]) > 23 or int(found[2]) > 59:
        return None
    return time(int(found[1]), int(found[2]))


def is_dialable(text: str) -> bool:
    """Tell whether a text can be dialled: nothing in it means anything in a SIP URI or header."""
    return re.fullmatch(r"[0-9A-Za-z+*#._-]{1,64}", text, re.ASCII) is not None


#: Types that a picked value can be asked to have.
TYPES: Mapping[str, Callable[[str], bool]] = {
    "text": lambda text: True,
    "number": lambda text: to_number(text) is not None,
    "date": lambda text: to_date(text) is not None,
    "time": lambda text: to_time(text) is not None,
    "digits": lambda text: text.isascii() and text.isdigit(),
}


def pick(data: Any, path: str) -> str | None:
    """Return the value at "a.b.0.c" of JSON as a text; None: there is none, or it is no plain value."""
    for part in path.split(".") if path else ():
        if isinstance(data, Mapping) and part in data:
            data = data[part]
        elif isinstance(data, list) and part.isascii() and part.isdigit() and int(part) < len(data):
            data = data[int(part)]
        else:
            return None
    if isinstance(data, bool):
        return "yes" if data else "no"
    if isinstance(data, str | int | float | Decimal):
        return clean(str(data))
    return None


def clean(text: str) -> str:
    """Return a value without control characters, not too long."""
    return "".join(char for char in text[:LONGEST_VALUE] if char.isprintable())


def compare(left: str, operator: str, right: str) -> bool:
    """Compare two values; as numbers where both are numbers, else only equality and beginnings have a meaning."""
    if operator == "starts_with":
        return left.startswith(right)
    numbers = to_number(left), to_number(right)
    if numbers[0] is None or numbers[1] is None:
        return left == right if operator == "equals" else False
    if operator == "equals":
        # A number that somebody typed is its digits: 007 is not 7.
        return left == right or (numbers[0] == numbers[1] and not _has_leading_zero(left, right))
    return numbers[0] < numbers[1] if operator == "below" else numbers[0] > numbers[1]


def _has_leading_zero(*texts: str) -> bool:
    return any(len(text) > 1 and text[0] == "0" and text[1].isdigit() for text in texts)
