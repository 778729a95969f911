"""Buckets of the index: which routes share a key, and the second level of crowded ones.

Decides when a bucket is split and what is reported as hot. Knows ranks and hashes only, no rows.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from kemi.ks_route.filing import Shelf, Shelves
from kemi.ks_route.index_format import EMPTY, LARGEST_PLACE, SINGLE, SPLIT, SPREAD, IndexTooLarge
from kemi.ks_route.key_hash import key_hash, length_bit, shelf_salt

#: A bucket with more routes is split by the routes' next best field, if so many routes share that kind of key:
#: asking for a second key costs as much as looking at about ten candidates.
SPLIT_ABOVE = 60
SPLIT_SHELF = 32
#: Buckets that stay larger are reported: look-ups of their key cost time in proportion.
HOT_BUCKET = 200
#: The report is cut here.
MAX_REPORTED = 1000

_LOW_WORD = 0xFFFF_FFFF
#: Slots a key, at least: the table is at most half full.
_SLOTS_A_KEY = 2
#: Bytes of the filter a key, at least: fifteen of sixteen absent keys end there.
_FILTER_A_KEY = 16


@dataclass(frozen=True, slots=True)
class HotBucket:
    """Routes that all compete for one key."""

    tenant_id: int
    #: What they share, as in "B number starts with 810".
    what: str
    routes: int
    #: The first few of them in matching order.
    route_ids: tuple[int, ...]


class Buckets:
    """Collects (hash, rank) pairs, then makes postings and the slot table."""

    def __init__(self) -> None:
        self._filed = array("Q")  # hash << 32 | rank
        self.postings = array("I")
        self.split_lengths = array("I", [0] * len(Shelf))
        self._places: dict[int, int] = {}
        #: (hash, ranks) of the buckets that stayed large.
        self.hot: list[tuple[int, list[int]]] = []

    def __len__(self) -> int:
        return len(self._places)

    def file(self, bucket: int, rank: int) -> None:
        """Put a route under a first-level key."""
        self._filed.append(bucket << 32 | rank)

    def finish(self, further: Callable[[int], Shelves]) -> None:
        """Make the postings; `further` gives the remaining shelves of a rank, best first."""
        second = array("Q")
        for bucket, ranks in _grouped(self._filed):
            if len(ranks) <= SPLIT_ABOVE:
                self._post(bucket, ranks)
            else:
                self._split(bucket, ranks, second, further)
        self._filed = array("Q")
        for bucket, ranks in _grouped(second):
            if bucket in self._places:  # two keys, one hash: they share a bucket
                have, shelves = self._read(self._places[bucket])
                self._post(bucket, sorted({*have, *ranks}), shelves)
            else:
                self._post(bucket, ranks)

    def _split(
        self, bucket: int, ranks: list[int], second: array[int], further: Callable[[int], Shelves]
    ) -> None:
        """Move routes below second keys; a shelf that few would use costs every look-up more than it saves."""
        users = Counter(shelf for rank in ranks for shelf, _keys in further(rank)[:1])
        worthwhile = {shelf for shelf, count in users.items() if count >= SPLIT_SHELF}
        staying: list[int] = []
        for rank in ranks:
            chosen = next((entry for entry in further(rank) if entry[0] in worthwhile), None)
            if chosen is None:
                staying.append(rank)
                continue
            shelf, keys = chosen
            salt = shelf_salt(bucket, shelf)
            for key in keys:
                second.append(key_hash(shelf, key, salt) << 32 | rank)
                self.split_lengths[shelf] |= length_bit(shelf, key)
        self._post(bucket, staying, sum(1 << shelf for shelf in worthwhile))

    def _post(self, bucket: int, ranks: list[int], shelves: int = 0) -> None:
        if len(ranks) > HOT_BUCKET and len(self.hot) < MAX_REPORTED:
            self.hot.append((bucket, ranks))
        if len(ranks) == 1 and not shelves:
            self._places[bucket] = SINGLE | ranks[0]
            return
        if len(self.postings) > LARGEST_PLACE:
            raise IndexTooLarge
        self._places[bucket] = len(self.postings)
        head = (len(ranks) | SPLIT, shelves) if shelves else (len(ranks),)
        self.postings.extend(head)
        self.postings.extend(ranks)

    def _read(self, place: int) -> tuple[list[int], int]:
        if place & SINGLE:
            return [place & ~SINGLE], 0
        head = self.postings[place]
        first = place + (2 if head & SPLIT else 1)
        shelves = self.postings[place + 1] if head & SPLIT else 0
        return self.postings[first : first + (head & ~SPLIT)].tolist(), shelves

    def filter(self) -> bytearray:
        """Return one byte a value of the hashes' low bits: 1 where a key has them; the size is a power of two."""
        size = _power_of_two(_FILTER_A_KEY * len(self._places))
        mask = size - 1
        present = bytearray(size)
        for bucket in self._places:
            present[bucket & mask] = 1
        return present

    def slots(self) -> tuple[array[int], array[int]]:
        """Return the hash table: hashes (EMPTY: no key) and places of equal length, a power of two."""
        size = _power_of_two(_SLOTS_A_KEY * len(self._places))
        mask = size - 1
        hashes, places = array("I", [EMPTY]) * size, array("I", bytes(4 * size))
        for bucket, place in self._places.items():
            slot = bucket * SPREAD & mask
            while hashes[slot] != EMPTY:
                slot = (slot + 1) & mask
            hashes[slot], places[slot] = bucket, place
        return hashes, places


def _power_of_two(least: int) -> int:
    return 1 << max(least - 1, 15).bit_length()


def _grouped(filed: array[int]) -> Iterator[tuple[int, list[int]]]:
    """Yield (hash, ranks ascending) of packed pairs."""
    split = ((pair >> 32, pair & _LOW_WORD) for pair in sorted(filed))
    for bucket, pairs in groupby(split, key=itemgetter(0)):
        yield bucket, [rank for _hash, rank in pairs]
