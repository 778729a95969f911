"""The gateway that a campaign or a lead would like best, and the one that a route prefers."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from callcore.gateway import Gateway, GatewayGroup, GatewayState, GroupMember, Rate
from kemi.ks_route.decide import decide
from kemi.ks_route.facts import SystemFacts
from kemi.ks_route.model import DestinationKind, Direction, RelayToGateways, RouteRequest, RouteRow, World
from kemi.ks_route.table import RouteTable

#: In the order of their cost.
NAMES = ("cheap", "far", "dear", "away")
GATEWAYS = {
    name: Gateway(
        gateway_id=n,
        tenant_id=0,
        name=name,
        host=f"192.0.2.{n}",
        rates={"": Rate(prefix="", price_per_minute=Decimal(n))},
    )
    for n, name in enumerate(NAMES, 1)
}
OWN = Gateway(gateway_id=9, tenant_id=1, name="cheap", host="192.0.2.9")
EVERY = tuple(GroupMember(number, 100) for number in (1, 2, 3, 4))
SYSTEM = SystemFacts.make(
    gateways=[*GATEWAYS.values(), OWN],
    groups=[
        GatewayGroup(7, 0, "abroad", (GroupMember(2, 100), GroupMember(4, 100))),
        GatewayGroup(8, 0, "every", EVERY),
        GatewayGroup(9, 0, "two", (GroupMember(1, 100), GroupMember(3, 100))),
    ],
)


def tried(wish: str, *, tenant_id: int = 2, group: str = "every", down: int = 0, **options: Any) -> list[str]:
    """Return the gateways of a call with a wish, in the order in which they are tried."""
    row = RouteRow(
        route_id=1,
        tenant_id=0,
        priority=Decimal(1),
        b_pattern="^7",
        destination_kind=DestinationKind.GROUP,
        destination=group,
        options=options,
    )
    world = World(
        now=datetime(2026, 11, 23, 12, 0, tzinfo=UTC),
        system=SYSTEM,
        gateway_state=lambda number: GatewayState(up=number != down),
    )
    request = RouteRequest(
        tenant_id=tenant_id,
        direction=Direction.APPLICATION,
        a_number="1",
        a_host="a",
        b_number="74951234567",
        b_host="b",
        wish=wish,
    )
    decision = decide(request, RouteTable.from_rows([row]), world)
    assert isinstance(decision, RelayToGateways)
    return [target.name for target in decision.targets]


@pytest.mark.parametrize(
    ("wish", "order"),
    [
        ("", ["cheap", "far", "dear", "away"]),
        ("dear", ["dear", "cheap", "far", "away"]),
        ("abroad", ["far", "away", "cheap", "dear"]),
        ("nobody", ["cheap", "far", "dear", "away"]),
    ],
)
def test_what_is_wished_goes_first_and_the_others_follow_in_their_order(wish: str, order: list[str]) -> None:
    assert tried(wish) == order


def test_the_tenants_own_gateway_of_a_name_is_meant() -> None:
    assert tried("cheap", tenant_id=2) == ["cheap", "far", "dear", "away"]
    assert tried("cheap", tenant_id=1, prefer_gateway="dear") == ["dear", "cheap", "far", "away"]


def test_what_no_route_allows_is_not_tried() -> None:
    assert tried("far", group="two") == ["cheap", "dear"]


def test_the_wish_of_a_call_goes_before_that_of_its_route() -> None:
    assert tried("away", prefer_gateway="dear") == ["away", "dear", "cheap", "far"]
    assert tried("", prefer_gateway="dear") == ["dear", "cheap", "far", "away"]


def test_a_wish_wakes_no_gateway_that_is_down() -> None:
    assert tried("dear", down=3) == ["cheap", "far", "away"]
    assert tried("dear", down=3, emergency=True) == ["cheap", "far", "away", "dear"]
