"""Any dialog of an agent's account makes him busy, and he gets no caller of a queue until he is free again."""

from __future__ import annotations

from tests.support.call_centre import CallCentre
from tests.support.sip_plan import Plan


def test_a_call_to_his_own_number(call_centre: CallCentre) -> None:
    eve = call_centre.agent()
    eve.phone.plan = Plan.by_test()
    call = call_centre.caller().invite(f"sip:{eve.name}@demo.test")
    eve.call().ring()
    eve.wait("busy")  # as soon as his phone rings
    eve.call().answer()
    call.wait_answered()
    (leg,) = call_centre.switch.rows("SELECT * FROM agent_leg WHERE agent_id = %s", [eve.agent_id])
    assert (leg["direction"], leg["sip_call_id"], leg["proxy"]) == ("in", call.call_id, "n1-proxy")
    call.hang_up()
    eve.wait("free")


def test_a_call_of_his_own(call_centre: CallCentre) -> None:
    eve, other = call_centre.agent(), call_centre.phone("101")
    other.register()
    call = eve.phone.call("sip:101@demo.test")
    eve.wait("busy")
    call.hang_up()
    eve.wait("free")
    other.unregister()


def test_a_call_that_he_refuses_or_misses(call_centre: CallCentre) -> None:
    eve = call_centre.agent()
    eve.phone.plan = Plan.reject(486)
    assert call_centre.caller().invite(f"sip:{eve.name}@demo.test").wait_ended().code == 486
    eve.wait("free")
    eve.phone.plan = Plan.ring()
    call = call_centre.caller().invite(f"sip:{eve.name}@demo.test").wait_ringing()
    eve.wait("busy")
    call.cancel()
    eve.wait("free")


def test_a_caller_of_his_queue_goes_to_a_colleague_meanwhile(call_centre: CallCentre) -> None:
    eve, adam = call_centre.agent(), call_centre.agent()
    sales = call_centre.queue([eve, adam], strategy="linear")
    own = call_centre.caller().call(f"sip:{eve.name}@demo.test")
    eve.wait("busy")
    call = call_centre.caller("101").call(sales.uri)
    assert adam.call().call_id == call.call_id
    own.hang_up()
    call.hang_up()


def test_agents_who_call_each_other_are_both_busy(call_centre: CallCentre) -> None:
    eve, adam = call_centre.agent(), call_centre.agent()
    call = eve.phone.call(f"sip:{adam.name}@demo.test")
    eve.wait("busy")
    adam.wait("busy")
    adam.call().wait_answered().hang_up()
    call.wait_ended()
    eve.wait("free")
    adam.wait("free")


def test_two_calls_at_once_keep_him_busy_until_the_last_ends(call_centre: CallCentre) -> None:
    eve = call_centre.agent()
    first = call_centre.caller().call(f"sip:{eve.name}@demo.test")
    second = call_centre.caller("101").call(f"sip:{eve.name}@demo.test")
    call_centre.switch.wait(lambda: eve.facts["legs"] == 2, 10, "two legs")
    first.hang_up()
    call_centre.switch.wait(lambda: eve.facts["legs"] == 1, 10, "one leg")
    assert eve.state == "busy"
    second.hang_up()
    eve.wait("free")
