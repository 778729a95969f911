"""Objects that numbers and routes lead to by name are not removed under them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from callcore.errors import StillInUse
from kalibri import db
from kalibri.db import Conn
from kemi.ks_route.model import DestinationKind

SQL = db.statements("references")


@dataclass(frozen=True)
class _Named:
    name: str


def refuse_if_used(
    conn: Conn, *, kind: DestinationKind, tenant_id: int, name: str, shadowed_by: Sequence[int] = ()
) -> None:
    """Raise StillInUse, naming some of the numbers and routes that lead to an object.

    shadowed_by: tenants that have an object of this name of their own, when it is one of the system.
    """
    parameters = {"kind": kind.value, "tenant_id": tenant_id, "name": name, "shadowed_by": list(shadowed_by)}
    found = [row.name for row in db.fetch_all(conn, _Named, SQL["references"], **parameters)]
    if found:
        more = " and more" if len(found) > 5 else ""
        raise StillInUse(f'{", ".join(found[:5])}{more} still lead to {kind} "{name}"', used_by=found)
