"""ksctl entry: callers in queues, and what supervisors do to them."""

from __future__ import annotations

import click

from kalibri.services import entry as entries
from tools.ksctl.app import App, pass_app
from tools.ksctl.commands.agent import duration
from tools.ksctl.options import tenant_filter_option, tenant_option
from tools.ksctl.output import Column, output_option, say, show, show_one

COLUMNS = (
    "tenant",
    "queue",
    "position",
    "entry_id",
    "kind",
    "state",
    "caller",
    "priority",
    Column("waited", value=lambda entry: duration(entry.waited_seconds)),
    "agent",
    "holder",
    "offers",
)
entry_argument = click.argument("entry", type=click.IntRange(1, 2**63 - 1))


@click.group("entry")
def cli() -> None:
    """Callers and callbacks in queues: list them, and steer them."""


@cli.command("list")
@tenant_filter_option
@click.option("--queue", help="Only of this queue.")
@output_option
@pass_app
def list_(app: App, tenant: str | None, queue: str | None, output: str) -> None:
    """List who waits, is offered or talks, in the order of service."""
    rows = entries.list_entries(app.conn, tenant_id=app.optional_tenant_id(tenant), queue=queue)
    show(rows, COLUMNS, output)


@cli.command("show")
@tenant_option
@entry_argument
@output_option
@pass_app
def show_(app: App, tenant: str, entry: int, output: str) -> None:
    """Show one entry, also one that has ended."""
    show_one(entries.find(app.conn, tenant_id=app.tenant_id(tenant), entry_id=entry), output)


# A negative priority is no option.
@cli.command("priority", context_settings={"ignore_unknown_options": True})
@tenant_option
@entry_argument
@click.argument("priority", type=int)
@pass_app
def priority_(app: App, tenant: str, entry: int, priority: int) -> None:
    """Give a waiting caller another priority; a higher one goes first."""
    row = entries.set_priority(app.conn, tenant_id=app.tenant_id(tenant), entry_id=entry, priority=priority)
    say(f"entry {entry} has priority {row.priority}, position {row.position}")


@cli.command("move")
@tenant_option
@entry_argument
@click.argument("queue")
@pass_app
def move(app: App, tenant: str, entry: int, queue: str) -> None:
    """Move a waiting caller to another QUEUE; the time that he has waited counts there."""
    row = entries.move(app.conn, tenant_id=app.tenant_id(tenant), entry_id=entry, queue=queue)
    say(f"entry {entry} is in queue {row.queue}, {row.state.value}, position {row.position}")


@cli.command("eject")
@tenant_option
@entry_argument
@click.option("--to", metavar="KIND:VALUE", help="Send him there, as account:101; default: the call ends.")
@pass_app
def eject(app: App, tenant: str, entry: int, to: str | None) -> None:
    """Send a waiting caller away."""
    entries.eject(app.conn, tenant_id=app.tenant_id(tenant), entry_id=entry, to=to)
    say(f"entry {entry} is out of the queue")


@cli.command("assign")
@tenant_option
@entry_argument
@click.argument("agent")
@pass_app
def assign(app: App, tenant: str, entry: int, agent: str) -> None:
    """Give a waiting caller to AGENT whatever his state; one who is in a call gets him next."""
    now = entries.assign(app.conn, tenant_id=app.tenant_id(tenant), entry_id=entry, agent=agent)
    say(f"agent {agent} is being rung" if now else f"agent {agent} gets entry {entry} next")
