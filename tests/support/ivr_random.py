"""Random scenarios that the checker accepts, as YAML: every kind of node, every kind of way."""

from __future__ import annotations

import random
from typing import Any

import yaml

from callcore.ivr_check import check
from callcore.ivr_lines import Problem
from callcore.ivr_model import Scenario
from callcore.ivr_scenario import parse

KINDS = (
    *("play", "menu", "collect", "branch", "set", "http", "lookup"),
    *("queue", "transfer", "record", "mailbox", "callback", "scenario", "hangup", "return"),
)
SAYS: tuple[Any, ...] = (
    "greeting",
    {"number": "{x}"},
    {"number": "{x}", "unit": "minute"},
    {"amount": "{x}", "currency": "RUB"},
    {"date": "{today}", "with_year": "yes"},
    {"time": "{clock}"},
    {"digits": "{caller}"},
    {"ordinal": "{x}"},
    {"choose": "{x}", "of": {"1": "one", "2": "two"}, "otherwise": "other"},
)
CONDITIONS: tuple[Any, ...] = (
    {"schedule": "office"},
    {"hours": "mon-fri 09:00-18:00"},
    {"dates": ["01-01", "2026-11-24"]},
    {"caller": ["+7495", "8"]},
    {"variable": "x", "equals": ["1", "{caller}"]},
    {"variable": "x", "above": "5"},
    {"region": "Москва"},
    {"queue": "sales", "waiting": {"above": "2"}},
    {"queue": "sales"},
    {"not": {"any": [{"variable": "x", "below": "3"}, {"all": [{"called": "7"}]}]}},
)


def random_scenario(rng: random.Random) -> tuple[str, Scenario]:
    """Return a valid scenario: nodes are drawn, then what the checker dislikes is turned to the end."""
    while True:
        nodes = {f"n{number}": _node(rng, rng.choice(KINDS), number) for number in range(rng.randint(1, 12))}
        nodes["end"] = {"kind": "hangup"}
        for node in nodes.values():
            _aim(rng, node, sorted(nodes))
        document = {
            "start": "n0",
            "language": rng.choice(("ru", "en")),
            "variables": {"x": str(rng.randint(-3, 30))},
        }
        document["limits"] = {
            "steps": str(rng.choice((20, 200, 1000))),
            "seconds": str(rng.choice((30, 600))),
        }
        for _ in range(60):
            source = yaml.safe_dump({**document, "nodes": nodes}, allow_unicode=True, sort_keys=False)
            scenario = parse(source)
            assert scenario.scenario is not None, (source, scenario.problems)
            assert not scenario.problems, (source, scenario.problems)
            problems = check(scenario.scenario)
            if not problems:
                return source, scenario.scenario
            _mend(nodes, problems)


def _mend(nodes: dict[str, dict[str, Any]], problems: tuple[Problem, ...]) -> None:
    for problem in problems:
        if "no other node" in problem.message:
            nodes.pop(problem.node, None)
        elif "loop" in problem.message:
            for name in problem.message.rpartition(": ")[2].split(", "):
                node = nodes.get(name, {})
                for label in ("next", "on_failure", "otherwise"):
                    if label in node:
                        node[label] = "end"
                for arm in node.get("when", ()):
                    arm["next"] = "end"
    nodes.setdefault("end", {"kind": "hangup"})
    for node in nodes.values():
        for label in ("next", "on_failure", "otherwise"):
            if node.get(label, "end") not in nodes:
                node[label] = "end"
        for arm in node.get("when", ()):
            arm["next"] = arm["next"] if arm["next"] in nodes else "end"
        for key, to in list(node.get("keys", {}).items()):
            node["keys"][key] = to if to in nodes else "end"


def _say(rng: random.Random) -> list[Any]:
    return [rng.choice(SAYS) for _ in range(rng.randint(1, 3))]


def _node(rng: random.Random, kind: str, number: int) -> dict[str, Any]:
    node: dict[str, Any] = {"kind": kind}
    more: dict[str, dict[str, Any]] = {
        "play": {"say": _say(rng), "barge_in": rng.choice(("yes", "no"))},
        "menu": {
            "say": _say(rng),
            "keys": {key: "" for key in rng.sample("0123456789*#", rng.randint(1, 4))},
            "barge_in": rng.choice(("yes", "no")),
            "tries": str(rng.randint(1, 3)),
        },
        "collect": {
            "say": _say(rng),
            "into": "x",
            "max_digits": str(rng.randint(2, 6)),
            "min_digits": str(rng.randint(1, 2)),
            "tries": str(rng.randint(1, 3)),
            **({"confirm": {"say": [{"digits": "{x}"}]}} if rng.random() < 0.5 else {}),
        },
        "branch": {"when": [{"if": rng.choice(CONDITIONS), "next": ""} for _ in range(rng.randint(1, 3))]},
        "set": {"values": {"x": rng.choice(("{x}1", "5", "{caller}")), "language": rng.choice(("ru", "en"))}},
        "http": {
            "url": "http://crm.test/{x}?a={caller}",
            "into": {"x": {"path": "value", "type": rng.choice(("text", "number"))}},
            "say": _say(rng),
        },
        "lookup": {"table": "offices", "key": "{x}", "into": {"x": "office"}},
        "queue": {"queue": "sales"},
        "transfer": {"to": rng.choice(("account:100", "number:{x}", "queue:sales"))},
        "record": {"say": _say(rng), "min_seconds": "2"},
        "mailbox": {"mailbox": rng.choice(("101", "{caller}", "{x}"))},
        "callback": {"queue": "sales", "number": rng.choice(("{caller}", "{x}"))},
        "scenario": {"scenario": rng.choice(("main", "other"))},
        "hangup": {"code": rng.choice(("0", "486"))},
    }
    return node | more.get(kind, {})


def _aim(rng: random.Random, node: dict[str, Any], names: list[str]) -> None:
    """Give every way out of a node a place to lead to."""
    kind = node["kind"]
    if kind not in ("branch", "hangup", "return", "menu") and (
        kind not in ("queue", "transfer", "mailbox") or rng.random() < 0.7
    ):
        node["next"] = rng.choice(names)
    if kind not in ("play", "set", "branch", "hangup", "return"):
        node["on_failure"] = rng.choice(names)
    if kind == "branch":
        node["otherwise"] = rng.choice(names)
    for arm in node.get("when", ()):
        arm["next"] = rng.choice(names)
    for key in node.get("keys", {}):
        node["keys"][key] = rng.choice(names)
