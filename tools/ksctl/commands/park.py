"""ksctl park: how calls of a tenant are parked."""

from __future__ import annotations

from typing import Any

import click

from kalibri.services import park as parking
from tools.ksctl.app import App, pass_app
from tools.ksctl.options import Nullable, given, tenant_option
from tools.ksctl.output import output_option, say, show_one


@click.group("park")
def cli() -> None:
    """Call park: slots, times, overflow (who waits now: ksctl call parked)."""


@cli.command("show")
@tenant_option
@output_option
@pass_app
def show_(app: App, tenant: str, output: str) -> None:
    """Show how a tenant parks."""
    show_one(parking.find_policy(app.conn, tenant_id=app.tenant_id(tenant)), output)


@cli.command("set")
@tenant_option
@click.option(
    "--slots", type=int, help="Slots 1 to this one, as many calls at once (20); 0: nothing is parked."
)
@click.option("--wait", "wait_seconds", type=int, help="Then the phone of who parked the call rings (90).")
@click.option("--ring", "ring_seconds", type=int, help="How long it rings (30).")
@click.option(
    "--overflow",
    type=Nullable(click.STRING),
    help="Then: number:…, account:…, queue:… or none (the call ends).",
)
@pass_app
def set_(app: App, tenant: str, **changes: Any) -> None:
    """Change how a tenant parks."""
    parking.set_policy(app.conn, tenant_id=app.tenant_id(tenant), **given(changes))
    say("park policy changed")
