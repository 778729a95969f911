"""An agent hands his caller on: REFER to a phone, a queue, another agent; the caller's number and story go on."""

from __future__ import annotations

from urllib.parse import quote

from tests.support.call_centre import CallCentre


def test_blind_to_a_phone(live_centre: CallCentre) -> None:
    eve, other = live_centre.agent(), live_centre.phone("103")
    other.register()
    sales = live_centre.queue([eve], transferable=True, wrapup_seconds=0)
    call = live_centre.caller().call(sales.uri)
    agent = eve.call().wait_answered()
    assert agent.refer("sip:103@demo.test").code == 202
    target = other.wait_call()
    target.wait_answered()
    assert target.invite.from_addr.uri.user == "100"
    agent.wait_ended()
    eve.wait("free")
    assert any("200" in progress for progress in agent.refer_progress)
    call.hang_up()
    target.wait_ended()
    other.unregister()
    assert sales.wait_entry("ended")["end_reason"] == "transferred"


def test_blind_to_somebody_who_does_not_answer_leaves_the_caller_with_the_agent(
    live_centre: CallCentre,
) -> None:
    eve = live_centre.agent()
    sales = live_centre.queue([eve], transferable=True, wrapup_seconds=0)
    call = live_centre.caller().call(sales.uri)
    agent = eve.call().wait_answered()
    assert agent.refer("sip:nobody@demo.test").code == 202
    eve.phone.wait(lambda: any("SIP/2.0 4" in p for p in agent.refer_progress), 10, "the failure is told")
    assert agent.state.value == "answered"
    call.hang_up()
    agent.wait_ended()


def test_to_another_queue(live_centre: CallCentre) -> None:
    eve, adam = live_centre.agent(), live_centre.agent()
    support = live_centre.queue([adam], wrapup_seconds=0)
    sales = live_centre.queue([eve], transferable=True, wrapup_seconds=0)
    call = live_centre.caller().call(sales.uri)
    agent = eve.call().wait_answered()
    assert agent.refer(support.uri).code == 202
    adam.call().wait_answered()
    agent.wait_ended()
    eve.wait("free")
    adam.wait("busy")
    call.hang_up()
    adam.wait("free")


def test_attended_to_a_colleague_takes_the_place_of_the_agents_own_call(live_centre: CallCentre) -> None:
    """The agent asks first: the colleague's phone is told by Replaces which of its calls the caller takes over."""
    eve, other = live_centre.agent(), live_centre.phone("103")
    other.register()
    sales = live_centre.queue([eve], transferable=True, wrapup_seconds=0)
    call = live_centre.caller().call(sales.uri)
    agent = eve.call().wait_answered()
    asked = eve.phone.call("103")
    question = other.wait_call()
    assert asked.dialog is not None
    replaced = f"{asked.call_id};to-tag={asked.dialog.remote_tag};from-tag={asked.dialog.local_tag}"
    assert agent.refer(f"sip:103@demo.test?Replaces={quote(replaced, safe='')}").code == 202
    target = other.wait_call(2).wait_answered()
    assert target.invite.headers.get("Replaces") == replaced
    assert target.invite.from_addr.uri.user == "100"
    question.hang_up()  # what RFC 3891 section 3 asks of the phone that was called so
    asked.wait_ended()
    agent.wait_ended()
    eve.wait("free")
    assert any("200" in progress for progress in agent.refer_progress)
    call.hang_up()
    target.wait_ended()
    other.unregister()
    assert sales.wait_entry("ended")["end_reason"] == "transferred"
