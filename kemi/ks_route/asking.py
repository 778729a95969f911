"""What a request asks the index for: its keys as numbers, mixed with the salts of tenants and buckets.

Decides nothing about routes. This is the hot path: a plan is prepared once a tenant, the keys of a request are
computed once, and everything per key runs in C calls over whole lists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from operator import floordiv, itemgetter, xor
from zlib import crc32

from kemi.ks_route.extract import MAX_NUMBER_KEY
from kemi.ks_route.filing import DIRECTION_BITS, DIRECTION_SHIFT, PREFIX, WHOLE, A, B, Shelf
from kemi.ks_route.key_hash import (
    HASH_BITS,
    NO_KEY,
    key_number,
    lengths_of,
    merged_lengths,
    shelf_salt,
    tenant_seed,
)
from kemi.ks_route.model import Direction, NumberRegion, RouteRequest
from kemi.ks_route.patterns import usable
from kemi.ks_route.syntax import MAX_INPUT

#: (kind, lengths of the keys, divisors for prefixes of numbers): what to compute of one shelf. The divisors
#: that turn the number of a text into those of its prefixes, by the length of the text; too long a prefix gives 0.
_Part = tuple[int, tuple[int, ...], tuple[tuple[int, ...], ...]]

_NUMBERS = (B, A)
_PLACE_SHELVES = (Shelf.REGION, Shelf.OPERATOR)
_ACCOUNT_BIT = DIRECTION_BITS[Direction.ACCOUNT] << DIRECTION_SHIFT
_GATEWAY_BIT = DIRECTION_BITS[Direction.GATEWAY] << DIRECTION_SHIFT
_APPLICATION_BIT = DIRECTION_BITS[Direction.APPLICATION] << DIRECTION_SHIFT
_ACCOUNT, _GATEWAY = Direction.ACCOUNT, Direction.GATEWAY
_ANY_NUMBER_SHELF = int(Shelf.B_PREFIX)
#: Divides every number of a key to 0.
_TOO_LONG = 10**18
_POWERS = tuple(10**exponent for exponent in range(MAX_INPUT + 1))


class Plan:
    """What to ask for on behalf of a tenant."""

    __slots__ = ("_pick", "_places", "_salts", "_splits", "every", "fields", "regions")

    def __init__(self, tenants: Mapping[int, Mapping[int, int]], split_lengths: Mapping[int, int]) -> None:
        """Take {tenant: {shelf: bit set of key lengths in use}}, and the same below split buckets."""
        used = merged_lengths(split_lengths, *tenants.values())
        layout = [(shelf, lengths_of(bits)) for shelf, bits in sorted(used.items()) if bits]
        #: (field, what to compute of it), in the order of the numbers.
        self.fields: tuple[tuple[int, tuple[_Part, ...]], ...] = tuple(
            (field, tuple(_part(shelf, sizes) for shelf, sizes in layout if shelf // 3 == field))
            for field in sorted({shelf // 3 for shelf, _sizes in layout if shelf < Shelf.REGION})
        )
        #: Region and operator shelves in use, and whether EVERY is.
        self.regions = tuple(shelf for shelf, _sizes in layout if shelf in _PLACE_SHELVES)
        self.every = any(shelf == Shelf.EVERY for shelf, _sizes in layout)
        keys = [(shelf, size) for shelf, sizes in layout for size in sizes]
        self._places = {
            shelf: tuple(place for place, key in enumerate(keys) if key[0] == shelf and bits >> key[1] & 1)
            for shelf, bits in split_lengths.items()
        }
        self._splits: dict[int, tuple[tuple[int, tuple[int, ...]], ...]] = {}
        steps = [
            (place, shelf_salt(tenant_seed(tenant), shelf))
            for tenant, lengths in tenants.items()
            for place, (shelf, size) in enumerate(keys)
            if lengths.get(shelf, 0) >> size & 1
        ]
        if len(steps) == 1:  # itemgetter gives tuples only for two and more
            steps *= 2
        self._pick = itemgetter(*(place for place, _salt in steps)) if steps else None
        self._salts = tuple(salt for _place, salt in steps)

    def hashes(self, keys: Sequence[int]) -> list[int]:
        """Return the hashes of all first-level keys of a request."""
        if self._pick is None:
            return []
        return list(map(xor, self._pick(keys), self._salts))

    def split_hashes(self, bucket: int, shelves: int, keys: Sequence[int]) -> list[int]:
        """Return the hashes of the keys below a split bucket, which has these shelves (a bit set)."""
        steps = self._splits.get(shelves)
        if steps is None:
            steps = tuple((shelf, self._places[shelf]) for shelf in lengths_of(shelves))
            self._splits[shelves] = steps
        hashes: list[int] = []
        for shelf, places in steps:
            salt = shelf_salt(bucket, shelf)
            for place in places:
                hashes.append(keys[place] ^ salt)
        return hashes


def _part(shelf: int, sizes: tuple[int, ...]) -> _Part:
    divisors: tuple[tuple[int, ...], ...] = ()
    if shelf // 3 in _NUMBERS and shelf % 3 == PREFIX:
        divisors = tuple(
            tuple(10 ** (length - size) if size <= length else _TOO_LONG for size in sizes)
            for length in range(MAX_NUMBER_KEY + 1)
        )
    return shelf % 3, sizes, divisors


def _direction_bit(direction: Direction) -> int:
    # Identities: looking an enum member up in a dict, or in its class, runs Python code.
    if direction is _ACCOUNT:
        return _ACCOUNT_BIT
    return _GATEWAY_BIT if direction is _GATEWAY else _APPLICATION_BIT


class Asked:
    """A request as the index sees it; made once a search."""

    __slots__ = (
        "_found", "_place", "_placed", "b_length", "direction_bit", "keys", "plan", "request", "texts",
    )  # fmt: skip

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
        self.direction_bit = _direction_bit(request.direction)
        self._place = place
        self._placed = False
        self._found: NumberRegion | None = None
        #: The numbers of the request's keys, in the order of the plan.
        self.keys = self._compute()

    def place(self) -> NumberRegion | None:
        """Return region and operator of B; looked up at most once, and only if a route asks."""
        if not self._placed:
            self._placed, self._found = True, self._place()
        return self._found

    def _compute(self) -> list[int]:
        keys: list[int] = []
        plan = self.plan
        for field, parts in plan.fields:
            text = self.texts[field]
            if text is None:
                keys += [NO_KEY] * sum(len(sizes) for _kind, sizes, _divisors in parts)
            elif field in _NUMBERS:
                _number_keys(keys, text, parts)
            else:
                _host_keys(keys, text, parts)
        for shelf in plan.regions:
            keys.append(self._place_key(shelf))
        if plan.every:
            keys.append(NO_KEY)
        return keys

    def _place_key(self, shelf: int) -> int:
        place = self.place()
        if place is None:
            return NO_KEY
        return key_number(shelf, (place.region if shelf == Shelf.REGION else place.operator).encode())


def _number_keys(keys: list[int], text: str, parts: tuple[_Part, ...]) -> None:
    """Append the keys of an A or B number; those of plain numbers follow from one integer."""
    if text.isdigit() and text.isascii():
        number, plus = int("1" + text), False
    elif text[:1] == "+" and text[1:].isdigit() and text.isascii():
        number, plus = int("2" + text[1:]), True
    else:
        _name_keys(keys, text, parts)
        return
    size = len(text)
    for kind, sizes, divisors in parts:
        if kind == PREFIX:
            longest = number if size <= MAX_NUMBER_KEY else number // _POWERS[size - MAX_NUMBER_KEY]
            keys += map(floordiv, repeat(longest), divisors[min(size, MAX_NUMBER_KEY)])
        elif kind == WHOLE:
            keys.append(number & HASH_BITS)
        else:
            for length in sizes:
                power = _POWERS[length]
                if length < size or (length == size and not plus):
                    keys.append(power + number % power)
                else:
                    keys.append(number if length == size else NO_KEY)


def _name_keys(keys: list[int], text: str, parts: tuple[_Part, ...]) -> None:
    """Append the keys of an A or B number that is none: a name, service codes."""
    data = _lowered(text)
    size = len(data)
    for kind, sizes, _divisors in parts:
        if kind == WHOLE:
            keys.append(key_number(_ANY_NUMBER_SHELF, data))
            continue
        for length in sizes:
            key = b"" if length > size else data[:length] if kind == PREFIX else data[-length:]
            keys.append(key_number(_ANY_NUMBER_SHELF, key))


def _host_keys(keys: list[int], text: str, parts: tuple[_Part, ...]) -> None:
    """Append the keys of a host."""
    data = _lowered(text)
    size = len(data)
    for kind, sizes, _divisors in parts:
        if kind == WHOLE:
            keys.append(crc32(data) & HASH_BITS)
            continue
        for length in sizes:
            key = b"" if length > size else data[:length] if kind == PREFIX else data[-length:]
            keys.append(crc32(key) & HASH_BITS)


def _lowered(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass").lower()
