"""ksctl callback: people who are to be called when it is their turn."""

from __future__ import annotations

import click

from callcore.call_queue import EntryKind
from kalibri.services import entry as entries
from tools.ksctl.app import App, pass_app
from tools.ksctl.commands.agent import duration
from tools.ksctl.options import tenant_filter_option, tenant_option
from tools.ksctl.output import Column, output_option, say, show

COLUMNS = (
    "tenant",
    "queue",
    "position",
    "entry_id",
    "state",
    "number",
    "priority",
    Column("waited", value=lambda entry: duration(entry.waited_seconds)),
    "dials",
    "not_before",
    "expires_at",
)


@click.group("callback")
def cli() -> None:
    """Callbacks: entries that keep their place without a call."""


@cli.command("list")
@tenant_filter_option
@click.option("--queue", help="Only of this queue.")
@output_option
@pass_app
def list_(app: App, tenant: str | None, queue: str | None, output: str) -> None:
    """List callbacks in the order of service."""
    tenant_id = app.optional_tenant_id(tenant)
    rows = entries.list_entries(app.conn, tenant_id=tenant_id, queue=queue, kind=EntryKind.CALLBACK)
    show(rows, COLUMNS, output)


@cli.command("add")
@tenant_option
@click.argument("queue")
@click.argument("number")
@pass_app
def add(app: App, tenant: str, queue: str, number: str) -> None:
    """Ask for a callback to NUMBER; a queue has one of each number."""
    row = entries.add_callback(app.conn, tenant_id=app.tenant_id(tenant), queue=queue, number=number)
    say(f"callback {row.entry_id} is at position {row.position} of queue {queue}")


@cli.command("move")
@tenant_option
@click.argument("entry", type=int)
@click.argument("queue")
@pass_app
def move(app: App, tenant: str, entry: int, queue: str) -> None:
    """Move a callback to another QUEUE, with its place."""
    entries.move(app.conn, tenant_id=app.tenant_id(tenant), entry_id=entry, queue=queue)
    say(f"callback {entry} is in queue {queue}")


@cli.command("cancel")
@tenant_option
@click.argument("entry", type=int)
@pass_app
def cancel(app: App, tenant: str, entry: int) -> None:
    """Take a callback back."""
    entries.cancel_callback(app.conn, tenant_id=app.tenant_id(tenant), entry_id=entry)
    say(f"callback {entry} is cancelled")
