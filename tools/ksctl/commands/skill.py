"""ksctl skill: what agents can be good at."""

from __future__ import annotations

import click

from kalibri.services import skill as skills
from tools.ksctl.app import App, pass_app
from tools.ksctl.options import tenant_filter_option, tenant_option
from tools.ksctl.output import output_option, say, show

COLUMNS = ("tenant", "name", "agents", "queues")


@click.group("skill")
def cli() -> None:
    """Skills of agents, which queues can ask for."""


@cli.command("list")
@tenant_filter_option
@output_option
@pass_app
def list_(app: App, tenant: str | None, output: str) -> None:
    """List skills, with how many agents have them and how many queues ask for them."""
    show(skills.list_skills(app.conn, tenant_id=app.optional_tenant_id(tenant)), COLUMNS, output)


@cli.command("add")
@tenant_option
@click.argument("name")
@pass_app
def add(app: App, tenant: str, name: str) -> None:
    """Make a skill; levels: ksctl agent skills, requirements: ksctl queue skill."""
    skills.add(app.conn, tenant_id=app.tenant_id(tenant), name=name)
    say(f"skill {name} added")


@cli.command("rm")
@tenant_option
@click.argument("name")
@pass_app
def remove(app: App, tenant: str, name: str) -> None:
    """Remove a skill that nobody has and no queue asks for."""
    skills.remove(app.conn, tenant_id=app.tenant_id(tenant), name=name)
    say(f"skill {name} removed")
