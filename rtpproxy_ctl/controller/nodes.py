"""What the controller is told of a node, and what it asks of one. Pure; the link is link.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Protocol

from callcore.errors import BadInput
from rtpproxy_ctl.balancer import Health, NodeFacts

#: Capabilities by which a session may choose.
SINGLE_SHOT, NOTIFY, RECORD = "single_shot", "notify", "record"

#: Gets the text of a reply; None: the node did not answer.
Done = Callable[[str | None], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSpec:
    """A node as the table `node` has it."""

    name: str
    host: str
    #: Control address: IP address and port.
    address: tuple[str, int]
    enabled: bool = True
    draining: bool = False
    weight: int = 100
    #: Sessions that it may carry.
    capacity: int = 300
    #: Folders in which it records, if this machine can see them.
    spool: PurePath | None = None
    recordings: PurePath | None = None
    #: It was told our notification socket (-n).
    notifies: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return it for the copy on disk."""
        return {
            "name": self.name,
            "host": self.host,
            "address": list(self.address),
            "enabled": self.enabled,
            "draining": self.draining,
            "weight": self.weight,
            "capacity": self.capacity,
            "spool": str(self.spool) if self.spool else None,
            "recordings": str(self.recordings) if self.recordings else None,
            "notifies": self.notifies,
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> NodeSpec:
        """Read it from the copy on disk; raises BadInput."""
        try:
            return cls(
                name=str(row["name"]),
                host=str(row["host"]),
                address=(str(row["address"][0]), int(row["address"][1])),
                enabled=bool(row["enabled"]),
                draining=bool(row["draining"]),
                weight=int(row["weight"]),
                capacity=int(row["capacity"]),
                spool=PurePath(row["spool"]) if row["spool"] else None,
                recordings=PurePath(row["recordings"]) if row["recordings"] else None,
                notifies=bool(row["notifies"]),
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise BadInput(f"not a node: {row!r}") from error


class Node(Protocol):
    """A node as the engine sees it."""

    spec: NodeSpec

    @property
    def health(self) -> Health:
        """How it is."""

    @property
    def capabilities(self) -> frozenset[str]:
        """What it can do."""

    def facts(self) -> NodeFacts:
        """What the balancer needs to know of it."""

    def ask(self, text: str, done: Done, schedule: Sequence[float] | None = None) -> None:
        """Send a command; `done` gets the reply."""

    def took_session(self) -> None:
        """Count a session that it was given, until it reports by itself."""
