"""ksctl webhook: addresses to which events are posted."""

from __future__ import annotations

from typing import Any

import click

from kalibri.services import webhook as webhooks
from tools.ksctl.app import App, pass_app
from tools.ksctl.options import enabled_option, given, owner_option, tenant_filter_option
from tools.ksctl.output import output_option, say, show

COLUMNS = (
    "webhook_id",
    "tenant",
    "url",
    "kinds",
    "enabled",
    "pending",
    "dead",
    "sent_at",
    "failed_at",
    "last_error",
)
DELIVERY_COLUMNS = (
    "delivery_id",
    "webhook_id",
    "event_seq",
    "attempts",
    "created_at",
    "last_error",
    "body",
)
KIND = click.option(
    "--kind", "kinds", multiple=True, help="Only this kind, or call.* (repeat for several; default: all)."
)
ID = click.argument("webhook_id", metavar="ID", type=int)
DELIVERIES = click.argument("delivery_ids", metavar="DELIVERY...", type=int, nargs=-1, required=True)


@click.group("webhook")
def cli() -> None:
    """Addresses to which events are posted, signed, until they are taken."""


@cli.command("list")
@tenant_filter_option
@output_option
@pass_app
def list_(app: App, tenant: str | None, output: str) -> None:
    """List webhooks with what waits and what was given up."""
    show(webhooks.list_webhooks(app.conn, tenant_id=app.optional_tenant_id(tenant)), COLUMNS, output)


@cli.command("add")
@owner_option
@click.argument("url")
@KIND
@click.option("--note", default="", help="For people.")
@pass_app
def add(app: App, tenant: str, url: str, kinds: tuple[str, ...], note: str) -> None:
    """Post events from now on to an address; the key of the signature is printed once.

    A webhook of the system gets the events of all tenants.
    """
    made = webhooks.add(app.conn, tenant_id=app.tenant_id(tenant), url=url, kinds=kinds, note=note)
    say(f"webhook {made.webhook_id} added; the key of its signature, shown this once:")
    click.echo(made.secret)


@cli.command("set")
@owner_option
@ID
@click.option("--url", help="Another address.")
@KIND
@click.option("--note", help="For people.")
@enabled_option
@pass_app
def set_(app: App, tenant: str, webhook_id: int, **changes: Any) -> None:
    """Change a webhook; what happens while it is out of use is not posted later."""
    webhooks.change(app.conn, tenant_id=app.tenant_id(tenant), webhook_id=webhook_id, **given(changes))
    say(f"webhook {webhook_id} changed")


@cli.command("secret")
@owner_option
@ID
@pass_app
def secret(app: App, tenant: str, webhook_id: int) -> None:
    """Give a webhook another key for its signature, and print it once."""
    made = webhooks.renew_secret(app.conn, tenant_id=app.tenant_id(tenant), webhook_id=webhook_id)
    click.echo(made.secret)


@cli.command("rm")
@owner_option
@ID
@pass_app
def remove(app: App, tenant: str, webhook_id: int) -> None:
    """Remove a webhook with all that waits for it."""
    webhooks.remove(app.conn, tenant_id=app.tenant_id(tenant), webhook_id=webhook_id)
    say(f"webhook {webhook_id} removed")


@cli.command("test")
@owner_option
@ID
@pass_app
def test(app: App, tenant: str, webhook_id: int) -> None:
    """Post a test event to one webhook; `webhook list` tells how it went."""
    webhooks.test(app.conn, tenant_id=app.tenant_id(tenant), webhook_id=webhook_id)
    say("the event will be posted within a second")


@cli.command("dead")
@tenant_filter_option
@click.option("--webhook", "webhook_id", type=int, help="Only of this one.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="At most so many.")
@output_option
@pass_app
def dead(app: App, tenant: str | None, webhook_id: int | None, limit: int, output: str) -> None:
    """List events that were given up."""
    found = webhooks.list_deliveries(
        app.conn, tenant_id=app.optional_tenant_id(tenant), webhook_id=webhook_id, limit=limit
    )
    show(found, DELIVERY_COLUMNS, output)


@cli.command("retry")
@tenant_filter_option
@DELIVERIES
@pass_app
def retry(app: App, tenant: str | None, delivery_ids: tuple[int, ...]) -> None:
    """Try given-up events again."""
    count = webhooks.retry(app.conn, tenant_id=app.optional_tenant_id(tenant), delivery_ids=delivery_ids)
    say(f"{count} events are tried again")


@cli.command("drop")
@tenant_filter_option
@DELIVERIES
@pass_app
def drop(app: App, tenant: str | None, delivery_ids: tuple[int, ...]) -> None:
    """Forget given-up events."""
    count = webhooks.drop(app.conn, tenant_id=app.optional_tenant_id(tenant), delivery_ids=delivery_ids)
    say(f"{count} events forgotten")
