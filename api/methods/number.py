"""Methods number.* and range.*: public numbers and the national registry of ranges.

The inventory is the operator's: a tenant reads what it has.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from api.method import Context, Method, Scope, Tenancy
from callcore.errors import BadInput, NotFound
from callcore.inventory import NumberState, parse_numbers
from kalibri.db import Conn
from kalibri.services import number as inventory
from kalibri.services import number_csv, number_range
from kalibri.services.destination import parse_destination
from kalibri.services.number import Number, NumberLookup
from kalibri.services.number_range import RangeDifference, RangeImport, RangeOfNumber, RegionInUse
from kemi.ks_route.model import DestinationKind

#: Numbers, and ranges as FIRST-LAST.
Words = Annotated[list[Annotated[str, Field(max_length=40)]], Field(min_length=1, max_length=1000)]
Limit = Annotated[int, Field(ge=1, le=10_000)]


def list_numbers(
    conn: Conn,
    *,
    tenant_id: int | None = None,
    state: NumberState | None = None,
    prefix: Annotated[str, Field(max_length=20)] = "",
    limit: Limit = 1000,
) -> list[Number]:
    """Return numbers in order. prefix: the first digits, with or without +."""
    return inventory.list_numbers(conn, tenant_id=tenant_id, state=state, prefix=prefix, limit=limit)


def _e164(context: Context, number: str) -> str:
    return number_range.to_e164(number, country_code=context.config.routing.home_country_code)


def show(context: Context, *, number: str) -> Number:
    """Return one number of the inventory; raises NotFound, NotANumber."""
    return inventory.find(context.conn, number=_e164(context, number))


def lookup(context: Context, *, number: str) -> NumberLookup:
    """Return what inventory and registry know of any number; raises NotFound, NotANumber."""
    return inventory.lookup(context.conn, number=_e164(context, number))


def add(conn: Conn, *, numbers: Words, gateway: str | None = None, note: str = "") -> None:
    """Take numbers into the inventory, free; raises AlreadyExists, NotFound, BadNumber."""
    inventory.add(conn, numbers=parse_numbers(numbers), gateway=gateway, note=note)


def change(
    conn: Conn,
    *,
    numbers: Words,
    gateway: str | None = None,
    any_gateway: bool = False,
    note: str | None = None,
) -> None:
    """Change gateway or note; any_gateway: calls come in anywhere. What is not given stays. Raises NotFound."""
    if gateway is not None and any_gateway:
        raise BadInput("give gateway or any_gateway")
    inventory.change(
        conn,
        numbers=parse_numbers(numbers),
        gateway=gateway,
        keep_gateway=gateway is None and not any_gateway,
        note=note,
    )


def assign(
    conn: Conn,
    *,
    tenant_id: int,
    numbers: Words,
    destination_kind: DestinationKind | None = None,
    destination: str = "",
    routes_decide: bool = False,
    note: str | None = None,
) -> None:
    """Put numbers to use by a tenant, or change what its numbers lead to.

    Without a destination they lead where they led; routes_decide: nowhere but where routes say. Raises NotFound,
    NumberRefused, BadDestination.
    """
    inventory.assign(
        conn,
        numbers=parse_numbers(numbers),
        tenant_id=tenant_id,
        destination=parse_destination(destination_kind, destination) if destination_kind else None,
        keep_destination=destination_kind is None and not routes_decide,
        note=note,
    )


def reserve(conn: Conn, *, tenant_id: int, numbers: Words, note: str | None = None) -> None:
    """Promise numbers to a tenant; they lead nowhere yet. Raises NotFound, NumberRefused."""
    inventory.reserve(conn, numbers=parse_numbers(numbers), tenant_id=tenant_id, note=note)


def free(conn: Conn, *, numbers: Words, note: str | None = None) -> None:
    """Take numbers back, from whatever they are; raises NotFound."""
    inventory.free(conn, numbers=parse_numbers(numbers), note=note)


def port(conn: Conn, *, numbers: Words, note: str | None = None) -> None:
    """Note that numbers left to another operator; raises NotFound, NumberRefused."""
    inventory.port(conn, numbers=parse_numbers(numbers), note=note)


def remove(conn: Conn, *, numbers: Words) -> None:
    """Take numbers out of the inventory; raises NotFound, NumberRefused for one that somebody has."""
    inventory.remove(conn, numbers=parse_numbers(numbers))


def import_ranges(context: Context, *, file: Path, dry_run: bool = False) -> RangeImport:
    """Put the ranges of a registry text in force instead of all earlier ones; raises CsvRefused."""
    with context.conn.transaction(force_rollback=dry_run):
        return number_range.import_ranges(
            context.conn, files=[file], country_code=context.config.routing.home_country_code
        )


def diff_ranges(context: Context, *, file: Path) -> list[RangeDifference]:
    """Compare a registry text with the ranges in force; stores nothing. Raises CsvRefused."""
    return number_range.diff_ranges(
        context.conn, files=[file], country_code=context.config.routing.home_country_code
    )


def lookup_range(context: Context, *, number: str) -> RangeOfNumber:
    """Return region and operator of a number; raises NotFound, NotANumber."""
    e164 = _e164(context, number)
    found = number_range.lookup(context.conn, number=e164)
    if found is None:
        raise NotFound(f"no range holds {e164}")
    return found


def regions(conn: Conn, *, unknown: bool = False) -> list[RegionInUse]:
    """Return the regions in force, as routes and gateways name them; unknown: only those nobody knows."""
    return [row for row in number_range.list_regions(conn) if not (unknown and row.known)]


METHODS = (
    Method("number.list", list_numbers, Scope.READ, Tenancy.FILTER),
    Method("number.show", show, Scope.READ, Tenancy.ROWS),
    Method("number.lookup", lookup, Scope.READ, Tenancy.ROWS),
    Method("number.add", add, Scope.ADMIN, Tenancy.SYSTEM),
    Method("number.set", change, Scope.ADMIN, Tenancy.SYSTEM),
    Method("number.assign", assign, Scope.ADMIN, Tenancy.SYSTEM),
    Method("number.reserve", reserve, Scope.ADMIN, Tenancy.SYSTEM),
    Method("number.free", free, Scope.ADMIN, Tenancy.SYSTEM),
    Method("number.port", port, Scope.ADMIN, Tenancy.SYSTEM),
    Method("number.rm", remove, Scope.ADMIN, Tenancy.SYSTEM),
    Method("number.export", number_csv.export, Scope.READ, Tenancy.FILTER),
    Method("number.import", number_csv.import_, Scope.ADMIN, Tenancy.SYSTEM),
    Method("range.list", number_range.list_sets, Scope.READ, Tenancy.SYSTEM),
    Method("range.import", import_ranges, Scope.ADMIN, Tenancy.SYSTEM),
    Method("range.diff", diff_ranges, Scope.READ, Tenancy.SYSTEM),
    Method("range.use", number_range.use_set, Scope.ADMIN, Tenancy.SYSTEM),
    Method("range.regions", regions, Scope.READ, Tenancy.ROWS),
    Method("range.lookup", lookup_range, Scope.READ, Tenancy.ROWS),
)
