"""ksctl lockout: who is locked out for wrong passwords."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from kalibri.rpc import KamailioRpc
from kalibri.services import lockout
from kalibri.services.lockout import Lockout
from tools.ksctl.app import App, pass_app
from tools.ksctl.options import tenant_filter_option
from tools.ksctl.output import Column, output_option, printable, say, show


@click.group("lockout")
def cli() -> None:
    """Sources and user names that the proxy of this machine refuses, after wrong passwords."""


@cli.command("list")
@tenant_filter_option
@click.option("--source", help="Only this address (IPv6: network).")
@output_option
@pass_app
def list_(app: App, tenant: str | None, source: str | None, output: str) -> None:
    """List the locks in force, the longest first."""
    tenant_id = app.optional_tenant_id(tenant)
    with KamailioRpc(app.config.kamailio_rpc_socket) as rpc:
        found = lockout.list_lockouts(rpc, now=datetime.now(UTC), tenant_id=tenant_id, source=source)
    names = app.tenant_names() if found else {}
    tenant_column = Column("tenant", value=lambda lock: names.get(lock.tenant_id, lock.tenant_id))
    show(found, ("source", tenant_column, "username", "count", "until", "seconds_left"), output)


@cli.command("lift")
@tenant_filter_option
@click.argument("source")
@click.option("--username", help="Only this user name.")
@pass_app
def lift(app: App, tenant: str | None, source: str, username: str | None) -> None:
    """End the locks of SOURCE, an address or network as `list` shows it."""
    tenant_id = app.optional_tenant_id(tenant)
    with KamailioRpc(app.config.kamailio_rpc_socket) as rpc:
        now = datetime.now(UTC)
        lifted = lockout.lift(rpc, now=now, source=source, tenant_id=tenant_id, username=username)
    for lock in lifted:
        say(f"lifted: {printable(_who(lock))}")


@cli.command("lift-all")
@pass_app
def lift_all(app: App) -> None:
    """End all locks, however many there are."""
    with KamailioRpc(app.config.kamailio_rpc_socket) as rpc:
        lockout.lift_all(rpc)
    say("all locks are lifted")


def _who(lock: Lockout) -> str:
    return f"{lock.username or 'everybody'} at {lock.source}"
