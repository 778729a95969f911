"""Campaigns that call the agent first: how many tasks may begin now, by priority. Pure.

Asks callcore/dial_admission.py with what the database says of the queue. Tasks that wait for an agent already count as
if their agents were busy: no more are put into the queue than there are agents for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from callcore.dial import DialReason, LeadPriority
from callcore.dial_admission import Admission, AdmissionGate, QueueLoad
from callcore.dial_facts import AgentNow
from tools.dial.paced import Allowed


class AgentFirst:
    """One campaign."""

    def __init__(self, table: Mapping[LeadPriority, Admission]) -> None:
        self._gate = AdmissionGate(table)
        self.preempting = frozenset(priority for priority, row in table.items() if row.pre_empts)
        #: Tasks of each priority that may begin, as of the last look.
        self.rooms: Mapping[LeadPriority, int] = {}
        #: Why no more of them.
        self.reason = DialReason.NO_AGENTS

    def allowed(self, agents: Sequence[AgentNow], waiting: int, tasks: int) -> Allowed:
        """Return how many tasks may begin now. waiting: callers without an agent. tasks: of ours that wait."""
        free = sum(1 for agent in agents if agent.is_idle)
        load = QueueLoad(len(agents), free, waiting)
        self.rooms = {priority: max(0, self._gate.room(priority, load) - tasks) for priority in LeadPriority}
        if not agents:
            self.reason = DialReason.NO_AGENTS
            return Allowed(0, self.reason)
        self.reason = DialReason.QUEUE_LOAD if free else DialReason.AGENTS_BUSY
        return Allowed(max(self.rooms.values()), self.reason)
