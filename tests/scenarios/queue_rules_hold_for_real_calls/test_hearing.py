"""What caller and agent hear: place and expected wait, messages, ringing tones, the whisper, the survey."""

from __future__ import annotations

from callcore import speech
from tests.support.ivr_centre import IvrCentre


def test_place_and_expected_wait_are_said_at_the_beginning_and_on_demand(speaking_centre: IvrCentre) -> None:
    centre = speaking_centre.centre
    eve = centre.agent()
    media = {"announce_position": True, "announce_wait": True, "position_key": "5", "greeting": "p-hello"}
    sales = centre.queue([eve], media=media)
    own = centre.caller("103").call(f"sip:{eve.name}@demo.test")
    eve.wait("busy")
    first = speaking_centre.call(sales.uri, username="100")
    second = speaking_centre.call(sales.uri, username="101")
    speaking_centre.hears(second, "p-hello")
    # Two agents' calls of three minutes before him, and one agent: 180 s times 2, said as a range.
    speaking_centre.hears(second, *speech.position(2, "ru"), *speech.wait(5, 10, "ru"))
    first.hang_up()
    sales.wait_entry("ended")
    second.media.received.clear()
    second.media.press("5")
    speaking_centre.hears(second, *speech.position(1, "ru"), *speech.wait(3, 4, "ru"))
    second.hang_up()
    own.hang_up()


def test_messages_come_again_and_again_in_the_language_of_the_queue(speaking_centre: IvrCentre) -> None:
    media = {
        "language": "en",
        "periodic_prompt": "p-one",
        "periodic_every_seconds": 2.0,
        "comfort_prompt": "p-bye",
        "comfort_every_seconds": 1.0,
    }
    call = speaking_centre.call(speaking_centre.centre.queue([], media=media).uri)
    for name in ("p-bye", "p-one", "p-bye", "p-one"):
        speaking_centre.hears(call, name)
        call.media.received.clear()
    call.hang_up()


def test_the_agent_hears_the_whisper_while_the_caller_hears_music(speaking_centre: IvrCentre) -> None:
    centre = speaking_centre.centre
    eve = centre.agent(media=True)
    sales = centre.queue([eve], wrapup_seconds=0, media={"whisper": "p-one"})
    call = speaking_centre.call(sales.uri)
    agent = eve.call().wait_answered()
    speaking_centre.hears(agent, "p-one")
    speaking_centre.never_heard(call, "p-one")
    sales.wait_entry("talking")
    call.hang_up()
    eve.wait("free")


def test_the_caller_marks_the_agent_who_has_hung_up(speaking_centre: IvrCentre) -> None:
    centre = speaking_centre.centre
    eve = centre.agent()
    media = {"after_agent": "survey", "survey_prompt": "p-menu"}
    sales = centre.queue([eve], wrapup_seconds=0, media=media)
    call = speaking_centre.call(sales.uri)
    eve.call().wait_answered().hang_up()
    speaking_centre.hears(call, "p-menu")
    eve.wait("free")
    call.media.press("4")
    call.wait_ended(20)
    (entry,) = sales.entries
    assert (entry["survey"], entry["end_reason"]) == (4, "served")


def test_the_caller_waits_again_when_the_agent_has_hung_up(speaking_centre: IvrCentre) -> None:
    centre = speaking_centre.centre
    eve = centre.agent()
    sales = centre.queue([eve], wrapup_seconds=0, media={"after_agent": "queue"})
    call = speaking_centre.call(sales.uri)
    since = sales.wait_entry("talking")["since"]
    eve.call().wait_answered().hang_up()
    eve.call(2).wait_answered()
    (entry,) = sales.entries
    assert (entry["since"], call.state) == (since, "answered")
    call.hang_up()
    eve.wait("free")
