"""ksctl lead: persons whom campaigns call, and the lists that they come from."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from callcore.dial import LeadPriority, LeadResult, LeadState
from kalibri.services import campaign_report, lead_import
from kalibri.services import lead as leads
from kalibri.services.lead_import import LeadImport, Problem
from tools.ksctl.app import App, pass_app
from tools.ksctl.commands.campaign import LEAD_COLUMNS, LIST
from tools.ksctl.options import dry_run_option, file_argument, local_file, tenant_option
from tools.ksctl.output import Column, output_option, printable, say, show, show_one
from tools.ksctl.progress import reading

CAMPAIGN = click.argument("campaign")
LEADS = click.argument("names", metavar="LEAD...", nargs=-1, required=True)
PRIORITY = click.option(
    "--priority",
    type=click.Choice([priority.value for priority in LeadPriority]),
    default=LeadPriority.MEDIUM.value,
    show_default=True,
    help="Of those that name none.",
)
NUMBER_COLUMNS = (
    "position", "number", "state", "region", Column("zones", value=lambda row: " ".join(row.zones) or "unknown"),
    "attempts", "last_outcome", "listed",
)  # fmt: skip
ATTEMPT_COLUMNS = (
    "attempt_id",
    "number",
    "caller_id",
    "state",
    "outcome",
    "code",
    "verdict",
    "ordered_at",
    "call_id",
)
#: Problems that are told on the screen; --errors has all.
SHOWN = 10


@click.group("lead")
def cli() -> None:
    """Leads of campaigns: persons to call, each with one or more numbers.

    A lead is named by its id (the first number of those that have none) or by one of its numbers.
    """


def _now() -> datetime:
    return datetime.now(UTC)


class Meaning(click.ParamType[Any]):
    """HEADING=MEANING."""

    name = "heading=meaning"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return both."""
        heading, equals, meaning = str(value).rpartition("=")
        if not equals:
            self.fail(f'"{value}": write HEADING=MEANING, as "Contact=number"', param, ctx)
        return heading.strip(), meaning.strip()


@cli.command("import")
@tenant_option
@CAMPAIGN
@file_argument
@click.option("--list", "list_name", help="List of the campaign (default: the name of the file).")
@click.option(
    "--map", "mapping", multiple=True, type=Meaning(), help="What a column means; kept with the list."
)
@PRIORITY
@dry_run_option
@click.option(
    "--errors",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write line,kind,message of everything that was not taken to this CSV file.",
)
@output_option
@pass_app
def import_(
    app: App, tenant: str, campaign: str, file: Path, list_name: str | None, mapping: tuple[tuple[str, str], ...],
    priority: str, dry_run: bool, errors: Path | None, output: str,
) -> None:  # fmt: skip
    r"""Take a list of leads from CSV, TSV or XLSX (UTF-8 or cp1251) into a campaign.

    Headings that are understood: number (phone, phone2, телефон …), id, name, priority, zone, region, queue,
    gateway, consent, consent_at, consent_ref, expires_at; any other column is a variable of that name.

    Leads that are there (same id) are changed, what is no lead or a duplicate is left out and told.
    """
    tenant_id = app.tenant_id(tenant)
    with local_file(file) as path, told_to(errors) as tell, reading([path], "reading") as progress:
        result = lead_import.import_leads(
            app.conn,
            tenant_id=tenant_id,
            campaign=campaign,
            file=path,
            now=_now(),
            country_code=app.config.routing.home_country_code,
            list_name=list_name or ("list" if str(file) == "-" else None),
            mapping=dict(mapping),
            priority=LeadPriority(priority),
            dry_run=dry_run,
            progress=progress,
            tell=tell,
        )
    _tell_import(result, dry_run, output)


@contextmanager
def told_to(file: Path | None) -> Iterator[Callable[[Problem], None]]:
    """Yield who gets each problem: the file, and for the first ones the screen."""
    if file is None:
        shown = 0

        def tell(problem: Problem) -> None:
            nonlocal shown
            shown += 1
            if shown <= SHOWN:
                say(f"line {problem.line}: {printable(problem.message)}")
            elif shown == SHOWN + 1:
                say("and more: --errors FILE has all")

        yield tell
        return
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["line", "kind", "message"])
        yield lambda problem: writer.writerow([problem.line, problem.kind, problem.message])


def _tell_import(result: LeadImport, dry_run: bool, output: str) -> None:
    figures = {name: getattr(result, name) for name in LeadImport.__dataclass_fields__}
    show_one({"valid": result.valid, **figures}, output)
    if dry_run:
        say("dry run, nothing was changed")


@cli.command("list")
@tenant_option
@CAMPAIGN
@LIST
@click.option("--state", type=click.Choice([state.value for state in LeadState]), help="Only in this state.")
@click.option("--result", type=click.Choice([result.value for result in LeadResult]), help="Only with this.")
@click.option("--number", help="Only who has this number.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True)
@output_option
@pass_app
def list_(
    app: App, tenant: str, campaign: str, list_name: str | None, state: str | None, result: str | None,
    number: str | None, limit: int, output: str,
) -> None:  # fmt: skip
    """List leads, the oldest first."""
    rows = leads.list_leads(
        app.conn,
        tenant_id=app.tenant_id(tenant),
        campaign=campaign,
        list_name=list_name,
        state=LeadState(state) if state else None,
        result=LeadResult(result) if result else None,
        number=number,
        limit=limit,
    )
    show(rows, LEAD_COLUMNS, output)


@cli.command("show")
@tenant_option
@CAMPAIGN
@click.argument("name", metavar="LEAD")
@output_option
@pass_app
def show_(app: App, tenant: str, campaign: str, name: str, output: str) -> None:
    """Show everything about a lead, and what stands against calling it now."""
    tenant_id = app.tenant_id(tenant)
    row = leads.show(app.conn, tenant_id=tenant_id, campaign=campaign, lead=name, now=_now())
    show_one(row, output)
    if output == "table":
        show(row.numbers, NUMBER_COLUMNS, output)
        tries = campaign_report.attempts(
            app.conn, tenant_id=tenant_id, name=campaign, lead_id=row.lead_id, limit=100
        )
        show(tries, ATTEMPT_COLUMNS, output)
        say(f"against calling it now: {', '.join(row.obstacles) or 'nothing'}")


@cli.command("add")
@tenant_option
@CAMPAIGN
@click.argument("numbers", metavar="NUMBER...", nargs=-1, required=True)
@click.option("--id", "external_id", default="", help="Id (default: the first number).")
@click.option("--name", default="", help="Name of the person.")
@PRIORITY
@click.option("--queue", help="Queue of this lead (default: that of the campaign).")
@click.option("--gateway", default="", help="Gateway or group that is tried first.")
@click.option("--zone", default="", help="Where the person is: Asia/Omsk, +6.")
@click.option("--consent", "consent_basis", default="", help="On what the consent rests.")
@click.option("--var", "variables", multiple=True, type=Meaning(), metavar="NAME=VALUE", help="Variable.")
@pass_app
def add(
    app: App,
    tenant: str,
    campaign: str,
    numbers: tuple[str, ...],
    priority: str,
    variables: Any,
    **options: Any,
) -> None:
    """Add one lead with its numbers; it is due at once."""
    lead_id = leads.add(
        app.conn,
        tenant_id=app.tenant_id(tenant),
        campaign=campaign,
        numbers=numbers,
        now=_now(),
        country_code=app.config.routing.home_country_code,
        priority=LeadPriority(priority),
        variables=dict(variables),
        **options,
    )
    say(f"lead {lead_id} added")


@cli.command("retry")
@tenant_option
@CAMPAIGN
@click.argument("names", metavar="[LEAD]...", nargs=-1)
@LIST
@click.option(
    "--result",
    "results",
    multiple=True,
    type=click.Choice([result.value for result in LeadResult]),
    help="Only those (default: exhausted, no_number, no_consent, expired).",
)
@pass_app
def retry(
    app: App,
    tenant: str,
    campaign: str,
    names: tuple[str, ...],
    list_name: str | None,
    results: tuple[str, ...],
) -> None:
    """Let finished leads wait again, their attempts beginning anew; named ones are due at once."""
    count = leads.retry(
        app.conn,
        tenant_id=app.tenant_id(tenant),
        campaign=campaign,
        now=_now(),
        results=[LeadResult(result) for result in results] or None,
        list_name=list_name,
        leads=names or None,
    )
    say(f"{count} leads wait again")


@cli.command("rm")
@tenant_option
@CAMPAIGN
@LEADS
@pass_app
def remove(app: App, tenant: str, campaign: str, names: tuple[str, ...]) -> None:
    """Take leads out: they stay listed and are never called."""
    tenant_id = app.tenant_id(tenant)
    count = leads.remove(app.conn, tenant_id=tenant_id, campaign=campaign, leads=names, now=_now())
    say(f"{count} leads removed")
