"""ksctl archive: files of old days."""

from __future__ import annotations

from pathlib import Path

import click

from kalibri.services import archive
from tools.ksctl.app import App, pass_app
from tools.ksctl.csv_files import export_option, write_lines
from tools.ksctl.options import tenant_filter_option
from tools.ksctl.output import output_option, say, show

COLUMNS = ("day", "noun", "tenant", "row_count", "size_bytes", "path", "sha256")


@click.group("archive")
def cli() -> None:
    """Old days of calls and events, as compressed CSV files (`worker run archive` writes them)."""


@cli.command("list")
@tenant_filter_option
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True, help="At most so many.")
@output_option
@pass_app
def list_(app: App, tenant: str | None, limit: int, output: str) -> None:
    """List files, the newest days first."""
    rows = archive.list_files(app.conn, tenant_id=app.optional_tenant_id(tenant), limit=limit)
    show(rows, COLUMNS, output)


@cli.command("verify")
@pass_app
def verify(app: App) -> None:
    """Compare every file with its checksum."""
    say(f"{archive.verify(app.conn, app.config)} files are as they were written")


@cli.command("show")
@click.argument("path")
@export_option
@pass_app
def show_(app: App, path: str, file: Path | None) -> None:
    """Write a file of the archive as CSV; PATH is shown by `archive list`."""
    write_lines(archive.read_file(app.config, path=path), file)
