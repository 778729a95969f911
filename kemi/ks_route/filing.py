"""Filing: under which keys a route stands in the index.

Decides the shelf of each route: its most selective field, and the order of second choices. What a request
asks for is in `asking`, how a key becomes a number in `key_hash`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

from callcore.errors import Refused
from kemi.ks_route.extract import MAX_HOST_KEY, MAX_NUMBER_KEY, MAX_WHOLE, Keys, keys_of_tree
from kemi.ks_route.fast_shape import fast_shape
from kemi.ks_route.model import Direction, PatternClass, RouteRow
from kemi.ks_route.patterns import SimplePattern, classify
from kemi.ks_route.syntax import MAX_INPUT

#: Fields in the order of route.pattern_classes turned to what is asked most: B, A, B host, A host.
B, A, B_HOST, A_HOST = range(4)
FIELDS = ("b_pattern", "a_pattern", "b_host_pattern", "a_host_pattern")
FIELD_WORDS = ("B number", "A number", "B host", "A host")
#: Where each field stands in route.pattern_classes (a, a_host, b, b_host).
CLASS_PLACES = (2, 0, 3, 1)


class Shelf(IntEnum):
    """Kinds of keys. The first twelve are field * 3 + (prefix, suffix, whole)."""

    B_PREFIX = 0
    B_SUFFIX = 1
    B_WHOLE = 2
    A_PREFIX = 3
    A_SUFFIX = 4
    A_WHOLE = 5
    B_HOST_PREFIX = 6
    B_HOST_SUFFIX = 7
    B_HOST_WHOLE = 8
    A_HOST_PREFIX = 9
    A_HOST_SUFFIX = 10
    A_HOST_WHOLE = 11
    #: Region and operator of B.
    REGION = 12
    OPERATOR = 13
    #: No key at all: comes up for every request of the tenant.
    EVERY = 14


PREFIX, SUFFIX, WHOLE = range(3)

DIRECTION_BITS: Mapping[Direction, int] = {
    Direction.ACCOUNT: 1,
    Direction.GATEWAY: 2,
    Direction.APPLICATION: 4,
}
ANY_DIRECTION = 7
#: Where the direction bits stand in the head of a route.
DIRECTION_SHIFT = 16

#: Worth of one known character, by field: two routes of a table differ in B before they differ in a host.
_NUMBER_WORTH = 1.0
_HOST_WORTH = 0.25
#: A whole host separates tenants and customers about as well as five digits do.
_HOST_WHOLE_SCORE = 5.0
_NUMBER_WHOLE_BONUS = 3.0
#: Each doubling of the keys costs this much.
_KEY_PENALTY = 0.5
_REGION_SCORE = 0.9
_OPERATOR_SCORE = 0.6


class RouteUnusable(Refused):
    """A route cannot be used as it stands in the database."""

    error_id = "route-unusable"


@dataclass(frozen=True, slots=True)
class PatternFacts:
    """What the index needs to know of a pattern."""

    pattern_class: PatternClass
    simple: SimplePattern | None
    keys: Keys


#: Shelves of a route with its keys there, best first; the last is EVERY.
Shelves = tuple[tuple[Shelf, tuple[bytes, ...]], ...]


@dataclass(frozen=True, slots=True)
class Filed:
    """Where a route may stand, and what can be checked without its patterns."""

    shelves: Shelves
    min_length: int
    max_length: int
    direction_bits: int

    def head(self) -> int:
        """Return the word that is checked before anything else (index_format: heads)."""
        return self.min_length | self.max_length << 8 | self.direction_bits << DIRECTION_SHIFT


@lru_cache(maxsize=65536)
def pattern_facts(pattern: str, host: bool) -> PatternFacts:
    """Classify a pattern and extract its keys; raises RouteUnusable if it is refused."""
    simple = fast_shape(pattern)
    if simple is None:
        result = classify(pattern)
        if result.pattern_class is None or result.tree is None:
            raise RouteUnusable(f"pattern {pattern!r}: {result.reason or 'is empty'}")
        if result.simple is None:
            return PatternFacts(result.pattern_class, None, keys_of_tree(result.tree, host=host))
        simple = result.simple
    return PatternFacts(
        PatternClass.SIMPLE, simple, _keys_of_simple(simple, MAX_HOST_KEY if host else MAX_NUMBER_KEY)
    )


def _keys_of_simple(simple: SimplePattern, longest: int) -> Keys:
    exact = simple.ended and simple.high == 0
    sizes = [len(prefix) for prefix in simple.prefixes]
    high = MAX_INPUT if simple.high is None else max(sizes) + simple.high
    whole = exact and max(sizes) <= MAX_WHOLE
    cut = {prefix[:longest] for prefix in simple.prefixes}
    return Keys(
        prefixes=() if "" in cut or not all(map(str.isascii, cut)) else tuple(sorted(cut)),
        wholes=simple.prefixes if whole and all(map(str.isascii, simple.prefixes)) else (),
        min_length=min(min(sizes) + simple.low, MAX_INPUT),
        max_length=min(high, MAX_INPUT),
    )


def facts_of(row: RouteRow) -> tuple[PatternFacts | None, ...]:
    """Return the facts of the four patterns in field order; raises RouteUnusable naming the field."""
    found: list[PatternFacts | None] = []
    for field, name in enumerate(FIELDS):
        pattern = getattr(row, name)
        try:
            found.append(pattern_facts(pattern, field >= B_HOST) if pattern else None)
        except RouteUnusable as error:
            raise RouteUnusable(f"{FIELD_WORDS[field]} {error.message}", route_id=row.route_id) from None
    return tuple(found)


def file_route(row: RouteRow, facts: tuple[PatternFacts | None, ...]) -> Filed:
    """Return the shelves of a route, best first; the last is always EVERY."""
    scored: list[tuple[float, Shelf, tuple[bytes, ...]]] = []
    for field, entry in enumerate(facts):
        if entry is not None:
            scored.extend(_field_shelves(field, entry.keys))
    if row.b_region:
        scored.append((_REGION_SCORE, Shelf.REGION, (row.b_region.encode(),)))
    if row.b_operator:
        scored.append((_OPERATOR_SCORE, Shelf.OPERATOR, (row.b_operator.encode(),)))
    b_keys = facts[B].keys if facts[B] is not None else Keys()  # type: ignore[union-attr]
    scored.sort(key=lambda entry: -entry[0])
    shelves = [(shelf, keys) for score, shelf, keys in scored if score > 0]
    bits = sum(DIRECTION_BITS[direction] for direction in set(row.directions)) or ANY_DIRECTION
    return Filed((*shelves, (Shelf.EVERY, (b"",))), b_keys.min_length, b_keys.max_length, bits)


def _field_shelves(field: int, keys: Keys) -> Iterable[tuple[float, Shelf, tuple[bytes, ...]]]:
    host = field >= B_HOST
    worth = _HOST_WORTH if host else _NUMBER_WORTH
    for kind, texts in enumerate((keys.prefixes, keys.suffixes, keys.wholes)):
        if not texts:
            continue
        score = worth * min(map(len, texts)) - _KEY_PENALTY * math.log2(len(texts))
        if kind == WHOLE:
            score = (
                score + _NUMBER_WHOLE_BONUS
                if not host
                else _HOST_WHOLE_SCORE - _KEY_PENALTY * math.log2(len(texts))
            )
        lowered = tuple({text.encode().lower() for text in texts})
        yield score, Shelf(field * 3 + kind), lowered


_KIND_WORDS = ("starts with", "ends with", "is")


def shelf_words(shelf: Shelf, key: bytes) -> str:
    """Say in plain words what the routes under a key have in common."""
    text = key.decode(errors="replace")
    if shelf is Shelf.EVERY:
        return "nothing that the index can use"
    if shelf is Shelf.REGION:
        return f"region is {text}"
    if shelf is Shelf.OPERATOR:
        return f"operator is {text}"
    return f"{FIELD_WORDS[shelf // 3]} {_KIND_WORDS[shelf % 3]} {text}"
