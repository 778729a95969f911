"""Mistakes in scenarios are told with their lines: in the file, in the graph, against the world around."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from callcore.ivr_check import World, check
from callcore.ivr_graph import to_dot
from callcore.ivr_http import Allowed
from callcore.ivr_model import NodeKind
from callcore.ivr_scenario import parse

ROOT = Path(__file__).resolve().parents[3]


def problems(source: str, world: World | None = None) -> list[str]:
    parsed = parse(source)
    found = [*parsed.problems, *(check(parsed.scenario, world) if parsed.scenario is not None else ())]
    return [problem.text("f") for problem in found]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("", "f:1: the file is empty"),
        ("nodes: [", "f:1: expected the node content"),
        ("a: &a [*a]", "f:1: nested too deep"),
        ("nodes:\n  a: {kind: hangup}\n  a: {kind: hangup}", 'f:3: "a" is given twice'),
        ("nodes:\n  a: {kind: sing}", 'f:2: a: there is no kind "sing"'),
        ("nodes:\n  a: {kind: play, say: x, next: b}", 'f:2: a: next: there is no node "b"'),
        ("nodes:\n  a: {kind: hangup, code: 200}", 'f:2: a: "code" is 400 to 499'),
        ("nodes:\n  a: {kind: hangup, colour: red}", 'f:2: a: "colour" is not known here'),
        ("language: de\nnodes:\n  a: {kind: hangup}", 'f:1: "language" must be one of'),
        ("start: x\nnodes:\n  a: {kind: hangup}", 'f:1: there is no node "x"'),
        ("nodes:\n  a: {kind: hangup, say: [{number: '{z}'}]}", 'f:2: a: nothing sets the variable "z"'),
        (
            "nodes:\n  a:\n    kind: menu\n    say: x\n    keys: {E: a}\n    on_failure: a",
            'f:5: a: "E" is no key',
        ),
        ("nodes:\n  a: {kind: set, values: {Caller: x}, next: a}", 'f:2: a: "Caller" is no name'),
        ("nodes:\n  a: {kind: set, values: {caller: x}, next: a}", "is set by the call itself"),
        ("nodes:\n  a: {kind: http, url: 'http://{x}/', into: {y: y}}", "the host of a URL has no variables"),
        ("nodes:\n  a: {kind: http, url: 'http://u:p@h/', into: {y: y}}", "holds no password"),
        ("nodes:\n  a: {kind: http, url: 'ftp://h/', into: {y: y}}", "must begin with http"),
        (
            "nodes:\n  a: {kind: http, url: 'http://h/', headers: {Host: x}, into: {y: y}}",
            "no header that may be",
        ),
        ("nodes:\n  a: {kind: branch, when: [{if: {hours: never}, next: a}], otherwise: a}", "f:2: a: "),
        ("nodes:\n  a: {kind: branch, when: [{if: {moon: full}, next: a}], otherwise: a}", "exactly one of"),
        ("nodes:\n  a: {kind: hangup, say: [{amount: '5', currency: XXX}]}", '"currency" must be one of'),
        ("nodes:\n  a: {kind: transfer, to: somebody, on_failure: a}", '"to" is account:NAME'),
        ("nodes:\n  a: {kind: transfer, to: 'number:account:eve', on_failure: a}", "cannot be called"),
        ("nodes:\n  a: {kind: transfer, to: 'number:x;tenant=2:eve', on_failure: a}", "cannot be called"),
        ("limits: {steps: 0}\nnodes:\n  a: {kind: hangup}", 'f:1: "steps" must be a number from 1'),
    ],
)
def test_a_mistake_is_told_with_its_line(source: str, told: str) -> None:
    assert any(told in text for text in problems(source)), problems(source)


GRAPH = """nodes:
  a: {kind: play, say: x, next: b}
  b: {kind: play, say: x, next: a}
  c: {kind: play, say: x}
  d: {kind: menu, say: x, keys: {}, on_failure: e}
  e: {kind: branch, when: [{if: {caller: "7"}, next: f}]}
  f: {kind: menu, say: x, keys: {1: f}, on_failure: f}
  g: {kind: collect, into: x, next: h}
  h: {kind: hangup}
"""


def test_what_is_wrong_with_a_graph_is_found() -> None:
    found = problems(GRAPH)
    for told in (
        "f:2: a: a loop without input: a, b",
        'f:4: c: a dead end: "next" is missing',
        "f:5: d: a dead end: the menu has no keys",
        'f:6: e: a dead end when no condition holds: "otherwise" is missing',
        "f:7: f: a loop without input: f",
        'f:8: g: "on_failure" is missing: a collect can fail',
    ):
        assert told in found
    unreachable = {text.split(":")[1] for text in found if "no other node leads here" in text}
    assert unreachable == {"4", "5", "6", "7", "8", "9"}


def test_a_loop_through_a_key_is_no_loop() -> None:
    source = """nodes:
  a: {kind: play, say: x, next: b}
  b: {kind: menu, say: x, keys: {1: a}, on_failure: c}
  c: {kind: hangup}
"""
    assert problems(source) == []


WORLD = World(
    prompts={"ru": frozenset({"x"}), "en": frozenset()},
    queues=frozenset({"sales"}),
    schedules=frozenset(),
    accounts=frozenset({"eve"}),
    scenarios=frozenset(),
    tables={"offices": frozenset({"room"})},
    hosts=(Allowed("crm.test"),),
)


@pytest.mark.parametrize(
    ("node", "told"),
    [
        ("{kind: hangup, say: [x, nope]}", 'there is no prompt "nope" in ru'),
        ("{kind: hangup, say: [{choose: '{caller}', of: {1: one}}]}", 'there is no prompt "one" in ru'),
        ("{kind: queue, queue: moon, on_failure: z}", 'there is no queue "moon"'),
        ("{kind: transfer, to: account:adam, on_failure: z}", 'there is no account "adam"'),
        ("{kind: transfer, to: queue:moon, on_failure: z}", 'there is no queue "moon"'),
        ("{kind: scenario, scenario: moon, next: z, on_failure: z}", 'there is no scenario "moon"'),
        ("{kind: lookup, table: moon, key: k, into: {v: room}, next: z, on_failure: z}", 'no table "moon"'),
        ("{kind: lookup, table: offices, key: k, into: {v: bed}, next: z, on_failure: z}", 'no column "bed"'),
        ("{kind: http, url: 'http://evil.test/', into: {v: v}, next: z, on_failure: z}", "allows no look-up"),
        (
            "{kind: http, url: 'http://crm.test:81/', into: {v: v}, next: z, on_failure: z}",
            "allows no look-up",
        ),
        ("{kind: branch, when: [{if: {schedule: moon}, next: z}], otherwise: z}", 'no schedule "moon"'),
        ("{kind: branch, when: [{if: {not: {queue: moon}}, next: z}], otherwise: z}", 'no queue "moon"'),
        ("{kind: play, say: x, next: z}", ""),
        ("{kind: queue, queue: sales, on_failure: z}", ""),
        ("{kind: http, url: 'https://crm.test/a', into: {v: v}, next: z, on_failure: z}", ""),
    ],
)
def test_names_that_nothing_has_are_told(node: str, told: str) -> None:
    found = problems(f"nodes:\n  a: {node}\n  z: {{kind: hangup}}", WORLD)
    found = [text for text in found if "leads here" not in text]
    assert (found == []) if not told else any(told in text and text.startswith("f:2: a:") for text in found)


def test_prompts_of_every_language_that_may_be_spoken_are_needed() -> None:
    source = "nodes:\n  a: {kind: set, values: {language: en}, next: b}\n  b: {kind: hangup, say: x}"
    assert problems(source, WORLD) == ['f:3: b: there is no prompt "x" in en']


def test_a_drawing_names_every_node_and_way() -> None:
    parsed = parse(GRAPH.replace("next: f}]}", "next: f}], otherwise: h}"))
    assert parsed.scenario is not None
    dot = to_dot(parsed.scenario, 'a "title"', {"a": 3})
    for node in parsed.scenario.nodes.values():
        assert f'"{node.name}" [label=' in dot
        for way in node.exits():
            assert f'"{node.name}" -> "{way.to}"' in dot
    assert '\\"title\\"' in dot
    assert "3 calls" in dot


def test_the_documentation_names_every_kind() -> None:
    told = set(
        re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "ivr.md").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert {kind.value for kind in NodeKind} <= told
