"""Runs a scenario: events in, actions out. Pure: every fact comes with an event or the bundle, time is an argument.

    run = Run(bundle, "reception", {"caller": "+74951234567"})
    actions = run.step(Begun(), now)

A call always ends: what waits has a timer or waits for somebody whose leaving is told, the number of nodes passed and
the time spent in the scenario are bounded, and an event that means nothing where the call stands is ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from callcore import ivr_events as ev
from callcore.ivr_call import AWAY, Bundle, Call, Stage, Version, Way
from callcore.ivr_events import Action, Event
from callcore.ivr_model import NodeKind
from callcore.ivr_nodes import ENTER, ON

__all__ = ["Bundle", "Run", "Stage", "Version"]

#: Nodes that need no new key and leave those that came early to whoever comes next.
_KEEPS_KEYS = frozenset({NodeKind.MENU, NodeKind.COLLECT, NodeKind.PLAY, NodeKind.SET, NodeKind.BRANCH})


class Run(Call):
    """One call in a scenario."""

    def __init__(self, bundle: Bundle, name: str, given: Mapping[str, str]) -> None:
        """given: caller, called, caller_name. Raises KeyError for a scenario that the bundle has not."""
        super().__init__(bundle, name, given)
        self._away_since: datetime | None = None

    def step(self, event: Event, now: datetime) -> list[Action]:
        """Take an event at this aware moment and return what to do, in this order."""
        self.now, self.out = now, []
        if self.ended:
            return self.out
        if self.deadline is None:
            self.deadline = now + timedelta(seconds=self.at.scenario.most_seconds)
        self._stop_clock()
        if isinstance(event, ev.CallerLeft):
            self.end(0, "caller hung up", by="caller")
        elif self.is_late() and self.stage not in AWAY | {Stage.NEW}:
            self.end(0, "time limit of the scenario")
        elif (handler := ON.get((self.stage, type(event)))) is not None:
            self._walk(handler(self, event))
        self._away_since = self._away_since or now if self.stage in AWAY else None
        return self.out

    def _stop_clock(self) -> None:
        """Give back the time for which somebody else had the caller."""
        if self._away_since is not None:
            self.move_deadline(self.now - self._away_since)
            self._away_since = self.now

    def _walk(self, way: Way) -> None:
        """Go from node to node until one waits."""
        while way is not None and not self.ended:
            way = self._enter(*way)

    def _enter(self, name: str, label: str) -> Way:
        self.do(ev.ClearTimer())
        self.token += 1
        self.steps += 1
        if not name or self.steps > self.at.scenario.most_steps:
            self.end(0, "too many nodes" if name else f"{label} leads nowhere")
            return None
        node = self.at.scenario.nodes[name]
        self.node = node
        self.tell("ivr.node", what=node.kind.value, by=label)
        if node.kind not in _KEEPS_KEYS:
            self.buffer = ""
        return ENTER[node.kind](self, node)
