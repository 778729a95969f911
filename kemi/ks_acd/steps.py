"""What the proxy does after an answer of the ACD: one step per kind of action, as a table. Pure.

Commands that only a media host can perform (join, dial ...) never reach a proxy as an answer; if one did, the caller
would be brought to a media host, which asks the ACD again: so the caller is never dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from callcore.sip import SipCode
from kemi.ks_acd.model import AcdAction, MediaHost

#: An agent's phone rings this long when the ACD does not say.
DEFAULT_RING_SECONDS = 20
#: What the caller hears of the end of his waiting when the queue sends him nowhere.
LEAVE_CODES: Mapping[str, tuple[int, str]] = {
    "full": (SipCode.BUSY_HERE, "Queue Full"),
    "empty": (SipCode.TEMPORARILY_UNAVAILABLE, "No Agents"),
    "closed": (SipCode.TEMPORARILY_UNAVAILABLE, "Closed"),
    "ejected": (SipCode.DECLINE, "Decline"),
}
_OTHER_LEAVE = (SipCode.TEMPORARILY_UNAVAILABLE, "Temporarily Unavailable")


@dataclass(frozen=True, slots=True)
class RingAgent:
    """Ring this agent directly."""

    entry_id: int
    offer_id: int
    #: account or number
    to_kind: str
    to: str
    ring_seconds: int
    agent_name: str = ""


@dataclass(frozen=True, slots=True)
class ToHost:
    """Bring the call to the first of these media hosts that answers; none named: to any that is known."""

    entry_id: int
    hosts: tuple[MediaHost, ...] = ()


@dataclass(frozen=True, slots=True)
class Leave:
    """The entry has ended: send the caller there, or refuse him with this response."""

    reason: str
    to_kind: str | None
    to: str
    announcement: str
    code: int
    phrase: str


@dataclass(frozen=True, slots=True)
class Nothing:
    """All is done."""


Step = RingAgent | ToHost | Leave | Nothing


def step_of(actions: Iterable[AcdAction]) -> Step:
    """Return the step for what an ACD function returned: the last action that concerns this call."""
    step: Step = Nothing()
    for action in actions:
        step = _STEPS.get(action.kind, _to_host)(action)
    return step


def _ring(action: AcdAction) -> Step:
    data = action.data
    return RingAgent(
        entry_id=action.entry_id or 0,
        offer_id=action.offer_id or 0,
        to_kind=str(data.get("to_kind") or "account"),
        to=str(data.get("to") or ""),
        ring_seconds=int(data.get("ring_seconds") or DEFAULT_RING_SECONDS),
        agent_name=str(data.get("agent_name") or ""),
    )


def _to_host(action: AcdAction) -> Step:
    return ToHost(action.entry_id or 0, hosts_of(action.data.get("hosts") or ()))


def hosts_of(rows: Iterable[Mapping[str, Any]]) -> tuple[MediaHost, ...]:
    """Read the media hosts of a `wait`: [{"name", "address"}], best first."""
    return tuple(MediaHost(str(row["name"]), str(row["address"])) for row in rows)


def _leave(action: AcdAction) -> Step:
    data = action.data
    reason = str(data.get("reason") or "")
    code, phrase = LEAVE_CODES.get(reason, _OTHER_LEAVE)
    return Leave(
        reason=reason,
        to_kind=data.get("to_kind") or None,
        to=str(data.get("to") or ""),
        announcement=str(data.get("announcement") or ""),
        code=int(code),
        phrase=phrase,
    )


def _nothing(action: AcdAction) -> Step:
    return Nothing()


_STEPS: Mapping[str, Callable[[AcdAction], Step]] = {
    "offer_agent": _ring,
    "wait": _to_host,
    "leave": _leave,
    "none": _nothing,
    "ended": _nothing,
    "cancel_offer": _nothing,
    "too_late": _nothing,
}
