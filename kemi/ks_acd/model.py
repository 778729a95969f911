"""The words of a queue call in the proxy: what the ACD answered, what the proxy remembers meanwhile. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, field, replace
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class AcdAction:
    """One row that an acd_* function returned (docs/acd.md 2)."""

    kind: str
    id: int | None = None
    tenant_id: int = 0
    entry_id: int | None = None
    offer_id: int | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRecord:
    """A queue as the directory file has it; one out of use is there too, it may overflow."""

    queue_id: int
    tenant_id: int
    name: str
    #: A media host carries every call of this queue.
    anchored: bool = False
    #: Told to the media host in X-KS-Arg: language, music ...
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MediaHost:
    """A media host that may take a call."""

    name: str
    #: "udp:192.0.2.1:5070"
    address: str

    @property
    def hostport(self) -> str:
        """Return "192.0.2.1:5070"."""
        return self.address.partition(":")[2]


class Stage(StrEnum):
    """How far a queue call in set-up is."""

    #: An agent is rung directly; a failure is the outcome of his offer.
    RINGING = "ringing"
    #: It is (being) brought to a media host; a failure means the next host.
    HOSTED = "hosted"


@dataclass(frozen=True, slots=True)
class QueueCall:
    """A queue call in set-up; kept in the transaction as part of the call's state."""

    tenant_id: int
    queue_id: int
    queue_name: str
    caller: str
    stage: Stage = Stage.HOSTED
    #: 0: the database does not know the call (yet).
    entry_id: int = 0
    #: The offer that is rung directly; 0: none.
    offer_id: int = 0
    #: Account of the agent who is rung; 0: none, or his phone is a number.
    account_id: int = 0
    #: The number that was dialled, for the agent's screen.
    called: str = ""

    def ringing(self, entry_id: int, offer_id: int, account_id: int) -> QueueCall:
        """Return the call while an agent is rung directly."""
        return replace(self, stage=Stage.RINGING, entry_id=entry_id, offer_id=offer_id, account_id=account_id)

    def hosted(self, entry_id: int = 0) -> QueueCall:
        """Return the call on its way to a media host."""
        return replace(self, stage=Stage.HOSTED, entry_id=entry_id or self.entry_id, offer_id=0, account_id=0)

    def to_list(self) -> list[Any]:
        """Return the values in the order of the fields, for JSON."""
        return list(astuple(self))

    @classmethod
    def from_list(cls, values: list[Any]) -> QueueCall:
        """Read what to_list wrote. Raises TypeError, ValueError."""
        call = cls(*values)
        return replace(call, stage=Stage(call.stage))
