"""ksctl domain: SIP domains of tenants."""

from __future__ import annotations

import click

from kalibri.services import domain as domains
from tools.ksctl.app import App, pass_app
from tools.ksctl.options import tenant_filter_option, tenant_option
from tools.ksctl.output import output_option, say, show

COLUMNS = ("tenant", "name", "accounts")


@click.group("domain")
def cli() -> None:
    """SIP domains; each belongs to one tenant."""


@cli.command("list")
@tenant_filter_option
@output_option
@pass_app
def list_(app: App, tenant: str | None, output: str) -> None:
    """List domains."""
    show(domains.list_domains(app.conn, tenant_id=app.optional_tenant_id(tenant)), COLUMNS, output)


@cli.command("add")
@tenant_option
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@pass_app
def add(app: App, tenant: str, names: tuple[str, ...]) -> None:
    """Add domains to a tenant, all or none."""
    domains.add(app.conn, tenant_id=app.tenant_id(tenant), names=names)
    say(f"{len(names)} domains added to {tenant}")


@cli.command("rm")
@tenant_option
@click.argument("name")
@pass_app
def remove(app: App, tenant: str, name: str) -> None:
    """Remove a domain in which no account may register any more."""
    domains.remove(app.conn, tenant_id=app.tenant_id(tenant), name=name)
    say(f"domain {name} removed")
