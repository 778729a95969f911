"""Calls at once are limited per account, tenant, route and gateway; an emergency route (A7) passes them all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.fix_carriers import Carriers
from tests.support.net_loop import NetLoop
from tests.support.sip_call import Call
from tests.support.sip_phone import Phone
from tests.support.switch import Switch


@pytest.fixture
def alice(switch: Switch, net_loop: NetLoop) -> Iterator[Phone]:
    """The phone of account 180, which may make one call at once."""
    if not switch.rows("SELECT FROM account WHERE username = '180'"):
        switch.add_account("180", max_calls=1)
    with switch.phone(net_loop, "180") as phone:
        yield phone


@pytest.fixture
def tenant_limit(switch: Switch) -> Iterator[None]:
    """The tenant may have two calls at once."""

    def limit(calls: int | None) -> None:
        statement = "UPDATE tenant SET max_calls = %s WHERE tenant_id = %s RETURNING tenant_id"
        switch.rows(statement, [calls, switch.tenant_id])
        switch.save()

    limit(2)
    yield
    limit(None)


def _refused(switch: Switch, call: Call, limit: str) -> None:
    assert call.wait_ended().code == 403
    row = switch.cdr(call.call_id)
    assert (row["final_code"], row["hung_up_by"], row["emergency"]) == (403, "system", False)
    assert row["cause"] == "forbidden"
    end = next(event for event in switch.events(row["call_id"]) if event["kind"] == "call.end")
    assert f"calls of {limit}" in end["data"]["reason"]


def _passes(switch: Switch, phone: Phone) -> Call:
    call = phone.call("sip:112@demo.test")
    assert not call.provisional[-1].headers.starting_with("X-KS-")
    return call


def test_limits_refuse_ordinary_calls_and_let_emergency_calls_pass(
    switch: Switch, carriers: Carriers, net_loop: NetLoop, alice: Phone, tenant_limit: None
) -> None:
    carrier, roomy = carriers.add("limited", columns={"max_calls": 1}), carriers.add("roomy")
    switch.add_route("^84981000001", "gateway:limited", priority=400)
    switch.add_route("^84981", "gateway:roomy", priority=401)
    switch.add_route("^112$", "gateway:limited", priority=1, options={"emergency": True, "max_calls": 1})
    switch.save()
    first = alice.call("sip:84981000001@demo.test")
    _refused(switch, alice.invite("sip:84981000002@demo.test"), "account")
    with switch.phone(net_loop, "100") as bob, switch.phone(net_loop, "101") as carol:
        second = bob.call("sip:84981000003@demo.test")
        _refused(switch, carol.invite("sip:84981000004@demo.test"), "tenant")
        emergencies = [_passes(switch, phone) for phone in (alice, bob, carol)]
        assert (len(carrier.calls), len(roomy.calls)) == (4, 1)
        for call in [*emergencies, first, second]:
            call.hang_up()
        for call in emergencies:
            row = switch.cdr(call.call_id)
            assert (row["final_code"], row["emergency"], row["b_number"]) == (200, True, "112")
        again = alice.call("sip:84981000005@demo.test")
        again.hang_up()
        assert switch.cdr(again.call_id)["final_code"] == 200


def test_full_gateway_gives_the_call_to_the_next(
    switch: Switch, carriers: Carriers, net_loop: NetLoop
) -> None:
    carriers.add("narrow", price="0.10", columns={"max_calls": 1})
    wide = carriers.add("wide", price="0.20")
    switch.add_group("by-room", {gateway_id: 100 for gateway_id in carriers.ids.values()})
    switch.add_route("^84982", "group:by-room", priority=400)
    switch.add_route("^84983", "gateway:narrow", priority=400)
    switch.save()
    with switch.phone(net_loop, "100") as alice:
        first, second = alice.call("sip:84982000001@demo.test"), alice.call("sip:84982000002@demo.test")
        assert len(wide.calls) == 1
        third = alice.invite("sip:84983000001@demo.test")
        assert third.wait_ended().code == 503
        first.hang_up()
        switch.cdr(first.call_id)
        fourth = alice.call("sip:84983000002@demo.test")
        second.hang_up()
        fourth.hang_up()
    assert switch.cdr(first.call_id)["gateway_out_id"] == carriers.ids["narrow"]
    assert switch.cdr(second.call_id)["gateway_out_id"] == carriers.ids["wide"]
    assert switch.cdr(third.call_id)["final_code"] == 503


def test_full_route_is_passed_over(switch: Switch, carriers: Carriers, net_loop: NetLoop) -> None:
    one, two = carriers.add("route-one"), carriers.add("route-two")
    switch.queue_route("^84984", "gateway:route-one", priority=400, options={"max_calls": 1})
    switch.queue_route("^84984", "gateway:route-two", priority=401)
    ids = switch.save_routes()
    switch.save()
    with switch.phone(net_loop, "100") as alice:
        first, second = alice.call("sip:84984000001@demo.test"), alice.call("sip:84984000002@demo.test")
        assert (len(one.calls), len(two.calls)) == (1, 1)
        first.hang_up()
        second.hang_up()
    assert switch.cdr(second.call_id)["route_ids"] == [ids[1]]
