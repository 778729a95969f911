"""One journal event, as every reader of the journal sees it.

Decides nothing and reads nothing: the shape only. kalibri/journal.py makes events from lines, callcore/cdr.py
folds them into a call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened, told by one process."""

    #: UUIDv7; within one process the ids sort in the order of writing.
    id: UUID
    #: Aware UTC time, microseconds.
    at: datetime
    #: What happened, as "call.answer".
    kind: str
    #: The call that it belongs to (UUIDv7); None for events of no call.
    call: UUID | None = None
    tenant: int | None = None
    #: Node that the process runs on.
    node: str = ""
    #: Program and process id, as "kamailio:1234".
    process: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def order(self) -> tuple[datetime, UUID]:
        """Return the key by which events are told: time first, then id."""
        return self.at, self.id
