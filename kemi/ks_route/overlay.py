"""The overlay: routes that changed since the base file was built, kept in memory by every worker.

Decides which routes of the base no longer count (deleted or replaced) and finds the changed ones by the same
keys as the base. A row is known again by its text in the file, without being read: so a change costs the worker
little however many are pending.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one changed row: an entry, nothing (it is disabled), or the reason why it cannot be used."""

    route_id: int
    entry: Entry | None = None
    problem: str = ""


def take(row: RouteRow, engines: Engines) -> Taken:
    """Prepare a changed row; a disabled one counts as deleted."""
    if not row.enabled:
        return Taken(row.route_id)
    try:
        return Taken(row.route_id, Entry(row, engines))
    except KalibriError as error:
        return Taken(row.route_id, problem=error.message)


def take_text(text: bytes, engines: Engines) -> Taken:
    """Prepare a row as it stands in an overlay file; raises ValueError or KeyError if it has not even an id."""
    data = json.loads(text)
    try:
        row = row_from_json(data)
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        return Taken(int(data["route_id"]), problem=f"not a route: {error}")
    return take(row, engines)


class Overlay:
    """Changed routes by key, and the ids of those that the base must not serve."""

    def __init__(
        self,
        taken: Iterable[Taken] = (),
        deletes: Iterable[int] = (),
        *,
        texts: Mapping[bytes, Taken] | None = None,
    ) -> None:
        """Take changed rows and deleted ids; of two rows with one id the later counts. texts: see read_overlay."""
        made = {each.route_id: each for each in taken}
        self.texts = texts or {}
        self.entries = {route_id: each.entry for route_id, each in made.items() if each.entry is not None}
        self.unusable = [
            UnusableRoute(route_id, each.problem) for route_id, each in made.items() if each.problem
        ]
        #: Route ids that the base must not serve.
        self.replaced = frozenset(made) | frozenset(deletes)
        self._by_key: dict[int, list[Entry]] = {}
        self._lengths: dict[int, dict[int, int]] = {}
        for entry in self.entries.values():
            self._file(entry)

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


#: An overlay file is one JSON object, written with each row on a line of its own: JSON has no line end in a text.
_HEAD, _BETWEEN, _FOOT = b'{"upserts":[\n', b",\n", b'\n],"deletes":'


def read_overlay(path: Path, *, engines: Engines, previous: Overlay | None = None) -> Overlay:
    """Read an overlay file: {"upserts": [rows], "deletes": [route ids]}; raises OSError, ValueError, KeyError."""
    texts, deletes = _split(path.read_bytes())
    known = previous.texts if previous is not None else {}
    taken = {text: known.get(text) or take_text(text, engines) for text in texts}
    return Overlay(taken.values(), deletes, texts=taken)


def _split(content: bytes) -> tuple[list[bytes], list[int]]:
    """Return the texts of the rows, and the deleted ids; ValueError if it is no overlay as write_overlay makes one."""
    rows, foot, deletes = content.rpartition(_FOOT)
    if not foot or not rows.startswith(_HEAD) or not deletes.endswith(b"}"):
        raise ValueError("not an overlay file")
    rows = rows.removeprefix(_HEAD)
    return rows.split(_BETWEEN) if rows else [], json.loads(deletes[:-1])


def write_overlay(upserts: Iterable[Mapping[str, Any]], deletes: Iterable[int]) -> bytes:
    """Return the content of an overlay file; decimals become text."""
    return b"".join(
        (_HEAD, _BETWEEN.join(map(_write_json, upserts)), _FOOT, _write_json(sorted(deletes)), b"}")
    )


def _write_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, default=str, separators=(",", ":")).encode()
