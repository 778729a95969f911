"""ksctl forwarding: what forwarding to numbers may cost a tenant."""

from __future__ import annotations

from typing import Any

import click

from kalibri.services import service_code as policies
from tools.ksctl.app import App, pass_app
from tools.ksctl.options import AmountType, Nullable, given, tenant_option
from tools.ksctl.output import output_option, say, show_one


@click.group("forwarding")
def cli() -> None:
    """What calls that accounts forward to numbers may cost (each account's: ksctl account service forward)."""


@cli.command("show")
@tenant_option
@output_option
@pass_app
def show_(app: App, tenant: str, output: str) -> None:
    """Show the policy of a tenant."""
    show_one(policies.find_policy(app.conn, tenant_id=app.tenant_id(tenant)), output)


@cli.command("set")
@tenant_option
@click.option("--to-numbers/--no-numbers", default=None, help="Whether accounts may forward out at all.")
@click.option("--max-calls", type=int, help="Forwarded calls at once of one account (2).")
@click.option("--max-cost", type=Nullable(AmountType()), help="Of a call of usual length, or none.")
@click.option("--max-seconds", type=int, help="A forwarded call ends after this time (7200).")
@pass_app
def set_(app: App, tenant: str, **changes: Any) -> None:
    """Change the policy of a tenant."""
    policies.set_policy(app.conn, tenant_id=app.tenant_id(tenant), **given(changes))
    say("forwarding policy changed")
