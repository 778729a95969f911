"""The overlay: routes that changed since the base file was built, kept in memory by every worker.

Decides which routes of the base no longer count (deleted or replaced) and finds the changed ones by the same
keys as the base. A route whose row did not change from one overlay to the next keeps its matchers, so a
change costs the worker little however many are pending.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from callcore.errors import KalibriError
from kemi.ks_route.asking import Asked
from kemi.ks_route.filing import (
    FIELDS,
    PatternFacts,
    file_route,
)
from kemi.ks_route.index_build import UnusableRoute, check_row
from kemi.ks_route.key_hash import key_hash, length_bit, shelf_salt, tenant_seed
from kemi.ks_route.matchers import Engines
from kemi.ks_route.model import RouteRow
from kemi.ks_route.patterns import Matcher
from kemi.ks_route.rows import row_from_json


class Entry:
    """One changed route, ready to be matched."""

    __slots__ = ("_head", "_matchers", "hashes", "key_lengths", "order", "row")

    def __init__(self, row: RouteRow, engines: Engines) -> None:
        """Prepare a row; raises KalibriError if it cannot be used."""
        facts = check_row(row)
        filed = file_route(row, facts)
        shelf, keys = filed.shelves[0]
        salt = shelf_salt(tenant_seed(row.tenant_id), shelf)
        self.row = row
        self.order = row.order
        self.hashes = tuple(key_hash(shelf, key, salt) for key in keys)
        #: (shelf, bit set of the lengths of its keys)
        self.key_lengths = (int(shelf), _all_bits(length_bit(shelf, key) for key in keys))
        self._head = filed.head()
        self._matchers = tuple(_matchers(row, facts, engines))

    def fits(self, asked: Asked) -> bool:
        """Tell whether direction, patterns, region and operator fit; as IndexFile.matching does."""
        head, row = self._head, self.row
        if not head & asked.direction_bit or not head & 255 <= asked.b_length <= head >> 8 & 255:
            return False
        for field, matcher in self._matchers:
            text = asked.texts[field]
            if text is None or not matcher(text):
                return False
        if row.b_region or row.b_operator:
            place = asked.place()
            return place is not None and (
                row.b_region in (None, "", place.region) and row.b_operator in (None, "", place.operator)
            )
        return True


def _all_bits(bits: Iterable[int]) -> int:
    found = 0
    for bit in bits:
        found |= bit
    return found


def _matchers(
    row: RouteRow, facts: Sequence[PatternFacts | None], engines: Engines
) -> Iterable[tuple[int, Matcher]]:
    for field, entry in enumerate(facts):
        if entry is not None:
            simple = entry.simple
            text = getattr(row, FIELDS[field])
            yield field, simple.matcher() if simple else engines.matcher(text, entry.pattern_class)


class Overlay:
    """Changed routes by key, and the ids of those that the base must not serve."""

    def __init__(
        self,
        rows: Iterable[RouteRow] = (),
        deletes: Iterable[int] = (),
        *,
        engines: Engines,
        previous: Overlay | None = None,
    ) -> None:
        """Take changed rows (a disabled one counts as deleted) and deleted ids; bad rows go to `unusable`."""
        known = previous.entries if previous is not None else {}
        self.entries: dict[int, Entry] = {}
        self.unusable: list[UnusableRoute] = []
        replaced = set(deletes)
        for row in rows:
            replaced.add(row.route_id)
            if row.enabled:
                self._take(row, known.get(row.route_id), engines)
        #: Route ids that the base must not serve.
        self.replaced = frozenset(replaced)
        self._by_key: dict[int, list[Entry]] = {}
        self._lengths: dict[int, dict[int, int]] = {}
        for entry in self.entries.values():
            self._file(entry)

    def _take(self, row: RouteRow, known: Entry | None, engines: Engines) -> None:
        try:
            fresh = known if known is not None and known.row == row else Entry(row, engines)
        except KalibriError as error:
            self.unusable.append(UnusableRoute(row.route_id, error.message))
        else:
            self.entries[row.route_id] = fresh

    def _file(self, entry: Entry) -> None:
        for key in entry.hashes:
            self._by_key.setdefault(key, []).append(entry)
        shelf, bits = entry.key_lengths
        lengths = self._lengths.setdefault(entry.row.tenant_id, {})
        lengths[shelf] = lengths.get(shelf, 0) | bits

    def key_lengths(self, tenant_id: int) -> Mapping[int, int]:
        """Return {shelf: bit set of key lengths in use} of a tenant."""
        return self._lengths.get(tenant_id, {})

    def candidates(self, hashes: Sequence[int]) -> list[Entry]:
        """Return the entries under these keys, each once, in matching order; not yet verified."""
        by_key = self._by_key
        if not by_key:
            return []
        found = [entry for key in by_key.keys() & hashes for entry in by_key[key]]
        if len(found) > 1:
            found = list({id(entry): entry for entry in found}.values())
            found.sort(key=lambda entry: entry.order)
        return found


def read_overlay(path: Path, *, engines: Engines, previous: Overlay | None = None) -> Overlay:
    """Read an overlay file: {"upserts": [rows], "deletes": [route ids]}; raises OSError, ValueError."""
    content = json.loads(path.read_bytes())
    rows: list[RouteRow] = []
    unusable: list[UnusableRoute] = []
    for data in content["upserts"]:
        try:
            rows.append(row_from_json(data))
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            unusable.append(UnusableRoute(int(data["route_id"]), f"not a route: {error}"))
    gone = [*content["deletes"], *(entry.route_id for entry in unusable)]
    overlay = Overlay(rows, gone, engines=engines, previous=previous)
    overlay.unusable.extend(unusable)
    return overlay


def write_overlay(upserts: Iterable[Mapping[str, Any]], deletes: Iterable[int]) -> bytes:
    """Return the content of an overlay file; decimals become text."""
    content = {"upserts": list(upserts), "deletes": sorted(deletes)}
    return json.dumps(content, ensure_ascii=False, default=str, separators=(",", ":")).encode()
