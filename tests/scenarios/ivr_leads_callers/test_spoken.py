"""What is said with numbers, money, dates and times in it, as sound: each prompt, in order, bit by bit."""

from __future__ import annotations

import pytest

from tests.support.ivr_centre import IvrCentre

#: What to say, and with which prompts; put down by hand, not taken from what is tested.
RU = {
    "number: '{count}'": "minus number-2-f thousand-few number-100 number-20 number-1",
    "number: '22', unit: minute": "number-20 number-2-f minute-few",
    "number: '2', gender: feminine": "number-2-f",
    "amount: '{sum}', currency: RUB": "number-1-f thousand-one number-1 ruble-one number-50 kopeck-many",
    "date: '{day}', with_year: yes": "number-20 ordinal-2-n month-11 number-2-f thousand-few number-20"
    " ordinal-6-gen year-gen",
    "time: '{at}'": "number-20 number-1 hour-one number-5 minute-many",
    "ordinal: '3'": "ordinal-3",
    "digits: '90*'": "number-9 number-0 star",
    "choose: '{sky}', of: {snow: p-one, rain: p-bad}": "p-one",
}
EN = {
    "number: '{count}'": "minus number-2 thousand-many number-1 hundred number-20 number-1",
    "number: '22', unit: minute": "number-20 number-2 minute-many",
    "amount: '{sum}', currency: USD": "number-1 thousand-one number-1 dollar-many number-50 cent-many",
    "date: '{day}', with_year: yes": "month-11 number-20 ordinal-2 number-20 number-20 number-6",
    "time: '{at}'": "number-9 oh number-5 pm",
    "ordinal: '21'": "number-20 ordinal-1",
}
SCENARIO = """
language: LANGUAGE
nodes:
  set: {kind: set, values: {sum: "1001.50", at: "21:05", sky: snow, count: "-2121"}, next: sub}
  sub: {kind: scenario, scenario: days, next: tell, on_failure: tell}
  tell: {kind: hangup, say: [p-one, SAY, p-bye]}
"""
#: Sets what the first scenario says.
DAYS = """
nodes:
  hello: {kind: play, say: p-hello, next: set}
  set: {kind: set, values: {day: "2026-11-22"}, next: back}
  back: {kind: return}
"""


@pytest.mark.parametrize(("language", "said"), [("ru", RU), ("en", EN)], ids=["ru", "en"])
def test_every_kind_of_value_is_heard_in_order(
    centre: IvrCentre, language: str, said: dict[str, str]
) -> None:
    centre.store(DAYS, "days")
    items = ", ".join(f"{{{item}}}" for item in said)
    # `day` is set by the other scenario: the first one has to know the name.
    source = SCENARIO.replace("LANGUAGE", f"{language}\nvariables: {{day: ''}}").replace("SAY", items)
    call = centre.call(centre.scenario(source))
    prompts = [name for names in said.values() for name in names.split()]
    centre.hears(call, "p-hello", language=language)
    centre.hears(call, "p-one", *prompts, "p-bye", language=language, seconds=120)
    call.wait_ended()
    assert centre.path(call) == ["set", "sub", "hello", "set", "back", "tell"]
    assert "ivr.unsaid" not in {event["kind"] for event in centre.story(call)}
