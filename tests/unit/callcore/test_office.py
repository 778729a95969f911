"""The file of a virtual office: every mistake with its line, and a scenario without mistakes."""

from __future__ import annotations

import pytest
import yaml

from callcore.ivr_check import World, check
from callcore.ivr_scenario import parse
from callcore.office import Office, read, recipients, scenario
from kalibri.config import PROJECT_ROOT

SHORT = """name: moscow
number: "+74957771234"
extensions:
  - {name: "101", mail: anna@acme.example}
"""
SHIPPED = (PROJECT_ROOT / "conf" / "office.yaml").read_text(encoding="utf-8")


def office(source: str) -> Office:
    found, problems = read(source)
    assert found is not None, problems
    return found


@pytest.mark.parametrize("source", [SHORT, SHIPPED, SHIPPED.replace('2: "602"', "2: queue:sales")])
def test_the_scenario_of_an_office_has_no_mistake(source: str) -> None:
    made = office(source)
    parsed = parse(scenario(made))
    assert parsed.problems == ()
    assert parsed.scenario is not None
    world = World(
        prompts={made.language: frozenset(known_prompts(parsed.scenario))},
        queues=frozenset({"sales"}),
        schedules=frozenset({made.name}),
        accounts=frozenset(one.name for one in made.extensions),
    )
    assert check(parsed.scenario, world) == ()


def known_prompts(parsed: object) -> set[str]:
    """Every prompt of the system, and those that the office makes."""
    known = yaml.safe_load((PROJECT_ROOT / "conf" / "prompts" / "ru.yaml").read_text(encoding="utf-8"))
    return {*names(known), "office-moscow-menu-say", "beep"}


def names(node: object) -> set[str]:
    if not isinstance(node, dict):
        return set()
    return set(node) | {name for value in node.values() for name in names(value)}


def test_defaults() -> None:
    made = office(SHORT)
    assert (made.number, made.operator, made.mailbox, made.hours) == ("74957771234", "101", "101", "")
    nodes = yaml.safe_load(scenario(made))["nodes"]
    assert nodes["hello"]["next"] == "ring-101"
    assert nodes["ring-101"]["on_failure"] == "message-101"
    assert "closed" not in nodes


def test_the_shipped_example() -> None:
    made = office(SHIPPED)
    assert recipients(made)["601"][0] == ("anna@office.example", "office@office.example")
    assert recipients(made)["602"][0] == ("boris@office.example", "accounts@office.example")
    nodes = yaml.safe_load(scenario(made))["nodes"]
    assert nodes["hours"]["otherwise"] == "closed"
    assert nodes["closed"]["mailbox"] == "601"
    assert nodes["menu"]["keys"] == {"1": "ring-601", "2": "ring-602", "*": "extension"}
    assert [way["next"] for way in nodes["who"]["when"]] == ["ring-601", "ring-602"]


@pytest.mark.parametrize(
    ("source", "line", "told"),
    [
        (SHORT.replace("moscow", "Moscow 1"), 1, '"name"'),
        (SHORT.replace("+74957771234", "8 800"), 2, '"number"'),
        (SHORT.replace("name: moscow\n", ""), 1, '"name" is missing'),
        (SHORT.replace("{name", "{nmae"), 4, '"nmae" is not known'),
        (SHORT + "  - {name: '101'}\n", 5, "given twice"),
        (SHORT + "  - {name: 'a b'}\n", 5, "letters, digits"),
        (SHORT + "  - just text\n", 5, "is a mapping"),
        (SHORT + "  - {name: '102', exists: yes, password: x}\n", 5, "keeps its password"),
        (SHORT + "hours: mon-fri 25:00\n", 5, "position"),
        (SHORT + "time_zone: Mars\n", 5, "time zone"),
        (SHORT + "hours: mon 09:00-18:00\nholidays:\n  - tomorrow\n", 7, "is no day"),
        (SHORT + "holidays: [2027-01-01]\n", 1, "always open"),
        (SHORT + "menu:\n  say: p\n  keys:\n    1: '999'\n", 8, 'no extension "999"'),
        (SHORT + "menu:\n  say: p\n  keys: {x: '101'}\n", 7, "is no key"),
        (SHORT + "menu:\n  say: p\n", 5, "at least one key"),
        (SHORT + "menu:\n  keys: {1: '101'}\n", 5, '"say" is missing'),
        (SHORT + "  - {name: bob}\nmenu:\n  say: p\n  keys: {1: extension}\n", 8, "digits alone"),
        (SHORT + "operator: '102'\n", 5, 'no extension "102"'),
        (SHORT + "colour: red\n", 5, '"colour" is not known'),
        ("- a\n", 1, "is a mapping"),
        ("", 1, "empty"),
        ("name: [\n", 2, ""),
    ],
)
def test_mistakes_have_their_line(source: str, line: int, told: str) -> None:
    found, problems = read(source)
    assert found is None
    assert any(one.line == line and told in one.message for one in problems), problems
