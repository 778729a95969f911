"""ksctl backup: backups of the database, and bringing one back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from kalibri.services import backup
from tools.ksctl.app import App, pass_app
from tools.ksctl.output import output_option, say, show

FOLDER = click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
PATH = click.argument("path", type=click.Path(exists=True, file_okay=False, path_type=Path))
COLUMNS = ("path", "made_at", "size_bytes", "migrations", "tenants", "calls")


@click.group("backup")
def cli() -> None:
    """Backups of the database: made while everything runs, checked, restored into an empty database."""


@cli.command("create")
@FOLDER
@pass_app
def create(app: App, folder: Path) -> None:
    """Make a backup in a directory of its own below FOLDER; calls go on meanwhile."""
    made = backup.create(app.conn, app.config, folder=folder, now=datetime.now(UTC))
    say(f"{made.size_bytes} bytes, {made.tenants} tenants, {made.calls} calls")
    click.echo(made.path)


@cli.command("list")
@FOLDER
@output_option
def list_(folder: Path, output: str) -> None:
    """List the backups of a folder, the oldest first."""
    show(backup.list_backups(folder), COLUMNS, output)


@cli.command("verify")
@PATH
def verify(path: Path) -> None:
    """Check that a backup is whole and can be read."""
    manifest = backup.verify(path)
    say(f"made {manifest.made_at} on {manifest.node}, {len(manifest.files)} files are as they were made")


@cli.command("restore")
@PATH
@click.option("--dsn", help="Another database than that of the configuration, to try a backup.")
@pass_app
def restore(app: App, path: Path, dsn: str | None) -> None:
    """Restore a backup into an empty database, and bring it to this version of the program."""
    done = backup.restore(app.config, path=path, dsn=dsn)
    counted = ", ".join(f"{count} {name}" for name, count in done.rows.items())
    say(f"restored: {counted}; {len(done.migrated)} migrations applied, {done.differences} differences")
