"""ksctl range: number ranges of the national registry, and what they say of a number."""

from __future__ import annotations

from pathlib import Path

import click

from callcore.errors import NotFound
from kalibri.services import number_range
from kalibri.services.number_range import RangeImport
from tools.ksctl.app import App, pass_app
from tools.ksctl.bad_rows import errors_option, written_to
from tools.ksctl.options import dry_run_option
from tools.ksctl.output import Column, output_option, say, show, show_one
from tools.ksctl.progress import reading

SET_COLUMNS = ("set_id", "source", "imported_at", "range_count", "current")
REGION_COLUMNS = (
    "region",
    "known",
    "ranges",
    "numbers",
    Column("texts", "spellings", lambda row: "; ".join(row.texts)),
)
DIFF_COLUMNS = ("kind", "first", "last", "old_operator", "operator", "old_region", "region")

FILES = click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)


@click.group("range")
def cli() -> None:
    """Number ranges of the national registry: region and operator of a number.

    The registry is published as CSV files (ABC-3xx, ABC-4xx, ABC-8xx, DEF-9xx). Import them together: an
    import replaces all earlier ranges.
    """


@cli.command("import")
@FILES
@dry_run_option
@errors_option
@pass_app
def import_(app: App, files: tuple[Path, ...], dry_run: bool, errors: Path | None) -> None:
    """Put the ranges of registry files in force, together instead of all earlier ones.

    The files may be UTF-8 or cp1251, with semicolons or commas. One bad row, and nothing changes.
    """
    with (
        reading(files, "reading") as progress,
        written_to(errors),
        app.conn.transaction(force_rollback=dry_run),
    ):
        done = number_range.import_ranges(
            app.conn, files=files, country_code=app.config.routing.home_country_code, progress=progress
        )
    _tell(done, dry_run)


def _tell(done: RangeImport, dry_run: bool) -> None:
    counts = done.counts
    said = (
        f"{counts.added} ranges added, {counts.removed} removed, {counts.changed} changed,"
        f" {counts.unchanged} as before"
    )
    for region, ranges in sorted(done.unknown_regions.items()):
        say(f'unknown region "{region}" ({ranges} ranges): routes must spell it like this')
    if dry_run:
        say(f"dry run: {said}")
    elif done.set_id is None:
        say(f"nothing new: {said}")
    else:
        say(f"import {done.set_id} is in force: {said}")


@cli.command("diff")
@FILES
@errors_option
@output_option
@pass_app
def diff(app: App, files: tuple[Path, ...], errors: Path | None, output: str) -> None:
    """Compare registry files with the ranges in force, range by range.

    Nothing is changed.
    """
    with reading(files, "reading") as progress, written_to(errors):
        found = number_range.diff_ranges(
            app.conn, files=files, country_code=app.config.routing.home_country_code, progress=progress
        )
    show(found, DIFF_COLUMNS, output)


@cli.command("list")
@output_option
@pass_app
def list_(app: App, output: str) -> None:
    """List the imports that are kept, newest first.

    The one that is in force is marked as current.
    """
    show(number_range.list_sets(app.conn), SET_COLUMNS, output)


@cli.command("use")
@click.argument("set_id", type=int)
@pass_app
def use(app: App, set_id: int) -> None:
    """Put an earlier import in force again.

    SET_ID is shown by `range list`.
    """
    taken = number_range.use_set(app.conn, set_id=set_id)
    say(f"import {taken.set_id} ({taken.source}, {taken.range_count} ranges) is in force")


@cli.command("regions")
@click.option("--unknown", is_flag=True, help="Only those whose name the program does not know.")
@output_option
@pass_app
def regions(app: App, unknown: bool, output: str) -> None:
    """List the regions in force, as routes and gateways name them.

    Each has one name, whatever spellings the registry uses.
    """
    rows = number_range.list_regions(app.conn)
    show([row for row in rows if not (unknown and row.known)], REGION_COLUMNS, output)


@cli.command("lookup")
@click.argument("number")
@output_option
@pass_app
def lookup(app: App, number: str, output: str) -> None:
    """Show region and operator of a number.

    The number may be written as 84951234567, 4951234567 or +7 495 123-45-67.
    """
    e164 = number_range.to_e164(number, country_code=app.config.routing.home_country_code)
    found = number_range.lookup(app.conn, number=e164)
    if found is None:
        raise NotFound(f"no range holds {e164}")
    show_one(found, output)
