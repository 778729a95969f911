"""A supervisor commands a caller for whom the proxy itself rings an agent: the first phone falls silent at once."""

from __future__ import annotations

import pytest

from tests.support.call_centre import Agent, CallCentre, Queue
from tests.support.sip_call import Call
from tests.support.sip_plan import Plan


def ringing(centre: CallCentre, eve: Agent, sales: Queue) -> tuple[Call, Call]:
    """Let a caller ring this agent straight from the proxy; return both ends."""
    eve.phone.plan = Plan.ring()
    call = centre.caller().invite(sales.uri)
    eve.wait("ringing")
    return call, eve.call()


def test_eject_ends_the_ringing(live_centre: CallCentre) -> None:
    eve = live_centre.agent()
    sales = live_centre.queue([eve])
    call, phone = ringing(live_centre, eve, sales)
    live_centre.command("eject", sales.entries[0]["entry_id"])
    assert phone.wait_ended(30).cancelled
    assert call.wait_ended(30).code == 603
    assert [entry["end_reason"] for entry in sales.entries] == ["ejected"]
    eve.wait("free")


def test_eject_sends_the_caller_elsewhere(live_centre: CallCentre) -> None:
    eve, other = live_centre.agent(), live_centre.phone("103")
    other.register()
    sales = live_centre.queue([eve])
    call, phone = ringing(live_centre, eve, sales)
    live_centre.command("eject", sales.entries[0]["entry_id"], "account", "103")
    assert phone.wait_ended(30).cancelled
    other.wait_call().wait_answered()
    call.wait_answered()
    assert [entry["end_reason"] for entry in sales.entries] == ["ejected"]
    call.hang_up()
    other.unregister()


def test_move_rings_an_agent_of_the_other_queue(live_centre: CallCentre) -> None:
    eve, adam = live_centre.agent(), live_centre.agent()
    sales, support = live_centre.queue([eve]), live_centre.queue([adam], wrapup_seconds=0)
    call, phone = ringing(live_centre, eve, sales)
    entry = sales.entries[0]
    live_centre.command("move", entry["entry_id"], support.queue_id)
    assert phone.wait_ended(30).cancelled
    adam.call().wait_answered()
    call.wait_answered()
    (moved,) = support.entries
    assert (moved["entry_id"], moved["since"]) == (entry["entry_id"], entry["since"])
    eve.wait("free")
    call.hang_up()
    adam.wait("free")


def test_assign_rings_the_chosen_agent(live_centre: CallCentre) -> None:
    eve, adam = live_centre.agent(), live_centre.agent()
    sales = live_centre.queue([eve], wrapup_seconds=0)
    call, phone = ringing(live_centre, eve, sales)
    live_centre.command("assign", sales.entries[0]["entry_id"], adam.agent_id)
    assert phone.wait_ended(30).cancelled
    adam.call().wait_answered()
    call.wait_answered()
    eve.wait("free")
    call.hang_up()
    adam.wait("free")
    assert sales.outcomes == ["cancelled", "answered"]


def test_release_frees_the_agent_and_the_caller_waits_on(live_centre: CallCentre) -> None:
    eve = live_centre.agent()
    sales = live_centre.queue([eve], wrapup_seconds=0)
    call, phone = ringing(live_centre, eve, sales)
    eve.phone.plan = Plan.answer()
    eve.do("release", "boss")
    assert phone.wait_ended(30).cancelled
    eve.call(2).wait_answered()
    call.wait_answered()
    call.hang_up()
    eve.wait("free")
    (entry,) = sales.entries
    assert (entry["end_reason"], sales.outcomes) == ("served", ["lost", "answered"])


@pytest.mark.parametrize("anchor", ["never", "always"])
def test_release_from_a_call_ends_it(live_centre: CallCentre, anchor: str) -> None:
    eve = live_centre.agent()
    sales = live_centre.queue([eve], anchor=anchor, wrapup_seconds=0)
    call = live_centre.caller().call(sales.uri)
    eve.wait("busy")
    eve.do("release", "boss")
    eve.wait("free")
    assert (call.wait_ended(30).ended_by, eve.call().wait_ended(30).ended_by) == ("remote", "remote")
