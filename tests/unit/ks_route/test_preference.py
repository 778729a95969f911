"""The gateway that a campaign or a lead would like best."""

from __future__ import annotations

import pytest

from callcore.gateway import Gateway, GatewayGroup, GroupMember
from kemi.ks_route.facts import SystemFacts
from kemi.ks_route.model import Decision, GatewayTarget, RejectCall, RelayToGateways
from kemi.ks_route.preference import prefer, steer

NAMES = ("cheap", "dear", "far", "away")
GATEWAYS = {
    name: Gateway(gateway_id=n, tenant_id=0, name=name, host=f"192.0.2.{n}")
    for n, name in enumerate(NAMES, 1)
}
OWN = Gateway(gateway_id=9, tenant_id=1, name="cheap", host="192.0.2.9")
SYSTEM = SystemFacts.make(
    gateways=[*GATEWAYS.values(), OWN],
    groups=[GatewayGroup(7, 0, "abroad", (GroupMember(3, 100), GroupMember(4, 100)))],
)
PLAIN = {"tenant_id": 1, "a_sent": "1", "b_sent": "2"}


def routed(*names: str) -> RelayToGateways:
    targets = tuple(
        GatewayTarget(gateway=GATEWAYS[name], cost=None, currency=None, weight=100) for name in names
    )
    return RelayToGateways(targets=targets, **PLAIN)  # type: ignore[arg-type]


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
    decision = prefer(routed("cheap", "far", "dear", "away"), wish, 2, SYSTEM)
    assert isinstance(decision, RelayToGateways)
    assert [target.name for target in decision.targets] == order


def test_the_tenants_own_gateway_of_a_name_is_meant_and_what_no_route_allows_is_not_tried() -> None:
    decision = routed("dear", "cheap")
    assert prefer(decision, "cheap", 1, SYSTEM) == decision
    assert prefer(decision, "far", 2, SYSTEM) == decision


def test_a_refusal_stays_one() -> None:
    refused: Decision = RejectCall(code=404, **PLAIN)  # type: ignore[arg-type]
    assert prefer(refused, "dear", 1, SYSTEM) is refused


def test_gateways_that_rest_are_not_tried_and_the_one_to_probe_is_first() -> None:
    decision = steer(routed("cheap", "far", "dear"), avoid="1,4", probe="2")
    assert isinstance(decision, RelayToGateways)
    assert [target.name for target in decision.targets] == ["dear", "far"]
    plain = routed("cheap", "far")
    assert steer(plain) is plain


def test_when_all_of_them_rest_the_call_is_refused() -> None:
    decision = steer(routed("cheap", "dear"), avoid="1,2")
    assert isinstance(decision, RejectCall)
    assert (decision.code, decision.reason) == (503, "the dialler lets cheap, dear rest")
    assert (decision.tenant_id, decision.b_sent) == (1, "2")
