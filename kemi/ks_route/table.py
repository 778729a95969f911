"""The routing table of one worker: base index file, overlay of later changes, matchers kept across both.

Decides the order in which routes come up: (priority, route id), over the base and the overlay together, the
tenant's own routes and those of the system (tenant 0) alike. Never decides about a call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from kemi.ks_route.asking import Asked, Plan
from kemi.ks_route.facts import SYSTEM_TENANT
from kemi.ks_route.index_build import UnusableRoute
from kemi.ks_route.index_file import IndexFile
from kemi.ks_route.key_hash import merged_lengths
from kemi.ks_route.lookup import Place, nowhere
from kemi.ks_route.matchers import Engines, Recent
from kemi.ks_route.model import RouteRequest, RouteRow
from kemi.ks_route.overlay import Entry, Overlay, read_overlay, take

#: Tenants whose plan is kept; at most twice as many are held.
MAX_PLANS = 2_000


class RouteTable:
    """What a worker looks routes up in. Replaced as a whole when CURRENT changes."""

    def __init__(self, base: IndexFile | None, overlay: Overlay, engines: Engines) -> None:
        self._base = base
        self._overlay = overlay
        self._engines = engines
        self._plans: Recent[int, Plan] = Recent(MAX_PLANS)
        self._ranks: dict[int, int] = {}

    @classmethod
    def open(cls, index: Path, overlay: Path | None, previous: RouteTable | None = None) -> RouteTable:
        """Open the files that CURRENT names; `previous` hands over what it keeps.

        Raises OSError, BadIndexFile or ValueError; `previous` then stays usable.
        """
        engines = previous._engines if previous is not None else Engines()
        base = previous._base if previous is not None else None
        if base is None or base.path != index:
            base = IndexFile(index, engines)
        before = previous._overlay if previous is not None else None
        if overlay is None:
            return cls(base, Overlay(), engines)
        return cls(base, read_overlay(overlay, engines=engines, previous=before), engines)

    @classmethod
    def from_rows(cls, rows: Iterable[RouteRow]) -> RouteTable:
        """Build in memory from rows in any order (tests, small tables, routes that are not saved yet)."""
        engines = Engines()
        return cls(None, Overlay(take(row, engines) for row in rows), engines)

    @property
    def unusable(self) -> list[UnusableRoute]:
        """Return the changed routes that cannot be used (those of the base: see its build report)."""
        return self._overlay.unusable

    def close(self) -> None:
        """Let go of the file at once; without this it goes with the last reference."""
        if self._base is not None:
            self._base.close()

    def candidates(
        self, request: RouteRequest, *, after: tuple[int, int] | None = None, place: Place = nowhere
    ) -> Iterator[RouteRow]:
        """Yield the rows whose tenant, direction, patterns, region and operator fit, lazily, in order.

        `after`: only beyond this (priority in steps, route id). `place` is called at most once, and only if
        a route asks for region or operator.
        """
        plan = self._plans.young.get(request.tenant_id) or self._plan(request.tenant_id)
        asked = Asked(request, place, plan)
        hashes = plan.hashes(asked.keys)
        entries = self._overlay.candidates(hashes)
        if not entries:
            return self._from_base(hashes, asked, after)
        fitting = [entry for entry in entries if entry.fits(asked) and _beyond(entry, after)]
        return self._checked(self._merged(self._base_ranks(hashes, asked, after), fitting), request)

    def _from_base(
        self, hashes: list[int], asked: Asked, after: tuple[int, int] | None
    ) -> Iterator[RouteRow]:
        base = self._base
        if base is None:
            return
        tenant_id = asked.request.tenant_id
        for rank in self._base_ranks(hashes, asked, after):
            row = base.row(rank)
            if row.tenant_id == tenant_id or row.tenant_id == SYSTEM_TENANT:
                yield row

    def _base_ranks(self, hashes: list[int], asked: Asked, after: tuple[int, int] | None) -> Iterator[int]:
        base, replaced = self._base, self._overlay.replaced
        if base is None:
            return iter(())
        ranks = base.matching(hashes, asked, -1 if after is None else base.rank_after(after))
        if not replaced:
            return ranks
        return (rank for rank in ranks if base.route_id(rank) not in replaced)

    def _merged(self, ranks: Iterator[int], entries: list[Entry]) -> Iterator[RouteRow]:
        base = self._base
        waiting = iter(entries)
        entry = next(waiting, None)
        for rank in ranks:
            while entry is not None and self._rank(entry) <= rank:
                yield entry.row
                entry = next(waiting, None)
            assert base is not None
            yield base.row(rank)
        if entry is not None:
            yield from (later.row for later in chain((entry,), waiting))

    def _rank(self, entry: Entry) -> int:
        """Return the first rank of the base that comes after this entry."""
        found = self._ranks.get(entry.row.route_id)
        if found is None:
            assert self._base is not None
            found = self._ranks[entry.row.route_id] = self._base.rank_of(entry.order)
        return found

    @staticmethod
    def _checked(rows: Iterator[RouteRow], request: RouteRequest) -> Iterator[RouteRow]:
        """Keep the rows of the right tenants: keys hold the tenant, but hashes may collide."""
        tenants = (request.tenant_id, SYSTEM_TENANT)
        return (row for row in rows if row.tenant_id in tenants)

    def _plan(self, tenant_id: int) -> Plan:
        found = self._plans.get(tenant_id)
        if found is None:
            base, overlay = self._base, self._overlay
            lengths = {
                each: merged_lengths(base.key_lengths(each) if base else {}, overlay.key_lengths(each))
                for each in (tenant_id, SYSTEM_TENANT)
            }
            found = Plan(lengths, base.split_lengths if base else {})
            self._plans.put(tenant_id, found)
        return found

    def looked_at(
        self, request: RouteRequest, *, after: tuple[int, int] | None = None, place: Place = nowhere
    ) -> Iterator[RouteRow]:
        """Yield every row that shares a key with the request, fitting or not, in order: for the trace."""
        asked = Asked(request, place, self._plan(request.tenant_id))
        hashes = asked.plan.hashes(asked.keys)
        entries = [entry for entry in self._overlay.candidates(hashes) if _beyond(entry, after)]
        ranks: Iterator[int] = iter(())
        if self._base is not None:
            base, replaced = self._base, self._overlay.replaced
            start = -1 if after is None else base.rank_after(after)
            unique = dict.fromkeys(base.candidates(hashes, asked, start))
            ranks = (rank for rank in unique if base.route_id(rank) not in replaced)
        return self._checked(self._merged(ranks, entries), request)


def _beyond(entry: Entry, after: tuple[int, int] | None) -> bool:
    return after is None or entry.order > after
