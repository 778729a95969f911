"""A command of ksctl and the method of its name do the same: they call the same function of kalibri/services."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import click
import pytest

from api.registry import all_methods
from tests.unit.api.test_registry import LOCAL, camel
from tools.ksctl.main import cli

OURS = ("api", "kalibri", "tools")
#: The text of a form is checked without a database.
SERVICES = ("kalibri.services.", "kalibri.form_file")
#: The command calls what the service function of the method only puts into another form.
WRAPPED = {"ivr.check": "kalibri.services.ivr.problems_of"}

Function = Callable[..., Any]


def callbacks(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Function]]:
    """Yield every command with the name that its method has."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from callbacks(command, (*path, name))
        elif command is not None and command.callback is not None:
            yield ".".join(camel(word) for word in (*path, name)), command.callback


def full_name(function: Function) -> str:
    return f"{function.__module__}.{function.__name__}"


@cache
def named_in(function: Function) -> tuple[Function, ...]:
    """Return the functions of ours that the text of a function names."""
    known = {**function.__globals__, **inspect.getclosurevars(function).nonlocals}
    found: list[Any] = []
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        if isinstance(node, ast.Name):
            found.append(known.get(node.id))
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = known.get(node.value.id)
            found.append(getattr(module, node.attr, None) if inspect.ismodule(module) else None)
    for table in [value for value in found if isinstance(value, dict)]:
        found.extend(table.values())
    functions = [inspect.unwrap(value) if callable(value) else None for value in found]
    return tuple(
        value
        for value in functions
        if inspect.isfunction(value) and value.__module__.partition(".")[0] in OURS
    )


def services_of(function: Function) -> set[str]:
    """Return the service functions that a function reaches without passing through another of them."""
    found, seen, waiting = set(), set(), [inspect.unwrap(function)]
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        if one.__module__.startswith(SERVICES):
            found.add(full_name(one))
        else:
            waiting.extend(named_in(one))
    return found


def test_a_function_is_found_through_helpers() -> None:
    assert services_of(dict(callbacks(cli))["recording.pause"]) >= {
        "kalibri.services.recording_control.pause"
    }
    assert not services_of(camel)


@pytest.mark.parametrize(
    ("name", "command"),
    [pytest.param(*item, id=item[0]) for item in callbacks(cli) if item[0] not in LOCAL],
)
def test_a_command_calls_what_its_method_calls(name: str, command: Function) -> None:
    do = inspect.unwrap(all_methods()[name].do)
    by_command = services_of(command)
    if name in WRAPPED:
        assert WRAPPED[name] in by_command
    elif do.__module__.startswith(SERVICES):
        assert full_name(do) in by_command
    else:
        assert services_of(do) & by_command
