"""ksctl tenant: paying organisations."""

from __future__ import annotations

from typing import Any

import click

from kalibri.services import tenant as tenants
from tools.ksctl.app import App, pass_app
from tools.ksctl.options import NUMBER_OR_NONE, enabled_option, given
from tools.ksctl.output import output_option, say, show, show_one

COLUMNS = ("tenant_id", "name", "realm", "time_zone", "max_calls", "accounts", "enabled")


@click.group("tenant")
def cli() -> None:
    """Paying organisations; everything but the system's own objects belongs to one."""


@cli.command("list")
@output_option
@pass_app
def list_(app: App, output: str) -> None:
    """List all tenants."""
    show(tenants.list_tenants(app.conn), COLUMNS, output)


@cli.command("show")
@click.argument("name")
@output_option
@pass_app
def show_(app: App, name: str, output: str) -> None:
    """Show one tenant."""
    show_one(tenants.find(app.conn, name=name), output)


@cli.command("add")
@click.argument("name")
@click.option("--realm", help="Digest realm (default: the name); fixed once there are accounts.")
@click.option("--time-zone", default="UTC", show_default=True, help="As Europe/Moscow.")
@click.option("--max-calls", type=int, help="Calls at once (default: no limit).")
@pass_app
def add(app: App, name: str, realm: str | None, time_zone: str, max_calls: int | None) -> None:
    """Make a tenant."""
    tenant = tenants.add(app.conn, name=name, realm=realm, time_zone=time_zone, max_calls=max_calls)
    say(f"tenant {tenant.name} added (id {tenant.tenant_id}, realm {tenant.realm})")


@cli.command("set")
@click.argument("name")
@click.option("--realm", help="Digest realm; only while there are no accounts.")
@click.option("--time-zone", help="As Europe/Moscow.")
@click.option("--max-calls", type=NUMBER_OR_NONE, help="Calls at once, or none for no limit.")
@enabled_option
@pass_app
def set_(app: App, name: str, **changes: Any) -> None:
    """Change a tenant."""
    tenants.change(app.conn, name=name, **given(changes))
    say(f"tenant {name} changed")


@cli.command("rm")
@click.argument("name")
@pass_app
def remove(app: App, name: str) -> None:
    """Remove a tenant that owns nothing any more."""
    tenants.remove(app.conn, name=name)
    say(f"tenant {name} removed")
