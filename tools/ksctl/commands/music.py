"""ksctl music: what waiting callers hear."""

from __future__ import annotations

import click

from kalibri.services import prompt as prompts
from tools.ksctl.app import App, pass_app
from tools.ksctl.options import owner_option, tenant_filter_option
from tools.ksctl.output import output_option, say, show


@click.group("music")
def cli() -> None:
    """Music on hold by name, as queues ask for it; `default` is there without being set."""


@cli.command("list")
@tenant_filter_option
@output_option
@pass_app
def list_(app: App, tenant: str | None, output: str) -> None:
    """List music classes."""
    tenant_id = app.optional_tenant_id(tenant)
    show(prompts.list_music(app.conn, tenant_id=tenant_id), ("tenant", "name", "prompts"), output)


@cli.command("set")
@click.argument("name")
@click.argument("prompt_names", nargs=-1, required=True, metavar="PROMPT...")
@owner_option
@pass_app
def set_(app: App, name: str, prompt_names: tuple[str, ...], tenant: str) -> None:
    """Say which prompts a music class plays, one after the other."""
    prompts.set_music(app.conn, app.config, tenant_id=app.tenant_id(tenant), name=name, prompts=prompt_names)
    say(f"music {name} plays {len(prompt_names)} prompts")


@cli.command("rm")
@click.argument("name")
@owner_option
@pass_app
def rm(app: App, name: str, tenant: str) -> None:
    """Remove a music class; its prompts stay."""
    prompts.remove_music(app.conn, app.config, tenant_id=app.tenant_id(tenant), name=name)
    say(f"music {name} removed")
