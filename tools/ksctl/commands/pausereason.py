"""ksctl pausereason: why agents pause, and whether that is paid."""

from __future__ import annotations

import click

from kalibri.services import pause_reason as reasons
from tools.ksctl.app import App, pass_app
from tools.ksctl.options import enabled_option, given, tenant_filter_option, tenant_option
from tools.ksctl.output import output_option, say, show

COLUMNS = ("tenant", "name", "paid", "enabled", "paused")


@click.group("pausereason")
def cli() -> None:
    """Reasons for which agents may pause."""


@cli.command("list")
@tenant_filter_option
@output_option
@pass_app
def list_(app: App, tenant: str | None, output: str) -> None:
    """List reasons, with how many agents pause for each now."""
    show(reasons.list_reasons(app.conn, tenant_id=app.optional_tenant_id(tenant)), COLUMNS, output)


@cli.command("add")
@tenant_option
@click.argument("name")
@click.option("--paid/--unpaid", default=True, show_default=True, help="Whether the time counts as work.")
@pass_app
def add(app: App, tenant: str, name: str, paid: bool) -> None:
    """Make a reason."""
    reasons.add(app.conn, tenant_id=app.tenant_id(tenant), name=name, paid=paid)
    say(f"pause reason {name} added")


@cli.command("set")
@tenant_option
@click.argument("name")
@click.option("--paid/--unpaid", default=None, help="Whether the time counts as work.")
@enabled_option
@pass_app
def set_(app: App, tenant: str, name: str, **options: bool | None) -> None:
    """Change a reason; who pauses for it goes on."""
    reasons.change(app.conn, tenant_id=app.tenant_id(tenant), name=name, **given(options))
    say(f"pause reason {name} changed")


@cli.command("rm")
@tenant_option
@click.argument("name")
@pass_app
def remove(app: App, tenant: str, name: str) -> None:
    """Remove a reason; histories keep the word."""
    reasons.remove(app.conn, tenant_id=app.tenant_id(tenant), name=name)
    say(f"pause reason {name} removed")
