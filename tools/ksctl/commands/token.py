"""ksctl token: what programs show to the API."""

from __future__ import annotations

import re
from typing import Any

import click

from callcore.states import ApiScope
from kalibri.services import token as tokens
from tools.ksctl.app import App, pass_app
from tools.ksctl.options import owner_option, tenant_filter_option
from tools.ksctl.output import output_option, say, show

COLUMNS = (
    "token_id",
    "tenant",
    "name",
    "scopes",
    "account",
    "usable",
    "created_at",
    "expires_at",
    "revoked_at",
    "last_used_at",
)
SECONDS = {"h": 3600, "d": 86_400, "w": 7 * 86_400}


class Duration(click.ParamType[int]):
    """How long: 12h, 90d, 8w."""

    name = "12h|90d|8w"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return seconds."""
        if isinstance(value, int):
            return value
        form = re.fullmatch(r"([1-9][0-9]{0,4})([hdw])", value)
        if form is None:
            self.fail(f"{value!r} is no duration: write 12h, 90d or 8w", param, ctx)
        return int(form[1]) * SECONDS[form[2]]


@click.group("token")
def cli() -> None:
    """Tokens of the API: of one tenant, or of the system for all."""


@cli.command("list")
@tenant_filter_option
@output_option
@pass_app
def list_(app: App, tenant: str | None, output: str) -> None:
    """List tokens; their secrets are not kept, so nobody can show them."""
    show(tokens.list_tokens(app.conn, tenant_id=app.optional_tenant_id(tenant)), COLUMNS, output)


@cli.command("add")
@owner_option
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice([scope.value for scope in ApiScope]),
    help="What it may do (repeat for several).",
)
@click.option(
    "--expires", "expires_seconds", type=Duration(), help="Good for so long (default: until revoked)."
)
@pass_app
def add(app: App, tenant: str, name: str, scopes: tuple[str, ...], expires_seconds: int | None) -> None:
    """Make a token; it is printed once.

    NAME says whose it is, and stands in the audit log beside all that is done with it.
    """
    made = tokens.add(
        app.conn,
        tenant_id=app.tenant_id(tenant),
        name=name,
        scopes=[ApiScope(scope) for scope in scopes],
        expires_seconds=expires_seconds,
    )
    say(f"token {made.token_id} of {made.tenant}, shown this once:")
    click.echo(made.token)


@cli.command("revoke")
@click.argument("token_id", type=int)
@pass_app
def revoke(app: App, token_id: int) -> None:
    """End a token; what uses it is refused within seconds."""
    ended = tokens.revoke(app.conn, tenant_id=None, token_id=token_id)
    say(f"token {ended.token_id} ({ended.name}) of {ended.tenant} is revoked")
