"""No media relay can be had: a call that needs one is answered 503 and never half deaf; a direct call works."""

from __future__ import annotations

from tests.support.faults import start, stop
from tests.support.net_loop import NetLoop
from tests.support.sip_call import Call
from tests.support.sip_phone import Nat, Phone
from tests.support.switch import Switch


def test_nated_call_gets_503_and_a_direct_call_works(own_switch: Switch, net_loop: NetLoop) -> None:
    switch = own_switch
    for username in ("102", "103"):
        switch.add_account(username)
    switch.save()
    with (
        switch.phone(net_loop, "100", media=True, nat=Nat()) as nated,
        switch.phone(net_loop, "101", media=True) as callee,
        switch.phone(net_loop, "102", media=True) as caller,
        switch.phone(net_loop, "103", media=True, nat=Nat("192.168.79.3")) as nated_callee,
    ):
        for phone in (nated, callee, caller, nated_callee):
            phone.register()
        stop(switch, "rtp-1")
        from_nat, to_nat = nated.invite("101"), caller.invite("103")
        from_nat.wait_ended(20)
        to_nat.wait_ended(20)
        assert (from_nat.code, to_nat.code) == (503, 503)
        assert callee.calls == []
        assert nated_callee.calls == []
        direct = caller.call("101")
        direct.hang_up()
        callee.calls[0].wait_ended()
        start(switch, "rtp-1")
        tried = [_tried(nated)]
        # Each process of the proxy leaves a relay that did not answer alone for a second.
        switch.wait(lambda: tried[-1].code == 200 or tried.append(_tried(nated)), 10, "a call with media")
        relayed = tried[-1]
        relayed.hang_up()
        callee.calls[-1].wait_ended()
    for call in (from_nat, to_nat):
        row = switch.cdr(call.call_id)
        assert (row["final_code"], row["answered_at"]) == (503, None)
        assert "media.unavailable" in [event["kind"] for event in switch.events(row["call_id"])]
    for call in (direct, relayed):
        assert switch.cdr(call.call_id)["final_code"] == 200
    assert len(switch.rows("SELECT 1 FROM call")) == 3 + len(tried)


def _tried(phone: Phone) -> Call:
    """Place a call and wait for its final response."""
    call = phone.invite("101")
    phone.wait(lambda: call.code, 20, "a final response")
    return call
