"""What is wrong with a scenario that can be read: dead ends, loops without input, unreachable nodes, missing failure
branches, and names that nothing around it has (prompts, queues, schedules, tables, accounts, hosts, scenarios). Pure.

The world is an argument; what of it is None is not checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from callcore.ivr_condition import InSchedule, QueueIs
from callcore.ivr_http import Allowed, find_allowed
from callcore.ivr_lines import Problem
from callcore.ivr_model import (
    ENDS,
    MAY_END,
    Branch,
    Callback,
    Exit,
    Http,
    Lookup,
    Menu,
    Node,
    Queue,
    Scenario,
    Sub,
    Transfer,
)
from callcore.ivr_values import names_in

BEEP = "beep"


@dataclass(frozen=True, kw_only=True)
class World:
    """Names that exist around a scenario; None: not known, not checked."""

    #: By language; what is there in any language is in each.
    prompts: Mapping[str, frozenset[str]] | None = None
    queues: frozenset[str] | None = None
    schedules: frozenset[str] | None = None
    accounts: frozenset[str] | None = None
    scenarios: frozenset[str] | None = None
    #: Table → its columns.
    tables: Mapping[str, frozenset[str]] | None = None
    hosts: tuple[Allowed, ...] | None = None


def check(scenario: Scenario, world: World | None = None) -> tuple[Problem, ...]:
    """Return every problem, by line."""
    found = [
        *_dead_ends(scenario),
        *_missing_failure_branches(scenario),
        *_unreachable(scenario),
        *_loops(scenario),
        *_unknown(scenario, world or World()),
    ]
    return tuple(sorted(set(found)))


def _dead_ends(scenario: Scenario) -> Iterator[Problem]:
    for node in scenario.nodes.values():
        if node.kind in ENDS | MAY_END:
            continue
        if isinstance(node, Branch):
            if not node.otherwise:
                yield Problem(
                    node.line, 'a dead end when no condition holds: "otherwise" is missing', node.name
                )
        elif isinstance(node, Menu):
            if not node.keys:
                yield Problem(node.line, "a dead end: the menu has no keys", node.name)
        elif not node.next:
            yield Problem(node.line, 'a dead end: "next" is missing', node.name)


def _missing_failure_branches(scenario: Scenario) -> Iterator[Problem]:
    for node in scenario.nodes.values():
        if node.may_fail and not node.on_failure:
            yield Problem(node.line, f'"on_failure" is missing: a {node.kind} can fail', node.name)


def _unreachable(scenario: Scenario) -> Iterator[Problem]:
    reached, open_ends = {scenario.start}, [scenario.start]
    while open_ends:
        for way in scenario.nodes[open_ends.pop()].exits():
            if way.to not in reached:
                reached.add(way.to)
                open_ends.append(way.to)
    for name, node in scenario.nodes.items():
        if name not in reached:
            yield Problem(node.line, "no other node leads here", name)


def _idle_exits(node: Node) -> tuple[Exit, ...]:
    """Return the ways out that a silent caller goes."""
    return tuple(way for way in node.exits() if not way.by_input)


def _loops(scenario: Scenario) -> Iterator[Problem]:
    """Yield a problem for each circle that a caller can run in without doing anything (Tarjan, without recursion)."""
    for component in _components(
        {name: [w.to for w in _idle_exits(n)] for name, n in scenario.nodes.items()}
    ):
        first = min(component, key=lambda name: scenario.nodes[name].line)
        if len(component) > 1 or any(way.to == first for way in _idle_exits(scenario.nodes[first])):
            names = ", ".join(sorted(component, key=lambda name: scenario.nodes[name].line))
            yield Problem(scenario.nodes[first].line, f"a loop without input: {names}", first)


def _components(graph: Mapping[str, list[str]]) -> Iterator[list[str]]:
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    waiting: set[str] = set()
    for root in graph:
        if root in index:
            continue
        work = [(root, iter(graph[root]))]
        index[root] = low[root] = len(index)
        stack.append(root)
        waiting.add(root)
        while work:
            name, ways = work[-1]
            for to in ways:
                if to not in index:
                    index[to] = low[to] = len(index)
                    stack.append(to)
                    waiting.add(to)
                    work.append((to, iter(graph[to])))
                    break
                if to in waiting:
                    low[name] = min(low[name], index[to])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[name])
                if low[name] == index[name]:
                    component: list[str] = []
                    while not component or component[-1] != name:
                        component.append(stack.pop())
                        waiting.discard(component[-1])
                    yield component


# ------------------------------------------------------------------------------------------- the world


def _unknown(scenario: Scenario, world: World) -> Iterator[Problem]:
    languages = _languages(scenario)
    for node in scenario.nodes.values():
        yield from _unknown_prompts(node, languages, world)
        yield from _unknown_names(node, world)


def _languages(scenario: Scenario) -> tuple[str, ...]:
    """Return the languages in which something may be said."""
    found = {scenario.language}
    for node in scenario.nodes.values():
        value = getattr(node, "values", {}).get("language", "")
        found.update({"ru", "en"} if names_in(value) else {value} - {""})
    return tuple(sorted(found))


def _unknown_prompts(node: Node, languages: tuple[str, ...], world: World) -> Iterator[Problem]:
    if world.prompts is None:
        return
    for language in languages:
        known = world.prompts.get(language, frozenset())
        for item in node.says:
            for name in item.prompts:
                if name not in known:
                    yield Problem(item.line, f'there is no prompt "{name}" in {language}', node.name)


def _unknown_names(node: Node, world: World) -> Iterator[Problem]:
    match node:
        case Queue() | Callback():
            named = [(world.queues, "queue", node.queue, node.line)]
        case Transfer():
            known = {"queue": world.queues, "account": world.accounts}.get(node.to_kind)
            named = [(known, node.to_kind, node.to, node.line)]
        case Sub():
            named = [(world.scenarios, "scenario", node.scenario, node.line)]
        case Branch():
            named = list(_named_in_conditions(node, world))
        case Lookup():
            yield from _unknown_columns(node, world)
            return
        case Http():
            yield from _unknown_host(node, world)
            return
        case _:
            return
    for known, what, name, line in named:
        if known is not None and name not in known and not names_in(name):
            yield Problem(line, f'there is no {what} "{name}"', node.name)


def _named_in_conditions(node: Branch, world: World) -> Iterator[tuple[frozenset[str] | None, str, str, int]]:
    for one in node.conditions():
        if isinstance(one, InSchedule):
            yield world.schedules, "schedule", one.name, one.line
        elif isinstance(one, QueueIs):
            yield world.queues, "queue", one.queue, one.line


def _unknown_columns(node: Lookup, world: World) -> Iterator[Problem]:
    if world.tables is None:
        return
    columns = world.tables.get(node.table)
    if columns is None:
        yield Problem(node.line, f'there is no table "{node.table}"', node.name)
        return
    for column in node.into.values():
        if column not in columns:
            yield Problem(node.line, f'table "{node.table}" has no column "{column}"', node.name)


def _unknown_host(node: Http, world: World) -> Iterator[Problem]:
    if world.hosts is None:
        return
    parts = urlsplit(node.url)
    if (
        find_allowed(
            world.hosts, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        )
        is None
    ):
        yield Problem(
            node.line, f'the tenant allows no look-up at "{parts.netloc}": ksctl ivr host add', node.name
        )
