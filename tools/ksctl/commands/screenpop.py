"""ksctl screenpop: which address and which form open with a call for its agent."""

from __future__ import annotations

from typing import Any

import click

from callcore.card import PopMoment
from kalibri.services import screen_pop as pops
from kalibri.services.screen_pop import ScreenPop
from tools.ksctl.app import App, pass_app
from tools.ksctl.options import (
    TEXT_OR_NONE,
    Command,
    enabled_option,
    given,
    tenant_filter_option,
    tenant_option,
)
from tools.ksctl.output import Column, output_option, say, show


def _target(pop: ScreenPop) -> str:
    for word, name in (("agent", pop.agent), ("campaign", pop.campaign), ("queue", pop.queue)):
        if name is not None:
            return f"{word} {name}"
    return "everybody"


COLUMNS = ("tenant", Column("for", value=_target), "open_at", "url", "form", "enabled")


def target_options(command: Command) -> Command:
    """Add --queue, --agent and --campaign; none: everybody of the tenant."""
    command = click.option("--campaign", help="For calls of this campaign.")(command)
    command = click.option("--agent", help="For calls of this agent.")(command)
    return click.option("--queue", help="For calls of this queue.")(command)


@click.group("screenpop")
def cli() -> None:
    """What opens with a call: for an agent, a campaign, a queue, or everybody of a tenant (docs/screenpop.md)."""


@cli.command("list")
@tenant_filter_option
@output_option
@pass_app
def list_(app: App, tenant: str | None, output: str) -> None:
    """List screen pops; for one call, agent counts before campaign before queue before everybody."""
    show(pops.list_pops(app.conn, tenant_id=app.optional_tenant_id(tenant)), COLUMNS, output)


@cli.command("set")
@tenant_option
@target_options
@click.option("--url", help="Address with variables, as https://crm.example/?phone={caller}; '' opens none.")
@click.option(
    "--at", "open_at", type=click.Choice([moment.value for moment in PopMoment]), help="When it opens."
)
@click.option("--form", type=TEXT_OR_NONE, help="Form to fill in, or none.")
@enabled_option
@pass_app
def set_(
    app: App, tenant: str, queue: str | None, agent: str | None, campaign: str | None, **options: Any
) -> None:
    """Say what opens with calls; what is not given stays as it was."""
    changes = given(options)
    if "open_at" in changes:
        changes["open_at"] = PopMoment(changes["open_at"])
    target = {"queue": queue, "agent": agent, "campaign": campaign}
    pop = pops.set_pop(app.conn, tenant_id=app.tenant_id(tenant), **target, **changes)
    say(f"screen pop for {_target(pop)} set")


@cli.command("rm")
@tenant_option
@target_options
@pass_app
def remove(app: App, tenant: str, queue: str | None, agent: str | None, campaign: str | None) -> None:
    """Remove a screen pop."""
    tenant_id = app.tenant_id(tenant)
    pops.remove(app.conn, tenant_id=tenant_id, queue=queue, agent=agent, campaign=campaign)
    say("screen pop removed")


@cli.command("test")
@click.argument("url")
@click.option(
    "--var",
    "variables",
    multiple=True,
    metavar="NAME=VALUE",
    help="A variable of the call, as lead.city=Tula.",
)
def test(url: str, variables: tuple[str, ...]) -> None:
    """Print the address that would open, with sample values for what is not given."""
    told: dict[str, Any] = {}
    for text in variables:
        name, found, value = text.partition("=")
        if not found:
            raise click.UsageError(f'"{text}": write NAME=VALUE')
        *groups, last = name.split(".")
        place = told
        for group in groups:
            place = place.setdefault(group, {})
        place[last] = value
    click.echo(pops.try_out(url=url, variables=told))
