"""Tiers, sticky agents, staffing and opening hours of a queue, also when they change while calls wait."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from tests.support.call_centre import Agent, CallCentre, Queue, assert_music
from tests.support.ivr_centre import IvrCentre


def edit(centre: CallCentre, queue: Queue, *words: str) -> None:
    """Change a queue as a supervisor does."""
    centre.switch.ksctl("queue", "edit", queue.name, "-t", "demo", *words)


def tried(agent: Agent) -> bool:
    """Tell whether his phone was called."""
    return bool(agent.phone.calls)


def test_a_tier_opens_after_its_wait_and_a_smaller_penalty_goes_first(live_centre: CallCentre) -> None:
    eve, adam, ivan = (live_centre.agent() for _ in range(3))
    sales = live_centre.queue([], wrapup_seconds=0, tier_waits=[0, 2])
    sales.add(eve, tier=2, penalty=5)
    sales.add(adam, tier=2, penalty=1)
    live_centre.switch.rows(
        "SELECT acd_queue_changed(%s, %s)", [live_centre.switch.tenant_id, sales.queue_id]
    )
    call = live_centre.caller().call(sales.uri)
    adam.wait("busy")
    assert sales.offers[0]["waited_ms"] >= 2000
    assert (tried(eve), tried(ivan)) == (False, False)
    call.hang_up()
    adam.wait("free")


def test_tiers_that_are_changed_count_for_who_waits(live_centre: CallCentre) -> None:
    eve = live_centre.agent()
    sales = live_centre.queue([], wrapup_seconds=0, tier_waits=[0, 3600])
    sales.add(eve, tier=2)
    call = live_centre.caller().call(sales.uri)
    sales.wait_entry("waiting")
    assert not tried(eve)
    edit(live_centre, sales, "--tiers", "0,1")
    eve.call().wait_answered()
    call.hang_up()
    eve.wait("free")


def test_a_caller_gets_his_last_agent_and_waits_for_him_so_long(live_centre: CallCentre) -> None:
    eve, adam = live_centre.agent(), live_centre.agent()
    sales = live_centre.queue(
        [eve, adam], strategy="linear", wrapup_seconds=0, sticky_seconds=4, reject_delay_seconds=0
    )
    adam.do("pause", "lunch", "test")
    live_centre.caller("102").call(sales.uri).hang_up()
    eve.wait("free")
    adam.do("resume", "test")
    # Linear would give everybody to the first agent: only the memory brings this caller to the second.
    eve.do("pause", "lunch", "test")
    live_centre.caller("101").call(sales.uri).hang_up()
    adam.wait("free")
    eve.do("resume", "test")
    second = live_centre.caller("101").call(sales.uri)
    adam.wait("busy")
    second.hang_up()
    adam.wait("free")
    # He is in another call: the caller waits for him, though a colleague is free, and then takes anybody.
    own = live_centre.caller("103").call(f"sip:{adam.name}@demo.test")
    third = live_centre.caller("101").call(sales.uri)
    eve.call(2).wait_answered()
    assert sales.offers[-1]["waited_ms"] >= 4000
    third.hang_up()
    own.hang_up()
    adam.wait("free")


def test_a_queue_that_loses_its_agents_lets_its_callers_go(live_centre: CallCentre) -> None:
    eve = live_centre.agent()
    other = live_centre.phone("103")
    other.register()
    overflow = {"empty": {"kind": "account", "value": "103"}}
    sales = live_centre.queue([eve], join_when="logged_in", stay_when="available", overflow=overflow)
    own = live_centre.caller("102").call(f"sip:{eve.name}@demo.test")
    call = live_centre.caller().call(sales.uri)
    sales.wait_entry("waiting")
    eve.do("pause", "lunch", "test")
    own.hang_up()
    other.wait_call(1, 20)
    assert sales.wait_entry("ended")["end_reason"] == "empty"
    call.hang_up()
    other.unregister()


def test_hours_close_the_queue_for_newcomers_and_who_waits_is_served(live_centre: CallCentre) -> None:
    eve = live_centre.agent(login=False)
    switch = live_centre.switch
    now = datetime.now(ZoneInfo("Europe/Moscow"))
    day = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")[(now.weekday() + 3) % 7]
    name = f"hours-{eve.name}"
    switch.ksctl(
        "schedule", "add", name, "-t", "demo", "--time-zone", "Europe/Moscow", "--hours", f"{day} 10:00-11:00"
    )
    sales = live_centre.queue([eve], wrapup_seconds=0)
    first = live_centre.caller("100").call(sales.uri)
    sales.wait_entry("waiting")
    edit(live_centre, sales, "--schedule", name)
    closed = "SELECT 1 FROM queue_live WHERE queue_id = %s AND is_open = %s"
    switch.wait(lambda: switch.rows(closed, [sales.queue_id, False]), 20, "the queue is closed")
    assert live_centre.caller("101").invite(sales.uri).wait_ended().code == 480
    eve.phone.register()
    eve.do("login", "test")
    eve.call().wait_answered()
    first.hang_up()
    eve.wait("free")
    edit(live_centre, sales, "--schedule", "none")
    switch.wait(lambda: switch.rows(closed, [sales.queue_id, True]), 20, "the queue is open")
    again = live_centre.caller("101").call(sales.uri)
    eve.wait("busy")
    again.hang_up()
    eve.wait("free")


def test_music_priority_and_the_longest_wait_change_while_a_call_waits(speaking_centre: IvrCentre) -> None:
    centre, switch = speaking_centre.centre, speaking_centre.switch
    sales = centre.queue([])
    call = speaking_centre.call(sales.uri)
    sales.wait_entry("waiting")
    assert_music(switch, call.media, frames=10)
    edit(centre, sales, "--media", "periodic_prompt=p-hello", "--media", "periodic_every_seconds=1")
    speaking_centre.hears(call, "p-hello")
    edit(centre, sales, "--priority", "7")
    assert sales.entries[0]["order_class"] == 7
    edit(centre, sales, "--max-wait-seconds", "1", "--overflow", "timeout=announcement:p-bye")
    speaking_centre.hears(call, "p-bye")
    call.wait_ended(30)
    assert sales.wait_entry("ended")["end_reason"] == "timeout"


def test_a_choice_is_explained_to_a_supervisor(live_centre: CallCentre) -> None:
    eve, adam, ivan = (live_centre.agent() for _ in range(3))
    sales = live_centre.queue([eve, adam, ivan], strategy="linear", wrapup_seconds=0)
    eve.do("pause", "lunch", "test")
    call = live_centre.caller().call(sales.uri)
    adam.wait("busy")
    told = live_centre.switch.ksctl_json(
        "queue", "explain", "-t", "demo", str(sales.offers[0]["offer_id"]), "-o", "json"
    )
    assert (told["agent"], told["strategy"]) == (adam.name, "linear")
    by_name = {row["agent"]: row for row in told["candidates"]}
    assert (by_name[adam.name]["chosen"], by_name[ivan.name]["chosen"]) == (True, False)
    assert by_name[eve.name]["left_out"] == "paused (lunch)"
    call.hang_up()
    adam.wait("free")
