"""ksctl retention: how long calls are kept."""

from __future__ import annotations

from typing import Any

import click

from kalibri.services import archive
from tools.ksctl.app import App, pass_app
from tools.ksctl.options import NUMBER_OR_NONE, given, tenant_filter_option, tenant_option
from tools.ksctl.output import Column, output_option, say, show


@click.group("retention")
def cli() -> None:
    """How long calls and their events are kept, tenant by tenant."""


@cli.command("list")
@tenant_filter_option
@output_option
@pass_app
def list_(app: App, tenant: str | None, output: str) -> None:
    """List the periods; a tenant without one of its own has that of the system."""
    default = app.config.worker.keep_calls_days
    rows = archive.list_retention(app.conn, tenant_id=app.optional_tenant_id(tenant))
    columns = (
        "tenant",
        "keep_calls_days",
        Column("in_force", value=lambda row: row.keep_calls_days or default),
    )
    show(rows, columns, output)


@cli.command("set")
@tenant_option
@click.option(
    "--calls-days", type=NUMBER_OR_NONE, required=True, help="Days, or none for the system's period."
)
@pass_app
def set_(app: App, tenant: str, calls_days: Any) -> None:
    """Give a tenant a period of its own for calls."""
    days = given({"days": calls_days})["days"]
    archive.set_retention(app.conn, tenant_id=app.tenant_id(tenant), keep_calls_days=days)
    say(f"{tenant} keeps calls for {'as long as the system' if days is None else f'{days} days'}")
