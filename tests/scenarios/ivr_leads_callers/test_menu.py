"""Menus, keys, prompts and ends, with real proxy, media host and RTP node: what is heard, what is told."""

from __future__ import annotations

import pytest

from callcore import speech
from tests.support.ivr_centre import IvrCentre
from tests.support.sip_call import Call

MENU = """
nodes:
  hello: {kind: play, say: p-hello, next: main}
  main:
    kind: menu
    say: p-menu
    keys: {1: one, "#": busy}
    tries: 2
    wait_seconds: 30
    say_invalid: p-bad
    on_failure: bye
  one: {kind: play, say: [p-one, {number: "21", unit: minute}], next: bye}
  bye: {kind: hangup, say: p-bye}
  busy: {kind: hangup, code: 486}
"""


def press(call: Call, key: str, *, by_info: bool = False) -> None:
    if by_info:
        body = f"Signal={key}\r\nDuration=160\r\n".encode()
        response = call.request("INFO", body=body, headers=[("Content-Type", "application/dtmf-relay")])
        assert response.code == 200
    else:
        call.media.press(key)


@pytest.mark.parametrize("by_info", [False, True], ids=["rfc4733", "info"])
def test_a_key_leads_on_and_every_prompt_is_heard(centre: IvrCentre, by_info: bool) -> None:
    call = centre.call(centre.scenario(MENU))
    centre.hears(call, "p-hello")
    centre.hears(call, "p-menu")
    press(call, "1", by_info=by_info)
    centre.hears(call, "p-one", *speech.counted(21, "minute", "ru"))
    centre.hears(call, "p-bye")
    call.wait_ended()
    assert centre.path(call) == ["hello", "main", "one", "bye"]


def test_every_key_of_a_phone_arrives(centre: IvrCentre) -> None:
    source = """
nodes:
  ask: {kind: collect, say: p-menu, into: x, max_digits: 3, wait_seconds: 60, next: more, on_failure: bye}
  more: {kind: menu, say: p-one, keys: {"*": hash}, wait_seconds: 60, on_failure: bye}
  hash: {kind: menu, say: p-bad, keys: {"#": bye}, wait_seconds: 60, on_failure: bye}
  bye: {kind: hangup, say: [p-bye, {digits: "{x}"}]}
"""
    call = centre.call(centre.scenario(source))
    for prompt, keys in (("p-menu", "19#"), ("p-one", "*"), ("p-bad", "#")):
        centre.hears(call, prompt)
        for key in keys:
            press(call, key)
    centre.hears(call, "p-bye", "number-1", "number-9")
    call.wait_ended()


def test_a_wrong_key_is_told_and_tries_end(centre: IvrCentre) -> None:
    call = centre.call(centre.scenario(MENU))
    centre.hears(call, "p-menu")
    press(call, "7")
    centre.hears(call, "p-bad", "p-menu")
    press(call, "7")
    centre.hears(call, "p-bye")
    call.wait_ended()
    story = centre.story(call)
    assert [event["data"].get("why") for event in story if event["kind"] == "ivr.failure"] == [
        "not a key of this menu"
    ]
    end = next(event["data"] for event in story if event["kind"] == "ivr.end")
    assert (end["node"], end["by"], end["cause"]) == ("bye", "scenario", "hang up")


def test_barge_in_cuts_a_prompt_short(centre: IvrCentre) -> None:
    long = MENU.replace("say: p-menu", f"say: [{', '.join(['p-menu'] * 40)}, p-sorry]")
    call = centre.call(centre.scenario(long))
    centre.hears(call, "p-hello")
    centre.hears(call, "p-menu", "p-menu")
    press(call, "1")
    centre.hears(call, "p-one")
    call.wait_ended()
    centre.never_heard(call, "p-sorry")


def test_a_call_in_which_nothing_was_heard_is_refused_with_the_code(centre: IvrCentre) -> None:
    uri = centre.scenario("nodes: {no: {kind: hangup, code: 486}}")
    call = centre.centre.caller().invite(uri)
    assert call.wait_ended().code == 486
    assert centre.switch.cdr(call.call_id)["final_code"] == 486


def test_an_announcement_is_a_prompt_and_the_end(centre: IvrCentre) -> None:
    call = centre.call(centre.number("announcement:p-bye"))
    centre.hears(call, "p-bye")
    call.wait_ended()


def test_a_scenario_that_does_not_exist_is_404(centre: IvrCentre) -> None:
    call = centre.centre.caller().invite(centre.number("ivr:nowhere"))
    assert call.wait_ended().code == 404


def test_a_call_keeps_its_version(centre: IvrCentre) -> None:
    uri = centre.scenario(MENU, "versions")
    call = centre.call(uri)
    centre.hears(call, "p-menu")
    assert centre.store(MENU.replace("p-one", "p-sorry"), "versions") == 2
    press(call, "1")
    centre.hears(call, "p-one")
    call.wait_ended()
    assert {event["data"]["version"] for event in centre.story(call) if event["kind"] == "ivr.node"} == {1}

    def second() -> bool:
        other = centre.call(uri)
        centre.hears(other, "p-menu")
        press(other, "1")
        other.wait_ended()
        return 2 in {event["data"].get("version") for event in centre.story(other)}

    centre.switch.wait(second, 60, "the next caller gets the new version")
