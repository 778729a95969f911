"""Every command of ksctl is a method of the API, and every method can be described."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from api.method import Method, Tenancy
from api.openrpc import document
from api.registry import all_methods
from tools.ksctl.main import cli

#: Commands that stay on the machine, and why.
LOCAL = {
    "campaign.simulate": "computes for a while, and draws a file on the machine",
    "prompt.compile": "compiles on the machine itself; ks-rec does it by itself",
    "prompt.play": "plays on the machine",
    "recording.export": "copies files of the machine",
    "recording.play": "plays on the machine",
    "voicemail.play": "plays on the machine; voicemail.seen",
    "archive.show": "reads files of the machine that has the archive",
    "archive.verify": "reads files of the machine that has the archive",
    "backup.create": "writes files of the machine",
    "backup.list": "reads files of the machine",
    "backup.restore": "needs an empty database, so nobody serves yet",
    "backup.verify": "reads files of the machine",
    "completion": "the script of a shell",
    "doctor": "looks at the machine on which it runs",
    "ivr.edit": "opens an editor; ivr.export and ivr.add",
    "ivr.test": "a person types the keys",
    "schema.apply": "changes tables: needs their owner, and a person who watches",
}


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the names that the methods of all commands below a group must have."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield ".".join(camel(word) for word in (*path, name))


def camel(word: str) -> str:
    """Write a word of the command line as the API does: set-state is setState."""
    first, *others = word.split("-")
    return first + "".join(other.capitalize() for other in others)


def test_every_command_is_a_method() -> None:
    assert isinstance(cli, click.Group)
    missing = set(commands(cli)) - set(all_methods()) - set(LOCAL)
    assert not missing, "declare them in api/methods, or say in LOCAL why they stay on the machine"


def test_what_stays_on_the_machine_is_a_command() -> None:
    assert isinstance(cli, click.Group)
    assert set(LOCAL) <= set(commands(cli))


def test_every_method_is_described() -> None:
    told = document(all_methods())
    for method in told["methods"]:
        assert len(method["summary"]) > 10, method["name"]
        names = [parameter["name"] for parameter in method["params"]]
        assert len(names) == len(set(names)), method["name"]
    assert {method["name"] for method in told["methods"]} >= {"rpc.discover", "session.login", *all_methods()}


@pytest.mark.parametrize("method", all_methods().values(), ids=lambda method: method.name)
def test_who_takes_a_tenant_says_how_it_is_found(method: Method) -> None:
    if method.tenancy in (Tenancy.ONE, Tenancy.OWNER, Tenancy.FILTER):
        assert method.takes_tenant
    if method.tenancy is Tenancy.ROWS:
        assert not method.takes_tenant
