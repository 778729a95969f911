"""An account calls a public number: gateways are tried by price, dead and ill ones are passed over."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.fix_carriers import Carriers
from tests.support.net_loop import NetLoop
from tests.support.sip_phone import Phone
from tests.support.sip_plan import Plan
from tests.support.sipp import SippRun
from tests.support.switch import Switch


@pytest.fixture
def alice(switch: Switch, net_loop: NetLoop) -> Iterator[Phone]:
    """The phone of account 100."""
    with switch.phone(net_loop, "100") as phone:
        yield phone


def _codes(row: dict[str, object]) -> list[tuple[object, object]]:
    attempts = row["attempts"]
    assert isinstance(attempts, list)
    return [(attempt["gateway_id"], attempt["code"]) for attempt in attempts]


def test_dead_cheapest_gateway_is_passed_over_in_order_of_cost(
    switch: Switch, carriers: Carriers, alice: Phone
) -> None:
    dear = carriers.add("cost-dear", price="9.00")
    carriers.add("cost-dead", price="0.10", plan=Plan.silence(), columns={"no_reply_timeout_ms": 300})
    middle = carriers.add("cost-middle", price="0.50")
    switch.add_group("by-cost", {gateway_id: 100 for gateway_id in carriers.ids.values()})
    switch.add_route("^84952", "group:by-cost", priority=100, options={"caller_id": "74950000001"})
    switch.save()
    call = alice.call("sip:84952000001@demo.test")
    other = middle.wait_call()
    assert not dear.calls
    assert other.invite.from_addr.uri.user == "74950000001"
    assert not middle.seen_headers("X-KS-")
    call.hang_up()
    other.wait_ended()
    row = switch.cdr(call.call_id)
    assert _codes(row) == [(carriers.ids["cost-dead"], 408), (carriers.ids["cost-middle"], 200)]
    assert [attempt["failover"] for attempt in row["attempts"]] == [True, False]
    assert (row["gateway_out_id"], row["final_code"]) == (carriers.ids["cost-middle"], 200)
    routed = next(event for event in switch.events(row["call_id"]) if event["kind"] == "call.route")
    assert [target["name"] for target in routed["data"]["targets"]] == [
        "cost-dead",
        "cost-middle",
        "cost-dear",
    ]


def test_sipp_gateways_fail_over_on_503(
    switch: Switch, carriers: Carriers, alice: Phone, sipp: Callable[..., SippRun]
) -> None:
    full, good = sipp("uas_reject", code=503, reason="Full"), sipp("uas_answer")
    carriers.add_gateway("sipp-full", full.port, price="0.10", probe=False)
    carriers.add_gateway("sipp-good", good.port, price="0.20", probe=False)
    switch.add_group("by-sipp", {gateway_id: 100 for gateway_id in carriers.ids.values()})
    switch.add_route("^84953", "group:by-sipp", priority=100)
    switch.save()
    call = alice.call("sip:84953000001@demo.test")
    good.wait_received("ACK ")
    call.hang_up()
    full.wait()
    good.wait()
    assert _codes(switch.cdr(call.call_id)) == [
        (carriers.ids["sipp-full"], 503),
        (carriers.ids["sipp-good"], 200),
    ]


def test_retry_after_takes_a_gateway_out_for_its_time(
    switch: Switch, carriers: Carriers, alice: Phone
) -> None:
    resting = carriers.add("retry-rest", price="0.10")
    resting.plans = [Plan.reject(503, headers=[("Retry-After", "2 (full)")])]
    steady = carriers.add("retry-steady", price="0.20")
    switch.add_group("by-retry", {gateway_id: 100 for gateway_id in carriers.ids.values()})
    switch.add_route("^84954", "group:by-retry", priority=100)
    switch.save()

    def call() -> list[tuple[object, object]]:
        made = alice.call("sip:84954000001@demo.test")
        made.hang_up()
        return _codes(switch.cdr(made.call_id))

    rest, other = carriers.ids["retry-rest"], carriers.ids["retry-steady"]
    assert call() == [(rest, 503), (other, 200)]
    assert call() == [(other, 200)]
    assert len(resting.calls) == 1
    assert len(steady.calls) == 2
    penalty = switch.rows(
        "SELECT data FROM call_event WHERE kind = 'gateway.penalty' AND (data ->> 'gateway_id')::int = %s",
        [rest],
    )
    assert [entry["data"]["seconds"] for entry in penalty] == [2]
    assert switch.wait(lambda: (codes := call())[0][0] == rest and codes, 10, "the gateway is back")


def test_loss_of_options_takes_a_gateway_out_and_back(
    switch: Switch, carriers: Carriers, alice: Phone
) -> None:
    flaky = carriers.add("probe-flaky", price="0.10")
    carriers.add("probe-steady", price="0.20")
    switch.add_group("by-probe", {gateway_id: 100 for gateway_id in carriers.ids.values()})
    switch.add_route("^84955", "group:by-probe", priority=100)
    switch.save()
    flaky.wait_options()

    def health() -> str:
        rows = switch.rows("SELECT health FROM gateway WHERE gateway_id = %s", [carriers.ids["probe-flaky"]])
        return str(rows[0]["health"])

    def carried_by() -> list[tuple[object, object]]:
        made = alice.call("sip:84955000001@demo.test")
        made.hang_up()
        return _codes(switch.cdr(made.call_id))

    def listed() -> str:
        rows = switch.ksctl_json("gateway", "list")
        return str(next(row["health"] for row in rows if row["name"] == "probe-flaky"))

    flaky.deaf = True
    switch.wait(lambda: health() == "down", 30, "the gateway is down")
    assert listed() == "down"
    assert carried_by() == [(carriers.ids["probe-steady"], 200)]
    assert not flaky.requests("INVITE")
    flaky.deaf = False
    switch.wait(lambda: health() == "up", 30, "the gateway is up")
    assert listed() == "up"
    assert carried_by() == [(carriers.ids["probe-flaky"], 200)]


def test_all_gateways_fail(switch: Switch, carriers: Carriers, alice: Phone) -> None:
    carriers.add("none-first", price="0.10", plan=Plan.reject(502))
    carriers.add("none-last", price="0.20", plan=Plan.reject(503))
    switch.add_group("by-none", {gateway_id: 100 for gateway_id in carriers.ids.values()})
    switch.add_route("^84956", "group:by-none", priority=100)
    switch.save()
    call = alice.invite("sip:84956000001@demo.test")
    # The last response counts; a 503 goes on as 500 (RFC 3261 section 16.7), else callers would avoid all of us.
    assert call.wait_ended().code == 500
    row = switch.cdr(call.call_id)
    assert _codes(row) == [(carriers.ids["none-first"], 502), (carriers.ids["none-last"], 503)]
    assert (row["final_code"], row["talk_ms"], row["hung_up_by"]) == (500, 0, "callee")
    assert row["cause"] == "unavailable"
