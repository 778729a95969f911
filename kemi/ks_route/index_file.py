"""Reads the index file: maps it, finds candidates by keys, verifies each exactly, in matching order.

Decides nothing but "does this route's tenant, direction, patterns, region and operator fit". Holds no rows in
memory: the map is shared by all workers; only matchers that were used are kept.
"""

from __future__ import annotations

import mmap
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from decimal import Decimal
from heapq import heapify, heappop, heapreplace
from itertools import compress, repeat
from json import loads
from operator import and_, itemgetter
from pathlib import Path
from typing import Any

from kemi.ks_route.asking import Asked
from kemi.ks_route.filing import (
    A_HOST,
    ANY_DIRECTION,
    B_HOST,
    DIRECTION_BITS,
    DIRECTION_SHIFT,
    A,
    B,
)
from kemi.ks_route.index_format import (
    CLASS_CODES,
    CONDITION_WORDS,
    EMPTY,
    HEADER_BYTES,
    PATTERN_HEAD,
    ROUTES,
    SECTIONS,
    SINGLE,
    SPLIT,
    SPREAD,
    TENANT_WORDS,
    BadIndexFile,
    unpack_header,
    unpack_simple,
)
from kemi.ks_route.matchers import Engines, Recent
from kemi.ks_route.model import DestinationKind, PatternClass, RouteRow
from kemi.ks_route.patterns import Matcher

#: Matchers by pattern number that a worker keeps for one file; at most twice as many are held.
MAX_MATCHERS = 10_000
#: Rows that a worker keeps decoded.
MAX_ROWS = 1_000
#: Up to so many candidates are sorted at once; of more, so many are merged one by one.
FEW = 24
#: After those, portions of so many a bucket, and then ever larger ones.
FIRST_SHARE = 64
_BEYOND_ALL = 1 << 32

_DIRECTIONS = {
    bits: tuple(direction for direction, bit in DIRECTION_BITS.items() if bits & bit)
    if bits != ANY_DIRECTION
    else ()
    for bits in range(8)
}
_CLASSES = tuple(PatternClass(name) for name in CLASS_CODES)


def _numbers(view: memoryview, form: str) -> memoryview[int]:
    return view.cast(form)  # type: ignore[call-overload,no-any-return]


def _at(places: Sequence[int], view: memoryview[int]) -> Sequence[int]:
    """Return the numbers at these places."""
    if len(places) > 1:
        found: tuple[int, ...] = itemgetter(*places)(view)
        return found
    return [view[place] for place in places]


class _Fits(dict[int, bool]):
    """Tells of a head whether it fits a direction and a length of B; there are few different heads."""

    def __init__(self, asked: Asked) -> None:
        super().__init__()
        self._direction_bit, self._length = asked.direction_bit, asked.b_length

    def __missing__(self, head: int) -> bool:
        fits = bool(head & self._direction_bit) and head & 255 <= self._length <= head >> 8 & 255
        self[head] = fits
        return fits


class IndexFile:
    """One mapped index file."""

    def __init__(self, path: Path, engines: Engines) -> None:
        """Map the file; raises BadIndexFile or OSError."""
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        facts = unpack_header(self._map[:HEADER_BYTES], len(self._map))
        whole = memoryview(self._map)
        self._views = {
            name: _numbers(whole[start : start + size], SECTIONS.get(name, "B"))
            for name, (start, size) in facts["sections"].items()
        }
        whole.release()
        self.path = path
        self.routes: int = facts["routes"]
        self._engines = engines
        self._matchers: Recent[int, Matcher] = Recent(MAX_MATCHERS)
        self._rows: Recent[int, RouteRow] = Recent(MAX_ROWS)
        #: By direction and length of B.
        self._fits: dict[int, _Fits] = {}
        self._bind()

    def _bind(self) -> None:
        """Give the sections that the look-up reads names of their own."""
        views = self._views
        self._heads, self._b_patterns, self._extras = views["heads"], views["b_patterns"], views["extras"]
        self._conditions, self._ids, self._orders = views["conditions"], views["ids"], views["orders"]
        self._hashes, self._places = views["slot_hashes"], views["slot_places"]
        self._postings = views["postings"]
        self._filter = views["filter"]
        self._mask, self._filter_mask = len(self._hashes) - 1, len(self._filter) - 1
        if len(self._hashes) & self._mask or len(self._filter) & self._filter_mask:
            raise BadIndexFile("the slots or the filter are no power of two")
        tenants = views["tenants"]
        self._tenant_rows = {tenants[place]: place for place in range(0, len(tenants), TENANT_WORDS)}
        #: {shelf: bit set of key lengths in use} below split buckets.
        self.split_lengths = {shelf: bits for shelf, bits in enumerate(views["split_lengths"]) if bits}

    def close(self) -> None:
        """Let go of the map; the object cannot be used afterwards."""
        for view in self._views.values():
            view.release()
        self._views = {}
        self._map.close()

    def key_lengths(self, tenant_id: int) -> dict[int, int]:
        """Return {shelf: bit set of key lengths in use} of a tenant; empty if it has no route."""
        place = self._tenant_rows.get(tenant_id)
        if place is None:
            return {}
        words = self._views["tenants"][place + 1 : place + TENANT_WORDS]
        return {shelf: bits for shelf, bits in enumerate(words) if bits}

    # ------------------------------------------------------------------------------- candidates

    def candidates(self, hashes: Sequence[int], asked: Asked, after: int = -1) -> Iterator[int]:
        """Yield the ranks that stand under these keys, ascending, beyond `after`; not yet verified.

        A rank may come twice in a row.
        """
        ranks, spans = self._gather(hashes, asked)
        postings = self._postings
        if after >= 0:
            ranks = [rank for rank in ranks if rank > after]
            spans = [(bisect_left(postings, after + 1, start, stop), stop) for start, stop in spans]
        if sum(stop - start for start, stop in spans) > FEW:
            return self._one_by_one(ranks, spans)
        for start, stop in spans:
            ranks += postings[start:stop].tolist()
        ranks.sort()
        return iter(ranks)

    def _gather(self, hashes: Sequence[int], asked: Asked) -> tuple[list[int], list[tuple[int, int]]]:
        """Return the single ranks and the spans of postings that stand under these keys."""
        slot_hashes, mask, postings = self._hashes, self._mask, self._postings
        singles: list[int] = []
        spans: list[tuple[int, int]] = []
        # C calls over whole lists: the filter ends nearly all absent keys.
        present = _at(list(map(and_, hashes, repeat(self._filter_mask))), self._filter)
        for bucket in compress(hashes, present):
            slot = bucket * SPREAD & mask
            while (known := slot_hashes[slot]) != bucket:
                if known == EMPTY:
                    break
                slot = (slot + 1) & mask
            else:
                place = self._places[slot]
                if place & SINGLE:
                    singles.append(place ^ SINGLE)
                    continue
                head = postings[place]
                if head & SPLIT:
                    self._gather_split(bucket, postings[place + 1], asked, singles, spans)
                    place += 1
                spans.append((place + 1, place + 1 + (head & ROUTES)))
        return singles, spans

    def _gather_split(
        self, bucket: int, shelves: int, asked: Asked, singles: list[int], spans: list[tuple[int, int]]
    ) -> None:
        hashes = asked.plan.split_hashes(bucket, shelves, asked.keys)
        more_singles, more_spans = self._gather(hashes, asked)
        singles += more_singles
        spans += more_spans

    def _one_by_one(self, singles: list[int], spans: list[tuple[int, int]]) -> Iterator[int]:
        """Merge large buckets lazily: mostly one of the very first candidates is it."""
        postings = self._postings
        heap = [(postings[start], start, stop) for start, stop in spans if start < stop]
        heap += [(rank, 0, 0) for rank in singles]
        heapify(heap)
        for _step in range(FEW):
            if not heap:
                return
            rank, start, stop = heap[0]
            yield rank
            start += 1
            if start < stop:
                heapreplace(heap, (postings[start], start, stop))
            else:
                heappop(heap)
        rest = [(start, stop) for _rank, start, stop in heap if start < stop]
        yield from self._in_portions([rank for rank, _start, stop in heap if not stop], rest)

    def _in_portions(self, singles: list[int], spans: list[tuple[int, int]]) -> Iterator[int]:
        """Merge what is left of large buckets: each portion goes up to a rank that no bucket can undercut."""
        postings, share = self._postings, FIRST_SHARE
        singles.sort()
        while spans:
            ranks = singles.copy()
            bound = _BEYOND_ALL
            for start, stop in spans:
                if stop - start > share:
                    stop = start + share
                    bound = min(bound, postings[stop])
                ranks += postings[start:stop].tolist()
            ranks.sort()
            yield from ranks[: bisect_left(ranks, bound)]
            singles = singles[bisect_left(singles, bound) :]
            spans = [(bisect_left(postings, bound, start, stop), stop) for start, stop in spans]
            spans = [(start, stop) for start, stop in spans if start < stop]
            share *= 4
        yield from singles

    def matching(self, hashes: Sequence[int], asked: Asked, after: int = -1) -> Iterator[int]:
        """Yield the ranks of routes that fit, ascending: direction, patterns, region and operator verified.

        The tenant follows from the keys but for a collision of hashes: the row tells for certain.
        """
        heads, b_patterns, extras = self._heads, self._b_patterns, self._extras
        known = self._matchers.young
        text = asked.texts[B]
        fits = self._fits.get(asked.direction_bit | asked.b_length)
        if fits is None:
            fits = self._fits[asked.direction_bit | asked.b_length] = _Fits(asked)
        last = -1
        for rank in self.candidates(hashes, asked, after):
            if not fits[heads[rank]] or rank == last:
                continue
            last = rank
            pattern = b_patterns[rank]
            if pattern and (text is None or not (known.get(pattern) or self._matcher(pattern))(text)):
                continue
            extra = extras[rank]
            if extra and self._misfit(extra, asked):
                continue
            yield rank

    def _misfit(self, extra: int, asked: Asked) -> str:
        """Return which further condition does not hold; empty if all do."""
        start = CONDITION_WORDS * extra
        a, b_host, a_host, region, operator = self._conditions[start : start + 5].tolist()
        if a and not self._holds(a, asked.texts[A]):
            return "A number"
        if b_host and not self._holds(b_host, asked.texts[B_HOST]):
            return "B host"
        if a_host and not self._holds(a_host, asked.texts[A_HOST]):
            return "A host"
        if region or operator:
            place = asked.place()
            if region and (place is None or place.region != self._text(region)):
                return "region"
            if operator and (place is None or place.operator != self._text(operator)):
                return "operator"
        return ""

    def _holds(self, pattern: int, text: str | None) -> object:
        return text is not None and self._matcher(pattern)(text)

    def _matcher(self, pattern: int) -> Matcher:
        found = self._matchers.get(pattern)
        if found is None:
            text, pattern_class, simple = self._pattern(pattern)
            if pattern_class is PatternClass.SIMPLE:
                found = unpack_simple(simple).matcher()
            else:
                found = self._engines.matcher(text, pattern_class)
            self._matchers.put(pattern, found)
        return found

    # ------------------------------------------------------------------------------------ rows

    def _pattern(self, number: int) -> tuple[str, PatternClass, bytes]:
        offsets = self._views["pattern_offsets"]
        stored = bytes(self._views["patterns"][offsets[number] : offsets[number + 1]])
        code, size = PATTERN_HEAD.unpack_from(stored)
        end = PATTERN_HEAD.size + size
        return stored[PATTERN_HEAD.size : end].decode(), _CLASSES[code], stored[end:]

    def _text(self, number: int) -> str:
        offsets = self._views["text_offsets"]
        return str(self._views["texts"][offsets[number] : offsets[number + 1]], "utf-8")

    def row(self, rank: int) -> RouteRow:
        """Return the row at a rank."""
        found = self._rows.get(rank)
        if found is None:
            found = self._decode(rank)
            self._rows.put(rank, found)
        return found

    def _decode(self, rank: int) -> RouteRow:
        offsets = self._views["offsets"]
        record: list[Any] = loads(str(self._views["records"][offsets[rank] : offsets[rank + 1]], "utf-8"))
        start = CONDITION_WORDS * self._extras[rank]
        a, b_host, a_host, region, operator, schedule, *_ = self._conditions[start : start + CONDITION_WORDS]
        b = self._b_patterns[rank]
        return RouteRow(
            route_id=self._ids[rank],
            tenant_id=record[0],
            priority=Decimal(record[1]),
            directions=_DIRECTIONS[self._heads[rank] >> DIRECTION_SHIFT & ANY_DIRECTION],
            a_pattern=self._pattern(a)[0] if a else None,
            a_host_pattern=self._pattern(a_host)[0] if a_host else None,
            b_pattern=self._pattern(b)[0] if b else None,
            b_host_pattern=self._pattern(b_host)[0] if b_host else None,
            b_region=self._text(region) if region else None,
            b_operator=self._text(operator) if operator else None,
            schedule_id=schedule or None,
            a_mask_pattern=record[5],
            a_mask_replacement=record[6],
            b_mask_pattern=record[7],
            b_mask_replacement=record[8],
            destination_kind=DestinationKind(record[3]),
            destination=record[4],
            options=record[9] or {},
            name=record[2],
        )

    def route_id(self, rank: int) -> int:
        """Return the route id at a rank."""
        return int(self._ids[rank])

    def rank_after(self, order: tuple[int, int]) -> int:
        """Return the last rank that is not beyond `order`; -1 if all are."""
        return self.rank_of((order[0], order[1] + 1)) - 1

    def rank_of(self, order: tuple[int, int]) -> int:
        """Return the first rank whose (priority in steps, route id) is not smaller than `order`."""
        low, high = 0, self.routes
        while low < high:
            middle = (low + high) // 2
            if (self._orders[middle], self._ids[middle]) < order:
                low = middle + 1
            else:
                high = middle
        return low
