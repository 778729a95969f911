"""One turn of ks-index: what changed in the database, what follows for the index files.

Decides the order of things: first finished builders are noted, then the database is looked at in one
snapshot (which is newer than what they built from), then all of it is put in force by one switch. Never
waits and never connects; see tools/ks_index.py.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from kalibri.config_sections import IndexConfig
from kalibri.db import Conn
from kalibri.index_ledger import TOUCHED_BY, Change, Ledger, Part
from kalibri.services import index_build, route_index
from kalibri.services.index_build import DatabaseState, KamailioTables
from tools.index.builders import Built
from tools.index.store import OverlayRow, Store

log = logging.getLogger(__name__)

#: Tables whose change may change what Kamailio itself loads.
_KAMAILIO_NOUNS = frozenset({"gateway", "trunk"})


class BuilderPool(Protocol):
    """What the indexer needs of builders.Builders."""

    def may_start(self, part: Part) -> bool:
        """Tell whether a part is not being built and may be tried."""

    def start(self, part: Part, number: int) -> None:
        """Start building a part as file `number`."""

    def reap(self) -> list[Built]:
        """Return what has been finished."""

    @property
    def running(self) -> dict[Part, int]:
        """The parts that are being built."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """What one look at the database found."""

    state: DatabaseState
    #: Nothing that is in force can be trusted.
    anew: bool
    changes: Sequence[Change]
    #: Changed routes as they are now.
    routes: Mapping[int, OverlayRow]
    #: Content of the system file; None: it did not change.
    system: bytes | None
    #: None: they did not change.
    kamailio_tables: KamailioTables | None


class Indexer:
    """The state of one ks-index between two turns."""

    def __init__(
        self,
        config: IndexConfig,
        store: Store,
        builders: BuilderPool,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Go on from what the store has in force. clock: monotonic seconds."""
        self._config = config
        self._store = store
        self._builders = builders
        self._clock = clock
        self._folded_at = clock()
        self._finished: list[Built] = []
        self._database = store.current.database if store.current else ""
        self.ledger = Ledger(store.current.seq if store.current else 0)
        if store.current:
            self.ledger.overlaid = dict.fromkeys(store.overlaid(), store.current.served[Part.ROUTES])
        #: What Kamailio's own tables look like; None: not looked at yet.
        self.kamailio_tables: KamailioTables | None = None

    def turn(self, conn: Conn) -> None:
        """Look at the database once and do what follows; raises Unavailable when it goes away meanwhile."""
        self._finished += self._builders.reap()
        view = self._look(conn)
        if view.anew:
            self._start_anew(view.state)
        for change in view.changes:
            self.ledger.saw(change)
        self._store.overlay(view.routes)
        if view.system is not None:
            self._store.put_system(view.system)
            self.ledger.built(Part.SYSTEM, view.state.last_seq)
        self.kamailio_tables = view.kamailio_tables or self.kamailio_tables
        self._take_finished()
        self._publish()
        self._start_builders()

    def _look(self, conn: Conn) -> _View:
        """Read in one snapshot all that a turn needs; if that fails, nothing has happened."""
        with index_build.snapshot(conn) as state:
            anew = self._is_other_past(state)
            changes = [] if anew else index_build.changes(conn, after=self.ledger.seen)
            nouns = {change.noun for change in changes}
            routes = {route for change in changes if change.noun == "route" for route in change.ids or ()}
            system = (
                anew
                or self.ledger.owes(Part.SYSTEM)
                or any(Part.SYSTEM in TOUCHED_BY.get(noun, ()) for noun in nouns)
            )
            kamailio = self.kamailio_tables is None or not nouns.isdisjoint(_KAMAILIO_NOUNS)
            return _View(
                state=state,
                anew=anew,
                changes=changes,
                routes=route_index.overlay_rows(conn, routes) if routes else {},
                system=index_build.system_content(conn) if system else None,
                kamailio_tables=index_build.kamailio_tables(conn) if kamailio else None,
            )

    def _is_other_past(self, state: DatabaseState) -> bool:
        """Tell whether the changes that were followed so far are not this database's, or are gone from it."""
        return (
            self._database != state.database
            or state.last_seq < self.ledger.seen
            or state.first_seq > self.ledger.seen + 1
        )

    def _start_anew(self, state: DatabaseState) -> None:
        log.info("builds the whole index, of database %s at change %d", state.database, state.last_seq)
        self._database = state.database
        self.ledger.owe_everything(state.last_seq)
        self._store.start_anew()

    def _take_finished(self) -> None:
        """Note what builders finished; what an earlier database gave is useless."""
        for built in self._finished:
            if built.database != self._database:
                continue
            self.ledger.built(built.part, built.seq)
            if built.part is Part.ROUTES and built.file is not None:
                self._store.put_base(built.file, self.ledger.overlaid)
                self._folded_at = self._clock()
            else:
                self._store.put(built.part, built.file)
        self._finished.clear()

    def _publish(self) -> None:
        if self._store.publish(self.ledger, self._database) and self._store.current:
            current = self._store.current
            log.info("generation %d is in force, up to change %d", current.generation, current.seq)
        self._store.sweep(now=self._clock(), building=bool(self._builders.running))

    def _start_builders(self) -> None:
        for part in (Part.ROUTES, Part.DIRECTORY, Part.RANGES):
            due = self.ledger.owes(part) or (part is Part.ROUTES and self._fold_due())
            if due and self._builders.may_start(part):
                self._builders.start(part, self._store.next_number())

    def _fold_due(self) -> bool:
        pending = len(self.ledger.overlaid)
        waited = self._clock() - self._folded_at
        return pending >= self._config.fold_after_changes or (
            pending > 0 and waited >= self._config.fold_after_seconds
        )
