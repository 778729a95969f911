"""One recording as a value: its states, what leads from one to the other, and who asked for it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class RecordingState(StrEnum):
    """Where a recording stands at the node."""

    #: Nothing was recorded yet.
    NEW = "new"
    #: Its node writes both sides into a file.
    RUNNING = "running"
    #: Nothing is written.
    PAUSED = "paused"
    #: Over for good.
    STOPPED = "stopped"


class Move(StrEnum):
    """What has to be done to get nearer to what is wanted."""

    OPEN = "open"
    CLOSE = "close"
    FINISH = "finish"
    DISCARD = "discard"
    NOTHING = "nothing"


_S = RecordingState
#: (what is, what is wanted) → what to do next.
MOVES: Mapping[tuple[RecordingState, RecordingState], Move] = {
    (_S.NEW, _S.RUNNING): Move.OPEN,
    (_S.NEW, _S.PAUSED): Move.NOTHING,
    (_S.NEW, _S.STOPPED): Move.DISCARD,
    (_S.RUNNING, _S.RUNNING): Move.NOTHING,
    (_S.RUNNING, _S.PAUSED): Move.CLOSE,
    (_S.RUNNING, _S.STOPPED): Move.CLOSE,
    (_S.PAUSED, _S.RUNNING): Move.OPEN,
    (_S.PAUSED, _S.PAUSED): Move.NOTHING,
    (_S.PAUSED, _S.STOPPED): Move.FINISH,
    **{(_S.STOPPED, wanted): Move.NOTHING for wanted in _S if wanted is not _S.NEW},
}


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody wants a call recorded."""

    call: str
    #: route, queue, account, demand or api.
    by: str
    tenant: int | None = None
    #: Numbers of the parties, "" where not known.
    a: str = ""
    b: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it for the state log."""
        return {"call": self.call, "by": self.by, "tenant": self.tenant, "a": self.a, "b": self.b}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Request:
        """Read it; raises KeyError, TypeError, ValueError."""
        tenant = row.get("tenant")
        return cls(
            str(row["call"]).lower(),
            str(row.get("by") or "demand"),
            None if tenant is None else int(tenant),
            str(row.get("a") or ""),
            str(row.get("b") or ""),
        )


@dataclass(slots=True)
class Recording:
    """The recording of one session."""

    recording_id: str
    request: Request
    session_key: str
    node: str
    state: RecordingState = RecordingState.NEW
    wanted: RecordingState = RecordingState.RUNNING
    #: Number of the newest segment.
    segment: int = 0
    #: A command is under way at the node.
    busy: bool = False
    #: Who asked for the last change, for the manifest.
    changed_by: str = ""
    #: Why it ends: a reason of the manifest's stop line.
    stop_reason: str = "stopped"
    #: What the manifest says of sides, holds and music already.
    told: dict[str, Any] = field(default_factory=dict)

    @property
    def move(self) -> Move:
        """What to do next."""
        return Move.NOTHING if self.busy else MOVES[self.state, self.wanted]

    @property
    def file_name(self) -> str:
        """Name of the newest segment's file: made of our own id alone."""
        return f"{self.recording_id}.{self.segment}.pcap"

    def to_json(self) -> dict[str, Any]:
        """Return what a restart needs, for the state log."""
        return {
            "id": self.recording_id,
            "req": self.request.to_json(),
            "k": self.session_key,
            "n": self.node,
            "state": self.state,
            "wanted": self.wanted,
            "seg": self.segment,
            "told": self.told,
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Recording:
        """Read it from the state log; raises KeyError, ValueError, TypeError."""
        return cls(
            str(row["id"]),
            Request.from_json(row["req"]),
            str(row["k"]),
            str(row["n"]),
            RecordingState(row["state"]),
            RecordingState(row["wanted"]),
            int(row["seg"]),
            told=dict(row["told"]),
        )
