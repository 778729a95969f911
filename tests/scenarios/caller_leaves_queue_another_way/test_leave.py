"""A caller leaves a queue without an agent: overflow by time, the exit key, a callback that keeps his place."""

from __future__ import annotations

from tests.support.call_centre import CallCentre, assert_music
from tests.support.sip_plan import Plan


def test_waiting_too_long_leads_elsewhere(live_centre: CallCentre) -> None:
    other = live_centre.phone("103")
    other.register()
    overflow = {"timeout": {"kind": "account", "value": "103"}}
    sales = live_centre.queue([], max_wait_seconds=1, overflow=overflow)
    call = live_centre.caller(media=True).call(sales.uri)
    other.wait_call().wait_answered()
    assert sales.wait_entry("ended")["end_reason"] == "timeout"
    call.hang_up()
    other.calls[0].wait_ended()
    other.unregister()


def test_overflow_into_another_queue_keeps_the_place(live_centre: CallCentre) -> None:
    eve = live_centre.agent()
    support = live_centre.queue([eve], wrapup_seconds=0)
    overflow = {"timeout": {"kind": "queue", "value": support.name}}
    sales = live_centre.queue([], max_wait_seconds=1, overflow=overflow)
    call = live_centre.caller().call(sales.uri)
    entry = sales.wait_entry("waiting")
    eve.call().wait_answered()
    (moved,) = support.entries
    assert (moved["entry_id"], moved["since"]) == (entry["entry_id"], entry["since"])
    call.hang_up()
    eve.wait("free")


def test_the_exit_key(live_centre: CallCentre) -> None:
    other = live_centre.phone("103")
    other.register()
    overflow = {"exit_key": {"kind": "account", "value": "103"}}
    sales = live_centre.queue([], overflow=overflow, media={"exit_key": "0"})
    call = live_centre.caller(media=True).call(sales.uri)
    sales.wait_entry("waiting")
    assert_music(live_centre.switch, call.media, frames=10)
    call.media.press("0")
    other.wait_call().wait_answered()
    assert sales.wait_entry("ended")["end_reason"] == "exit_key"
    call.hang_up()
    other.unregister()


def test_the_exit_key_by_info(live_centre: CallCentre) -> None:
    """A phone that sends its keys in the signalling."""
    other = live_centre.phone("103")
    other.register()
    overflow = {"exit_key": {"kind": "account", "value": "103"}}
    sales = live_centre.queue([], overflow=overflow, media={"exit_key": "#"})
    call = live_centre.caller().call(sales.uri)
    sales.wait_entry("waiting")
    info = call.request("INFO", b"Signal=#\r\nDuration=160\r\n", [("Content-Type", "application/dtmf-relay")])
    assert info.code == 200
    other.wait_call().wait_answered()
    assert sales.wait_entry("ended")["end_reason"] == "exit_key"
    call.hang_up()
    other.unregister()


def test_a_callback_keeps_the_place_and_comes_when_it_is_due(live_centre: CallCentre) -> None:
    eve = live_centre.agent(login=False)
    sales = live_centre.queue(
        [eve], callback_enabled=True, callback_first="agent", wrapup_seconds=0, media={"callback_key": "2"}
    )
    caller = live_centre.caller("101", media=True)
    caller.register()
    call = caller.call(sales.uri)
    entry = sales.wait_entry("waiting")
    assert_music(live_centre.switch, call.media, frames=10)
    call.media.press("2")
    # "Press 1 to be called back at this number": confirmed as soon as it is being said.
    live_centre.switch.wait(lambda: _confirmed(live_centre, call, sales), 20, "the callback is taken")
    call.wait_ended(20)
    (kept,) = sales.entries
    assert (kept["kind"], kept["state"], kept["since"], kept["number"]) == (
        "callback",
        "waiting",
        entry["since"],
        "101",
    )
    caller.plan = Plan.answer()
    eve.phone.register()
    eve.do("login", "test")
    eve.call().wait_answered()
    back = caller.wait_call(2, 20)
    back.wait_answered()
    eve.wait("busy")
    back.hang_up()
    eve.wait("free")
    assert sales.wait_entry("ended")["end_reason"] == "served"


def _confirmed(centre: CallCentre, call: object, sales: object) -> bool:
    (entry,) = sales.entries  # type: ignore[attr-defined]
    if entry["kind"] == "callback":
        return True
    call.media.press("1")  # type: ignore[attr-defined]
    return False
