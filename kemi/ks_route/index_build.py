"""Builds the index file of all routes, outside the SIP workers, from rows streamed in matching order.

Decides nothing about calls. A route that cannot be used (refused pattern, unknown option) is left out and
reported with its id, so that one bad row never costs the others their index. Which file it goes to is said by
index_write.py.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import BinaryIO, Protocol

from callcore.errors import KalibriError
from kemi.ks_route.buckets import Buckets, HotBucket
from kemi.ks_route.filing import (
    A_HOST,
    B_HOST,
    A,
    B,
    Filed,
    PatternFacts,
    RouteUnusable,
    Shelf,
    Shelves,
    facts_of,
    file_route,
    shelf_words,
)
from kemi.ks_route.index_format import (
    CLASS_CODES,
    CONDITION_WORDS,
    HEADER_BYTES,
    LARGEST_ID,
    PATTERN_HEAD,
    SECTIONS,
    IndexTooLarge,
    pack_header,
    pack_simple,
)
from kemi.ks_route.key_hash import key_hash, length_bit, shelf_salt, tenant_seed
from kemi.ks_route.masks import compile_mask
from kemi.ks_route.model import DestinationKind, RouteRow
from kemi.ks_route.options import parse_options

_LARGEST_OFFSET = 0xFFFF_FFFF
#: Route ids shown of a hot bucket.
_SHOWN_IDS = 5

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


class RowsOutOfOrder(KalibriError):
    """The rows do not come in matching order (priority, route id)."""

    error_id = "rows-out-of-order"


@dataclass(frozen=True, slots=True)
class UnusableRoute:
    """A route that was left out."""

    route_id: int
    reason: str


@dataclass(slots=True)
class BuildReport:
    """What the build did; for the log and for `ksctl route check`."""

    routes: int = 0
    disabled: int = 0
    keys: int = 0
    size_bytes: int = 0
    unusable: list[UnusableRoute] = field(default_factory=list)
    hot_buckets: list[HotBucket] = field(default_factory=list)


class _Numbered:
    """Gives texts numbers from 1 on, and keeps their bytes one after the other."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.blob = bytearray()
        self.offsets = array("I", [0, 0])  # number 0 is "none"

    def number(self, text: str, pack: Callable[[], bytes]) -> int:
        known = self._numbers.get(text)
        if known is not None:
            return known
        number = self._numbers[text] = len(self._numbers) + 1
        self.blob += pack()
        if len(self.blob) > _LARGEST_OFFSET:
            raise IndexTooLarge
        self.offsets.append(len(self.blob))
        return number

    def text(self, number: int) -> str | None:
        return self.blob[self.offsets[number] : self.offsets[number + 1]].decode() if number else None

    def pattern(self, number: int) -> str | None:
        if not number:
            return None
        start = self.offsets[number]
        _class, size = PATTERN_HEAD.unpack_from(self.blob, start)
        return self.blob[start + PATTERN_HEAD.size : start + PATTERN_HEAD.size + size].decode()


def check_row(row: RouteRow) -> tuple[PatternFacts | None, ...]:
    """Return the facts of a row's patterns; raises KalibriError if a worker could not use the row."""
    facts = facts_of(row)
    for pattern, replacement in (
        (row.a_mask_pattern, row.a_mask_replacement),
        (row.b_mask_pattern, row.b_mask_replacement),
    ):
        if pattern:
            compile_mask(pattern, replacement or "")
    if row.options:
        parse_options(row.options)
    if max(row.route_id, row.tenant_id, row.schedule_id or 0) > LARGEST_ID:
        raise RouteUnusable("an id is too large for the index", route_id=row.route_id)
    return facts


class Sink(Protocol):
    """Where records go as they come."""

    def write(self, data: bytes, /) -> int:
        """Take bytes; return how many."""
        ...


class IndexBuilder:
    """Turns rows into the sections of the file; ranks are given in the order of `add`."""

    def __init__(self, records: Sink) -> None:
        self._records = records
        self.report = BuildReport()
        self.offsets = array("I", [0])
        self.heads, self.b_patterns, self.extras = array("I"), array("I"), array("I")
        self.ids, self.orders = array("I"), array("q")
        self.patterns, self.texts = _Numbered(), _Numbered()
        self.conditions = array("I", [0] * CONDITION_WORDS)
        self._known_conditions: dict[tuple[int, ...], int] = {}
        self.buckets = Buckets()
        self.tenant_lengths: dict[int, list[int]] = {}
        self._tenants = array("I")
        #: Shelves of each rank beyond its first; equal ones are one object, most routes have few kinds.
        self._further: list[Shelves] = []
        self._shared: dict[Shelves, Shelves] = {}
        self._last: tuple[int, int] | None = None

    def add(self, row: RouteRow) -> None:
        """Take the next row in matching order; raises RowsOutOfOrder, IndexTooLarge."""
        order = row.order
        if self._last is not None and order <= self._last:
            raise RowsOutOfOrder(route_id=row.route_id)
        self._last = order
        if not row.enabled:
            self.report.disabled += 1
            return
        try:
            facts = check_row(row)
        except KalibriError as error:
            self.report.unusable.append(UnusableRoute(row.route_id, error.message))
            return
        filed = file_route(row, facts)
        self._file(len(self.ids), row.tenant_id, filed)
        self.heads.append(filed.head())
        self.b_patterns.append(self._pattern(row.b_pattern, facts[B]))
        self.extras.append(self._condition(row, facts))
        self.ids.append(row.route_id)
        self.orders.append(order[0])
        self._tenants.append(row.tenant_id)
        self._write_record(row)

    def _write_record(self, row: RouteRow) -> None:
        record = [
            row.tenant_id, str(row.priority), row.name, row.destination_kind, row.destination,
            row.a_mask_pattern, row.a_mask_replacement, row.b_mask_pattern, row.b_mask_replacement,
            dict(row.options) if row.options else None,
        ]  # fmt: skip
        end = self.offsets[-1] + self._records.write(_encode(record).encode())
        if end > _LARGEST_OFFSET:
            raise IndexTooLarge
        self.offsets.append(end)

    def _pattern(self, pattern: str | None, facts: PatternFacts | None) -> int:
        if not pattern or facts is None:
            return 0

        def pack() -> bytes:
            text = pattern.encode()
            head = PATTERN_HEAD.pack(CLASS_CODES.index(facts.pattern_class), len(text))
            return head + text + (pack_simple(facts.simple) if facts.simple else b"")

        return self.patterns.number(pattern, pack)

    def _condition(self, row: RouteRow, facts: tuple[PatternFacts | None, ...]) -> int:
        condition = (
            self._pattern(row.a_pattern, facts[A]),
            self._pattern(row.b_host_pattern, facts[B_HOST]),
            self._pattern(row.a_host_pattern, facts[A_HOST]),
            self.texts.number(row.b_region, row.b_region.encode) if row.b_region else 0,
            self.texts.number(row.b_operator, row.b_operator.encode) if row.b_operator else 0,
            row.schedule_id or 0,
            0,
            0,
        )
        if not any(condition):
            return 0
        known = self._known_conditions.get(condition)
        if known is None:
            known = self._known_conditions[condition] = len(self.conditions) // CONDITION_WORDS
            self.conditions.extend(condition)
        return known

    def _file(self, rank: int, tenant_id: int, filed: Filed) -> None:
        shelf, keys = filed.shelves[0]
        salt = shelf_salt(tenant_seed(tenant_id), shelf)
        lengths = self.tenant_lengths.get(tenant_id)
        if lengths is None:
            lengths = self.tenant_lengths[tenant_id] = [0] * len(Shelf)
        for key in keys:
            self.buckets.file(key_hash(shelf, key, salt), rank)
            lengths[shelf] |= length_bit(shelf, key)
        further = filed.shelves[1:-1]
        self._further.append(self._shared.setdefault(further, further))

    def make_buckets(self) -> None:
        """Turn what was filed into buckets, and report those that stayed large."""
        self.buckets.finish(self._further.__getitem__)
        for bucket, ranks in self.buckets.hot:
            first = ranks[0]
            what = _common_key(bucket, self._tenants[first], file_route(*self._again(first)).shelves)
            ids = tuple(self.ids[rank] for rank in ranks[:_SHOWN_IDS])
            self.report.hot_buckets.append(HotBucket(self._tenants[first], what, len(ranks), ids))

    def _again(self, rank: int) -> tuple[RouteRow, tuple[PatternFacts | None, ...]]:
        """Return the conditions of a route as they were added."""
        start = CONDITION_WORDS * self.extras[rank]
        a, b_host, a_host, region, operator, *_rest = self.conditions[start : start + CONDITION_WORDS]
        row = RouteRow(
            route_id=self.ids[rank],
            tenant_id=self._tenants[rank],
            priority=Decimal(0),
            a_pattern=self.patterns.pattern(a),
            a_host_pattern=self.patterns.pattern(a_host),
            b_pattern=self.patterns.pattern(self.b_patterns[rank]),
            b_host_pattern=self.patterns.pattern(b_host),
            b_region=self.texts.text(region),
            b_operator=self.texts.text(operator),
            destination_kind=DestinationKind.NEXT,
        )
        return row, facts_of(row)

    def sections(self) -> dict[str, array[int] | bytearray]:
        """Return what the file holds beside the records."""
        hashes, places = self.buckets.slots()
        tenants = array("I")
        for tenant_id in sorted(self.tenant_lengths):
            tenants.extend((tenant_id, *self.tenant_lengths[tenant_id]))
        return {
            "offsets": self.offsets,
            "heads": self.heads,
            "b_patterns": self.b_patterns,
            "extras": self.extras,
            "ids": self.ids,
            "orders": self.orders,
            "conditions": self.conditions,
            "pattern_offsets": self.patterns.offsets,
            "patterns": self.patterns.blob,
            "text_offsets": self.texts.offsets,
            "texts": self.texts.blob,
            "filter": self.buckets.filter(),
            "slot_hashes": hashes,
            "slot_places": places,
            "postings": self.buckets.postings,
            "tenants": tenants,
            "split_lengths": self.buckets.split_lengths,
        }


def _common_key(bucket: int, tenant_id: int, shelves: Shelves) -> str:
    """Say which of a route's keys, on the first or second level, has this hash."""
    shelf, keys = shelves[0]
    for key in keys:
        first = key_hash(shelf, key, shelf_salt(tenant_seed(tenant_id), shelf))
        words = shelf_words(shelf, key)
        if first == bucket:
            return words
        for further, further_keys in shelves[1:-1]:
            for second in further_keys:
                if key_hash(further, second, shelf_salt(first, further)) == bucket:
                    return f"{words}, {shelf_words(further, second)}"
    return "keys of one hash"


def write_rows(rows: Iterable[RouteRow], out: BinaryIO) -> BuildReport:
    """Write the index of these rows (in matching order, each route once) into an empty file that can be read back.

    Raises RowsOutOfOrder, IndexTooLarge, and what the file raises.
    """
    out.write(bytes(HEADER_BYTES))
    builder = IndexBuilder(out)
    for row in rows:
        builder.add(row)
    builder.make_buckets()
    places: dict[str, tuple[int, int]] = {"records": (HEADER_BYTES, builder.offsets[-1])}
    sections = builder.sections()
    for name in SECTIONS:
        out.write(bytes(-out.tell() % 8))
        data = memoryview(sections[name]).cast("B")
        places[name] = (out.tell(), len(data))
        out.write(data)
    report = builder.report
    report.routes, report.keys = len(builder.ids), len(builder.buckets)
    report.size_bytes = out.tell()
    out.seek(0)
    out.write(pack_header({"size": report.size_bytes, "routes": report.routes, "sections": places}))
    return report
