"""The caller hangs up while something is said, or while he is on his way elsewhere: nothing stays behind."""

from __future__ import annotations

from tests.support.call_centre import CallCentre
from tests.support.ivr_centre import IvrCentre
from tests.support.sip_phone import Phone
from tests.support.sip_plan import Plan


def registered(centre: CallCentre) -> Phone:
    phone = centre.phone("103")
    phone.register()
    phone.plan = Plan.ring()
    return phone


def test_while_the_agent_hears_the_whisper(speaking_centre: IvrCentre) -> None:
    centre = speaking_centre.centre
    eve = centre.agent(login=False, media=True)
    # Five seconds long.
    sales = centre.queue([eve], wrapup_seconds=0, media={"whisper": "callback-confirm"})
    call = speaking_centre.call(sales.uri)
    eve.phone.register()
    eve.do("login", "test")
    agent = eve.call().wait_answered()
    agent.media.wait_received(5)
    call.hang_up()
    agent.wait_ended()
    eve.wait("free")
    (entry,) = sales.entries
    assert (entry["end_reason"], entry["talk_ms"]) == ("abandoned", 0)
    assert sales.outcomes == ["caller_gone"]


def test_while_he_is_asked_which_number_to_call_back(speaking_centre: IvrCentre) -> None:
    sales = speaking_centre.centre.queue([], callback_enabled=True, media={"callback_key": "2"})
    call = speaking_centre.call(sales.uri)
    sales.wait_entry("waiting")
    call.media.press("2")
    speaking_centre.hears(call, "callback-your-number")
    call.hang_up()
    entry = sales.wait_entry("ended")
    assert (entry["kind"], entry["end_reason"]) == ("call", "abandoned")


def test_while_he_is_asked_for_a_mark(speaking_centre: IvrCentre) -> None:
    centre = speaking_centre.centre
    eve = centre.agent()
    media = {"after_agent": "survey", "survey_prompt": "p-menu"}
    sales = centre.queue([eve], wrapup_seconds=0, media=media)
    call = speaking_centre.call(sales.uri)
    eve.call().wait_answered().hang_up()
    speaking_centre.hears(call, "p-menu")
    call.hang_up()
    eve.wait("free")
    (entry,) = sales.entries
    assert (entry["end_reason"], entry["survey"]) == ("served", None)


def test_while_he_is_handed_on(live_centre: CallCentre) -> None:
    eve, other = live_centre.agent(), registered(live_centre)
    sales = live_centre.queue([eve], transferable=True, wrapup_seconds=0)
    call = live_centre.caller().call(sales.uri)
    agent = eve.call().wait_answered()
    assert agent.refer("sip:103@demo.test").code == 202
    target = other.wait_call()
    call.hang_up()
    assert target.wait_ended().cancelled
    agent.wait_ended()
    eve.wait("free")
    assert sales.wait_entry("ended")["end_reason"] == "served"
    other.unregister()


def test_while_an_overflow_target_rings(live_centre: CallCentre) -> None:
    other = registered(live_centre)
    overflow = {"timeout": {"kind": "account", "value": "103"}}
    call = live_centre.caller().call(live_centre.queue([], max_wait_seconds=1, overflow=overflow).uri)
    target = other.wait_call()
    call.hang_up()
    assert target.wait_ended().cancelled
    other.unregister()


def test_while_he_is_called_back(live_centre: CallCentre) -> None:
    """The agent has answered; the person picks up and is gone at once."""
    eve = live_centre.agent()
    sales = live_centre.queue([eve], callback_enabled=True, wrapup_seconds=0)
    person = live_centre.phone("103")
    person.register()
    person.plan = Plan.answer(bye_after=0.0)
    live_centre.switch.ksctl("callback", "add", "-t", "demo", sales.name, "103")
    person.wait_call(1, 20).wait_ended()
    eve.call().wait_ended()
    eve.wait("free")
    assert sales.wait_entry("ended")["end_reason"] == "served"
    person.unregister()
