"""The inventory of public numbers: which there are, in which state, for whom, what each leads to.

Decides nothing about states itself: callcore/inventory.py does, and the statements carry its table as their
precondition, so two people who reserve the same number at once cannot both have it. Several numbers are moved
all or none. Files: number_csv.py.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from callcore.errors import AlreadyExists, KalibriError, NotFound
from callcore.inventory import (
    REMOVABLE,
    NumberOperation,
    NumberRefused,
    NumberState,
    next_state,
    sources,
    target,
)
from kalibri import db
from kalibri.db import Conn
from kalibri.services import number_range
from kalibri.services.destination import Destination, require_destination
from kalibri.services.number_range import NothingImported
from kemi.ks_route.model import DestinationKind

SQL = db.statements("number")

#: More numbers are not named when something is refused.
NAMED = 10
#: Digits of the longest E.164 number.
_DIGITS = 15


@dataclass(frozen=True, kw_only=True)
class Number:
    """A public number of the system."""

    #: E.164 digits.
    number: str
    state: NumberState
    #: Whose it is; None for a free or ported one.
    tenant_id: int | None
    tenant: str | None
    #: Where its calls come in: a gateway of the system by name, one of a tenant as tenant/name; None: anywhere.
    gateway_id: int | None
    gateway: str | None
    #: What it leads to when no route says otherwise; None: only routes decide.
    destination_kind: DestinationKind | None
    destination: str
    note: str
    changed_at: datetime


@dataclass(frozen=True, kw_only=True)
class NumberRecord:
    """What is stored of a number, with the defaults of a new one."""

    number: str
    state: NumberState = NumberState.FREE
    tenant_id: int | None = None
    destination_kind: DestinationKind | None = None
    destination: str = ""
    gateway_id: int | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class NumberLookup:
    """All that is known of a number: by the inventory, and by the national number-range registry."""

    number: str
    #: None: it is not in the inventory.
    state: NumberState | None
    tenant: str | None
    destination_kind: DestinationKind | None
    destination: str | None
    gateway: str | None
    note: str | None
    #: None: no range holds it, or none were imported.
    region: str | None
    operator: str | None
    range_first: int | None
    range_last: int | None


@dataclass(frozen=True)
class _Number:
    number: str


@dataclass(frozen=True)
class _Gateway:
    gateway_id: int
    name: str


# ------------------------------------------------------------------------------------------------- read


def list_numbers(
    conn: Conn,
    *,
    tenant_id: int | None = None,
    state: NumberState | None = None,
    prefix: str = "",
    limit: int | None = None,
) -> list[Number]:
    """Return numbers in order; None lets everything through. prefix: the first digits, with or without +."""
    return db.fetch_all(conn, Number, SQL["list_numbers"], **filters(tenant_id, state, prefix), limit=limit)


def filters(tenant_id: int | None, state: NumberState | None, prefix: str) -> Mapping[str, object]:
    """Return the parameters with which the statement list_numbers chooses numbers."""
    first = prefix.strip().removeprefix("+")
    return {
        "tenant_id": tenant_id,
        "state": state,
        "first": first or None,
        "last": first.ljust(_DIGITS, "9"),
    }


def find(conn: Conn, *, number: str) -> Number:
    """Return one number; raises NotFound."""
    found = find_or_none(conn, number=number)
    if found is None:
        raise NotFound(f"{number} is not in the inventory", kind="number", name=number)
    return found


def find_or_none(conn: Conn, *, number: str) -> Number | None:
    """Return one number, None if it is not in the inventory."""
    exactly = {"tenant_id": None, "state": None, "first": number, "last": number, "limit": 1}
    return db.fetch_one(conn, Number, SQL["list_numbers"], **exactly)


def lookup(conn: Conn, *, number: str) -> NumberLookup:
    """Return what inventory and registry know of a number; raises NotFound if neither knows it."""
    owned = find_or_none(conn, number=number)
    try:
        place = number_range.lookup(conn, number=number)
    except NothingImported:
        place = None
    if owned is None and place is None:
        raise NotFound(f"neither the inventory nor the number ranges hold {number}")
    return NumberLookup(
        number=number,
        state=owned.state if owned else None,
        tenant=owned.tenant if owned else None,
        destination_kind=owned.destination_kind if owned else None,
        destination=owned.destination if owned else None,
        gateway=owned.gateway if owned else None,
        note=owned.note if owned else None,
        region=place.region if place else None,
        operator=place.operator if place else None,
        range_first=place.first if place else None,
        range_last=place.last if place else None,
    )


def gateway_ids(conn: Conn) -> dict[str, int]:
    """Return all gateways by the names that the inventory uses: name, or tenant/name."""
    rows = db.fetch_all(conn, _Gateway, SQL["gateway_names"])
    return {row.name: row.gateway_id for row in rows}


def _gateway_id(conn: Conn, name: str | None) -> int | None:
    if name is None:
        return None
    known = gateway_ids(conn)
    if name not in known:
        raise NotFound(f'there is no gateway "{name}" (that of a tenant is written tenant/name)')
    return known[name]


# ------------------------------------------------------------------------------------------------ change


def add(conn: Conn, *, numbers: Sequence[str], gateway: str | None = None, note: str = "") -> None:
    """Take numbers into the inventory, free. Raises AlreadyExists naming those that are there, NotFound."""
    with conn.transaction():
        added = _run(conn, "add_numbers", numbers, gateway_id=_gateway_id(conn, gateway), note=note.strip())
        there = [number for number in numbers if number not in added]
        if there:
            raise AlreadyExists(f"already in the inventory: {_named(there)}", numbers=there)


def assign(
    conn: Conn,
    *,
    numbers: Sequence[str],
    tenant_id: int,
    destination: Destination | None = None,
    keep_destination: bool = False,
    note: str | None = None,
) -> None:
    """Put numbers to use by a tenant, or change what its numbers lead to.

    destination: None: only routes decide. keep_destination: what they lead to stays. note: None: stays. Raises
    NotFound, NumberRefused, BadDestination.
    """
    with conn.transaction():
        if destination is not None:
            require_destination(conn, tenant_id=tenant_id, destination=destination)
        _move(
            conn,
            NumberOperation.ASSIGN,
            numbers,
            tenant_id=tenant_id,
            destination=destination,
            keep_destination=keep_destination,
            note=note,
        )


def reserve(conn: Conn, *, numbers: Sequence[str], tenant_id: int, note: str | None = None) -> None:
    """Promise numbers to a tenant; they lead nowhere yet. Raises NotFound, NumberRefused."""
    _move(conn, NumberOperation.RESERVE, numbers, tenant_id=tenant_id, note=note)


def free(conn: Conn, *, numbers: Sequence[str], note: str | None = None) -> None:
    """Take numbers back, from whatever they are. Raises NotFound."""
    _move(conn, NumberOperation.FREE, numbers, note=note)


def port(conn: Conn, *, numbers: Sequence[str], note: str | None = None) -> None:
    """Note that numbers left to another operator. Raises NotFound, NumberRefused."""
    _move(conn, NumberOperation.PORT, numbers, note=note)


def change(
    conn: Conn,
    *,
    numbers: Sequence[str],
    gateway: str | None = None,
    keep_gateway: bool = False,
    note: str | None = None,
) -> None:
    """Change the gateway (None: calls come in anywhere) or the note (None: stays) of numbers; raises NotFound."""
    with conn.transaction():
        changed = _run(
            conn,
            "set_numbers",
            numbers,
            gateway_id=_gateway_id(conn, gateway),
            keep_gateway=keep_gateway,
            note=note if note is None else note.strip(),
        )
        _require_there(conn, numbers, changed)


def remove(conn: Conn, *, numbers: Sequence[str]) -> None:
    """Take numbers out of the inventory; raises NotFound, NumberRefused for one that somebody has."""
    with conn.transaction():
        removed = _run(conn, "remove_numbers", numbers, allowed=sorted(REMOVABLE))
        left = _require_there(conn, numbers, removed)
        if left:
            told = _named([f"{row.number} ({row.state})" for row in left])
            raise NumberRefused(f"somebody has these numbers, free them first: {told}")


def _move(
    conn: Conn,
    operation: NumberOperation,
    numbers: Sequence[str],
    *,
    tenant_id: int | None = None,
    destination: Destination | None = None,
    keep_destination: bool = False,
    note: str | None = None,
) -> None:
    """Do an operation with numbers, all or none; raises NotFound, NumberRefused."""
    with conn.transaction():
        moved = _run(
            conn,
            "move_numbers",
            numbers,
            state=target(operation),
            allowed=sources(operation),
            tenant_id=tenant_id,
            keep_destination=keep_destination,
            destination_kind=destination.kind if destination else None,
            destination=destination.value if destination else "",
            note=note if note is None else note.strip(),
        )
        refusals = [
            f"{row.number}: {_refusal(operation, row, tenant_id)}"
            for row in _require_there(conn, numbers, moved)
        ]
        if refusals:
            raise NumberRefused(_named(refusals, "; "))


def _refusal(operation: NumberOperation, row: NumberRecord, tenant_id: int | None) -> str:
    try:
        next_state(operation, row.state, owner=row.tenant_id, tenant_id=tenant_id)
    except KalibriError as error:
        return error.message
    return "somebody else changed it at the same time: try again"


def _run(conn: Conn, statement: str, numbers: Sequence[str], **parameters: object) -> set[str]:
    """Run a statement on numbers and return those that it touched."""
    rows = db.fetch_all(conn, _Number, SQL[statement], numbers=list(numbers), **parameters)
    return {row.number for row in rows}


def _require_there(conn: Conn, numbers: Sequence[str], touched: Collection[str]) -> list[NumberRecord]:
    """Return the numbers that were not touched; raises NotFound naming those that are not there at all."""
    left = [number for number in numbers if number not in touched]
    rows = lock(conn, left) if left else {}
    missing = [number for number in left if number not in rows]
    if missing:
        raise NotFound(f"not in the inventory: {_named(missing)}", numbers=missing)
    return list(rows.values())


def lock(conn: Conn, numbers: Sequence[str]) -> dict[str, NumberRecord]:
    """Return what the inventory holds of these numbers, and keep it so until the transaction ends."""
    rows = db.fetch_all(conn, NumberRecord, SQL["lock_numbers"], numbers=list(numbers))
    return {row.number: row for row in rows}


def _named(names: Sequence[str], between: str = ", ") -> str:
    more = len(names) - NAMED
    return between.join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
