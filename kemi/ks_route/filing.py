"""Filing: under which keys a route stands in the index, and which keys a request asks for.

Decides the shelf of each route (its most selective field) and the order of second choices. Both sides of the
index, builder and reader, and the overlay use this file, so that they cannot disagree. A key is a CRC-32 over
tenant, kind and text; a collision only adds a candidate, which verification then rejects.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from zlib import crc32

from callcore.errors import Refused
from kemi.ks_route.extract import MAX_HOST_KEY, MAX_NUMBER_KEY, MAX_WHOLE, Keys, keys_of_tree
from kemi.ks_route.fast_shape import fast_shape
from kemi.ks_route.model import Direction, NumberRegion, PatternClass, RouteRequest, RouteRow
from kemi.ks_route.patterns import SimplePattern, classify, usable
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


# ------------------------------------------------------------------------------------ the request's side


#: Shelves with the lengths of their keys in use (0 where keys have no length), in one order.
Layout = tuple[tuple[int, tuple[int, ...]], ...]


class Plan:
    """What to ask for on behalf of a tenant: which keys of a request to compute, and their salts."""

    __slots__ = ("_places", "_splits", "layout", "steps")

    def __init__(self, tenants: Mapping[int, Mapping[int, int]], split_lengths: Mapping[int, int]) -> None:
        """Take {tenant: {shelf: bit set of key lengths in use}}, and the same below split buckets."""
        lengths = merged_lengths(split_lengths, *tenants.values())
        self.layout: Layout = tuple((shelf, lengths_of(bits)) for shelf, bits in sorted(lengths.items()))
        keys = [(shelf, size) for shelf, sizes in self.layout for size in sizes]
        self._places = {
            shelf: tuple(
                place for place, (other, size) in enumerate(keys) if other == shelf and bits >> size & 1
            )
            for shelf, bits in split_lengths.items()
        }
        self._splits: dict[int, tuple[tuple[int, tuple[int, ...]], ...]] = {}
        #: (place in the CRCs of the layout, salt)
        self.steps = tuple(
            (place, shelf_salt(tenant_seed(tenant), shelf))
            for tenant, used in tenants.items()
            for place, (shelf, size) in enumerate(keys)
            if used.get(shelf, 0) >> size & 1
        )

    def hashes(self, crcs: Sequence[int]) -> list[int]:
        """Return the hashes of all first-level keys."""
        return [crcs[place] ^ salt for place, salt in self.steps]

    def split_hashes(self, bucket: int, shelves: int, crcs: Sequence[int]) -> list[int]:
        """Return the hashes of the keys below a split bucket, which has these shelves (a bit set)."""
        steps = self._splits.get(shelves)
        if steps is None:
            steps = tuple((shelf, self._places[shelf]) for shelf in lengths_of(shelves))
            self._splits[shelves] = steps
        hashes: list[int] = []
        for shelf, places in steps:
            salt = shelf_salt(bucket, shelf)
            for place in places:
                hashes.append(crcs[place] ^ salt)
        return hashes


_EMPTY_CRC = crc32(b"")


class Asked:
    """A request as the index sees it; made once a search."""

    __slots__ = (
        "_found",
        "_place",
        "_placed",
        "b_length",
        "crcs",
        "direction_bit",
        "plan",
        "request",
        "texts",
    )

    def __init__(self, request: RouteRequest, place: Callable[[], NumberRegion | None], plan: Plan) -> None:
        b, a, b_host, a_host = request.b_number, request.a_number, request.b_host, request.a_host
        self.request = request
        self.plan = plan
        #: In field order; None matches no pattern at all.
        self.texts: tuple[str | None, ...] = (b, a, b_host, a_host)
        together = b + a + b_host + a_host
        if len(together) > MAX_INPUT or not together.isprintable():  # rarely: look at each
            self.texts = tuple([text if usable(text) else None for text in self.texts])
        self.b_length = len(b) if self.texts[B] is not None else 0
        self.direction_bit = DIRECTION_BITS[request.direction] << DIRECTION_SHIFT
        self._place = place
        self._placed = False
        self._found: NumberRegion | None = None
        #: CRC of each key of the layout; that of the empty text where the request has no such key, which
        #: asks for a key that no route has.
        self.crcs = self._compute(plan.layout)

    def place(self) -> NumberRegion | None:
        """Return region and operator of B; looked up at most once, and only if a route asks."""
        if not self._placed:
            self._placed, self._found = True, self._place()
        return self._found

    def _compute(self, layout: Layout) -> list[int]:
        crcs: list[int] = []
        known = -1
        data: bytes | None = None
        for shelf, lengths in layout:
            if shelf >= Shelf.REGION:
                crcs.append(self._place_crc(shelf))
                continue
            if known != shelf // 3:
                known = shelf // 3
                text = self.texts[known]
                data = None if text is None else _lowered(text)
            kind = shelf % 3
            if data is None:
                crcs += [_EMPTY_CRC] * len(lengths)
            elif kind == WHOLE:
                crcs.append(crc32(data))
            elif len(data) < lengths[-1]:
                crcs += [_edge_crc(data, kind, length) for length in lengths]
            elif kind == PREFIX:
                crcs += [crc32(data[:length]) for length in lengths]
            else:
                crcs += [crc32(data[-length:]) for length in lengths]
        return crcs

    def _place_crc(self, shelf: int) -> int:
        if shelf == Shelf.EVERY:
            return _EMPTY_CRC
        place = self.place()
        if place is None:
            return _EMPTY_CRC
        return crc32((place.region if shelf == Shelf.REGION else place.operator).encode())


def _lowered(text: str) -> bytes:
    if text.isascii():
        return text.encode().lower()
    return text.encode("utf-8", "surrogatepass").lower()


def _edge_crc(data: bytes, kind: int, length: int) -> int:
    if length > len(data):
        return _EMPTY_CRC
    return crc32(data[:length] if kind == PREFIX else data[-length:])


def tenant_seed(tenant_id: int) -> int:
    """Return what the salts of a tenant's shelves are made from."""
    return crc32(b"%d" % tenant_id)


def shelf_salt(seed: int, shelf: int) -> int:
    """Return what the CRC of a key is mixed with on a shelf below a tenant or below a bucket's hash.

    Multiplied, not chained: chained CRCs are linear, and keys of two levels that differ alike would collide.
    """
    return (seed * 0x9E37_79B1 + (shelf + 1) * 0x85EB_CA6B) & 0xFFFF_FFFF


def key_hash(key: bytes, salt: int) -> int:
    """Return the hash of a key under a salt; the CRC of a key is computed once for all salts."""
    return crc32(key) ^ salt


def lengths_of(bits: int) -> tuple[int, ...]:
    """Return the key lengths of a bit set."""
    return tuple(size for size in range(bits.bit_length()) if bits >> size & 1)


def merged_lengths(*parts: Mapping[int, int]) -> dict[int, int]:
    """Return the union of {shelf: bit set of key lengths} of several tenants or tables."""
    merged: dict[int, int] = {}
    for part in parts:
        for shelf, bits in part.items():
            merged[shelf] = merged.get(shelf, 0) | bits
    return merged


def length_bit(shelf: int, key: bytes) -> int:
    """Return the bit that this key sets in the lengths of its shelf."""
    return 1 << len(key) if shelf < Shelf.REGION and shelf % 3 != WHOLE else 1
