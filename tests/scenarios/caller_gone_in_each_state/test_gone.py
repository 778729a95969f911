"""The caller hangs up: while he arrives, waits, is offered, is being joined, talks. No agent stays wrong."""

from __future__ import annotations

from tests.support.call_centre import CallCentre
from tests.support.sip_plan import Plan


def test_while_he_waits(live_centre: CallCentre) -> None:
    sales = live_centre.queue()
    live_centre.caller().call(sales.uri).hang_up()
    assert sales.wait_entry("ended")["end_reason"] == "abandoned"


def test_while_an_agent_rings_for_him(live_centre: CallCentre) -> None:
    eve = live_centre.agent(login=False)
    sales = live_centre.queue([eve])
    call = live_centre.caller().call(sales.uri)
    eve.phone.plan = Plan.ring()
    eve.phone.register()
    eve.do("login", "test")
    eve.call().phone.wait(lambda: eve.state == "ringing", 10, "he rings")
    call.hang_up()
    assert eve.call().wait_ended().cancelled
    eve.wait("free")
    assert sales.outcomes == ["caller_gone"]


def test_before_he_is_answered(live_centre: CallCentre) -> None:
    eve = live_centre.agent()
    sales = live_centre.queue([eve], anchor="always")
    eve.phone.plan = Plan.ring()
    call = live_centre.caller().invite(sales.uri).wait_ringing()
    eve.call()
    call.cancel()
    assert eve.call().wait_ended().cancelled
    eve.wait("free")
    assert sales.wait_entry("ended")["end_reason"] == "abandoned"


def test_at_the_moment_when_the_agent_answers(live_centre: CallCentre) -> None:
    eve = live_centre.agent(login=False)
    sales = live_centre.queue([eve], wrapup_seconds=0)
    call = live_centre.caller().call(sales.uri)
    eve.phone.plan = Plan.by_test()
    eve.phone.register()
    eve.do("login", "test")
    other = eve.call()
    other.ring()
    goodbye = call.send_bye()
    other.answer()
    call.phone.finish(goodbye, 10)
    other.wait_ended()
    eve.wait("free")


def test_while_he_talks(live_centre: CallCentre) -> None:
    eve = live_centre.agent()
    sales = live_centre.queue([eve], anchor="always", wrapup_seconds=0)
    call = live_centre.caller().call(sales.uri)
    eve.call().wait_answered()
    eve.wait("busy")
    call.hang_up()
    eve.call().wait_ended()
    eve.wait("free")
    assert sales.offers[0]["hung_up_by"] == "caller"
