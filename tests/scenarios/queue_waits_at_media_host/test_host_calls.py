"""Legs that a media host asks the proxy for: agents, callees, queues; their media is the host's."""

from __future__ import annotations

from tests.support.call_centre import Agent, CallCentre, Host
from tests.support.sip_call import Call
from tests.support.sip_phone import Nat
from tests.support.sip_plan import Plan

CALL = "01890000-0000-7000-8000-000000000001"


def dial(
    host: Host, agent: Agent | str, *, leg: str = "agent", kind: str = "account", offer: int = 0
) -> Call:
    user = agent if isinstance(agent, str) else agent.name
    tenant = host._centre.switch.tenant_id
    headers = [
        ("X-KS-Call", CALL),
        ("X-KS-Leg", leg),
        ("X-KS-Arg", f"tenant={tenant};to_kind={kind}"),
        ("X-KS-Offer", str(offer)),
    ]
    ip, port = host._centre.internal_address
    return host.invite(f"sip:{user}@{ip}:{port}", headers=headers)


def test_an_agents_leg_rings_his_phone_without_any_of_our_headers(call_centre: CallCentre) -> None:
    eve, host = call_centre.agent(), call_centre.host()
    call = dial(host, eve, offer=5).wait_answered()
    other = eve.call()
    assert other.invite.headers.starting_with("X-KS-") == []
    # An offer makes him busy through the ACD, not through his phone.
    assert eve.facts["legs"] == 0
    call.hold()
    call.resume()
    other.hold()
    call.update("sendrecv")
    other.hang_up()
    call.wait_ended()


def test_the_media_of_the_leg_is_not_relayed_and_nat_is_shown(call_centre: CallCentre) -> None:
    eve, host = call_centre.agent(nat=Nat()), call_centre.host()
    call = dial(host, eve).wait_answered()
    assert call.remote_sdp is not None
    assert call.remote_sdp.ip == "127.0.0.1"
    assert call.remote_sdp.port == eve.call().local_sdp.port  # type: ignore[union-attr]
    eve.call().hold()
    assert call.remote_sdp is not None
    assert call.remote_sdp.ip == "127.0.0.1"
    call.hang_up()
    eve.call().wait_ended()


def test_a_phone_that_points_elsewhere_is_not_followed(call_centre: CallCentre) -> None:
    eve, host = call_centre.agent(), call_centre.host()
    eve.phone.plan = Plan.redirect("sip:elsewhere@127.0.0.1:9")
    assert dial(host, eve).wait_ended().code == 480


def test_the_host_gives_up_the_ringing(call_centre: CallCentre) -> None:
    eve, host = call_centre.agent(), call_centre.host()
    eve.phone.plan = Plan.ring()
    dial(host, eve).wait_ringing().cancel()
    assert eve.call().wait_ended().cancelled


def test_a_number_follows_the_routes(call_centre: CallCentre) -> None:
    eve, host = call_centre.agent(), call_centre.host()
    call_centre.switch.add_route("^84950000003$", f"account:{eve.name}", priority=3)
    call_centre.switch.save()
    call = dial(host, "84950000003", leg="callee", kind="").wait_answered()
    # A callee's leg is an ordinary call of the agent's phone.
    eve.wait("busy")
    call.hang_up()
    eve.wait("free")


def test_the_legs_are_told_in_the_story_and_not_in_the_cdr(call_centre: CallCentre) -> None:
    eve, host = call_centre.agent(), call_centre.host()
    sales = call_centre.queue()
    first = call_centre.caller().call(sales.uri)
    call_id = str(sales.entries[0]["call_id"])
    headers = [
        ("X-KS-Call", call_id),
        ("X-KS-Leg", "agent"),
        ("X-KS-Arg", f"tenant={call_centre.switch.tenant_id};to_kind=account"),
    ]
    ip, port = call_centre.internal_address
    leg = host.invite(f"sip:{eve.name}@{ip}:{port}", headers=headers).wait_answered()
    leg.hang_up()
    eve.call().wait_ended()
    first.hang_up()
    row = call_centre.switch.cdr(first.call_id)
    assert str(row["call_id"]) == call_id
    assert (row["a_number"], row["b_number"], row["final_code"]) == ("100", sales.number, 200)
    kinds = [event["kind"] for event in call_centre.switch.events(call_id)]
    assert {"leg.start", "leg.attempt", "leg.ring", "leg.answer", "leg.end"} <= set(kinds)
    assert kinds.count("call.end") == 1


def test_strangers_and_nonsense_are_refused(call_centre: CallCentre) -> None:
    eve, host = call_centre.agent(), call_centre.host()
    assert dial(host, eve, leg="wizard").wait_ended().code == 400
    stranger = call_centre.phone("103", proxy=call_centre.internal_address)
    assert stranger.invite(f"sip:{eve.name}@demo.test").wait_ended().code == 403
