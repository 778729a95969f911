"""What a leg that is called tells the proxy beside its number."""

from __future__ import annotations

import pytest

from sems_apps.actions import Dial, LegKind, leg_argument
from sems_apps.dial_order import read_order
from sems_apps.events import DialDue
from sems_apps.machines.autodial import AutoDial


@pytest.mark.parametrize(
    ("target", "gateway", "argument"),
    [
        ("79161234567", "", "tenant=3"),
        ("account:eve", "", "tenant=3;to_kind=account"),
        ("account;tenant=1:eve", "", "tenant=3"),
        ("sip:1@x", "mts", "tenant=3;gateway=mts"),
        ("79161234567", "a;tenant=1", "tenant=3;gateway=a%3Btenant%3D1"),
    ],
)
def test_argument(target: str, gateway: str, argument: str) -> None:
    assert leg_argument(3, Dial("x", LegKind.CALLEE, target, "1", gateway=gateway)) == argument


def test_a_dial_asks_for_the_gateway_of_its_order() -> None:
    order = read_order(tenant=3, attempt=1, campaign=1, call="c", number="79", data={"gateway": "mts"})
    (dial,) = [action for action in AutoDial().step(DialDue(order), 0.0) if isinstance(action, Dial)]
    assert dial.gateway == "mts"
