"""ksctl dnc: do-not-call lists."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from callcore.dial_import import read_moment
from callcore.schedule import time_zone
from kalibri.services import do_not_call
from kalibri.services import tenant as tenants
from tools.ksctl.app import App, pass_app
from tools.ksctl.bad_rows import errors_option, written_to
from tools.ksctl.options import (
    dry_run_option,
    file_argument,
    local_file,
    owner_option,
    tenant_filter_option,
)
from tools.ksctl.output import output_option, say, show
from tools.ksctl.progress import reading

NUMBERS = click.argument("numbers", metavar="NUMBER...", nargs=-1, required=True)
CAMPAIGN = click.option(
    "--campaign", help="Only this campaign does not call them (default: none of the owner's)."
)
COLUMNS = ("number", "scope", "tenant", "campaign", "source", "expires_at", "added_at", "note")


@click.group("dnc")
def cli() -> None:
    """Do-not-call lists: of the system (nobody calls them), of a tenant, of one campaign.

    A number on a list is not called from that moment on; a lead with other numbers is called on those.
    """


@cli.command("list")
@tenant_filter_option
@click.option("--campaign", help="Only the list of this campaign.")
@click.option("--number", help="Only this number, written as 79161234567.")
@click.option("--expired", is_flag=True, help="Also what is over.")
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True)
@output_option
@pass_app
def list_(
    app: App,
    tenant: str | None,
    campaign: str | None,
    number: str | None,
    expired: bool,
    limit: int,
    output: str,
) -> None:
    """List numbers that are not called."""
    rows = do_not_call.list_numbers(
        app.conn,
        now=datetime.now(UTC),
        tenant_id=app.optional_tenant_id(tenant),
        campaign=campaign,
        number=number,
        expired=expired,
        limit=limit,
    )
    show(rows, COLUMNS, output)


@cli.command("add")
@owner_option
@NUMBERS
@CAMPAIGN
@click.option("--until", help="Until this day or time, as 2026-12-31 (default: for ever).")
@click.option("--note", default="", help="Remark.")
@pass_app
def add(
    app: App, tenant: str, numbers: tuple[str, ...], campaign: str | None, until: str | None, note: str
) -> None:
    """Put numbers on a list; they are not called from now on."""
    owner = tenants.find(app.conn, name=tenant)
    listed = do_not_call.add(
        app.conn,
        tenant_id=owner.tenant_id,
        numbers=list(numbers),
        country_code=app.config.routing.home_country_code,
        campaign=campaign,
        until=_until(until, owner.time_zone),
        note=note,
    )
    say(f"{', '.join(listed)}: not called any more")


def _until(text: str | None, zone: str) -> datetime | None:
    if text is None:
        return None
    try:
        return read_moment(text, time_zone(zone), latest=True)
    except ValueError:
        raise click.BadParameter(f'"{text}": write 2026-12-31, or 2026-12-31T18:00+03:00') from None


@cli.command("rm")
@owner_option
@NUMBERS
@CAMPAIGN
@pass_app
def remove(app: App, tenant: str, numbers: tuple[str, ...], campaign: str | None) -> None:
    """Take numbers from a list."""
    do_not_call.remove(
        app.conn,
        tenant_id=app.tenant_id(tenant),
        numbers=list(numbers),
        country_code=app.config.routing.home_country_code,
        campaign=campaign,
    )
    say(f"{len(numbers)} numbers may be called again")


@cli.command("import")
@owner_option
@file_argument
@CAMPAIGN
@dry_run_option
@errors_option
@pass_app
def import_(
    app: App, tenant: str, file: Path, campaign: str | None, dry_run: bool, errors: Path | None
) -> None:
    """Put the numbers of a CSV on a list, all or none; none is removed.

    Columns: number, and any of note, expires_at.
    """
    owner = tenants.find(app.conn, name=tenant)
    with local_file(file) as path, written_to(errors), reading([path], "reading") as progress:
        result = do_not_call.import_(
            app.conn,
            tenant_id=owner.tenant_id,
            file=path,
            country_code=app.config.routing.home_country_code,
            zone=time_zone(owner.time_zone),
            campaign=campaign,
            dry_run=dry_run,
            progress=progress,
        )
    say(f"{'dry run, nothing was changed: ' if dry_run else ''}{result.added} added, {result.known} known")
