"""Agent first: may a task take an agent from the queue now? A table of priorities, with hysteresis. Pure.

A queue's load is the share of its agents at work who are busy, and counts callers who wait as more than full: 4 of 5
agents busy is 80 %, 5 of 5 busy with 2 waiting 140 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from callcore.dial import LeadPriority


@dataclass(frozen=True, slots=True)
class Admission:
    """One row of the table."""

    #: Load of the queue in percent up to which a task is begun.
    most_load: float
    #: Agents who must be free, the one who would take the task included.
    least_free: int
    #: Begun though callers wait: goes before them.
    pre_empts: bool = False


DEFAULT_ADMISSION: Mapping[LeadPriority, Admission] = {
    LeadPriority.LOW: Admission(0.0, 1),
    LeadPriority.MEDIUM: Admission(70.0, 1),
    LeadPriority.HIGH: Admission(99.0, 1),
    LeadPriority.URGENT: Admission(1000.0, 0, pre_empts=True),
}


@dataclass(frozen=True, slots=True)
class QueueLoad:
    """A queue at one moment."""

    #: Agents logged in and not paused.
    agents: int
    free: int
    waiting: int

    @property
    def percent(self) -> float:
        """Busy agents and waiting callers for each hundred agents; 0 with nobody waiting and nobody busy."""
        if not self.agents:
            return 1000.0
        return (self.agents - self.free + self.waiting) * 100.0 / self.agents


class AdmissionGate:
    """Admits tasks to one queue. Remembers what it refused last: points of hysteresis apply from then on."""

    HYSTERESIS_POINTS = 5.0

    def __init__(self, table: Mapping[LeadPriority, Admission] = DEFAULT_ADMISSION) -> None:
        self._table = table
        self._closed: set[LeadPriority] = set()

    def room(self, priority: LeadPriority, load: QueueLoad) -> int:
        """Return how many tasks of this priority may begin now."""
        row = self._table[priority]
        if not load.agents:
            return 0
        if row.pre_empts:
            return max(1, load.free)
        ceiling = row.most_load
        if priority in self._closed:
            ceiling = max(0.0, ceiling - self.HYSTERESIS_POINTS)
        if load.waiting or load.percent > ceiling or load.free < max(1, row.least_free):
            self._closed.add(priority)
            return 0
        self._closed.discard(priority)
        return _room(row, load)


def _room(row: Admission, load: QueueLoad) -> int:
    """Return how many tasks may begin until the load or the free agents set an end; at least one."""
    spare = load.free - max(1, row.least_free) + 1
    busy = load.agents - load.free
    by_load = int(row.most_load * load.agents / 100.0) - busy
    return max(1, min(spare, by_load))
