"""Buckets of the index: which routes share a key, and the second level of crowded ones.

Decides when a bucket is split and what is reported as hot. Knows ranks and hashes only, no rows.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from zlib import crc32

from kemi.ks_route.filing import Shelf, Shelves, length_bit, shelf_seed
from kemi.ks_route.index_format import SINGLE, SPLIT

#: A bucket with more routes is split by the routes' next best field.
SPLIT_ABOVE = 24
#: Buckets that stay larger are reported: look-ups of their key cost time in proportion.
HOT_BUCKET = 200
#: The report is cut here.
MAX_REPORTED = 1000

_LOW_WORD = 0xFFFF_FFFF
#: A slot table at most a quarter full: nearly every look-up of an absent key ends at its first slot.
_SLOTS_A_KEY = 4


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
        self.postings = array("I", [0])  # place 0 means "empty slot"
        self.split_lengths = array("I", [0] * len(Shelf))
        self._places: dict[int, int] = {}
        #: (hash, ranks) of the buckets that stayed large.
        self.hot: list[tuple[int, list[int]]] = []

    def __len__(self) -> int:
        return len(self._places)

    def file(self, key_hash: int, rank: int) -> None:
        """Put a route under a first-level key."""
        self._filed.append(key_hash << 32 | rank)

    def finish(self, further: Callable[[int], Shelves]) -> None:
        """Make the postings; `further` gives the remaining shelves of a rank, best first."""
        second = array("Q")
        for key_hash, ranks in _grouped(self._filed):
            if len(ranks) <= SPLIT_ABOVE:
                self._post(key_hash, ranks)
            else:
                self._split(key_hash, ranks, second, further)
        self._filed = array("Q")
        for key_hash, ranks in _grouped(second):
            if key_hash in self._places:  # two keys, one hash: they share a bucket
                have, shelves = self._read(self._places[key_hash])
                self._post(key_hash, sorted({*have, *ranks}), shelves)
            else:
                self._post(key_hash, ranks)

    def _split(
        self, key_hash: int, ranks: list[int], second: array[int], further: Callable[[int], Shelves]
    ) -> None:
        staying: list[int] = []
        shelves = 0
        for rank in ranks:
            choices = further(rank)
            if not choices:
                staying.append(rank)
                continue
            shelf, keys = choices[0]
            shelves |= 1 << shelf
            seed = shelf_seed(key_hash, shelf)
            for key in keys:
                second.append(crc32(key, seed) << 32 | rank)
                self.split_lengths[shelf] |= length_bit(shelf, key)
        self._post(key_hash, staying, shelves)

    def _post(self, key_hash: int, ranks: list[int], shelves: int = 0) -> None:
        if len(ranks) > HOT_BUCKET and len(self.hot) < MAX_REPORTED:
            self.hot.append((key_hash, ranks))
        if len(ranks) == 1 and not shelves:
            self._places[key_hash] = SINGLE | ranks[0]
            return
        self._places[key_hash] = len(self.postings)
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

    def slots(self) -> tuple[array[int], array[int]]:
        """Return the hash table: hashes and places of equal length, a power of two."""
        size = 16
        while size < _SLOTS_A_KEY * len(self._places):
            size *= 2
        mask = size - 1
        hashes, places = array("I", bytes(4 * size)), array("I", bytes(4 * size))
        for key_hash, place in self._places.items():
            slot = key_hash & mask
            while places[slot]:
                slot = (slot + 1) & mask
            hashes[slot], places[slot] = key_hash, place
        return hashes, places


def _grouped(filed: array[int]) -> Iterator[tuple[int, list[int]]]:
    """Yield (hash, ranks ascending) of packed pairs."""
    split = ((pair >> 32, pair & _LOW_WORD) for pair in sorted(filed))
    for key_hash, pairs in groupby(split, key=itemgetter(0)):
        yield key_hash, [rank for _hash, rank in pairs]
