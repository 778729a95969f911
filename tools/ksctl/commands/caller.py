"""ksctl caller: what is known of a caller, and how a tenant's own system is asked."""

from __future__ import annotations

from typing import Any

import click

from kalibri.services import caller as callers
from tools.ksctl.app import App, pass_app
from tools.ksctl.options import enabled_option, given, tenant_option
from tools.ksctl.output import output_option, say, show_one


@click.group("caller")
def cli() -> None:
    """Callers: earlier calls, name, and what the tenant's own system says of them."""


@cli.command("info")
@tenant_option
@click.argument("number")
@click.option("--ask/--no-ask", default=True, show_default=True, help="Ask the tenant's system, too.")
@output_option
@pass_app
def info(app: App, tenant: str, number: str, ask: bool, output: str) -> None:
    """Show what is known of a number."""
    fetch = callers.fetcher(app.config) if ask else None
    show_one(callers.info(app.conn, tenant_id=app.tenant_id(tenant), number=number, fetch=fetch), output)


@cli.group("lookup")
def lookup() -> None:
    """How a tenant's own system is asked who calls (HTTP GET, an object of JSON comes back)."""


@lookup.command("show")
@tenant_option
@output_option
@pass_app
def show_(app: App, tenant: str, output: str) -> None:
    """Show how it is asked; of the headers only the names."""
    found = callers.find_lookup(app.conn, tenant_id=app.tenant_id(tenant))
    show_one({**vars(found), "headers": sorted(found.headers)}, output)


@lookup.command("set")
@tenant_option
@click.option("--url", help="Address with variables, as https://crm.example/callers?phone={caller}.")
@click.option(
    "--header", "headers", multiple=True, metavar="NAME:VALUE", help="Sent along; replaces all there were."
)
@click.option("--timeout-ms", type=click.IntRange(100, 10_000), help="For everything together.")
@click.option(
    "--cache-seconds", type=click.IntRange(0, 86_400), help="How long an answer holds; 0: not at all."
)
@enabled_option
@pass_app
def set_(app: App, tenant: str, headers: tuple[str, ...], **options: Any) -> None:
    """Say how it is asked; what is not given stays as it was."""
    changes = given(options)
    if headers:
        pairs = (text.partition(":") for text in headers)
        changes["headers"] = {name.strip(): value.strip() for name, _, value in pairs}
    callers.set_lookup(app.conn, tenant_id=app.tenant_id(tenant), **changes)
    say("look-up set")


@lookup.command("rm")
@tenant_option
@pass_app
def remove(app: App, tenant: str) -> None:
    """Look nobody up any more."""
    callers.remove_lookup(app.conn, tenant_id=app.tenant_id(tenant))
    say("look-up removed")
