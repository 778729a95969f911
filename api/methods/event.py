"""Methods event.*: the state now, and what came after it. Streams: api/events/http.py, api/events/socket.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from api.method import Context, Method, Scope, Tenancy
from kalibri.services import event as events

Number = Annotated[int, Field(ge=0, le=2**63 - 1)]
Limit = Annotated[int, Field(ge=1, le=1000)]


@dataclass(frozen=True, kw_only=True)
class Page:
    """Events, and where to go on."""

    events: Sequence[Any]
    after: int
    #: Whether events after the one that was named are removed already: the state must be asked for anew.
    lost: bool


def list_events(context: Context, *, tenant_id: int | None, after: Number, limit: Limit = 100) -> Page:
    """Return events after a number, the oldest first, without waiting."""
    found, end, lost = events.page(context.conn, tenant_id=tenant_id, after=after, limit=limit)
    return Page(events=found, after=end, lost=lost)


METHODS = (
    Method("event.snapshot", events.snapshot, Scope.READ, Tenancy.FILTER),
    Method("event.list", list_events, Scope.READ, Tenancy.FILTER),
)
