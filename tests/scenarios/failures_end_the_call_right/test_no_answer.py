"""Calls that are not answered: given up, busy, unanswered, nowhere to go; each with its code and cause in the CDR."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.baresip import Baresip
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


@pytest.fixture
def bob(switch: Switch, net_loop: NetLoop) -> Iterator[Phone]:
    """The registered phone of account 101."""
    with switch.phone(net_loop, "101") as phone:
        phone.register()
        yield phone
        phone.unregister()


def test_cancel_while_ringing_stops_the_callee(switch: Switch, alice: Phone, bob: Phone) -> None:
    bob.plan = Plan.ring()
    call = alice.invite("101").wait_ringing()
    assert call.cancel().code == 200
    assert call.code == 487
    other = bob.wait_call().wait_ended()
    assert (other.cancelled, other.code) == (True, 487)
    row = switch.cdr(call.call_id)
    assert (row["final_code"], row["hung_up_by"], row["talk_ms"]) == (487, "caller", 0)
    assert row["ringing_at"] is not None
    assert [attempt["code"] for attempt in row["attempts"]] == [487]


def test_cancel_at_a_gateway_tries_no_further_one(switch: Switch, carriers: Carriers, alice: Phone) -> None:
    first = carriers.add("cancel-first", price="0.10", plan=Plan.ring(183, early_media=True))
    second = carriers.add("cancel-second", price="0.20")
    switch.add_group("by-cancel", {gateway_id: 100 for gateway_id in carriers.ids.values()})
    switch.add_route("^84961", "group:by-cancel", priority=100)
    switch.save()
    call = alice.invite("sip:84961000001@demo.test").wait_ringing()
    call.cancel()
    first.wait_call().wait_ended()
    row = switch.cdr(call.call_id)
    assert (row["final_code"], row["hung_up_by"], len(row["attempts"])) == (487, "caller", 1)
    assert not second.calls


@pytest.mark.parametrize("code", [486, 404, 603, 480])
def test_an_answer_about_the_call_is_not_failed_over(
    switch: Switch, carriers: Carriers, alice: Phone, code: int
) -> None:
    carriers.add(f"final-{code}", price="0.10", plan=Plan.reject(code, ring_code=180))
    second = carriers.add(f"never-{code}", price="0.20")
    switch.add_group(f"by-{code}", {gateway_id: 100 for gateway_id in carriers.ids.values()})
    switch.add_route(f"^84962{code}", f"group:by-{code}", priority=100)
    switch.save()
    call = alice.invite(f"sip:84962{code}01@demo.test")
    assert call.wait_ended().code == code
    row = switch.cdr(call.call_id)
    assert (row["final_code"], row["hung_up_by"]) == (code, "callee")
    assert [attempt["code"] for attempt in row["attempts"]] == [code]
    assert not second.calls


def test_busy_after_a_dead_gateway_is_busy(switch: Switch, carriers: Carriers, alice: Phone) -> None:
    """Each attempt is judged, and the caller answered, by its own response, not by the best of all."""
    carriers.add("late-dead", price="0.10", plan=Plan.silence(), columns={"no_reply_timeout_ms": 300})
    carriers.add("late-busy", price="0.20", plan=Plan.reject(486))
    third = carriers.add("late-third", price="0.30")
    switch.add_group("by-late", {gateway_id: 100 for gateway_id in carriers.ids.values()})
    switch.add_route("^84964", "group:by-late", priority=100)
    switch.save()
    call = alice.invite("sip:84964000001@demo.test")
    assert call.wait_ended().code == 486
    row = switch.cdr(call.call_id)
    assert [attempt["code"] for attempt in row["attempts"]] == [408, 486]
    assert (row["final_code"], row["cause"], row["hung_up_by"]) == (486, "busy", "callee")
    assert not third.calls


def test_ring_timeout_ends_an_unanswered_call(switch: Switch, carriers: Carriers, alice: Phone) -> None:
    ringing = carriers.add("ring-long", price="0.10", plan=Plan.ring())
    second = carriers.add("ring-next", price="0.20")
    switch.add_group("by-ring", {gateway_id: 100 for gateway_id in carriers.ids.values()})
    switch.add_route("^84963", "group:by-ring", priority=100, options={"ring_timeout_seconds": 2})
    switch.save()
    call = alice.invite("sip:84963000001@demo.test")
    assert call.wait_ended().code == 408
    ringing.wait_call().wait_ended()
    assert ringing.calls[0].cancelled
    assert not second.calls
    row = switch.cdr(call.call_id)
    assert (row["final_code"], row["hung_up_by"], row["cause"]) == (408, "system", "no_answer")
    assert 1_500 <= row["ring_ms"] <= 4_500


def test_account_without_phone_is_unavailable(switch: Switch, alice: Phone) -> None:
    call = alice.invite("103")
    assert call.wait_ended().code == 480
    row = switch.cdr(call.call_id)
    assert (row["final_code"], row["hung_up_by"], row["cause"]) == (480, "system", "offline")


def test_unknown_number_is_not_found(switch: Switch, alice: Phone) -> None:
    call = alice.invite("no-such-name")
    assert call.wait_ended().code == 404
    row = switch.cdr(call.call_id)
    assert (row["final_code"], row["hung_up_by"], row["attempts"]) == (404, "system", [])


def test_sipp_callers_cancel(switch: Switch, bob: Phone, sipp: Callable[..., SippRun]) -> None:
    bob.plan = Plan.ring()
    run = sipp(
        "uac_cancel",
        remote=switch.address,
        caller="102",
        callee="101",
        domain="demo.test",
        auth=("102", "pw102"),
        calls=3,
    )
    run.wait()
    bob.wait(lambda: len(bob.calls) == 3 and all(call.cancelled for call in bob.calls), 10, "three CANCELs")
    rows = [switch.cdr(call.call_id) for call in bob.calls]
    assert {(row["final_code"], row["hung_up_by"]) for row in rows} == {(487, "caller")}


def test_baresip_refuses_a_call(switch: Switch, alice: Phone, net_loop: NetLoop, tmp_path: Path) -> None:
    with Baresip(
        net_loop, tmp_path / "b", "102", switch.DOMAIN, proxy=switch.address, password="pw102"
    ) as phone:
        phone.wait_registered()
        call = alice.invite("102")
        phone.wait_event("CALL_INCOMING")
        phone.hang_up()
        assert call.wait_ended().code == 486
    row = switch.cdr(call.call_id)
    assert (row["final_code"], row["hung_up_by"], row["cause"]) == (486, "callee", "busy")
