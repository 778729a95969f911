"""An agent hands his caller on: REFER to a phone, a queue, another agent; the caller's number and story go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import pytest

from tests.support.call_centre import CallCentre
from tests.support.rtp_peer import known_payload
from tests.support.sip_call import Call


def assert_media(one: Call, other: Call) -> None:
    """Both hear, bit by bit, what the other says."""
    for side, far, seed in ((one, other, 1), (other, one, 2)):
        said = known_payload(0.6, seed)
        heard = len(far.media.received)
        side.media.play(said)
        far.media.wait_received(heard + len(said), 20)
        payloads = [packet.payload for packet in far.media.received[heard:]]
        assert [frame for frame in said if frame in payloads] == said


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


@contextmanager
def draining(centre: CallCentre, host: str) -> Iterator[None]:
    """Let the other media host take what comes."""
    state = "SELECT 1 FROM node WHERE name = %s AND (data->>'draining')::boolean = %s"
    try:
        centre.switch.ksctl("node", "drain", host)
        centre.switch.wait(lambda: centre.switch.rows(state, [host, True]), 20, "it drains")
        yield
    finally:
        centre.switch.ksctl("node", "undrain", host)
        centre.switch.wait(lambda: centre.switch.rows(state, [host, False]), 20, "it takes calls again")


@pytest.mark.parametrize("apart", [False, True], ids=["at one host", "at two hosts"])
def test_attended_to_who_was_asked_through_a_queue(live_centre: CallCentre, apart: bool) -> None:
    """Both calls of the agent are at media hosts: the caller takes the agent's place in the second one."""
    eve, adam = live_centre.agent(media=True), live_centre.agent(media=True)
    support = live_centre.queue([adam], anchor="always", transferable=True, wrapup_seconds=0)
    sales = live_centre.queue([eve], transferable=True, wrapup_seconds=0)
    call = live_centre.caller(media=True).call(sales.uri)
    agent = eve.call().wait_answered()
    host = str(sales.entries[0]["holder"])
    (other,) = {"n1-media-1", "n1-media-2"} - {host}
    with draining(live_centre, host if apart else other):
        asked = eve.phone.call(support.uri)
        answered = adam.call().wait_answered()
    assert (support.entries[0]["holder"] != host) is apart
    assert_media(asked, answered)
    assert asked.dialog is not None
    replaced = f"{asked.call_id};to-tag={asked.dialog.remote_tag};from-tag={asked.dialog.local_tag}"
    assert agent.refer(f"{support.uri}?Replaces={quote(replaced, safe='')}").code == 202
    asked.wait_ended()
    agent.wait_ended()
    eve.wait("free")
    assert any("200" in progress for progress in agent.refer_progress)
    assert_media(call, answered)
    assert adam.state == "busy"
    call.hang_up()
    answered.wait_ended()
    adam.wait("free")
    assert sales.wait_entry("ended")["end_reason"] == "transferred"
    assert support.wait_entry("ended")["end_reason"] == "served"


def test_a_dialog_of_nobody_takes_no_place(live_centre: CallCentre) -> None:
    """Who guesses at Replaces gets nothing, and the caller stays with the agent."""
    eve, adam = live_centre.agent(), live_centre.agent()
    support = live_centre.queue([adam], anchor="always", wrapup_seconds=0)
    sales = live_centre.queue([eve], transferable=True, wrapup_seconds=0)
    call = live_centre.caller().call(sales.uri)
    agent = eve.call().wait_answered()
    second = live_centre.caller("101").call(support.uri)
    answered = adam.call().wait_answered()
    assert second.dialog is not None
    wrong = f"{second.call_id};to-tag={second.dialog.remote_tag};from-tag=guessed"
    assert agent.refer(f"sip:nobody@demo.test?Replaces={quote(wrong, safe='')}").code == 202
    eve.phone.wait(lambda: any("SIP/2.0 4" in p for p in agent.refer_progress), 15, "the failure is told")
    assert (agent.state.value, answered.state.value) == ("answered", "answered")
    for one in (call, second):
        one.hang_up()
