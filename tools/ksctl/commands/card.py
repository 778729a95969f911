"""ksctl card: what agents see of their calls."""

from __future__ import annotations

import click

from kalibri.services import agent as agents
from kalibri.services import card as cards
from tools.ksctl.app import App, pass_app
from tools.ksctl.options import tenant_option
from tools.ksctl.output import Column, output_option, show, show_one

COLUMNS = (
    "made_at",
    "offer_id",
    "agent",
    "queue",
    Column("caller", value=lambda card: card.variables.get("caller")),
    "state",
    "url",
    Column("form", value=lambda card: card.form and card.form.name),
    "disposition",
    Column("finished", value=lambda card: card.finished_at is not None),
    "lookup",
)


@click.group("card")
def cli() -> None:
    """Cards: what agents see of the calls that they are offered (docs/screenpop.md)."""


@cli.command("list")
@tenant_option
@click.option("--agent", help="Only this agent's.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@output_option
@pass_app
def list_(app: App, tenant: str, agent: str | None, limit: int, output: str) -> None:
    """List cards, the newest first."""
    tenant_id = app.tenant_id(tenant)
    agent_id = None if agent is None else agents.find(app.conn, tenant_id=tenant_id, name=agent).agent_id
    show(cards.list_cards(app.conn, tenant_id=tenant_id, agent_id=agent_id, limit=limit), COLUMNS, output)


@cli.command("show")
@tenant_option
@click.argument("offer", type=click.IntRange(1))
@output_option
@pass_app
def show_(app: App, tenant: str, offer: int, output: str) -> None:
    """Show the card of an offer."""
    show_one(cards.find(app.conn, tenant_id=app.tenant_id(tenant), offer_id=offer), output)
