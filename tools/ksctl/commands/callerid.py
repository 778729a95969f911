"""ksctl callerid: sets of numbers that are shown to called parties, region by region."""

from __future__ import annotations

from pathlib import Path

import click

from kalibri.services import caller_id as caller_ids
from kalibri.services.caller_id import CallerId
from tools.ksctl.app import App, pass_app
from tools.ksctl.bad_rows import errors_option, written_to
from tools.ksctl.csv_files import export_option, write_lines
from tools.ksctl.options import (
    dry_run_option,
    file_argument,
    local_file,
    tell_import,
    tenant_filter_option,
    tenant_option,
)
from tools.ksctl.output import output_option, say, show

COLUMNS = ("tenant", "set_name", "region", "number", "region_known")

SET = click.argument("set_name", metavar="SET")
NUMBER = click.argument("number")
REGION = click.option("--region", default="", help="Region of the called number (default: every other one).")


def _told(row: CallerId) -> str:
    return f"{row.set_name} shows {row.number} towards {row.region or 'every other region'}"


def _warn(row: CallerId) -> None:
    if not row.region_known:
        say(f'warning: no region of the registry is called "{row.region}" (see `range regions`)')


@click.group("callerid")
def cli() -> None:
    """Caller-ID sets: which number is shown towards which region.

    A route uses a set by its option caller_id_set. A tenant's own set counts, else the system's of that name.
    """


@cli.command("list")
@tenant_filter_option
@click.option("--set", "set_name", help="Only this set.")
@output_option
@pass_app
def list_(app: App, tenant: str | None, set_name: str | None, output: str) -> None:
    """List the numbers of sets.

    An empty region is the default of its set.
    """
    tenant_id = app.optional_tenant_id(tenant)
    show(caller_ids.list_caller_ids(app.conn, tenant_id=tenant_id, set_name=set_name), COLUMNS, output)


@cli.command("add")
@SET
@NUMBER
@tenant_option
@REGION
@pass_app
def add(app: App, set_name: str, number: str, tenant: str, region: str) -> None:
    """Give a set a number for a region; the set begins with its first.

    Regions may be spelled as in the registry: each has one name.
    """
    made = caller_ids.add(
        app.conn, tenant_id=app.tenant_id(tenant), set_name=set_name, number=number, region=region
    )
    _warn(made)
    say(_told(made))


@cli.command("set")
@SET
@NUMBER
@tenant_option
@REGION
@pass_app
def set_(app: App, set_name: str, number: str, tenant: str, region: str) -> None:
    """Change the number that a set shows towards a region.

    Without --region, the default of the set.
    """
    changed = caller_ids.change(
        app.conn, tenant_id=app.tenant_id(tenant), set_name=set_name, number=number, region=region
    )
    say(_told(changed))


@cli.command("rm")
@SET
@tenant_option
@click.option("--region", help="Only the number for this region.")
@click.option("--default", "default", is_flag=True, help="Only the number for every other region.")
@pass_app
def remove(app: App, set_name: str, tenant: str, region: str | None, default: bool) -> None:
    """Remove a set, or the number for one region.

    A set that a route names stays, unless the system has one of the same name.
    """
    if default and region is not None:
        raise click.UsageError("give --region or --default, not both")
    chosen = caller_ids.DEFAULT if default else region
    count = caller_ids.remove(app.conn, tenant_id=app.tenant_id(tenant), set_name=set_name, region=chosen)
    say(f"{count} numbers removed")


@cli.command("export")
@tenant_option
@export_option
@pass_app
def export(app: App, tenant: str, file: Path | None) -> None:
    """Write a tenant's sets as CSV.

    `callerid import` of the file changes nothing, and a new export is the same to the byte.
    """
    write_lines(caller_ids.export(app.conn, tenant_id=app.tenant_id(tenant)), file)


@cli.command("import")
@file_argument
@tenant_option
@dry_run_option
@errors_option
@pass_app
def import_(app: App, file: Path, tenant: str, dry_run: bool, errors: Path | None) -> None:
    """Add and change the numbers of a CSV (set_name, region, number), all or none.

    The file may be UTF-8 or cp1251, with commas or semicolons. What it does not name stays.
    """
    tenant_id = app.tenant_id(tenant)
    with local_file(file) as path, written_to(errors):
        result = caller_ids.import_(app.conn, tenant_id=tenant_id, file=path, dry_run=dry_run)
    tell_import(result, dry_run)
