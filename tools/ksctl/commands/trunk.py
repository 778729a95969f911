"""ksctl trunk: our registrations at carriers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kalibri.services import trunk as trunks
from tools.ksctl.app import App, pass_app
from tools.ksctl.options import enabled_option, given, owner_option, tenant_filter_option
from tools.ksctl.output import output_option, say, show, show_one
from tools.ksctl.passwords import carrier_password_option, read_password

COLUMNS = ("tenant", "gateway", "username", "domain", "enabled", "state", "state_reason", "state_changed_at")


@click.group("trunk")
def cli() -> None:
    """Our registrations at carriers, one a gateway; losing it takes the gateway out."""


@cli.command("list")
@tenant_filter_option
@output_option
@pass_app
def list_(app: App, tenant: str | None, output: str) -> None:
    """List trunks with the state of their registration."""
    show(trunks.list_trunks(app.conn, tenant_id=app.optional_tenant_id(tenant)), COLUMNS, output)


@cli.command("show")
@owner_option
@click.argument("gateway")
@output_option
@pass_app
def show_(app: App, tenant: str, gateway: str, output: str) -> None:
    """Show the trunk of a gateway."""
    show_one(trunks.find(app.conn, tenant_id=app.tenant_id(tenant), gateway=gateway), output)


@cli.command("add")
@owner_option
@click.argument("gateway")
@click.argument("username")
@click.option("--domain", help="Domain of the registration (default: the gateway's host).")
@click.option("--auth-username", help="User name of the digest (default: USERNAME).")
@click.option("--auth-realm", help="Realm of the carrier's challenge (default: the domain).")
@click.option("--expires", "expires_seconds", type=int, help="Seconds (default 300).")
@enabled_option
@carrier_password_option
@pass_app
def add(
    app: App, tenant: str, gateway: str, username: str, password_file: Path | None, **settings: Any
) -> None:
    """Register as USERNAME at the carrier behind a gateway; its password is asked for.

    The realm must be the one that the carrier's 401 names, or it will refuse the password.
    """
    tenant_id = app.tenant_id(tenant)
    password = read_password(password_file)
    trunk = trunks.add(
        app.conn,
        tenant_id=tenant_id,
        gateway=gateway,
        username=username,
        password=password,
        **given(settings),
    )
    say(f"gateway {gateway} registers as {trunk.username}@{trunk.domain} (realm {trunk.auth_realm})")


@cli.command("set")
@owner_option
@click.argument("gateway")
@click.option("--username", help="User name of the registration.")
@click.option("--domain", help="Domain of the registration.")
@click.option("--auth-username", help="User name of the digest; the password is needed again.")
@click.option("--auth-realm", help="Realm of the carrier's challenge; the password is needed again.")
@click.option("--expires", "expires_seconds", type=int, help="Seconds.")
@enabled_option
@carrier_password_option
@pass_app
def set_(app: App, tenant: str, gateway: str, password_file: Path | None, **changes: Any) -> None:
    """Change a trunk; a new password comes by --password-file."""
    tenant_id = app.tenant_id(tenant)
    password = None if password_file is None else read_password(password_file)
    trunks.change(app.conn, tenant_id=tenant_id, gateway=gateway, password=password, **given(changes))
    say(f"trunk of gateway {gateway} changed")


@cli.command("rm")
@owner_option
@click.argument("gateway")
@pass_app
def remove(app: App, tenant: str, gateway: str) -> None:
    """Give up the registration at a carrier; the gateway stays."""
    trunks.remove(app.conn, tenant_id=app.tenant_id(tenant), gateway=gateway)
    say(f"trunk of gateway {gateway} removed")
