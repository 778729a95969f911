"""Cost with billing increments, fair weighted order, who is passed over, and when the next gateway is tried."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from callcore.gateway import (
    MAX_PENALTY_SECONDS,
    Gateway,
    GatewayGroup,
    GatewayState,
    GroupMember,
    OrderWishes,
    Rate,
    billed_seconds,
    call_cost,
    order_gateways,
    penalty_after_failures,
    should_fail_over,
    weighted_rank,
)


def rate(price: str, fee: str = "0", first: int = 60, following: int = 60, **more: Any) -> Rate:
    return Rate(
        prefix=more.pop("prefix", ""),
        price_per_minute=Decimal(price),
        connection_fee=Decimal(fee),
        first_increment_seconds=first,
        next_increment_seconds=following,
        **more,
    )


def gateway(gateway_id: int, *rates: Rate, **more: Any) -> Gateway:
    facts: dict[str, Any] = {"tenant_id": 0, "name": f"gw{gateway_id}", "host": "192.0.2.1", **more}
    return Gateway(gateway_id=gateway_id, rates={entry.prefix: entry for entry in rates}, **facts)


def healthy(_gateway_id: int) -> GatewayState:
    return GatewayState()


def order(
    *members: tuple[Gateway, int],
    number: str = "74951234567",
    state: Callable[[int], GatewayState] = healthy,
    seed: str = "s",
    **wishes: Any,
) -> tuple[list[str], dict[str, str]]:
    made = order_gateways(members, number, state, OrderWishes(**wishes), seed=seed)
    return [entry.gateway.name for entry in made.choices], {
        entry.name: entry.reason for entry in made.skipped
    }


@pytest.mark.parametrize(
    ("first", "following", "seconds", "billed"),
    [
        (60, 60, 0, 60), (60, 60, 1, 60), (60, 60, 60, 60), (60, 60, 61, 120), (60, 60, 120, 120),
        (1, 1, 0, 1), (1, 1, 10, 10),
        (30, 6, 1, 30), (30, 6, 30, 30), (30, 6, 31, 36), (30, 6, 36, 36), (30, 6, 37, 42),
    ],
)  # fmt: skip
def test_only_whole_increments_are_billed(first: int, following: int, seconds: int, billed: int) -> None:
    assert billed_seconds(rate("1", first=first, following=following), seconds) == billed


@pytest.mark.parametrize(
    ("one", "seconds", "cost"),
    [
        (rate("1.20"), 10, "1.20"),
        (rate("1.20", first=1, following=1), 10, "0.20"),
        (rate("1.20", "0.50", 1, 1), 10, "0.70"),
        (rate("0.60", "0.10", 30, 6), 37, "0.52"),
    ],
)
def test_cost_of_a_call_is_exact(one: Rate, seconds: int, cost: str) -> None:
    assert call_cost(one, seconds) == Decimal(cost)


def test_the_longest_prefix_counts_and_the_empty_one_is_the_default() -> None:
    gw = gateway(1, rate("9"), rate("5", prefix="7"), rate("3", prefix="7495"))
    found = {number: gw.rate_for(number) for number in ("74951234567", "+7499", "7", "491", "", "alice")}
    assert {number: entry and str(entry.price_per_minute) for number, entry in found.items()} == {
        "74951234567": "3", "+7499": "5", "7": "5", "491": "9", "": "9", "alice": "9",
    }  # fmt: skip
    assert gateway(2, rate("5", prefix="7")).rate_for("491") is None


def test_cheapest_first_and_without_a_rate_last() -> None:
    members = [(gateway(1), 100), (gateway(2, rate("2")), 1), (gateway(3, rate("1")), 1)]
    assert order(*members)[0] == ["gw3", "gw2", "gw1"]


def test_which_is_cheapest_depends_on_the_length_of_the_call() -> None:
    by_minute, by_second = gateway(1, rate("1.00")), gateway(2, rate("1.50", first=1, following=1))
    members = [(by_minute, 1), (by_second, 1)]
    assert order(*members, expected_call_seconds=10)[0] == ["gw2", "gw1"]
    assert order(*members, expected_call_seconds=180)[0] == ["gw1", "gw2"]


def test_different_currencies_cannot_be_compared_so_weight_alone_orders() -> None:
    members = [(gateway(1, rate("1")), 1), (gateway(2, rate("99", currency="EUR")), 10_000)]
    firsts = Counter(order(*members, seed=str(number))[0][0] for number in range(200))
    assert firsts["gw2"] > 190


def test_weight_zero_down_and_full_are_passed_over_with_the_reason() -> None:
    states = {
        2: GatewayState(up=False, reason="no answer to OPTIONS"),
        3: GatewayState(calls=5),
        4: GatewayState(calls=4),
    }
    members = [(gateway(1), 0), (gateway(2), 1), (gateway(3, max_calls=5), 1), (gateway(4, max_calls=5), 1)]
    names, skipped = order(*members, state=lambda key: states.get(key, GatewayState()))
    assert names == ["gw4"]
    assert skipped == {
        "gw1": "weight 0: taken out of the group",
        "gw2": "down: no answer to OPTIONS",
        "gw3": "full: 5 of 5 calls",
    }


def test_an_emergency_call_uses_full_gateways_and_tries_dead_ones_last() -> None:
    states = {1: GatewayState(up=False), 2: GatewayState(calls=5)}
    members = [(gateway(1, rate("1")), 1), (gateway(2, rate("9"), max_calls=5), 1), (gateway(3), 0)]
    names, skipped = order(*members, state=lambda key: states.get(key, GatewayState()), emergency=True)
    assert names == ["gw2", "gw1"]
    assert list(skipped) == ["gw3"]


def test_the_preferred_gateway_comes_first_then_local_ones_then_cost() -> None:
    members = [
        (gateway(1, rate("1")), 1),
        (gateway(2, rate("2"), region="Москва"), 1),
        (gateway(3, rate("3"), region="Москва"), 1),
        (gateway(4, rate("9")), 1),
    ]
    wishes: dict[str, Any] = {"local_region": "Москва", "preferred": (frozenset({4}),)}
    assert order(*members, **wishes)[0] == ["gw4", "gw2", "gw3", "gw1"]
    wishes["preferred"] = (frozenset({1, 3}), frozenset({4}))
    assert order(*members, **wishes)[0] == ["gw3", "gw1", "gw4", "gw2"]


def test_the_same_call_gets_the_same_order_again() -> None:
    members = [(gateway(number), 100) for number in range(1, 9)]
    assert order(*members, seed="call-1") == order(*members, seed="call-1")
    assert len({tuple(order(*members, seed=f"call-{number}")[0]) for number in range(50)}) > 40


@pytest.mark.parametrize("weights", [(1, 2, 4), (100, 100, 100, 100), (1, 99), (10, 20, 30, 40), (1, 10_000)])
def test_weights_are_fair_for_every_place(weights: tuple[int, ...]) -> None:
    """Chi-square against the exact probabilities of first and second place; p = 0.0001 a table of seeds.

    The seeds are fixed, so this either holds for good or shows a real bias.
    """
    calls = 20_000
    members = [(gateway(number), weight) for number, weight in enumerate(weights, 1)]
    orders = [order(*members, seed=f"018f-{number:x}", group_order="weight")[0] for number in range(calls)]
    total = sum(weights)
    first = {f"gw{number}": weight / total for number, weight in enumerate(weights, 1)}
    second = {
        name: sum(first[other] * first[name] / (1 - first[other]) for other in first if other != name)
        for name in first
    }
    for place, expected in ((0, first), (1, second)):
        counted = Counter(names[place] for names in orders)
        chi_square = sum((counted[name] - calls * p) ** 2 / (calls * p) for name, p in expected.items())
        degrees = len(weights) - 1
        assert chi_square < degrees + 4 * math.sqrt(2 * degrees) + 8, (place, counted)


def test_weighted_rank_is_a_positive_finite_number_for_any_seed() -> None:
    for seed in ("", "x", "\udc80", "a" * 1000):
        assert 0 < weighted_rank(seed, 1, 10_000) < math.inf


@pytest.mark.parametrize(
    ("code", "facts", "try_next", "failed", "penalty"),
    [
        (None, {}, True, True, None),
        (None, {"had_provisional": True}, False, False, None),
        (408, {}, True, True, None),
        (408, {"had_provisional": True}, False, False, None),
        (500, {}, True, True, None),
        (502, {"had_provisional": True}, True, True, None),
        (503, {}, True, True, None),
        (503, {"retry_after_seconds": 30}, True, True, 30),
        (503, {"retry_after_seconds": 0}, True, True, None),
        (503, {"retry_after_seconds": 10**6}, True, True, MAX_PENALTY_SECONDS),
        (504, {"retry_after_seconds": 30}, True, True, None),
        (501, {}, True, False, None),
        (513, {}, True, False, None),
        (486, {}, False, False, None),
        (404, {}, False, False, None),
        (603, {}, False, False, None),
        (600, {}, False, False, None),
        (403, {}, False, False, None),
        (480, {}, False, False, None),
        (487, {}, False, False, None),
        (302, {}, False, False, None),
        (503, {"caller_gone": True}, False, False, None),
        (None, {"caller_gone": True}, False, False, None),
    ],
)
def test_failover(
    code: int | None, facts: dict[str, Any], try_next: bool, failed: bool, penalty: int | None
) -> None:
    verdict = should_fail_over(code, **{"had_provisional": False, **facts})
    assert (verdict.try_next, verdict.gateway_failed, verdict.penalty_seconds) == (try_next, failed, penalty)
    assert verdict.reason


def test_failures_in_a_row_take_a_gateway_out_for_a_while() -> None:
    assert penalty_after_failures(2, limit=3, penalty_seconds=60) is None
    assert penalty_after_failures(3, limit=3, penalty_seconds=60) == 60
    assert penalty_after_failures(100, limit=0, penalty_seconds=60) is None


def test_a_gateway_and_a_group_are_read_from_the_system_file() -> None:
    data = {
        "gateway_id": 4, "tenant_id": 0, "name": "gw", "host": "h", "port": 5070, "transport": "tcp",
        "source_networks": ["192.0.2.0/24"], "source_port": None, "max_calls": 10, "region": None, "probe": False,
        "media_relay": "never", "no_reply_timeout_ms": 500, "ring_timeout_seconds": 30, "later_key": 1,
        "trunk": {"trunk_id": 1, "username": "u", "domain": "d", "auth_username": "a", "auth_realm": "r",
                  "auth_ha1": "h"},
        "rates": [{"prefix": "7", "price_per_minute": "0.500000", "connection_fee": "0", "first_increment_seconds": 1,
                   "next_increment_seconds": 1, "currency": "RUB"}],
    }  # fmt: skip
    gw = Gateway.from_json(data)
    assert (gw.port, gw.transport, gw.probe, gw.max_calls, gw.source_port) == (5070, "tcp", False, 10, None)
    assert gw.source_networks == ("192.0.2.0/24",)
    assert gw.trunk is not None
    assert gw.trunk.auth_realm == "r"
    assert gw.rates["7"] == rate("0.5", first=1, following=1, prefix="7")
    group = GatewayGroup.from_json(
        {"group_id": 1, "tenant_id": 0, "name": "g", "members": [{"gateway_id": 4, "weight": 7}]}
    )
    assert group.members == (GroupMember(4, 7),)
