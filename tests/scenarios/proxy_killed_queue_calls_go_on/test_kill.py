"""kill -9 of the proxy: queue calls that talk go on, and no agent stays wrong."""

from __future__ import annotations

from tests.support.call_centre import CallCentre
from tests.support.faults import kill_proxy
from tests.support.sip_plan import Plan


def test_direct_calls_go_on_and_their_end_frees_the_agent(own_call_centre: CallCentre) -> None:
    centre = own_call_centre
    eve = centre.agent()
    sales = centre.queue([eve], wrapup_seconds=0)
    call = centre.caller().call(sales.uri)
    eve.wait("busy")
    centre.switch.wait(
        lambda: centre.switch.rows("SELECT 1 FROM kamailio.dialog_vars WHERE dialog_key = 'ks_acd'"),
        10,
        "dialog is stored",
    )
    kill_proxy(centre.switch)
    assert eve.state == "busy"
    call.hold()
    call.resume()
    eve.call().hang_up()
    call.wait_ended()
    eve.wait("free")
    assert sales.outcomes == ["answered"]


def test_a_caller_at_a_media_host_goes_on(own_call_centre: CallCentre) -> None:
    centre = own_call_centre
    sales, host = centre.queue(), centre.host()
    call = centre.caller().call(sales.uri)
    kill_proxy(centre.switch)
    call.hold()
    host.calls[0].hang_up()
    call.wait_ended()
    # The next caller finds the queue as before.
    centre.caller("101").call(sales.uri).hang_up()


def test_an_agent_who_rings_is_free_again(own_call_centre: CallCentre) -> None:
    centre = own_call_centre
    eve = centre.agent()
    sales = centre.queue([eve], ring_seconds=2, no_answer_delay_seconds=0)
    eve.phone.plan = Plan.ring()
    centre.caller().invite(sales.uri).wait_ringing()
    eve.wait("ringing")
    kill_proxy(centre.switch)
    eve.wait("free", seconds=15)
    assert sales.outcomes == ["lost"]
