"""The story of one decision, for people: what was looked at, why each earlier route did not match.

Filled by `decide` when a trace is asked for (`ksctl route test`); decides nothing itself.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any

#: Routes shown a hop; the others are counted.
MAX_LOOKED_AT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedAt:
    """One route that came up, in matching order."""

    route_id: int
    tenant_id: int
    priority: Decimal
    name: str
    #: The route that was taken.
    taken: bool
    #: Why it did not match, or what taking it did.
    reason: str


@dataclass(slots=True, kw_only=True)
class HopTrace:
    """One search through the table; a chain has several."""

    a_number: str
    b_number: str
    b_region: str | None = None
    b_operator: str | None = None
    looked_at: list[LookedAt] = field(default_factory=list)
    #: Routes that came up beyond MAX_LOOKED_AT and are not listed.
    omitted: int = 0
    #: Route that was taken; None: none matched.
    route_id: int | None = None
    #: Numbers after the masks of that route.
    a_after: str | None = None
    b_after: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayTrace:
    """One gateway of the destination."""

    gateway_id: int
    name: str
    #: 1 for the first to be tried; None: it is passed over.
    place: int | None
    weight: int
    #: Of a call of the expected length; None: no rate known.
    cost: Decimal | None
    currency: str | None
    up: bool
    calls: int
    #: Why it is passed over, or what put it in its place.
    reason: str


@dataclass(slots=True)
class Trace:
    """Collects; hand an empty one to `decide`."""

    hops: list[HopTrace] = field(default_factory=list)
    gateways: list[GatewayTrace] = field(default_factory=list)
    #: Anything else worth saying, in order.
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for json.dumps; decimals as text."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return str(value) if isinstance(value, Decimal) else value
