"""An event as listeners get it, who may see it, and how it is written. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from callcore.errors import BadInput

MAX_CHOSEN = 100


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `text` is its JSON."""

    seq: int
    #: None: of the system only.
    tenant_id: int | None
    kind: str
    queue_id: int | None
    agent_id: int | None
    #: User name of the account that it is about.
    account: str | None
    text: str


@dataclass(frozen=True)
class Filter:
    """Which events a listener gets. Listeners with equal filters share the work."""

    #: None: of all tenants, and of the system.
    tenant_id: int | None
    #: Only what is about this account: for an agent that logged in.
    account: str | None = None
    #: Exact kinds; with * at the end all that begin so. Empty: all kinds.
    kinds: frozenset[str] = frozenset()
    queues: frozenset[int] = frozenset()
    agents: frozenset[int] = frozenset()

    @cached_property
    def _exact(self) -> frozenset[str]:
        return frozenset(kind for kind in self.kinds if not kind.endswith("*"))

    @cached_property
    def _beginnings(self) -> tuple[str, ...]:
        return tuple(kind[:-1] for kind in self.kinds if kind.endswith("*"))

    def matches(self, event: Event) -> bool:
        """Tell whether a listener gets an event."""
        if self.tenant_id is not None and event.tenant_id != self.tenant_id:
            return False
        if self.account is not None and event.account != self.account:
            return False
        if self.queues and event.queue_id not in self.queues:
            return False
        if self.agents and event.agent_id not in self.agents:
            return False
        return not self.kinds or event.kind in self._exact or event.kind.startswith(self._beginnings)


def make_filter(
    *,
    tenant_id: int | None,
    account: str | None,
    kinds: Iterable[str] = (),
    queues: Iterable[int | str] = (),
    agents: Iterable[int | str] = (),
) -> Filter:
    """Build a filter from what somebody asked for; raises BadInput."""
    chosen = frozenset(kinds)
    if len(chosen) > MAX_CHOSEN:
        raise BadInput(f"at most {MAX_CHOSEN} kinds")
    for kind in chosen:
        if not kind or len(kind) > 100 or "*" in kind[:-1]:
            raise BadInput(f"{kind[:100]!r} is no kind: write call.answer or call.*")
    return Filter(tenant_id, account, chosen, _ids("queue", queues), _ids("agent", agents))


def _ids(what: str, values: Iterable[int | str]) -> frozenset[int]:
    found = set()
    for value in values:
        text = str(value)
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise BadInput(f"{what}: {text[:100]!r} is no id")
        found.add(int(text))
    if len(found) > MAX_CHOSEN:
        raise BadInput(f"{what}: at most {MAX_CHOSEN}")
    return frozenset(found)


@dataclass(frozen=True)
class Batch:
    """Events that go to listeners together; each form of writing is made once for all of them."""

    events: Sequence[Event]
    #: Everything up to this number is told with this batch.
    upto: int

    @cached_property
    def sse(self) -> bytes:
        """For Server-Sent Events: the id of each is where to go on after it."""
        return "".join(
            f"id: {event.seq}\nevent: {event.kind}\ndata: {event.text}\n\n" for event in self.events
        ).encode()

    @cached_property
    def notification(self) -> str:
        """For WebSocket: a notification of JSON-RPC."""
        return f'{{"jsonrpc":"2.0","method":"events","params":{{"events":{self.array},"after":{self.upto}}}}}'

    @cached_property
    def array(self) -> str:
        """A JSON array."""
        return f"[{','.join(event.text for event in self.events)}]"


def reset_data(after: int, reason: str) -> str:
    """Return what is told to a listener whose place is lost: its snapshot is worth nothing any more."""
    return json.dumps({"after": after, "reason": reason})


def event_from_row(row: Mapping[str, Any]) -> Event:
    """Build an event from a row of the statements in queries/event.sql."""
    return Event(
        seq=row["seq"],
        tenant_id=row["tenant_id"],
        kind=" ".join(row["kind"].split()),
        queue_id=row["queue_id"],
        agent_id=row["agent_id"],
        account=row["account"],
        # A line break would end an event; JSON needs none.
        text=row["text"].replace("\n", " "),
    )
