"""Random route tables and requests, and the linear search that the index must equal."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import lru_cache

from kemi.ks_route.model import DestinationKind, Direction, NumberRegion, PatternClass, RouteRequest, RouteRow
from kemi.ks_route.patterns import classify, make_matcher, usable
from tests.support.regex_fuzz import RegexMaker

REGIONS = ("Москва", "Московская область", "Татарстан")
OPERATORS = ("МТС", "МегаФон")
TENANTS = (0, 1, 2, 77)

_NUMBER_PATTERNS = (
    r"^7495\d{7}$", r"^7495", r"^7", r"^\+?7\d{10}$", r"^(8|\+7|7)495\d{7}$", r"^(00|\+)49", r"^749[0-4]\d*$",
    r"^112$", r"^74951234567$", r"0000$", r"^\d{11}$", r"(?i)^alice$", r"^(?!7495)7\d{10}$", r"(\d)\1\1$",
    r"^8~?10\d+", r"495", r"^(?:(?:00)?44|0)20\d{8}$", r"^\d{3}$", r".", r"^$", r"(7+)+$", r"^(\d+)+x$", r"^[^+]",
    r"(00|99)$", r"^7.*0000$", r"^49\d{2,5}", r"^bob|^carol", r"a|^7",
)  # fmt: skip
_HOST_PATTERNS = (
    r"^(t1|trunk1)\.example\.(com|net)$", r"^10\.0\.", r"\.example\.com$", r"^t2\.example\.com$", r"(?i)EXAMPLE",
    r"^(\d{1,3}\.){3}\d{1,3}$", r"^\[", r"^sip",
)  # fmt: skip
_NUMBERS = (
    "74951234567", "+74951234567", "84951234567", "74960000000", "7999", "112", "alice", "ALICE", "004912345",
    "+49123", "442012345678", "81049123", "74951110000", "x", "", "555", "777x", "bob", "carol", "7", "é7495",
    "7495\n", "7" * 129, "7" * 128, "\u212aelvin", "74951234599", "9992000", "+7495", "7495\x001",
)  # fmt: skip
_HOSTS = (
    "t1.example.com",
    "trunk1.example.net",
    "T2.Example.Com",
    "t2.example.com",
    "10.0.0.1",
    "[::1]",
    "sip.x",
    "",
)


_PLACES = {direction: place for place, direction in enumerate(Direction)}


class TableMaker:
    """Makes rows with all four fields, tenants, directions, regions; few distinct values, so that they meet."""

    def __init__(self, rnd: random.Random) -> None:
        self._rnd = rnd
        self._regexes = RegexMaker(rnd)

    def _pattern(self, known: tuple[str, ...], probability: float) -> str | None:
        rnd = self._rnd
        if rnd.random() > probability:
            return None
        if rnd.random() < 0.15:
            wild = self._regexes.pattern()
            return wild if classify(wild).pattern_class is not None else None
        return rnd.choice(known)

    def row(self, route_id: int) -> RouteRow:
        """Return a random row; priorities collide often."""
        rnd = self._rnd
        return RouteRow(
            route_id=route_id,
            tenant_id=rnd.choice(TENANTS),
            priority=Decimal(rnd.randint(-20, 200)) / rnd.choice((1, 4, 10000)),
            enabled=rnd.random() > 0.1,
            directions=tuple(
                sorted(rnd.sample(list(Direction), rnd.choice((0, 0, 0, 1, 2))), key=_PLACES.__getitem__)
            ),
            a_pattern=self._pattern(_NUMBER_PATTERNS, 0.25),
            a_host_pattern=self._pattern(_HOST_PATTERNS, 0.15),
            b_pattern=self._pattern(_NUMBER_PATTERNS, 0.85),
            b_host_pattern=self._pattern(_HOST_PATTERNS, 0.15),
            b_region=rnd.choice(REGIONS) if rnd.random() < 0.1 else None,
            b_operator=rnd.choice(OPERATORS) if rnd.random() < 0.1 else None,
            schedule_id=rnd.choice((None, None, 5)),
            b_mask_pattern="^8" if route_id % 7 == 0 else None,
            b_mask_replacement="7" if route_id % 7 == 0 else None,
            destination_kind=DestinationKind.REJECT,
            destination="404",
            options={"record": True} if route_id % 5 == 0 else {},
            name=f"маршрут {route_id}" if route_id % 3 == 0 else "",
        )

    def request(self) -> RouteRequest:
        """Return a random request; sometimes slightly damaged, sometimes quite random."""
        rnd = self._rnd
        return RouteRequest(
            tenant_id=rnd.choice((*TENANTS, 5)),
            direction=rnd.choice(list(Direction)),
            a_number=self._text(_NUMBERS),
            a_host=self._text(_HOSTS),
            b_number=self._text(_NUMBERS),
            b_host=self._text(_HOSTS),
        )

    def _text(self, known: tuple[str, ...]) -> str:
        rnd = self._rnd
        text = rnd.choice(known)
        if text and rnd.random() < 0.3:
            place = rnd.randrange(len(text))
            text = text[:place] + rnd.choice("0789+xA.") + text[place + 1 :]
        return text

    def place(self) -> NumberRegion | None:
        """Return where B might be."""
        rnd = self._rnd
        return None if rnd.random() < 0.3 else NumberRegion(rnd.choice(REGIONS), rnd.choice(OPERATORS))


@lru_cache(maxsize=100_000)
def _search(pattern: str) -> Callable[[str], object]:
    """Search by `re`; what would take for ever there goes to RE2, whose equality with `re` test_extract shows."""
    if classify(pattern).pattern_class is PatternClass.RE2:
        return make_matcher(pattern, PatternClass.RE2)
    return re.compile(pattern, re.ASCII).search


def _holds(pattern: str | None, text: str) -> bool:
    return pattern is None or (usable(text) and bool(_search(pattern)(text)))


def linear_search(
    rows: Iterable[RouteRow], request: RouteRequest, place: NumberRegion | None
) -> list[RouteRow]:
    """Return all rows that fit, in order: what the index must find."""
    region, operator = (place.region, place.operator) if place else (None, None)
    return [
        row
        for row in sorted(rows, key=lambda row: (row.priority, row.route_id))
        if row.enabled
        and row.tenant_id in (0, request.tenant_id)
        and (not row.directions or request.direction in row.directions)
        and row.b_region in (None, region)
        and row.b_operator in (None, operator)
        and _holds(row.a_pattern, request.a_number)
        and _holds(row.a_host_pattern, request.a_host)
        and _holds(row.b_pattern, request.b_number)
        and _holds(row.b_host_pattern, request.b_host)
    ]
