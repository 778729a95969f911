"""A supervisor changes the priority of a waiting caller, moves him, sends him away, or hands him to a chosen agent."""

from __future__ import annotations

from tests.support.call_centre import CallCentre, assert_music
from tests.support.sip_plan import Plan


def test_priority_changes_who_is_next(live_centre: CallCentre) -> None:
    eve = live_centre.agent(login=False)
    sales = live_centre.queue([eve], wrapup_seconds=0)
    for caller in ("100", "101"):
        live_centre.caller(caller).call(sales.uri)
        sales.wait_entry("waiting", number=len(sales.entries))
    live_centre.command("priority", sales.entries[1]["entry_id"], 10)
    eve.phone.plan = Plan.answer(bye_after=0.2)
    eve.phone.register()
    eve.do("login", "test")
    assert eve.call().invite.from_addr.uri.user == "101"
    assert eve.call(2).wait_answered().invite.from_addr.uri.user == "100"


def test_move_keeps_the_place_and_the_music_goes_on(live_centre: CallCentre) -> None:
    sales, support = live_centre.queue(), live_centre.queue()
    call = live_centre.caller(media=True).call(sales.uri)
    entry = sales.wait_entry("waiting")
    live_centre.command("move", entry["entry_id"], support.queue_id)
    moved = support.wait_entry("waiting")
    assert (moved["entry_id"], moved["since"]) == (entry["entry_id"], entry["since"])
    assert_music(live_centre.switch, call.media)
    eve = live_centre.agent()
    support.add(eve)
    assert eve.call().wait_answered()
    call.hang_up()
    eve.wait("wrapup", "free")


def test_eject_sends_the_caller_elsewhere(live_centre: CallCentre) -> None:
    sales = live_centre.queue()
    other = live_centre.phone("103")
    other.register()
    call = live_centre.caller(media=True).call(sales.uri)
    entry = sales.wait_entry("waiting")
    live_centre.command("eject", entry["entry_id"], "account", "103")
    other.wait_call().wait_answered()
    assert sales.wait_entry("ended")["end_reason"] == "ejected"
    call.hang_up()
    other.calls[0].wait_ended()
    other.unregister()


def test_eject_without_target_ends_the_call(live_centre: CallCentre) -> None:
    sales = live_centre.queue()
    call = live_centre.caller().call(sales.uri)
    live_centre.command("eject", sales.wait_entry("waiting")["entry_id"])
    call.wait_ended()
    assert call.ended_by == "remote"


def test_assign_hands_the_caller_to_an_agent_who_pauses(live_centre: CallCentre) -> None:
    eve = live_centre.agent()
    sales = live_centre.queue()
    eve.do("pause", "lunch", "test")
    eve.wait("paused")
    call = live_centre.caller().call(sales.uri)
    live_centre.command("assign", sales.wait_entry("waiting")["entry_id"], eve.agent_id)
    eve.call().wait_answered()
    eve.wait("busy")
    call.hang_up()
    eve.wait("paused", "wrapup")
    assert sales.offers[0]["forced"]


def test_assign_to_an_agent_in_a_call_waits_for_its_end(live_centre: CallCentre) -> None:
    eve = live_centre.agent()
    sales = live_centre.queue()
    own = live_centre.caller("102").call(f"sip:{eve.name}@demo.test")
    eve.wait("busy")
    call = live_centre.caller().call(sales.uri)
    live_centre.command("assign", sales.wait_entry("waiting")["entry_id"], eve.agent_id)
    assert len(eve.phone.calls) == 1
    own.hang_up()
    eve.call(2).wait_answered()
    call.hang_up()
