"""What ks-index still owes its readers: which part of the index lags behind which change.

Decides which parts a change touches, which must be rebuilt, and up to which change_log.seq each part is
served. Pure: reads no database and writes no file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Part(StrEnum):
    """One kind of file in the index directory (see index_dir)."""

    #: The routes: a base file, and an overlay with what changed since.
    ROUTES = "routes"
    #: Accounts, numbers and queues, by key.
    DIRECTORY = "directory"
    #: Tenants, domains, gateways, groups, schedules, caller ids.
    SYSTEM = "system"
    #: Number ranges of the registry.
    RANGES = "ranges"


#: Which parts hold something of a table. Tables that are not named here do not matter to the index.
TOUCHED_BY: Mapping[str, frozenset[Part]] = {
    "tenant": frozenset({Part.SYSTEM, Part.DIRECTORY}),
    "domain": frozenset({Part.SYSTEM, Part.DIRECTORY}),
    "account": frozenset({Part.DIRECTORY}),
    "account_domain": frozenset({Part.DIRECTORY}),
    "account_service": frozenset({Part.DIRECTORY}),
    "account_forward": frozenset({Part.DIRECTORY}),
    "account_caller": frozenset({Part.DIRECTORY}),
    "account_speed_dial": frozenset({Part.DIRECTORY}),
    "hunt_group": frozenset({Part.DIRECTORY}),
    "hunt_group_member": frozenset({Part.DIRECTORY}),
    "service_code": frozenset({Part.SYSTEM}),
    "forward_policy": frozenset({Part.SYSTEM}),
    "agent": frozenset({Part.DIRECTORY}),
    "queue": frozenset({Part.DIRECTORY}),
    "number": frozenset({Part.DIRECTORY}),
    "gateway": frozenset({Part.SYSTEM}),
    "gateway_rate": frozenset({Part.SYSTEM}),
    "gateway_group": frozenset({Part.SYSTEM}),
    "gateway_group_member": frozenset({Part.SYSTEM}),
    "trunk": frozenset({Part.SYSTEM}),
    "recording_policy": frozenset({Part.SYSTEM}),
    "schedule": frozenset({Part.SYSTEM}),
    "caller_id": frozenset({Part.SYSTEM}),
    "node": frozenset({Part.SYSTEM}),
    "route": frozenset({Part.ROUTES}),
    "number_range_set": frozenset({Part.RANGES}),
}


@dataclass(frozen=True, slots=True)
class Change:
    """One row of change_log."""

    seq: int
    noun: str
    #: Which rows; None: too many to name.
    ids: tuple[int, ...] | None


class Ledger:
    """Changes that were seen, and parts that do not contain them yet.

    Single routes are not owed: they are put into the overlay at once. They are remembered until a base
    file contains them.
    """

    def __init__(self, seen: int) -> None:
        """Start with everything up to change `seen` served."""
        self.seen = seen
        #: Per part: (first, last) change that it lacks.
        self._owed: dict[Part, tuple[int, int]] = {}
        #: Route id to the last change of it that the base file lacks.
        self.overlaid: dict[int, int] = {}

    def saw(self, change: Change) -> None:
        """Note a change; changes come in ascending order."""
        self.seen = change.seq
        for part in TOUCHED_BY.get(change.noun, ()):
            if part is Part.ROUTES and change.ids is not None:
                self.overlaid.update(dict.fromkeys(change.ids, change.seq))
            else:
                self._owe(part, change.seq)

    def owe_everything(self, seen: int) -> None:
        """Start anew: no part can be trusted, all must be built from a database that is at change `seen`."""
        self.seen = seen
        self.overlaid.clear()
        self._owed = {part: (0, seen) for part in Part}

    def _owe(self, part: Part, seq: int) -> None:
        first, _ = self._owed.get(part, (seq, seq))
        self._owed[part] = (first, seq)

    def owes(self, part: Part) -> bool:
        """Tell whether a part must be rebuilt."""
        return part in self._owed

    def built(self, part: Part, seq: int) -> None:
        """Note that a part was built from a snapshot that contained every change up to `seq`."""
        first, last = self._owed.pop(part, (0, 0))
        if last > seq:
            self._owed[part] = (max(first, seq + 1), last)
        if part is Part.ROUTES:
            self.overlaid = {route: changed for route, changed in self.overlaid.items() if changed > seq}

    def served(self, part: Part) -> int:
        """Return the change up to which a part is complete."""
        owed = self._owed.get(part)
        return self.seen if owed is None else max(owed[0] - 1, 0)

    @property
    def seq(self) -> int:
        """The change up to which every part is complete."""
        return min(self.served(part) for part in Part)
