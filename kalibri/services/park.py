"""Call park: which calls wait at which slot, and how a tenant parks.

What a parked call does: sems_apps/machines/park.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from callcore.account_service import ForwardKind
from callcore.errors import BadInput, NotFound
from kalibri import db
from kalibri.db import Conn
from kalibri.services.account_service import parse_destination, require_destination

SQL = db.statements("park")


@dataclass(frozen=True, kw_only=True)
class ParkedCall:
    """A call that waits at a slot."""

    tenant_id: int
    #: Name of the tenant.
    tenant: str
    slot: int
    call_id: str
    caller: str
    caller_name: str
    #: User name of who parked it; "": not known.
    parker: str
    parked_at: datetime
    #: Media host that holds it.
    host: str


@dataclass(frozen=True, kw_only=True)
class Held:
    """Where a parked call is."""

    slot: int
    call_id: str
    host: str
    #: "udp:192.0.2.1:5070"
    address: str


@dataclass(frozen=True, kw_only=True)
class TakenSlot:
    """A slot that somebody watches, and whose call waits there."""

    tenant_id: int
    slot: int
    call_id: str
    caller: str


@dataclass(frozen=True, kw_only=True)
class ParkPolicy:
    """How a tenant parks."""

    #: Slots 1 to this one; as many calls wait at once. 0: nothing is parked.
    slots: int = 20
    #: Then the phone of who parked the call rings.
    wait_seconds: int = 90
    #: How long it rings.
    ring_seconds: int = 30
    #: Where a call goes then: "number:…", "account:…", "queue:…"; None: it ends.
    overflow: str | None = None


def list_parked(conn: Conn, *, tenant_id: int | None) -> list[ParkedCall]:
    """Return the calls that wait at slots of a tenant; None: of all."""
    return db.fetch_all(conn, ParkedCall, SQL["parked"], tenant_id=tenant_id)


def find(conn: Conn, *, tenant_id: int, slot: int) -> Held:
    """Return the call that waits at a slot; raises NotFound."""
    found = db.fetch_one(conn, Held, SQL["at_slot"], tenant_id=tenant_id, slot=slot)
    if found is None:
        raise NotFound(f"no call is parked at slot {slot}")
    return found


def at_slots(conn: Conn, *, slots: Sequence[tuple[int, int]]) -> list[TakenSlot]:
    """Return which of these slots (tenant id, slot) are taken."""
    tenant_ids, numbers = [tenant for tenant, _ in slots], [slot for _, slot in slots]
    return db.fetch_all(conn, TakenSlot, SQL["at_slots"], tenant_ids=tenant_ids, slots=numbers)


def find_policy(conn: Conn, *, tenant_id: int) -> ParkPolicy:
    """Return how a tenant parks."""
    return db.fetch_one(conn, ParkPolicy, SQL["policy"], tenant_id=tenant_id) or ParkPolicy()


def set_policy(conn: Conn, *, tenant_id: int, **changes: Any) -> ParkPolicy:
    """Change fields of ParkPolicy; raises BadInput, NotFound."""
    with conn.transaction():
        after = replace(find_policy(conn, tenant_id=tenant_id), **changes)
        values: dict[str, Any] = {**vars(after), "overflow_kind": None, "overflow": ""}
        if after.overflow is not None:
            kind, destination = parse_destination(after.overflow)
            if kind is ForwardKind.VOICEMAIL:
                raise BadInput("a parked call overflows to number:…, account:… or queue:…")
            require_destination(conn, tenant_id=tenant_id, kind=kind, destination=destination)
            values |= {"overflow_kind": kind.value, "overflow": destination}
        db.execute(conn, SQL["set_policy"], tenant_id=tenant_id, **values)
        return after
