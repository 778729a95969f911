"""Callbacks: in which order two phones are called, how often, when, at which number; and supervisors' hands on them."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from tests.support.call_centre import Agent, CallCentre, Queue, assert_music
from tests.support.rtp_peer import compare, known_payload
from tests.support.sip_phone import Phone
from tests.support.sip_plan import Plan


def person(centre: CallCentre, **more: object) -> Phone:
    """Return the phone of the person who is to be called back."""
    phone = centre.phone("101", **more)
    phone.register()
    return phone


def ask(centre: CallCentre, sales: Queue, number: str = "101") -> str:
    """Ask for a callback as an operator does; return its entry."""
    centre.switch.ksctl("callback", "add", "-t", "demo", sales.name, number)
    (row,) = [row for row in sales.entries if row["state"] != "ended"]
    return str(row["entry_id"])


def log_in(agent: Agent) -> None:
    agent.phone.register()
    agent.do("login", "test")


def test_the_caller_is_called_first_and_hears_music_until_the_agent_answers(live_centre: CallCentre) -> None:
    eve = live_centre.agent(login=False, media=True)
    sales = live_centre.queue([eve], callback_enabled=True, callback_first="caller", wrapup_seconds=0)
    phone = person(live_centre, media=True)
    ask(live_centre, sales)
    eve.phone.plan = Plan.by_test()
    log_in(eve)
    back = phone.wait_call().wait_answered()
    eve.call().ring()
    assert_music(live_centre.switch, back.media, frames=10)
    eve.call().answer()
    agent = eve.call().wait_answered()
    sales.wait_entry("talking")
    said = known_payload(1.0, 5)
    agent.media.play(said)
    agent.media.wait_played()
    assert compare(said, list(back.media.received)).longest_run >= 25
    back.hang_up()
    eve.wait("free")
    assert sales.wait_entry("ended")["end_reason"] == "served"
    phone.unregister()


def test_who_is_not_reached_is_tried_again_and_then_given_up(live_centre: CallCentre) -> None:
    eve = live_centre.agent(login=False)
    columns = {"callback_attempts": 2, "callback_retry_seconds": 1, "callback_first": "agent"}
    sales = live_centre.queue([eve], callback_enabled=True, wrapup_seconds=0, **columns)
    phone = person(live_centre)
    phone.plan = Plan.reject(486)
    ask(live_centre, sales)
    log_in(eve)
    entry = sales.wait_entry("ended", seconds=30)
    assert (entry["end_reason"], entry["dials"], len(phone.calls)) == ("failed", 2, 2)
    eve.wait("free")
    assert [eve.facts[name] for name in ("no_answers", "rejects", "busies")] == [0, 0, 0]
    first, second = sales.offers
    assert (second["made_at"] - first["ended_at"]).total_seconds() >= 1
    phone.unregister()


def test_nobody_is_called_back_outside_the_hours(live_centre: CallCentre) -> None:
    eve, switch = live_centre.agent(), live_centre.switch
    now = datetime.now(ZoneInfo("Europe/Moscow"))
    day = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")[(now.weekday() + 3) % 7]
    name = f"back-{eve.name}"
    switch.ksctl(
        "schedule", "add", name, "-t", "demo", "--time-zone", "Europe/Moscow", "--hours", f"{day} 10:00-11:00"
    )
    sales = live_centre.queue([], callback_enabled=True, wrapup_seconds=0)
    edit = ("queue", "edit", sales.name, "-t", "demo", "--callback-schedule")
    switch.ksctl(*edit, name)
    hours = "SELECT 1 FROM queue_live WHERE queue_id = %s AND NOT callback_open AND is_open"
    switch.wait(lambda: switch.rows(hours, [sales.queue_id]), 20, "no callbacks now")
    sales.add(eve)
    phone = person(live_centre)
    ask(live_centre, sales)
    # Whoever calls is served all the same.
    call = live_centre.caller().call(sales.uri)
    eve.wait("busy")
    call.hang_up()
    eve.wait("free")
    assert (sales.outcomes, phone.calls) == (["answered"], [])
    switch.ksctl(*edit, "none")
    phone.wait_call(1, 20).wait_answered().hang_up()
    eve.wait("free")
    phone.unregister()


def test_another_number_is_typed_and_read_back(live_centre: CallCentre) -> None:
    sales = live_centre.queue([], callback_enabled=True, media={"callback_key": "2"})
    call = live_centre.caller("100", media=True).call(sales.uri)
    sales.wait_entry("waiting")
    assert_music(live_centre.switch, call.media, frames=10)
    for key in "22" + "84951234567#" + "1":
        call.media.press(key)
    call.wait_ended(30)
    (entry,) = sales.entries
    assert (entry["kind"], entry["number"], entry["state"]) == ("callback", "84951234567", "waiting")
    ask(live_centre, sales, "84951234567")
    live_centre.switch.ksctl("callback", "cancel", str(entry["entry_id"]), "-t", "demo")
    (entry,) = sales.entries
    assert (entry["state"], entry["end_reason"]) == ("ended", "cancelled")


def test_a_callback_is_moved_with_its_place(live_centre: CallCentre) -> None:
    eve = live_centre.agent()
    sales, support = live_centre.queue([], callback_enabled=True), live_centre.queue([eve], wrapup_seconds=0)
    phone = person(live_centre)
    entry = ask(live_centre, sales)
    since = sales.entries[0]["since"]
    live_centre.switch.ksctl("callback", "move", entry, support.name, "-t", "demo")
    phone.wait_call(1, 20).wait_answered()
    (moved,) = support.entries
    assert (str(moved["entry_id"]), moved["since"]) == (entry, since)
    phone.calls[0].hang_up()
    eve.wait("free")
    phone.unregister()
