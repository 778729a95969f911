"""The scenarios of conf/ivr: without mistakes, and each goes where it says."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from callcore import ivr_events as ev
from callcore.ivr_check import World, check
from callcore.ivr_http import Allowed
from callcore.ivr_run import Bundle, Version
from callcore.ivr_scenario import parse
from kalibri.prompt_files import system_sources
from kalibri.prompt_index import ANY
from tests.support.ivr_world import IvrWorld

FOLDER = Path(__file__).resolve().parents[3] / "conf" / "ivr"
FILES = sorted(FOLDER.glob("*.yaml"))
SOURCES = system_sources()
WORLD = World(
    prompts={
        word: frozenset(one.name for one in SOURCES if one.language in (word, ANY)) for word in ("ru", "en")
    },
    queues=frozenset({"sales", "support"}),
    accounts=frozenset({"100"}),
    schedules=frozenset(),
    scenarios=frozenset(file.stem for file in FILES),
    tables={"debts": frozenset({"phone", "sum", "until"})},
    hosts=(Allowed("billing.example.org"), Allowed("weather.example.org")),
)


def bundle() -> Bundle:
    versions = {}
    for file in FILES:
        parsed = parse(file.read_text(encoding="utf-8"))
        assert parsed.scenario is not None, parsed.problems
        versions[file.stem] = Version(name=file.stem, version=1, scenario=parsed.scenario)
    return Bundle(scenarios=versions)


def call(name: str, *, at: str = "2026-11-24T12:00") -> IvrWorld:
    world = IvrWorld(bundle(), name)
    world.now = datetime.fromisoformat(at).replace(tzinfo=UTC)
    return world.begin()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
@pytest.mark.parametrize("language", ["ru", "en"])
def test_there_is_no_mistake_in_either_language(file: Path, language: str) -> None:
    parsed = parse(file.read_text(encoding="utf-8").replace("language: ru", f"language: {language}"))
    assert parsed.scenario is not None
    found = [*parsed.problems, *check(parsed.scenario, WORLD)]
    assert [problem.text(file.name) for problem in found] == []


def test_reception_leads_to_a_queue_then_to_the_survey() -> None:
    world = call("reception").press("1")
    assert world.done[-1] == ev.EnterQueue("sales")
    world.feed(ev.QueueLeft(True)).press("5")
    assert world.heard == ["ivr-welcome", "ivr-main-menu", "survey", "survey-thanks", "goodbye"]
    assert world.run.variables["mark"] == "5"


def test_reception_takes_a_message_when_nobody_is_there() -> None:
    world = call("reception").press("2")
    world.feed(ev.QueueLeft(False, "closed")).wait()
    assert world.heard[-4:] == ["no-agents", "ivr-leave-message", "beep", "ivr-message-saved"]


def test_balance_is_told_with_its_plural_forms() -> None:
    world = call("balance").answer({"balance": "-121.5", "currency": "RUB"})
    said = ["minus", "number-100", "number-20", "number-1", "ruble-one", "number-50", "kopeck-many"]
    assert world.heard[-9:] == [*said, "ivr-please-pay", "goodbye"]


def test_balance_asks_for_the_account_when_the_number_is_not_known() -> None:
    world = call("balance").answer(None, "the server answered 404").press("4711#").press("1")
    request = world.asked.request
    assert (request.method, request.body) == ("POST", '{"account": "4711"}')
    assert world.answer({"balance": 2, "currency": "USD"}).heard[-3:] == ["number-2", "dollar-few", "goodbye"]


@pytest.mark.parametrize(
    ("degrees", "said"), [("1", ["number-1", "degree-one"]), ("-12.4", ["minus", "number-12", "degree-many"])]
)
def test_the_weather_is_told(degrees: str, said: list[str]) -> None:
    world = call("weather").answer({"temperature": degrees, "sky": "snow"})
    day = ["number-20", "ordinal-4-n", "month-11"]
    assert world.heard == ["moment", "ivr-weather", *day, *said, "ivr-sky-snow", "goodbye"]
    assert call("weather").answer({"temperature": "warm", "sky": "x"}).heard[-1] == "ivr-no-data"


def test_a_debtor_confirms() -> None:
    world = call("debt").answer({"phone": "x", "sum": "1002", "until": "2026-12-01"})
    assert world.heard[1:5] == ["number-1-f", "thousand-one", "number-2", "ruble-few"]
    assert world.press("21").heard[-2:] == ["ivr-debt-confirmed", "goodbye"]
    assert call("debt").answer(None).heard == ["ivr-no-debt"]


@pytest.mark.parametrize(
    ("at", "path"),
    [
        ("2027-01-01T12:00", ["when", "holiday"]),
        ("2026-11-24T12:00", ["when", "open", "hello", "main"]),
        ("2026-11-24T20:00", ["when", "closed"]),
        ("2026-11-28T13:59", ["when", "open", "hello", "main"]),
        ("2026-11-28T14:00", ["when", "closed"]),
    ],
)
def test_hours_and_holidays(at: str, path: list[str]) -> None:
    assert call("hours", at=at).path == path
