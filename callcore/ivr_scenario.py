"""Reads a scenario from YAML into its checked model; every mistake is told with its line, never only the first.

What is wrong in one file is found here (fields, types, names of nodes); what is wrong in the graph, or against the
world around it (prompts, queues, schedules), is found by ivr_check.py. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from callcore.ivr_condition import read_condition
from callcore.ivr_lines import Fields, Item, Problem, read_yaml
from callcore.ivr_model import (
    MOST_STEPS,
    Arm,
    Branch,
    Callback,
    Collect,
    Confirm,
    Hangup,
    Http,
    Lookup,
    Mailbox,
    Menu,
    Node,
    NodeKind,
    Play,
    Queue,
    Record,
    Return,
    Scenario,
    Set,
    Sub,
    Transfer,
    Wanted,
)
from callcore.ivr_say import read_say
from callcore.ivr_values import BUILT_IN, TYPES, VARIABLE, clean, is_dialable, names_in
from callcore.schedule import BadSchedule, time_zone

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,47}", re.ASCII)
KEYS = frozenset("0123456789*#ABCD")
LANGUAGES = ("ru", "en")
MOST_NODES = 500
_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
#: The request's own: a scenario must not change how it is framed or whom it is for.
_OWN_HEADERS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect"}
)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A scenario, or why there is none; problems may come with a scenario too."""

    scenario: Scenario | None
    problems: tuple[Problem, ...]


def parse(source: str) -> Parsed:
    """Read a scenario."""
    root, problems = read_yaml(source)
    if root is None:
        return Parsed(None, tuple(problems))
    if not isinstance(root.value, Mapping):
        return Parsed(None, (*problems, Problem(root.line, "a scenario is a mapping with nodes")))
    scenario = _read(Fields(problems, root))
    return Parsed(scenario, tuple(sorted(set(problems))))


def _read(fields: Fields) -> Scenario | None:
    language = fields.one_of("language", LANGUAGES, "ru")
    zone = _zone(fields)
    fields.text("about")
    variables = {name: text for name, (text, line) in fields.texts("variables").items()}
    for name, (_, line) in fields.texts("variables").items():
        _check_variable(fields, name, line)
    limits = fields.fields("limits")
    steps = limits.whole("steps", MOST_STEPS, 1, MOST_STEPS) if limits else MOST_STEPS
    seconds = limits.number("seconds", 1800, 1, 4 * 3600) if limits else 1800.0
    if limits:
        limits.done()
    nodes = _nodes(fields)
    start, line = fields.text("start"), fields.line_of("start")
    fields.done()
    if not nodes:
        fields.complain(fields.line_of("nodes"), "a scenario has at least one node")
        return None
    start = start or next(iter(nodes))
    if start not in nodes:
        fields.complain(line, f'there is no node "{start}" to start with')
        return None
    scenario = Scenario(
        start=start,
        nodes=nodes,
        language=language,
        time_zone=zone,
        variables=variables,
        most_steps=steps,
        most_seconds=seconds,
    )
    return scenario if _leads_somewhere(fields, scenario) else None


def _zone(fields: Fields) -> str:
    zone = fields.text("time_zone")
    try:
        if zone:
            time_zone(zone)
    except BadSchedule as error:
        fields.complain(fields.line_of("time_zone"), error.message)
        return ""
    return zone


def _leads_somewhere(fields: Fields, scenario: Scenario) -> bool:
    """Complain of exits to nodes that do not exist, and of variables that nothing sets."""
    sound = True
    known = scenario.known_variables() | BUILT_IN
    for node in scenario.nodes.values():
        for way in node.exits():
            if way.to not in scenario.nodes:
                fields.problems.append(
                    Problem(way.line, f'{way.label}: there is no node "{way.to}"', node.name)
                )
                sound = False
        for name in dict.fromkeys(node.reads):
            if name not in known:
                fields.problems.append(Problem(node.line, f'nothing sets the variable "{name}"', node.name))
    return sound


def _nodes(fields: Fields) -> dict[str, Node]:
    inner = fields.fields("nodes")
    found: dict[str, Node] = {}
    if inner is None:
        fields.complain(fields.item.line, '"nodes" is missing')
        return found
    names = inner.names()
    if len(names) > MOST_NODES:
        inner.complain(inner.item.line, f"more than {MOST_NODES} nodes")
    for name in names[:MOST_NODES]:
        item = inner.get(name)
        assert item is not None
        if not NAME.fullmatch(name):
            inner.complain(item.line, f'"{name}": a node has a name of letters, digits, _ - .')
        node = _node(Fields(fields.problems, item, name), name, item)
        if node is not None:
            found[name] = node
    return found


def _node(fields: Fields, name: str, item: Item) -> Node | None:
    if not isinstance(item.value, Mapping):
        fields.complain(item.line, "a node is a mapping with a kind")
        return None
    kind = fields.text("kind", None)
    if kind not in _READ:
        if kind:
            fields.complain(
                fields.line_of("kind"), f'there is no kind "{kind}"; known: {", ".join(NodeKind)}'
            )
        return None
    common: dict[str, Any] = {"name": name, "line": item.line}
    if kind not in (NodeKind.BRANCH, NodeKind.HANGUP, NodeKind.RETURN, NodeKind.MENU):
        common["next"] = fields.text("next")
    if _KINDS[kind].may_fail:
        common["on_failure"] = fields.text("on_failure")
    fields.text("about")
    node = _READ[kind](fields, common)
    fields.done()
    return node


def _lines(fields: Fields) -> dict[str, int]:
    return {label: fields.line_of(label) for label in ("next", "on_failure", "otherwise")}


def _check_variable(fields: Fields, name: str, line: int) -> None:
    if not VARIABLE.fullmatch(name):
        fields.complain(line, f'"{name}" is no name of a variable (small letters, digits, _)')
    elif name in BUILT_IN:
        fields.complain(line, f'"{name}" is set by the call itself')


def _set_names(fields: Fields, name: str) -> dict[str, tuple[str, int]]:
    """Read variable → text."""
    found = fields.texts(name)
    if not found:
        fields.complain(fields.line_of(name), f'"{name}" is missing or empty')
    for variable, (_, line) in found.items():
        _check_variable(fields, variable, line)
    return found


def _variable(fields: Fields, name: str) -> str:
    text = fields.text(name, None)
    if text:
        _check_variable(fields, text, fields.line_of(name))
    return text


def _key(fields: Fields, name: str, default: str) -> str:
    key = fields.text(name, default)
    if key not in KEYS:
        fields.complain(fields.line_of(name), f'"{name}" must be one key: 0-9 * # A-D')
        return default
    return key


def _play(fields: Fields, common: dict[str, Any]) -> Node:
    say = read_say(fields)
    if not say:
        fields.complain(fields.item.line, '"say" is missing')
    return Play(say=say, barge_in=fields.flag("barge_in", False), lines=_lines(fields), **common)


def _menu(fields: Fields, common: dict[str, Any]) -> Node:
    keys = fields.texts("keys")
    for key, (_, line) in keys.items():
        if key not in KEYS:
            fields.complain(line, f'"{key}" is no key (0-9 * # A-D)')
    return Menu(
        say=read_say(fields),
        keys=keys,
        wait_seconds=fields.number("wait_seconds", 5, 1, 60),
        tries=fields.whole("tries", 3, 1, 10),
        say_invalid=read_say(fields, "say_invalid"),
        say_timeout=read_say(fields, "say_timeout"),
        barge_in=fields.flag("barge_in", True),
        lines=_lines(fields),
        **common,
    )


def _collect(fields: Fields, common: dict[str, Any]) -> Node:
    low, high = fields.whole("min_digits", 1, 1, 40), fields.whole("max_digits", 20, 1, 40)
    if low > high:
        fields.complain(fields.line_of("min_digits"), '"min_digits" is more than "max_digits"')
    terminator = fields.text("terminator", "#")
    if terminator not in KEYS | {"", "none"}:
        fields.complain(fields.line_of("terminator"), '"terminator" is one key, or none')
    return Collect(
        say=read_say(fields),
        into=_variable(fields, "into"),
        min_digits=min(low, high),
        max_digits=high,
        terminator="" if terminator == "none" else terminator,
        wait_seconds=fields.number("wait_seconds", 8, 1, 60),
        digit_seconds=fields.number("digit_seconds", 4, 1, 30),
        tries=fields.whole("tries", 3, 1, 10),
        say_invalid=read_say(fields, "say_invalid"),
        confirm=_confirm(fields),
        barge_in=fields.flag("barge_in", True),
        lines=_lines(fields),
        **common,
    )


def _confirm(fields: Fields) -> Confirm | None:
    inner = fields.fields("confirm")
    if inner is None:
        return None
    confirm = Confirm(read_say(inner), _key(inner, "yes", "1"), _key(inner, "no", "2"))
    if confirm.yes == confirm.no:
        inner.complain(inner.item.line, '"yes" and "no" are the same key')
    inner.done()
    return confirm


def _branch(fields: Fields, common: dict[str, Any]) -> Node:
    arms = []
    for item in fields.list_of("when"):
        arm = Fields(fields.problems, item, fields.node)
        condition_item, to = arm.get("if"), arm.text("next", None)
        if condition_item is None:
            arm.complain(item.line, '"if" is missing')
            continue
        condition = read_condition(condition_item, arm)
        arm.done()
        if condition is not None:
            arms.append(Arm(condition, to, arm.line_of("next")))
    if not fields.list_of("when"):
        fields.complain(fields.item.line, '"when" is missing: a list of if and next')
    return Branch(arms=tuple(arms), otherwise=fields.text("otherwise"), lines=_lines(fields), **common)


def _set(fields: Fields, common: dict[str, Any]) -> Node:
    values = _set_names(fields, "values")
    for name, (value, line) in values.items():
        if name == "language" and value not in LANGUAGES and not names_in(value):
            fields.complain(line, f'"language" must be one of {", ".join(LANGUAGES)}')
    return Set(values={name: text for name, (text, _) in values.items()}, lines=_lines(fields), **common)


def _http(fields: Fields, common: dict[str, Any]) -> Node:
    url, line = fields.text("url", None), fields.line_of("url")
    _check_url(fields, url, line)
    headers = fields.texts("headers")
    for name, (_, header_line) in headers.items():
        if not _HEADER.fullmatch(name) or name.lower() in _OWN_HEADERS:
            fields.complain(header_line, f'"{name}" is no header that may be set')
    body = {name: text for name, (text, _) in fields.texts("body").items()}
    method = fields.one_of("method", ("GET", "POST"), "POST" if body else "GET")
    if body and method == "GET":
        fields.complain(fields.line_of("body"), "GET has no body")
    return Http(
        method=method,
        url=url,
        headers={name: text for name, (text, _) in headers.items()},
        body=body,
        into=_wanted(fields),
        timeout_seconds=fields.number("timeout_seconds", 3, 0.1, 30),
        retries=fields.whole("retries", 0, 0, 3),
        cache_seconds=fields.number("cache_seconds", 0, 0, 86_400),
        say=read_say(fields),
        lines=_lines(fields),
        **common,
    )


def _check_url(fields: Fields, url: str, line: int) -> None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        fields.complain(line, '"url" is no URL')
        return
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        fields.complain(line, '"url" must begin with http:// or https:// and a host')
    elif names_in(parts.netloc):
        fields.complain(line, "the host of a URL has no variables")
    elif parts.username is not None:
        fields.complain(line, '"url" holds no password: use a header')


def _wanted(fields: Fields) -> dict[str, Wanted]:
    inner = fields.fields("into")
    found: dict[str, Wanted] = {}
    if inner is None:
        fields.complain(fields.line_of("into"), '"into" is missing')
        return found
    for name in inner.names():
        _check_variable(fields, name, inner.line_of(name))
        item = inner.get(name)
        if item is not None and isinstance(item.value, Mapping):
            one = Fields(fields.problems, item, fields.node)
            found[name] = Wanted(one.text("path", None), one.one_of("type", TYPES, "text"))
            one.done()
        else:
            found[name] = Wanted(inner.text(name))
    return found


def _lookup(fields: Fields, common: dict[str, Any]) -> Node:
    into = _set_names(fields, "into")
    return Lookup(
        table=fields.text("table", None),
        key=fields.text("key", None),
        into={name: text for name, (text, _) in into.items()},
        lines=_lines(fields),
        **common,
    )


def _queue(fields: Fields, common: dict[str, Any]) -> Node:
    return Queue(queue=fields.text("queue", None), lines=_lines(fields), **common)


def _transfer(fields: Fields, common: dict[str, Any]) -> Node:
    target, line = fields.text("to", None), fields.line_of("to")
    kind, found, name = target.partition(":")
    if not found or kind not in ("account", "number", "queue") or not name:
        fields.complain(line, '"to" is account:NAME, number:+7495… or queue:NAME')
        kind, name = "number", target
    elif not names_in(name) and not is_dialable(name):
        fields.complain(line, f'"{clean(name)}" cannot be called: letters, digits and + * # . _ -')
    return Transfer(
        to_kind=kind,
        to=name,
        ring_seconds=fields.number("ring_seconds", 30, 1, 300),
        caller_id=fields.text("caller_id"),
        music=fields.text("music"),
        lines=_lines(fields),
        **common,
    )


def _record(fields: Fields, common: dict[str, Any]) -> Node:
    terminators = fields.text("terminators", "#")
    if not set(terminators) <= KEYS:
        fields.complain(fields.line_of("terminators"), '"terminators" are keys: 0-9 * # A-D')
    return Record(
        say=read_say(fields),
        max_seconds=fields.number("max_seconds", 120, 1, 1800),
        min_seconds=fields.number("min_seconds", 1, 0, 60),
        terminators=terminators,
        mailbox=fields.text("mailbox"),
        lines=_lines(fields),
        **common,
    )


def _mailbox(fields: Fields, common: dict[str, Any]) -> Node:
    return Mailbox(mailbox=fields.text("mailbox", None), lines=_lines(fields), **common)


def _callback(fields: Fields, common: dict[str, Any]) -> Node:
    number = fields.text("number", "{caller}")
    return Callback(queue=fields.text("queue", None), number=number, lines=_lines(fields), **common)


def _hangup(fields: Fields, common: dict[str, Any]) -> Node:
    code = fields.whole("code", 0, 0, 699)
    # 5xx would only send the call to the next media host.
    if code and not (400 <= code <= 499 or 600 <= code <= 699):
        fields.complain(fields.line_of("code"), '"code" is 400 to 499 or 600 to 699')
    return Hangup(say=read_say(fields), code=code, lines=_lines(fields), **common)


def _sub(fields: Fields, common: dict[str, Any]) -> Node:
    return Sub(scenario=fields.text("scenario", None), lines=_lines(fields), **common)


def _return(fields: Fields, common: dict[str, Any]) -> Node:
    return Return(lines=_lines(fields), **common)


_KINDS: Mapping[str, type[Node]] = {
    kind.kind: kind
    for kind in (
        *(Play, Menu, Collect, Branch, Set, Http, Lookup),
        *(Queue, Transfer, Record, Mailbox, Callback, Hangup, Sub, Return),
    )
}
_READ: Mapping[str, Callable[[Fields, dict[str, Any]], Node]] = {
    NodeKind.PLAY: _play,
    NodeKind.MENU: _menu,
    NodeKind.COLLECT: _collect,
    NodeKind.BRANCH: _branch,
    NodeKind.SET: _set,
    NodeKind.HTTP: _http,
    NodeKind.LOOKUP: _lookup,
    NodeKind.QUEUE: _queue,
    NodeKind.TRANSFER: _transfer,
    NodeKind.RECORD: _record,
    NodeKind.MAILBOX: _mailbox,
    NodeKind.CALLBACK: _callback,
    NodeKind.HANGUP: _hangup,
    NodeKind.SCENARIO: _sub,
    NodeKind.RETURN: _return,
}
