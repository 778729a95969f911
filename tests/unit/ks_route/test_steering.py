"""Gateways that the dialler lets rest, and the one that it probes."""

from __future__ import annotations

from callcore.gateway import Gateway
from kemi.ks_route.model import Decision, GatewayTarget, RejectCall, RelayToGateways
from kemi.ks_route.steering import steer

NAMES = ("cheap", "dear", "far", "away")
GATEWAYS = {
    name: Gateway(gateway_id=n, tenant_id=0, name=name, host=f"192.0.2.{n}")
    for n, name in enumerate(NAMES, 1)
}
PLAIN = {"tenant_id": 1, "a_sent": "1", "b_sent": "2"}


def routed(*names: str) -> RelayToGateways:
    targets = tuple(
        GatewayTarget(gateway=GATEWAYS[name], cost=None, currency=None, weight=100) for name in names
    )
    return RelayToGateways(targets=targets, **PLAIN)  # type: ignore[arg-type]


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


def test_a_refusal_stays_one() -> None:
    refused: Decision = RejectCall(code=404, **PLAIN)  # type: ignore[arg-type]
    assert steer(refused, avoid="1", probe="2") is refused
