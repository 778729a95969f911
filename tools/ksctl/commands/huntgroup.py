"""ksctl huntgroup: accounts that ring under one name."""

from __future__ import annotations

from typing import Any

import click

from callcore.account_service import HuntMode
from kalibri.services import hunt_group as groups
from tools.ksctl.app import App, pass_app
from tools.ksctl.options import TEXT_OR_NONE, Command, given, tenant_filter_option, tenant_option
from tools.ksctl.output import output_option, say, show, show_one

COLUMNS = ("tenant", "name", "mode", "ring_seconds", "members", "fallback")


def settings_options(command: Command) -> Command:
    """Add what can be said about a group when it is made and later."""
    options = [
        click.option(
            "--mode", type=click.Choice([item.value for item in HuntMode]), help="Default: parallel."
        ),
        click.option(
            "--ring", "ring_seconds", type=int, help="Seconds a member, or all together, ring (20)."
        ),
        click.option(
            "--fallback",
            type=TEXT_OR_NONE,
            help="When nobody answers: number:…, account:…, queue:…, or none.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.group("huntgroup")
def cli() -> None:
    """Accounts that ring together, or one after the other, under a name that is dialled like an account."""


@cli.command("list")
@tenant_filter_option
@output_option
@pass_app
def list_(app: App, tenant: str | None, output: str) -> None:
    """List hunt groups with their members in order."""
    show(groups.list_groups(app.conn, tenant_id=app.optional_tenant_id(tenant)), COLUMNS, output)


@cli.command("show")
@tenant_option
@click.argument("name")
@output_option
@pass_app
def show_(app: App, tenant: str, name: str, output: str) -> None:
    """Show one hunt group."""
    show_one(groups.find(app.conn, tenant_id=app.tenant_id(tenant), name=name), output)


@cli.command("add")
@tenant_option
@click.argument("name")
@click.argument("members", nargs=-1, required=True)
@settings_options
@pass_app
def add(app: App, tenant: str, name: str, members: tuple[str, ...], **settings: Any) -> None:
    """Make a group of accounts."""
    groups.add(app.conn, tenant_id=app.tenant_id(tenant), name=name, members=members, **given(settings))
    say(f"hunt group {name} added with {len(members)} members")


@cli.command("set")
@tenant_option
@click.argument("name")
@click.argument("members", nargs=-1)
@settings_options
@pass_app
def set_(app: App, tenant: str, name: str, members: tuple[str, ...], **settings: Any) -> None:
    """Change a group; members that are named replace all."""
    changes = given(settings) | ({"members": members} if members else {})
    groups.change(app.conn, tenant_id=app.tenant_id(tenant), name=name, **changes)
    say(f"hunt group {name} changed")


@cli.command("rm")
@tenant_option
@click.argument("name")
@pass_app
def remove(app: App, tenant: str, name: str) -> None:
    """Remove a group to which no number and no route leads."""
    groups.remove(app.conn, tenant_id=app.tenant_id(tenant), name=name)
    say(f"hunt group {name} removed")
