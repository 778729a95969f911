"""Synthetic route tables and calls for the routing benches; the same seed gives the same table.

N routes in matching order, more specific ones tend to come first. 92.5 % of the B patterns are those of carrier
tables (prefixes of 1-9 digits under 30 country codes, in eight spellings), 7.5 % are general (nested optional
groups, alternations, suffixes, look-aheads, back-references, names, short numbers); 8 % of the routes also look
at A, 7 % also at a host, 1 % at all four fields, 2 % at A only. Half of the routes are the system's, the others
belong to fifty tenants; each call belongs to one of those.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from decimal import Decimal

from kemi.ks_route.model import DestinationKind, Direction, RouteRequest, RouteRow
from kemi.ks_route.syntax import parse
from tests.support.regex_fuzz import Sampler

COUNTRIES = (
    "1", "7", "20", "27", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45", "46", "47",
    "48", "49", "52", "55", "61", "81", "82", "86", "90", "91", "375", "380",
)  # fmt: skip
TENANTS = 50
#: Digits of a prefix beyond the country code: price lists are mostly about areas and operators.
FURTHER_DIGITS = (*[0] * 1, *[1] * 3, *[2] * 10, *[3] * 22, *[4] * 26, *[5] * 22, *[6] * 16)


class RouteMaker:
    """Makes the rows of a table, and calls that hit them."""

    def __init__(self, seed: int) -> None:
        self._rnd = random.Random(seed)
        self._sampler = Sampler(self._rnd)

    def rows(self, count: int) -> Iterator[RouteRow]:
        """Yield the rows in matching order."""
        rnd = self._rnd
        drafts = [self._draft() for _number in range(count)]
        drafts.sort(key=lambda draft: draft[0] + rnd.gauss(0, 3))
        for number, (_specific, b, a, b_host, a_host) in enumerate(drafts, 1):
            yield RouteRow(
                route_id=number,
                tenant_id=0 if rnd.random() < 0.5 else rnd.randint(1, TENANTS),
                priority=Decimal(number),
                b_pattern=b,
                a_pattern=a,
                b_host_pattern=b_host,
                a_host_pattern=a_host,
                destination_kind=DestinationKind.GROUP,
                destination="carriers",
                name=f"route {number}",
            )

    def _draft(self) -> tuple[float, str | None, str | None, str | None, str | None]:
        rnd, a, b_host, a_host = self._rnd, None, None, None
        prefix = rnd.choice(COUNTRIES) + "".join(rnd.choices("0123456789", k=rnd.choice(FURTHER_DIGITS)))
        prefix = prefix[:9]
        b: str | None = self._carrier(prefix) if rnd.random() < 0.925 else self._general(prefix)
        draw = rnd.random()
        if draw < 0.02:
            b, a = None, self._caller()
        elif draw < 0.10:
            a = self._caller()
        elif draw < 0.17:
            b_host = self._host()
        elif draw < 0.18:
            a, b_host, a_host = self._caller(), self._host(), self._host()
        specific = -len(prefix) - 2 * (a is not None) - 2 * (b_host is not None)
        return specific, b, a, b_host, a_host

    def _carrier(self, prefix: str) -> str:
        rnd = self._rnd
        left = max(4, 11 - len(prefix))
        tail = rnd.choice((rf"\d{{{left}}}$", rf"\d{{{left - 2},{left}}}$", "", ".*$"))
        spelling = rnd.choice(
            ("plain", "plain", "plain", "plus", "international", "russian", "class", "several")
        )
        if spelling == "plus":
            return rf"^\+?{prefix}{tail}"
        if spelling == "international":
            return rf"^(00|\+){prefix}{tail}"
        if spelling == "russian":
            return rf"^(8|\+7|7){prefix[1:] or '4'}{tail}"
        if spelling == "class":
            return f"^{prefix}[0-4]{tail}"
        if spelling == "several":
            return "^(" + "|".join(prefix + str(digit) for digit in rnd.sample(range(10), 3)) + ")" + tail
        return f"^{prefix}{tail}"

    def _general(self, prefix: str) -> str:
        rnd = self._rnd
        digits = f"{rnd.randint(0, 9999):04d}"
        return rnd.choice((
            rf"^(?:(?:00|\+)?{prefix}|0){digits[:2]}\d{{6,8}}$",
            rf"{digits}$",
            rf"^(?:{prefix}|8~?10{prefix})\d+$",
            rf"^(?!{prefix}{digits[0]}){prefix}\d{{5,10}}$",
            rf"^{prefix}(\d)\1\1",
            rf"(?i)^(alice|bob|carol|dave){digits}$",
            rf"^[1-9]{digits[:2]}$",
            rf"^{prefix}(?:{digits[:2]}|{digits[2:]})?(?:\d{{4}}){{1,2}}$",
        ))  # fmt: skip

    def _caller(self) -> str:
        rnd = self._rnd
        mobile = rf"^\+?7{rnd.randint(900, 999)}\d{{7}}$"
        return rnd.choice((rf"^7{rnd.randint(300, 999)}", rf"^{rnd.randint(100, 999)}$", mobile))

    def _host(self) -> str:
        rnd = self._rnd
        number = rnd.randint(1, 5000)
        either = rf"^(t{number}|trunk{number})\.example\.(com|net)$"
        return rnd.choice((rf"^t{number}\.example\.com$", either, rf"^10\.{number % 256}\."))

    def call(self, row: RouteRow | None) -> RouteRequest:
        """Return a call made to fit this row, or a random one."""
        rnd = self._rnd
        tenant = rnd.randint(1, TENANTS)
        if row is None:
            number = rnd.choice(COUNTRIES) + "".join(rnd.choices("0123456789", k=rnd.randint(7, 10)))
            return self._request(tenant, number, "", "", "")
        texts = [
            self._fitting(pattern)
            for pattern in (row.b_pattern, row.a_pattern, row.b_host_pattern, row.a_host_pattern)
        ]
        return self._request(row.tenant_id or tenant, *texts)

    def miss(self) -> RouteRequest:
        """Return a call that hardly any route fits."""
        return self._request(self._rnd.randint(1, TENANTS), f"#{self._rnd.randint(0, 10**9)}*", "", "", "")

    def _fitting(self, pattern: str | None) -> str:
        return "" if pattern is None else self._sampler.fitting(parse(pattern)[0])

    def _request(self, tenant: int, b: str, a: str, b_host: str, a_host: str) -> RouteRequest:
        rnd = self._rnd
        return RouteRequest(
            tenant_id=tenant,
            direction=Direction.ACCOUNT,
            b_number=b or rnd.choice(COUNTRIES) + f"{rnd.randint(0, 10**9):09d}",
            a_number=a or str(rnd.randint(100, 999)),
            b_host=b_host or f"t{rnd.randint(1, 5000)}.example.com",
            a_host=a_host or f"10.{rnd.randint(0, 255)}.0.{rnd.randint(1, 254)}",
        )


def calls(
    maker: RouteMaker, row_at: object, routes: int, count: int, seed: int
) -> list[tuple[str, RouteRequest]]:
    """Return (kind, call): 20 % hits in the first tenth, 30 % anywhere, 20 % last tenth, 15 % random, 15 % misses."""
    rnd = random.Random(seed)
    made: list[tuple[str, RouteRequest]] = []
    for _number in range(count):
        draw = rnd.random()
        if draw < 0.70:
            kind = "early" if draw < 0.20 else "any" if draw < 0.50 else "late"
            low, high = {"early": (0, 0.1), "any": (0, 1), "late": (0.9, 1)}[kind]
            rank = min(int(routes * rnd.uniform(low, high)), routes - 1)
            made.append((kind, maker.call(row_at(rank))))  # type: ignore[operator]
        else:
            made.append(("random", maker.call(None)) if draw < 0.85 else ("miss", maker.miss()))
    return made
