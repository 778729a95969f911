"""ksctl schema: tables of the database."""

from __future__ import annotations

import click

from callcore.errors import Refused
from kalibri.services import schema
from tools.ksctl.app import App, pass_app
from tools.ksctl.options import dry_run_option
from tools.ksctl.output import output_option, say, show


@click.group("schema")
def cli() -> None:
    """Tables of the database: apply them, read them, check them."""


@cli.command("apply")
@dry_run_option
@pass_app
def apply(app: App, dry_run: bool) -> None:
    """Bring the database to this version of the program; safe to repeat."""
    versions = schema.state(app.conn).pending if dry_run else schema.apply(app.conn)
    for version in versions:
        say(f"{'would apply' if dry_run else 'applied'} {version}")
    if not versions:
        say("the database is up to date")


@cli.command("read")
def read() -> None:
    """Print the whole schema (schema.sql)."""
    click.echo(schema.read(), nl=False)


@cli.command("check")
@output_option
@pass_app
def check(app: App, output: str) -> None:
    """Compare the database with schema.sql, object by object; exit code 4 if they differ."""
    differences = schema.differences(app.conn)
    pending = schema.state(app.conn).pending
    show(differences, ("problem", "kind", "name"), output)
    if differences or pending:
        raise Refused(
            f"{len(differences)} differences, {len(pending)} migrations not applied: ksctl schema apply"
        )
    say("the database is as schema.sql says")
