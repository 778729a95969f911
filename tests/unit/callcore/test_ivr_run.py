"""What a call does in each kind of node: keys, silence, failure, hang-up, time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from callcore import ivr_events as ev
from callcore.ivr_condition import QueueState
from callcore.ivr_run import Stage
from callcore.schedule import Schedule
from tests.support.ivr_world import IvrWorld, bundle, version

MENU = """
language: en
nodes:
  hello: {kind: play, say: welcome, next: main}
  main:
    kind: menu
    say: main-menu
    keys: {1: one, "*": hello}
    tries: 2
    say_invalid: invalid
    say_timeout: try-again
    on_failure: bye
  one: {kind: play, say: first, next: bye}
  bye: {kind: hangup, say: goodbye}
"""


def main(source: str, **given: str) -> IvrWorld:
    return IvrWorld(bundle(source), **given).begin()


def test_a_key_leads_on() -> None:
    world = main(MENU).press("1")
    assert world.heard == ["welcome", "main-menu", "first", "goodbye"]
    assert world.path == ["hello", "main", "one", "bye"]
    assert world.end == ev.End(0, "hang up")


def test_wrong_keys_and_silence_use_the_tries_up() -> None:
    world = main(MENU).press("7")
    assert world.heard[-2:] == ["invalid", "main-menu"]
    world.wait()
    assert world.heard[-1] == "goodbye"
    assert world.run.variables["failure"] == "no key"
    assert main(MENU).wait().heard[-2:] == ["try-again", "main-menu"]


def test_barge_in_stops_the_menu_and_counts() -> None:
    world = IvrWorld(bundle(MENU))
    world.feed(ev.Begun(), settle=False)
    world.said()
    assert world.saying is not None
    assert world.saying.prompts == ("main-menu",)
    world.press("1", settle=False)
    assert ev.BeQuiet() in world.done
    assert world.path[-1] == "one"


def test_without_barge_in_keys_are_heard_only_after_the_menu() -> None:
    source = MENU.replace("    tries: 2\n", "    tries: 2\n    barge_in: no\n")
    world = IvrWorld(bundle(source))
    world.feed(ev.Begun(), settle=False)
    world.said()
    world.press("1", settle=False)
    assert world.path[-1] == "main"
    world.said()
    assert world.press("1").path[-2:] == ["one", "bye"]


def test_keys_dialled_ahead_pass_a_prompt_that_may_be_skipped() -> None:
    source = MENU.replace("say: welcome,", "say: welcome, barge_in: yes,")
    world = IvrWorld(bundle(source))
    world.feed(ev.Begun(), settle=False)
    world.press("1", settle=False)
    assert world.path == ["hello", "main", "one"]


COLLECT = """
language: en
nodes:
  ask:
    kind: collect
    say: enter
    into: pin
    min_digits: 3
    max_digits: 5
    tries: 2
    say_invalid: invalid
    confirm: {say: [you-typed, {digits: "{pin}"}]}
    next: done
    on_failure: bye
  done: {kind: hangup, say: [{number: "{pin}"}]}
  bye: {kind: hangup, say: goodbye}
"""


def test_digits_end_by_terminator_length_or_silence() -> None:
    assert main(COLLECT).press("123#").heard == ["enter", "you-typed", "number-1", "number-2", "number-3"]
    assert main(COLLECT).press("12345").run.stage is Stage.CONFIRM
    assert main(COLLECT).press("123").wait().run.stage is Stage.CONFIRM


def test_too_few_digits_are_asked_for_again_and_fail_at_last() -> None:
    world = main(COLLECT).press("12#")
    assert world.heard == ["enter", "invalid", "enter"]
    assert world.wait().heard[-1] == "goodbye"
    assert world.run.variables["failure"] == "no digits"


def test_a_confirmed_number_leads_on_and_one_that_is_not_is_typed_anew() -> None:
    world = main(COLLECT).press("123#1")
    assert world.heard[-3:] == ["number-1", "hundred", "number-23"] or world.path[-1] == "done"
    world = main(COLLECT).press("123#2")
    assert world.heard[-1] == "enter"
    assert world.press("456#1").run.variables["pin"] == "456"
    assert main(COLLECT).press("123#999").path[-1] == "bye"


BRANCH = """
time_zone: Europe/Moscow
variables: {vip: "no"}
nodes:
  look:
    kind: branch
    when:
      - {if: {dates: ["11-23"]}, next: holiday}
      - {if: {schedule: office}, next: open}
      - {if: {all: [{queue: sales, wait_seconds: {above: 60}}, {region: Москва}]}, next: busy}
      - {if: {caller: "+7812"}, next: north}
      - {if: {variable: vip, equals: "yes"}, next: vip}
    otherwise: closed
  holiday: {kind: hangup, say: holiday}
  open: {kind: hangup, say: open}
  busy: {kind: hangup, say: busy}
  north: {kind: hangup, say: north}
  vip: {kind: hangup, say: vip}
  closed: {kind: hangup, code: 486}
"""
OFFICE = Schedule.make(
    schedule_id=1,
    tenant_id=1,
    name="office",
    zone_name="Europe/Moscow",
    hours="mon-fri 09:00-18:00",
    holidays=[date(2026, 11, 25)],
)


def decided(known: ev.Known | None, at: datetime, caller: str = "+74951234567") -> str:
    world = IvrWorld(bundle(BRANCH, schedules={"office": OFFICE}), caller=caller)
    world.now = at
    world.begin()
    assert (world.asked.queues, world.asked.numbers) == (("sales",), (caller,))
    world.answer(known)
    return world.path[-1]


@pytest.mark.parametrize(
    ("at", "caller", "known", "node"),
    [
        ("2026-11-24T09:00", "+7495", ev.Known(), "open"),
        ("2026-11-24T05:59", "+7495", ev.Known(), "closed"),
        ("2026-11-25T09:00", "+7495", ev.Known(), "closed"),
        ("2026-11-22T21:30", "+7495", ev.Known(), "holiday"),
        ("2026-11-24T20:00", "+7812", None, "north"),
        (
            "2026-11-24T20:00",
            "+7495",
            ev.Known({"sales": QueueState(5, 0, 1, True, 90.0)}, {"+7495": "Москва"}),
            "busy",
        ),
        (
            "2026-11-24T20:00",
            "+7495",
            ev.Known({"sales": QueueState(5, 0, 1, True)}, {"+7495": "Москва"}),
            "closed",
        ),
    ],
)
def test_a_branch_goes_where_the_first_true_condition_leads(
    at: str, caller: str, known: ev.Known | None, node: str
) -> None:
    assert decided(known, datetime.fromisoformat(at).replace(tzinfo=UTC), caller) == node


def test_an_unanswered_call_is_refused_with_the_code() -> None:
    world = IvrWorld(bundle(BRANCH, schedules={"office": OFFICE}))
    world.now = datetime(2026, 11, 24, 22, tzinfo=UTC)
    world.begin()
    world.wait()  # the database does not answer
    assert world.heard == []
    assert world.end == ev.End(486, "hang up")


HTTP = """
language: ru
nodes:
  ask:
    kind: http
    url: "https://crm.test/balance/{caller}?lang={language}"
    headers: {Authorization: "Bearer {token}"}
    into: {sum: {path: account.balance, type: number}, cur: account.currency}
    timeout_seconds: 2
    retries: 1
    say: moment
    next: tell
    on_failure: sorry
  tell: {kind: hangup, say: [{amount: "{sum}", currency: "{cur}"}]}
  sorry: {kind: hangup, say: unavailable}
variables: {token: "secretключ"}
"""


def test_an_answer_of_a_web_server_is_said() -> None:
    world = main(HTTP)
    request = world.asked.request
    assert request.url == "https://crm.test/balance/%2B74951234567?lang=ru"
    assert request.headers == (("Authorization", "Bearer secret????"),)
    world.answer({"account": {"balance": 2.5, "currency": "rub"}})
    assert world.heard == ["moment", "number-2", "ruble-few", "number-50", "kopeck-many"]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (None, "timeout"),
        ({"account": {"balance": "much", "currency": "RUB"}}, '"account.balance" of the answer is no number'),
        ({"account": {"balance": 5}}, 'the answer has no "account.currency"'),
        ([], 'the answer has no "account.balance"'),
    ],
)
def test_an_answer_that_lies_takes_the_failure_branch(answer: object, why: str) -> None:
    world = main(HTTP)
    world.answer(answer, "timeout")
    assert world.heard == ["moment", "unavailable"]
    assert world.run.variables["failure"] == why


def test_a_late_answer_changes_nothing() -> None:
    world = main(HTTP)
    asked = world.asked
    world.wait()
    assert world.end is not None
    assert world.run.step(ev.Answered(asked.token, {"account": {}}), world.now) == []


def test_a_value_that_cannot_be_said_is_left_out_and_told() -> None:
    world = main('nodes: {a: {kind: play, say: [x, {date: "{caller}"}, y], next: b}, b: {kind: hangup}}')
    assert world.heard == ["x", "y"]
    assert [one["kind"] for one in world.told].count("ivr.unsaid") == 1


TABLE = """
nodes:
  find: {kind: lookup, table: offices, key: "{called}", into: {who: account}, next: call, on_failure: bye}
  call: {kind: transfer, to: "account:{who}", ring_seconds: 20, next: survey, on_failure: message}
  survey: {kind: menu, say: survey, keys: {5: bye}, on_failure: bye}
  message: {kind: record, say: leave-message, max_seconds: 60, min_seconds: 2, next: bye, on_failure: bye}
  bye: {kind: hangup, say: goodbye}
"""


def test_a_row_names_whom_to_call_and_the_scenario_goes_on_after_the_talk() -> None:
    world = main(TABLE)
    assert (world.asked.table, world.asked.key) == ("offices", "74950000000")
    world.answer({"account": "eve", "room": "5"})
    assert world.done[-1] == ev.DialOut("account", "eve", "+74951234567")
    world.feed(ev.Reached()).feed(ev.OtherLeft())
    assert world.heard == ["survey"]
    world.press("5")
    assert world.end is not None


def reached_recording() -> IvrWorld:
    world = main(TABLE).answer({"account": "eve"})
    world.feed(ev.NotReached(486))
    assert world.heard == ["leave-message", "beep"]
    assert world.run.variables["failure"] == "not reached: 486"
    assert world.run.stage is Stage.RECORDING
    return world


def test_a_message_ends_by_key_time_or_hang_up() -> None:
    world = reached_recording()
    world.now += timedelta(seconds=5)
    assert world.press("1#").done[-1] == ev.EndMessage(True)
    assert world.run.variables["message_seconds"] == "5"
    assert reached_recording().wait().done[-1] == ev.EndMessage(True)
    world = reached_recording()
    world.now += timedelta(seconds=9)
    world.feed(ev.CallerLeft())
    assert world.done[-1] == ev.EndMessage(True)
    world = reached_recording()
    assert world.press("#").done[-1] == ev.EndMessage(False)
    assert world.run.variables["failure"] == "the message is too short"


def test_nobody_answers_in_time() -> None:
    world = main(TABLE).answer({"account": "eve"})
    world.wait()
    assert ev.GiveUpDial() in world.done
    assert world.path[-1] == "message"


@pytest.mark.parametrize("who", ["x;tenant=2", "eve@evil.test", "eve>;x=y", "number:8", "two words", ""])
def test_what_a_table_or_server_makes_up_is_not_called(who: str) -> None:
    for to in ("account:{who}", "number:{who}"):
        world = IvrWorld(bundle(TABLE.replace("account:{who}", to))).begin().answer({"account": who})
        assert world.path[-1] == "message"
        assert not [one for one in world.done if isinstance(one, ev.DialOut)]


def test_a_caller_id_that_is_none_is_not_shown() -> None:
    shown = TABLE.replace("ring_seconds: 20,", 'ring_seconds: 20, caller_id: "{id}",').replace(
        "who: account}", "who: account, id: shown}"
    )
    for text, number in (("74957770000", "74957770000"), ("1>;tag=x", "+74951234567"), ("", "+74951234567")):
        world = main(shown).answer({"account": "eve", "shown": text})
        assert world.done[-1] == ev.DialOut("account", "eve", number)


def test_a_missing_row_is_a_failure() -> None:
    assert main(TABLE).answer(None, "no such row").heard == ["goodbye"]
    assert main(TABLE).answer({"other": "1"}).heard == ["goodbye"]


QUEUE = """
limits: {seconds: 60}
nodes:
  wait: {kind: queue, queue: sales, next: survey, on_failure: callback}
  survey: {kind: menu, say: survey, keys: {1: bye}, on_failure: bye}
  callback: {kind: callback, queue: sales, next: thanks, on_failure: bye}
  thanks: {kind: hangup, say: callback-accepted}
  bye: {kind: hangup}
"""


def test_time_in_the_queue_is_no_time_of_the_scenario() -> None:
    world = main(QUEUE)
    assert world.done == [ev.EnterQueue("sales")]
    world.now += timedelta(hours=1)
    world.feed(ev.QueueLeft(True))
    assert world.heard == ["survey"]
    assert world.timer is not None
    assert world.timer.seconds == 5
    assert world.press("1").end is not None


def test_a_closed_queue_takes_the_failure_branch() -> None:
    world = main(QUEUE).feed(ev.QueueLeft(False, "closed"))
    assert world.asked == ev.AskCallback(world.asked.token, "sales", "+74951234567")
    assert world.answer(True).heard == ["callback-accepted"]
    refused = main(QUEUE, caller="").feed(ev.QueueLeft(False, "full"))
    assert refused.run.variables["failure"] == "no number to call back"


SUB = """nodes:
  a: {kind: scenario, scenario: %s, next: b, on_failure: c}
  b: {kind: play, say: back, next: d}
  c: {kind: play, say: deep, next: d}
  d: {kind: return}
"""


def test_a_sub_scenario_comes_back_with_its_variables() -> None:
    other = version("nodes: {x: {kind: set, values: {found: yes_}, next: y}, y: {kind: return}}", "other", 7)
    world = IvrWorld(bundle(SUB % "other", other)).begin()
    assert world.heard == ["back"]
    assert world.run.variables["found"] == "yes_"
    assert [(one["scenario"], one["version"]) for one in world.told if one["node"] == "x"] == [("other", 7)]
    assert world.end == ev.End(0, "return of the first scenario")


def test_scenarios_nest_only_so_deep() -> None:
    world = main(SUB % "main")
    assert world.heard[0] == "deep"
    assert world.heard.count("back") == 5


def test_a_scenario_lasts_only_so_long() -> None:
    menu = "{kind: menu, say: x, wait_seconds: 30, keys: {1: a}, on_failure: b}"
    source = f"limits: {{seconds: 20}}\nnodes: {{a: {menu}, b: {{kind: hangup}}}}"
    world = main(source)
    for _ in range(100):
        if world.end is None:
            world.now += timedelta(seconds=3)
            world.press("1")
    assert world.end == ev.End(0, "time limit of the scenario")
    silent = main(source)
    silent.wait()
    assert silent.end == ev.End(0, "time limit of the scenario")


def test_the_caller_leaves_in_every_stage() -> None:
    for world in (main(MENU), main(COLLECT), main(HTTP), main(TABLE), main(QUEUE), reached_recording()):
        node = world.path[-1]
        world.feed(ev.CallerLeft())
        assert world.end == ev.End(0, "caller hung up")
        assert (world.told[-1]["kind"], world.told[-1]["node"], world.told[-1]["by"]) == (
            "ivr.end",
            node,
            "caller",
        )


def test_a_call_keeps_its_version() -> None:
    """What changes after the beginning is another bundle: this one cannot be reached by it."""
    first = bundle(MENU)
    world = IvrWorld(first).begin()
    changed = replace(first, scenarios={"main": version(MENU.replace("first", "second"), number=2)})
    assert changed.scenarios["main"].version == 2
    assert world.press("1").heard[-2:] == ["first", "goodbye"]
    assert {one["version"] for one in world.told} == {1}
