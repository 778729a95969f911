"""ksctl addressbook: public address books of tenants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kalibri.services import addressbook
from tools.ksctl.app import App, pass_app
from tools.ksctl.bad_rows import errors_option, written_to
from tools.ksctl.csv_files import export_option, write_lines
from tools.ksctl.options import dry_run_option, file_argument, given, local_file, tell_import, tenant_option
from tools.ksctl.output import output_option, say, show, show_one

COLUMNS = ("entry_id", "name", "number", "note")


@click.group("addressbook")
def cli() -> None:
    """Public address book of a tenant: names and numbers that its people look up."""


@cli.command("list")
@tenant_option
@click.argument("text", required=False)
@output_option
@pass_app
def list_(app: App, tenant: str, text: str | None, output: str) -> None:
    """List entries; with TEXT only those that hold it in name, number or note."""
    entries = addressbook.list_entries(app.conn, tenant_id=app.tenant_id(tenant), text=text)
    show(entries, COLUMNS, output)


@cli.command("show")
@tenant_option
@click.argument("entry_id", type=int)
@output_option
@pass_app
def show_(app: App, tenant: str, entry_id: int, output: str) -> None:
    """Show one entry by its id (ksctl addressbook list)."""
    show_one(addressbook.find(app.conn, tenant_id=app.tenant_id(tenant), entry_id=entry_id), output)


@cli.command("add")
@tenant_option
@click.argument("name")
@click.argument("number")
@click.option("--note", default="", help="For people.")
@pass_app
def add(app: App, tenant: str, name: str, number: str, note: str) -> None:
    """Add a name with a number; a name may have several."""
    entry = addressbook.add(app.conn, tenant_id=app.tenant_id(tenant), name=name, number=number, note=note)
    say(f"entry {entry.entry_id} added")


@cli.command("set")
@tenant_option
@click.argument("entry_id", type=int)
@click.option("--name", help="Another name.")
@click.option("--number", help="Another number.")
@click.option("--note", help="For people.")
@pass_app
def set_(app: App, tenant: str, entry_id: int, **changes: Any) -> None:
    """Change an entry by its id."""
    addressbook.change(app.conn, tenant_id=app.tenant_id(tenant), entry_id=entry_id, **given(changes))
    say(f"entry {entry_id} changed")


@cli.command("rm")
@tenant_option
@click.argument("entry_id", type=int)
@pass_app
def remove(app: App, tenant: str, entry_id: int) -> None:
    """Remove an entry by its id."""
    addressbook.remove(app.conn, tenant_id=app.tenant_id(tenant), entry_id=entry_id)
    say(f"entry {entry_id} removed")


@cli.command("export")
@tenant_option
@export_option
@pass_app
def export(app: App, tenant: str, file: Path | None) -> None:
    """Write the address book as CSV."""
    write_lines(addressbook.export(app.conn, tenant_id=app.tenant_id(tenant)), file)


@cli.command("import")
@tenant_option
@file_argument
@dry_run_option
@errors_option
@pass_app
def import_(app: App, tenant: str, file: Path, dry_run: bool, errors: Path | None) -> None:
    """Add entries from a CSV with the columns name, number and maybe note, all or none."""
    with local_file(file) as path, written_to(errors):
        result = addressbook.import_(app.conn, tenant_id=app.tenant_id(tenant), file=path, dry_run=dry_run)
    tell_import(result, dry_run)
