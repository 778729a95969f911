"""ksctl account service: what an account has set for itself."""

from __future__ import annotations

from typing import Any

import click

from callcore.account_service import ForwardCondition
from kalibri.services import account_service as services
from tools.ksctl.app import App, pass_app
from tools.ksctl.options import given, tenant_filter_option, tenant_option
from tools.ksctl.output import output_option, say, show, show_one

COLUMNS = ("tenant", "username", "do_not_disturb", "forwards", "pickup_group")


@click.group("service")
def cli() -> None:
    """Forwarding, do-not-disturb, lists of callers, pickup group, speed dial of an account."""


@cli.command("list")
@tenant_filter_option
@output_option
@pass_app
def list_(app: App, tenant: str | None, output: str) -> None:
    """List the accounts that have set anything."""
    show(services.list_services(app.conn, tenant_id=app.optional_tenant_id(tenant)), COLUMNS, output)


@cli.command("show")
@tenant_option
@click.argument("username")
@output_option
@pass_app
def show_(app: App, tenant: str, username: str, output: str) -> None:
    """Show what one account has set."""
    show_one(services.find(app.conn, tenant_id=app.tenant_id(tenant), username=username), output)


@cli.command("set")
@tenant_option
@click.argument("username")
@click.option("--dnd/--no-dnd", "do_not_disturb", default=None, help="Do not disturb.")
@click.option(
    "--reject-anonymous/--take-anonymous",
    "reject_anonymous",
    default=None,
    help="Callers who hide their number get 433.",
)
@click.option("--only-white/--not-only-white", default=None, help="Only callers of the white list ring.")
@click.option("--hide-number/--show-number", default=None, help="Never show the account's number.")
@click.option("--pickup-group", help='Its members take each other\'s calls; "" for none.')
@pass_app
def set_(app: App, tenant: str, username: str, **changes: Any) -> None:
    """Switch services on and off."""
    services.change(app.conn, tenant_id=app.tenant_id(tenant), username=username, **given(changes))
    say(f"services of {username} changed")


@cli.command("forward")
@tenant_option
@click.argument("username")
@click.argument("condition", type=click.Choice([item.value for item in ForwardCondition]))
@click.argument("to")
@click.option("--after", "seconds", type=int, help="Of no_answer: seconds that the phones ring before.")
@pass_app
def forward(app: App, tenant: str, username: str, condition: str, to: str, seconds: int | None) -> None:
    """Forward calls to number:…, account:… (also a hunt group), queue:… or voicemail."""
    services.forward(
        app.conn,
        tenant_id=app.tenant_id(tenant),
        username=username,
        condition=condition,
        to=to,
        seconds=seconds,
    )
    say(f"{username} forwards {condition} to {to}")


@cli.command("unforward")
@tenant_option
@click.argument("username")
@click.argument("condition", required=False, type=click.Choice([item.value for item in ForwardCondition]))
@pass_app
def unforward(app: App, tenant: str, username: str, condition: str | None) -> None:
    """End a forwarding; without CONDITION every one."""
    services.unforward(app.conn, tenant_id=app.tenant_id(tenant), username=username, condition=condition)
    say(f"{username} forwards {condition or 'nothing'} {'no more' if condition else 'any more'}")


@cli.command("block")
@tenant_option
@click.argument("username")
@click.argument("caller")
@pass_app
def block(app: App, tenant: str, username: str, caller: str) -> None:
    """Refuse a caller: number or user name; with * at its end a prefix."""
    services.list_caller(
        app.conn, tenant_id=app.tenant_id(tenant), username=username, caller=caller, which="black"
    )
    say(f"{username} refuses {caller}")


@cli.command("allow")
@tenant_option
@click.argument("username")
@click.argument("caller")
@pass_app
def allow(app: App, tenant: str, username: str, caller: str) -> None:
    """Let a caller ring whatever else is set."""
    services.list_caller(
        app.conn, tenant_id=app.tenant_id(tenant), username=username, caller=caller, which="white"
    )
    say(f"{username} always takes {caller}")


@cli.command("unlist")
@tenant_option
@click.argument("username")
@click.argument("caller")
@pass_app
def unlist(app: App, tenant: str, username: str, caller: str) -> None:
    """Take a caller from the lists."""
    services.unlist_caller(app.conn, tenant_id=app.tenant_id(tenant), username=username, caller=caller)
    say(f"{caller} is on no list of {username}")


@cli.command("dial")
@tenant_option
@click.argument("username")
@click.argument("slot")
@click.argument("to")
@pass_app
def dial(app: App, tenant: str, username: str, slot: str, to: str) -> None:
    """Put a number or user name into a speed dial slot (0 to 99)."""
    services.set_speed_dial(app.conn, tenant_id=app.tenant_id(tenant), username=username, slot=slot, to=to)
    say(f"slot {slot} of {username} calls {to}")


@cli.command("undial")
@tenant_option
@click.argument("username")
@click.argument("slot")
@pass_app
def undial(app: App, tenant: str, username: str, slot: str) -> None:
    """Empty a speed dial slot."""
    services.remove_speed_dial(app.conn, tenant_id=app.tenant_id(tenant), username=username, slot=slot)
    say(f"slot {slot} of {username} is empty")
