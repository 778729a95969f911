"""ksctl group: gateways that routes choose from."""

from __future__ import annotations

import click

from kalibri.services import group as groups
from tools.ksctl.app import App, pass_app
from tools.ksctl.options import owner_option, tenant_filter_option
from tools.ksctl.output import output_option, say, show

COLUMNS = ("tenant", "name", "members", "weight", "note")
MEMBER_COLUMNS = ("gateway", "owner", "weight", "enabled", "health")


@click.group("group")
def cli() -> None:
    """Gateways that a route may choose from, with weights."""


@cli.command("list")
@tenant_filter_option
@output_option
@pass_app
def list_(app: App, tenant: str | None, output: str) -> None:
    """List groups; weight is the sum over gateways in use."""
    show(groups.list_groups(app.conn, tenant_id=app.optional_tenant_id(tenant)), COLUMNS, output)


@cli.command("show")
@owner_option
@click.argument("name")
@output_option
@pass_app
def show_(app: App, tenant: str, name: str, output: str) -> None:
    """List the gateways of a group."""
    show(groups.members(app.conn, tenant_id=app.tenant_id(tenant), name=name), MEMBER_COLUMNS, output)


@cli.command("add")
@owner_option
@click.argument("name")
@click.argument("gateways", metavar="[GATEWAY]...", nargs=-1)
@click.option("--weight", type=int, default=groups.DEFAULT_WEIGHT, show_default=True, help="Of each gateway.")
@click.option("--note", default="", help="For people.")
@pass_app
def add(app: App, tenant: str, name: str, gateways: tuple[str, ...], weight: int, note: str) -> None:
    """Make a group, at once with gateways if they are named."""
    tenant_id = app.tenant_id(tenant)
    with app.conn.transaction():
        groups.add(app.conn, tenant_id=tenant_id, name=name, note=note)
        for gateway in gateways:
            groups.set_member(app.conn, tenant_id=tenant_id, name=name, gateway=gateway, weight=weight)
    say(f"group {name} added with {len(gateways)} gateways")


@cli.command("set")
@owner_option
@click.argument("name")
@click.option("--note", required=True, help="For people.")
@pass_app
def set_(app: App, tenant: str, name: str, note: str) -> None:
    """Change the note of a group; gateways: ksctl group member."""
    groups.change(app.conn, tenant_id=app.tenant_id(tenant), name=name, note=note)
    say(f"group {name} changed")


@cli.command("rm")
@owner_option
@click.argument("name")
@pass_app
def remove(app: App, tenant: str, name: str) -> None:
    """Remove a group to which no number and no route leads; its gateways stay."""
    groups.remove(app.conn, tenant_id=app.tenant_id(tenant), name=name)
    say(f"group {name} removed")


@cli.group("member")
def member() -> None:
    """Gateways of a group and their weights."""


@member.command("set")
@owner_option
@click.argument("name")
@click.argument("gateway")
@click.option("--weight", type=int, default=groups.DEFAULT_WEIGHT, show_default=True, help="0 takes it out.")
@pass_app
def set_member(app: App, tenant: str, name: str, gateway: str, weight: int) -> None:
    """Put a gateway into a group, or change its weight."""
    groups.set_member(app.conn, tenant_id=app.tenant_id(tenant), name=name, gateway=gateway, weight=weight)
    say(f"gateway {gateway} is in group {name} with weight {weight}")


@member.command("rm")
@owner_option
@click.argument("name")
@click.argument("gateway")
@pass_app
def remove_member(app: App, tenant: str, name: str, gateway: str) -> None:
    """Take a gateway out of a group."""
    groups.remove_member(app.conn, tenant_id=app.tenant_id(tenant), name=name, gateway=gateway)
    say(f"gateway {gateway} is no longer in group {name}")
