"""A caller reaches a queue with a free agent: straight to his phone, and he is never dropped."""

from __future__ import annotations

import pytest

from tests.support.call_centre import CallCentre
from tests.support.rtp_peer import known_payload
from tests.support.sip_phone import Nat
from tests.support.sip_plan import Plan


def test_the_free_agent_talks_and_is_busy_meanwhile(call_centre: CallCentre) -> None:
    eve = call_centre.agent(media=True)
    sales = call_centre.queue([eve], wrapup_seconds=0)
    eve.phone.plan = Plan.answer(ring_after=0.05, final_after=0.1)
    call = call_centre.caller(media=True).call(sales.uri)
    eve.wait("busy")
    other = eve.call()
    call.media.play(known_payload(0.4, 1))
    other.media.play(known_payload(0.4, 2))
    call.media.wait_received(15)
    other.media.wait_received(15)
    assert other.invite.headers.starting_with("X-KS-") == []
    call.hang_up()
    other.wait_ended()
    eve.wait("free")
    assert sales.outcomes == ["answered"]
    assert sales.entries[0]["variables"] == {"called": sales.uri.removeprefix("sip:").partition("@")[0]}
    assert sales.offers[0]["hung_up_by"] == "caller"
    assert sales.wait_entry("ended")["end_reason"] == "served"
    row = call_centre.switch.cdr(call.call_id)
    assert (row["final_code"], row["hung_up_by"]) == (200, "caller")
    assert str(row["call_id"]) == str(sales.entries[0]["call_id"])


def test_the_agent_hangs_up_first(call_centre: CallCentre) -> None:
    eve = call_centre.agent()
    sales = call_centre.queue([eve], wrapup_seconds=0)
    call = call_centre.caller().call(sales.uri)
    eve.call().wait_answered().hang_up()
    call.wait_ended()
    eve.wait("free")
    assert sales.offers[0]["hung_up_by"] == "agent"


@pytest.mark.parametrize(
    ("plan", "outcome"),
    [
        (Plan.ring(), "no_answer"),
        (Plan.reject(603, ring_code=180), "rejected"),
        (Plan.reject(486), "busy"),
        (Plan.silence(), "unreachable"),
        (Plan.reject(488), "failed"),
        (Plan.redirect("sip:elsewhere@127.0.0.1:9"), "rejected"),
    ],
    ids=["no answer", "reject", "busy", "dead phone", "codec", "302"],
)
def test_each_outcome_leads_to_the_next_agent(call_centre: CallCentre, plan: Plan, outcome: str) -> None:
    eve, adam = call_centre.agent(), call_centre.agent()
    sales = call_centre.queue([eve, adam], strategy="linear", ring_seconds=2, wrapup_seconds=0)
    eve.phone.plan = plan
    caller = call_centre.caller()
    call = caller.call(sales.uri, timeout=20)
    assert sales.outcomes == [outcome, ""]
    eve.wait("free")
    adam.wait("busy")
    call.hang_up()
    adam.wait("free")
    assert sales.wait_entry("ended")["end_reason"] == "served"
    assert [final.code for final in [call.final] if final] == [200]


def test_an_agent_whose_phone_is_gone_is_passed_over_at_once(call_centre: CallCentre) -> None:
    eve, adam = call_centre.agent(), call_centre.agent()
    sales = call_centre.queue([eve, adam], strategy="linear")
    eve.phone.unregister()
    call = call_centre.caller().call(sales.uri)
    assert sales.outcomes[:-1] in (["unreachable"], [])  # the ACD may know by now that he is not registered
    assert adam.call().call_id == call.call_id
    call.hang_up()


def test_phones_behind_nat_hear_each_other_with_fresh_ports_for_each_agent(call_centre: CallCentre) -> None:
    eve, adam = call_centre.agent(nat=Nat(), media=True), call_centre.agent(nat=Nat(), media=True)
    sales = call_centre.queue([eve, adam], strategy="linear", wrapup_seconds=0)
    eve.phone.plan = Plan.reject(486)
    call = call_centre.caller(nat=Nat(), media=True).call(sales.uri)
    other = adam.call()
    first, second = eve.call().remote_sdp, other.remote_sdp
    assert first is not None
    assert second is not None
    assert first.port != second.port
    call.media.play(known_payload(0.4, 1))
    other.media.play(known_payload(0.4, 2))
    call.media.wait_received(10)
    other.media.wait_received(10)
    call.hang_up()


def test_a_transfer_is_declined_and_the_story_says_why(call_centre: CallCentre) -> None:
    eve = call_centre.agent()
    sales = call_centre.queue([eve])
    call = call_centre.caller().call(sales.uri)
    response = eve.call().wait_answered().refer("sip:101@demo.test")
    assert (response.code, response.reason) == (603, "Queue Is Not Transferable")
    call.hang_up()
    row = call_centre.switch.cdr(call.call_id)
    events = call_centre.switch.events(row["call_id"])
    (refer,) = [event for event in events if event["kind"] == "call.refer"]
    assert "transferable" in refer["data"]["refused"]


def test_the_caller_gives_up_while_the_agent_rings(call_centre: CallCentre) -> None:
    eve = call_centre.agent()
    sales = call_centre.queue([eve])
    eve.phone.plan = Plan.ring()
    call = call_centre.caller().invite(sales.uri).wait_ringing()
    eve.wait("ringing")
    call.cancel()
    eve.wait("free")
    assert eve.call().wait_ended().cancelled
    assert sales.outcomes == ["caller_gone"]
    assert sales.wait_entry("ended")["end_reason"] == "abandoned"


def test_an_agent_on_a_number_is_reached_through_the_routes(call_centre: CallCentre) -> None:
    outside = call_centre.agent(login=False)
    # A number of the tenant leads to a phone, as a carrier would.
    far = call_centre.agent(number="84950000001", login=False)
    far.do("login", "test")
    far.wait("free")
    outside.phone.register()
    call_centre.switch.add_route("^84950000001$", f"account:{outside.name}", priority=1)
    sales = call_centre.queue([far], wrapup_seconds=0)
    call = call_centre.caller().call(sales.uri)
    far.wait("busy")
    call.hang_up()
    far.wait("free")
