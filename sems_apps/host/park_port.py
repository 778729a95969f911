"""Slots of parked calls as a media host sees them: taken and given back in PostgreSQL without blocking the loop.

A slot that was taken is given back for certain: when the machine says so, or when the session is over in whatever
way; while the database is away it is tried again. What an earlier life of this host held is forgotten at the start.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from kalibri.db import statements
from sems_apps.actions import Action
from sems_apps.events import Event
from sems_apps.host.acd_port import Link
from sems_apps.host.loop import Loop
from sems_apps.host.pg_link import Rows
from sems_apps.host.ports import Entry, ParkCaller
from sems_apps.park_actions import FreeSlot, SlotRefused, SlotTaken, TakeSlot

SQL = statements("park")
#: While the database is away, what must be told is told again so often.
RETRY_SECONDS = 1.0
_REFUSALS = {
    "taken": SlotRefused(486, "Slot Is Taken"),
    "full": SlotRefused(486, "No Free Slot"),
    "none": SlotRefused(404, "No Such Slot"),
}


class ParkPort:
    """Which slots this host has taken."""

    def __init__(self, loop: Loop, node: str, links: Sequence[Link]) -> None:
        """node: name of the node row."""
        self._loop, self._node, self._links = loop, node, links
        #: Calls that have, or may have, a slot.
        self._held: dict[str, Entry] = {}

    def begin(self) -> None:
        """Forget what an earlier life of this host held."""

        def told(rows: Rows | None) -> None:
            if rows is None:
                self._loop.call_later(RETRY_SECONDS, self.begin)

        params: dict[str, object] = {"host": self._node, "calls": "{" + ",".join(self._held) + "}"}
        self._links[0].execute(SQL["forget"], params, told)

    def perform(self, caller: ParkCaller, action: Action) -> None:
        """Take an action of PARK_ACTIONS; answers come by `post`, later."""
        if isinstance(action, TakeSlot):
            self._take(caller, action)
        elif isinstance(action, FreeSlot):
            self.forget(caller.entry)

    def forget(self, entry: Entry) -> None:
        """Give the slot of a call back, if it has one."""
        if self._held.pop(entry.call, None) is not None:
            self._free(entry)

    def _take(self, caller: ParkCaller, action: TakeSlot) -> None:
        entry = caller.entry
        self._held[entry.call] = entry
        params = {
            "tenant": entry.tenant,
            "slot": action.slot,
            "call": entry.call,
            "host": self._node,
            "caller": entry.caller,
            "caller_name": entry.caller_name,
            "parker": action.parker,
            "code": action.code,
        }
        self._link(entry).execute(SQL["take"], params, partial(self._taken, caller.post))

    def _taken(self, post: Callable[[Event], None], rows: Rows | None) -> None:
        answer: dict[str, Any] = json.loads(rows[0][0] or "{}") if rows else {}
        if "slot" in answer:
            wait, ring = float(answer["wait_seconds"]), float(answer["ring_seconds"])
            post(SlotTaken(answer["slot"], wait, ring, answer["overflow"]))
        else:
            refused = _REFUSALS.get(answer.get("refused", ""))
            post(refused or SlotRefused(480, "Calls Cannot Be Parked Now"))

    def _free(self, entry: Entry) -> None:
        def told(rows: Rows | None) -> None:
            if rows is None:
                self._loop.call_later(RETRY_SECONDS, lambda: self._free(entry))

        # On the connection that took it: so it comes after, even if the answer of the taking was not waited for.
        self._link(entry).execute(SQL["free"], {"tenant": entry.tenant, "call": entry.call}, told)

    def _link(self, entry: Entry) -> Link:
        return self._links[hash(entry.call) % len(self._links)]
