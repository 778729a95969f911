"""ksctl starcode: codes that people dial to change the services of their phones."""

from __future__ import annotations

import click

from callcore.star_code import StarAction
from kalibri.services import service_code as codes
from tools.ksctl.app import App, pass_app
from tools.ksctl.options import tenant_option
from tools.ksctl.output import output_option, say, show

COLUMNS = ("action", "code", "argument", "usual")
ACTIONS = click.Choice([item.value for item in StarAction])


@click.group("starcode")
def cli() -> None:
    """Codes that are dialled, as *72 and a number; each tenant may have its own."""


@cli.command("list")
@tenant_option
@output_option
@pass_app
def list_(app: App, tenant: str, output: str) -> None:
    """List what each code does, and what follows it."""
    show(codes.list_codes(app.conn, tenant_id=app.tenant_id(tenant)), COLUMNS, output)


@cli.command("set")
@tenant_option
@click.argument("action", type=ACTIONS)
@click.argument("code")
@pass_app
def set_(app: App, tenant: str, action: str, code: str) -> None:
    """Give an action another code; "" switches it off."""
    codes.set_code(app.conn, tenant_id=app.tenant_id(tenant), action=action, code=code)
    say(f"{action}: {code or 'switched off'}")


@cli.command("reset")
@tenant_option
@click.argument("action", type=ACTIONS)
@pass_app
def reset(app: App, tenant: str, action: str) -> None:
    """Give an action its usual code again."""
    code = codes.set_code(app.conn, tenant_id=app.tenant_id(tenant), action=action, code=None)
    say(f"{action}: {code.code}")
