"""RouteRow as JSON: the form in which overlay files carry routes.

Decides nothing; unknown keys (folder, note, pattern_classes ...) are passed over, so that whole rows of table
`route` may be written as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal
from typing import Any

from kemi.ks_route.model import DestinationKind, Direction, RouteRow

_PLAIN = tuple(
    entry.name
    for entry in fields(RouteRow)
    if entry.name not in ("priority", "directions", "destination_kind", "options")
)


def row_to_json(row: RouteRow) -> dict[str, Any]:
    """Return plain values; what is not set is left out."""
    plain = {name: value for name in _PLAIN if (value := getattr(row, name)) is not None}
    return {
        **plain,
        "priority": str(row.priority),
        "directions": [direction.value for direction in row.directions],
        "destination_kind": row.destination_kind.value,
        "options": dict(row.options),
    }


def row_from_json(data: Mapping[str, Any]) -> RouteRow:
    """Return the row; raises KeyError, ValueError or TypeError if it is not one."""
    plain = {name: data[name] for name in _PLAIN if data.get(name) is not None}
    return RouteRow(
        **plain,
        priority=Decimal(str(data["priority"])),
        directions=tuple(Direction(word) for word in data.get("directions") or ()),
        destination_kind=DestinationKind(data["destination_kind"]),
        options=data.get("options") or {},
    )
