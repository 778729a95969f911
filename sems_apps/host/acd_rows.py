"""Rows of the type acd_action (docs/acd.md, section 2) as values and as events of a queue call. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sems_apps.actions import SUPERVISOR_PREFIX, SupervisionMode
from sems_apps.events import (
    CallbackDue,
    Diverted,
    Event,
    HangupAsked,
    Moved,
    OfferClaimed,
    OfferMade,
    OfferWithdrawn,
    PlayAsked,
    SuperviseAsked,
    SupervisionEnded,
    TransferCommanded,
)
from sems_apps.settings import QueueSettings, settings_from


@dataclass(frozen=True, slots=True)
class AcdRow:
    """One action that the database wants."""

    #: Id of a stored command, 0 for an answer.
    command: int
    tenant: int
    kind: str
    entry: int
    offer: int
    data: dict[str, Any]


def read_rows(rows: list[tuple[str | None, ...]]) -> list[AcdRow]:
    """Read rows of acd_action, given as text."""
    return [
        AcdRow(
            int(command or 0),
            int(tenant or 0),
            kind or "",
            int(entry or 0),
            int(offer or 0),
            json.loads(data or "{}"),
        )
        for command, tenant, kind, entry, offer, data in rows
    ]


def settings_of(row: AcdRow) -> QueueSettings:
    """Return the queue's settings that a row carries."""
    return settings_from(row.data.get("settings") or {})


def address_of(data: dict[str, Any]) -> str:
    """Return whom to call: sip:user@domain, or kind:name ("account:eve"), or a number; empty: nobody."""
    to, domain, kind = str(data.get("to") or ""), data.get("domain"), str(data.get("to_kind") or "number")
    if domain and to:
        return f"sip:{to}@{domain}"
    return to if kind == "number" or not to else f"{kind}:{to}"


def offer_made(row: AcdRow) -> OfferMade:
    """Return the offer of an offer_agent."""
    ring_seconds = float(row.data.get("ring_seconds") or 20)
    return OfferMade(row.offer, address_of(row.data), ring_seconds, bool(row.data.get("ring_all")))


def callback_due(row: AcdRow) -> CallbackDue:
    """Return the callback of an offer_agent (agent first) or a dial (caller first)."""
    by_agent = row.kind == "offer_agent"
    # What a campaign wants of it (schema/65_agent_campaign.sql).
    dial = (row.data.get("variables") or {}).get("dial") or {}
    return CallbackDue(
        number=str(row.data.get("number") or ""),
        settings=settings_of(row),
        offer=row.offer if by_agent else 0,
        caller_id=str(dial.get("caller_id") or row.data.get("caller_id") or ""),
        target=address_of(row.data) if by_agent else "",
        ring_seconds=float(dial.get("agent_ring_seconds") or row.data.get("ring_seconds") or 20),
        reading_seconds=float(dial.get("reading_seconds") or 0),
        caller_seconds=float(dial.get("ring_seconds") or 45),
        is_heard=bool(dial),
        gateway=str(dial.get("gateway") or ""),
        avoid=str(dial.get("avoid") or ""),
        probe=str(dial.get("probe") or ""),
    )


def diverted(row: AcdRow) -> Diverted:
    """Return where a leave sends the caller."""
    data = row.data
    kind = data.get("to_kind")
    if kind == "reject":  # whom nobody serves hears the end of the call, at whatever number it was refused
        data = {**data, "to": ""}
    elif kind == "redirect":
        data = {**data, "to_kind": "uri", "to": str(data.get("to") or "").partition(",")[0].strip()}
    reason, announcement = str(data.get("reason") or "left"), str(data.get("announcement") or "")
    if kind == "announcement" and not announcement:  # said here: on another line its beginning would be lost
        return Diverted("", reason, str(data.get("to") or ""))
    return Diverted(address_of(data), reason, announcement)


def _supervise(row: AcdRow) -> Event:
    mode = SupervisionMode(row.data.get("mode", "listen"))
    number = row.data.get("id") or row.command  # to change the mode the first command is named
    return SuperviseAsked(f"{SUPERVISOR_PREFIX}{number}", address_of(row.data), mode)


def _hang_up(row: AcdRow) -> Event:
    return HangupAsked(
        str(row.data.get("reason") or "supervisor"), agent_only=row.data.get("side") == "agent"
    )


_EVENTS: dict[str, Callable[[AcdRow], Event | None]] = {
    "cancel_offer": lambda row: OfferWithdrawn(row.offer),
    "join": lambda row: OfferClaimed(row.offer, won=True) if row.offer else None,
    "too_late": lambda row: OfferClaimed(row.offer, won=False) if row.offer else None,
    "leave": diverted,
    "move": lambda row: Moved(settings_of(row)),
    "play": lambda row: PlayAsked(str(row.data.get("prompt") or "")),
    "supervise": _supervise,
    "unsupervise": lambda row: SupervisionEnded(f"{SUPERVISOR_PREFIX}{row.data['id']}"),
    "hangup": _hang_up,
    "transfer": lambda row: TransferCommanded(address_of(row.data)),
    "end": lambda row: HangupAsked(str(row.data.get("reason") or "repair")),
}


def to_event(row: AcdRow) -> Event | None:
    """Return what a row is for the call, None: nothing (wait, ended, none, dial of a callback that goes on)."""
    make = _EVENTS.get(row.kind)
    return make(row) if make is not None else None
