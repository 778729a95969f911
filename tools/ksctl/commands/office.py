"""ksctl office: virtual offices from a short YAML file (docs/services.md)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from kalibri.services import office
from kalibri.services.office import Made
from tools.ksctl.app import App, pass_app
from tools.ksctl.commands.recording import me
from tools.ksctl.options import dry_run_option, file_argument, tenant_filter_option, tenant_option
from tools.ksctl.output import Column, as_json, output_option, printable, say, show, show_one

COLUMNS = ("tenant", "name", "number", "made_at", Column("parts", value=lambda row: len(row.made)))
PART_COLUMNS = ("kind", "name", Column("what", value=lambda part: part.how), "password")


@click.group("office")
def cli() -> None:
    """Virtual offices: one number, greeting, menu, extensions, hours, voice mail by e-mail, from one file."""


@cli.command("create")
@tenant_option
@file_argument
@dry_run_option
@output_option
@pass_app
def create(app: App, tenant: str, file: Path, dry_run: bool, output: str) -> None:
    """Make what FILE describes (conf/office.yaml is an example), all of it or nothing.

    The passwords of the phones are shown this once.
    """
    with click.open_file(str(file), encoding="utf-8") as text:
        source = text.read()
    made = office.create(
        app.conn,
        app.config,
        tenant_id=app.tenant_id(tenant),
        source=source,
        file=str(file),
        by=me(),
        dry_run=dry_run,
    )
    show(made, PART_COLUMNS, output)
    say("dry run: this would be made, nothing was" if dry_run else f"{len(made)} parts made")


@cli.command("list")
@tenant_filter_option
@output_option
@pass_app
def list_(app: App, tenant: str | None, output: str) -> None:
    """List the virtual offices."""
    show(office.list_offices(app.conn, tenant_id=app.optional_tenant_id(tenant)), COLUMNS, output)


@cli.command("show")
@tenant_option
@click.argument("name")
@output_option
@pass_app
def show_(app: App, tenant: str, name: str, output: str) -> None:
    """Show an office and its parts."""
    found = office.find(app.conn, tenant_id=app.tenant_id(tenant), name=name)
    if output == "json":
        show_one(found, output)
        return
    told = {key: value for key, value in as_json(found).items() if key != "made"}
    show_one(told, output)
    if output == "table":
        _tell([Made(**part) for part in found.made])


@cli.command("rm")
@tenant_option
@click.argument("name")
@pass_app
def remove(app: App, tenant: str, name: str) -> None:
    """Take away what was made for an office, its accounts too; messages stay as recordings."""
    gone = office.remove(app.conn, app.config, tenant_id=app.tenant_id(tenant), name=name)
    _tell(gone)
    say(f"office {name} removed, {len(gone)} parts")


def _tell(parts: Sequence[Made]) -> None:
    for part in parts:
        click.echo(printable(f"{part.kind} {part.name}{': ' if part.how else ''}{part.how}"))
