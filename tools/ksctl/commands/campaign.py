"""ksctl campaign: automatic dialling: what is dialled, when, how fast, and why not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from callcore.dial import CampaignMode, LeadPriority, LeadResult, LeadState
from kalibri.services import campaign as campaigns
from kalibri.services import campaign_report
from kalibri.services import lead as leads
from kalibri.services.campaign import Campaign
from tools.ksctl import campaign_retry, campaign_simulate
from tools.ksctl.app import App, pass_app, person
from tools.ksctl.campaign_options import MODES, rule_options, rules_given
from tools.ksctl.csv_files import export_option, write_lines
from tools.ksctl.moments import Moment
from tools.ksctl.options import tenant_filter_option, tenant_option
from tools.ksctl.output import Column, output_option, say, show, show_one

NAME = click.argument("name")
LIST = click.option("--list", "list_name", help="Only of this list.")
COLUMNS = (
    "tenant",
    "name",
    "mode",
    "state",
    "queue",
    "lines",
    "calls_per_second",
    "hours",
    "priority",
    "weight",
)
STATUS_COLUMNS = (
    "tenant", "campaign", "mode", "state", "reason", "waiting", "dialling", "done", "reached", "attempts", "uncharged",
)  # fmt: skip
LEAD_COLUMNS = (
    "external_id", "number", "name", "list", "state", "result", "priority", "due_at", "attempts", "last_outcome",
    Column("zones", value=lambda row: " ".join(row.zones) or "unknown"),
)  # fmt: skip
ZONES = Column("zones", value=lambda row: " ".join(row.zones) or "unknown")


@click.group("campaign")
def cli() -> None:
    """Campaigns: automatic dialling of lists of leads.

    `lead import` gives a campaign its leads, `campaign start` lets it dial, `campaign why` tells why it does not.
    """


cli.add_command(campaign_retry.cli)
cli.add_command(campaign_simulate.cli)


def _rules(row: Campaign) -> str:
    return f"campaign {row.name}: {row.mode}, {row.state}"


@cli.command("list")
@tenant_filter_option
@output_option
@pass_app
def list_(app: App, tenant: str | None, output: str) -> None:
    """List campaigns."""
    show(campaigns.list_campaigns(app.conn, tenant_id=app.optional_tenant_id(tenant)), COLUMNS, output)


@cli.command("show")
@tenant_option
@NAME
@output_option
@pass_app
def show_(app: App, tenant: str, name: str, output: str) -> None:
    """Show all rules of a campaign."""
    show_one(campaigns.find(app.conn, tenant_id=app.tenant_id(tenant), name=name), output)


@cli.command("add")
@tenant_option
@NAME
@click.option("--mode", type=MODES, required=True, help="How people and agents are brought together.")
@rule_options
@pass_app
def add(app: App, tenant: str, name: str, mode: str, **options: Any) -> None:
    """Make a campaign, stopped.

    A broadcast needs --prompt, every other mode --queue.
    """
    rules = rules_given(options)
    made = campaigns.add(
        app.conn, tenant_id=app.tenant_id(tenant), name=name, mode=CampaignMode(mode), **rules
    )
    say(_rules(made))


@cli.command("edit")
@tenant_option
@NAME
@click.option("--mode", type=MODES, help="How people and agents are brought together.")
@rule_options
@pass_app
def edit(app: App, tenant: str, name: str, mode: str | None, **options: Any) -> None:
    """Change rules of a campaign; the next call obeys."""
    rules = rules_given(options)
    if mode is not None:
        rules["mode"] = CampaignMode(mode)
    if not rules:
        raise click.UsageError("say what to change")
    say(_rules(campaigns.change(app.conn, tenant_id=app.tenant_id(tenant), name=name, **rules)))


@cli.command("rm")
@tenant_option
@NAME
@pass_app
def remove(app: App, tenant: str, name: str) -> None:
    """Remove a campaign that has no leads."""
    campaigns.remove(app.conn, tenant_id=app.tenant_id(tenant), name=name)
    say(f"campaign {name} removed")


def _state_command(verb: str, step: Callable[..., Campaign], help_text: str) -> None:
    @cli.command(verb, help=help_text)
    @tenant_option
    @NAME
    @pass_app
    def command(app: App, tenant: str, name: str) -> None:
        say(_rules(step(app.conn, tenant_id=app.tenant_id(tenant), name=name, by=person())))


_state_command("start", campaigns.start, "Let a campaign dial, or go on.")
_state_command("pause", campaigns.pause, "Place no new call; those that ring or talk go on.")
_state_command("stop", campaigns.stop, "Place no new call and take back what is not dialled yet.")


@cli.command("status")
@tenant_filter_option
@click.argument("name", required=False)
@output_option
@pass_app
def status(app: App, tenant: str | None, name: str | None, output: str) -> None:
    """Show how campaigns stand: leads, attempts, and what binds them now."""
    if name is not None and tenant is None:
        raise click.UsageError("name the tenant of the campaign (--tenant)")
    tenant_id = app.optional_tenant_id(tenant)
    show(campaign_report.status(app.conn, tenant_id=tenant_id, now=_now(), name=name), STATUS_COLUMNS, output)


def _now() -> datetime:
    return datetime.now(UTC)


@cli.command("why")
@tenant_option
@NAME
@click.option("--since", type=Moment(), help="Seconds that are added up (default: the last hour).")
@click.option("--seconds", "each", is_flag=True, help="List which constraint bound when, the newest first.")
@output_option
@pass_app
def why(app: App, tenant: str, name: str, since: datetime | None, each: bool, output: str) -> None:
    """Say why a campaign places no call: now, and for each idle second of a time."""
    tenant_id, now = app.tenant_id(tenant), _now()
    if each:
        begin = since or now - timedelta(hours=1)
        rows = campaign_report.holds(app.conn, tenant_id=tenant_id, name=name, since=begin, until=now)
        show(rows, ("since", "until", "seconds", "reason", "detail"), output)
        return
    told = campaign_report.why(app.conn, tenant_id=tenant_id, name=name, now=now, since=since)
    if output == "json":
        show_one(told, output)
        return
    _tell_why(told, output)


def _tell_why(told: campaign_report.Why, output: str) -> None:
    say(f"campaign {told.campaign} is {told.state}: {told.reason}: {told.text}")
    if told.detail:
        say(told.detail)
    if told.opens_at:
        say(f"the hours open at {told.opens_at:%Y-%m-%d %H:%M} UTC")
    elif told.next_due_at and not any(row.due for row in told.zones):
        say(f"the next lead is due at {told.next_due_at:%Y-%m-%d %H:%M:%S} UTC")
    if output == "table" and told.zones:
        show(told.zones, (ZONES, "waiting", "due", "open"), output)
    show(told.holds, ("reason", "seconds", "detail", "last_at"), output)


@cli.command("leads")
@tenant_option
@NAME
@LIST
@click.option("--state", type=click.Choice([state.value for state in LeadState]), help="Only in this state.")
@click.option("--result", type=click.Choice([result.value for result in LeadResult]), help="Only with this.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True)
@output_option
@pass_app
def leads_(
    app: App,
    tenant: str,
    name: str,
    list_name: str | None,
    state: str | None,
    result: str | None,
    limit: int,
    output: str,
) -> None:
    """List the leads of a campaign, the oldest first."""
    rows = leads.list_leads(
        app.conn,
        tenant_id=app.tenant_id(tenant),
        campaign=name,
        list_name=list_name,
        state=LeadState(state) if state else None,
        result=LeadResult(result) if result else None,
        limit=limit,
    )
    show(rows, LEAD_COLUMNS, output)


@cli.command("export")
@tenant_option
@NAME
@LIST
@click.option("--attempts", is_flag=True, help="Each attempt instead of each lead.")
@export_option
@pass_app
def export(
    app: App, tenant: str, name: str, list_name: str | None, attempts: bool, file: Path | None
) -> None:
    """Write the leads of a campaign as CSV, with how each stands."""
    tenant_id = app.tenant_id(tenant)
    if attempts:
        write_lines(campaign_report.export_attempts(app.conn, tenant_id=tenant_id, name=name), file)
        return
    write_lines(leads.export(app.conn, tenant_id=tenant_id, campaign=name, list_name=list_name), file)


@cli.command("report")
@tenant_option
@NAME
@LIST
@click.option(
    "--by",
    type=click.Choice(["leads", "attempts", "outcomes", "lists", "zones"]),
    help="Only this part (of CSV the default is leads).",
)
@click.option("--since", type=Moment(), help="Attempts that were made then or later (default: all).")
@output_option
@pass_app
def report(
    app: App,
    tenant: str,
    name: str,
    list_name: str | None,
    by: str | None,
    since: datetime | None,
    output: str,
) -> None:
    """Show figures of a campaign: leads by result, how attempts ended, lists, zones."""
    told = campaign_report.report(
        app.conn,
        tenant_id=app.tenant_id(tenant),
        name=name,
        now=_now(),
        list_name=list_name,
        since=since,
    )
    if output == "json":
        show_one(told, output)
        return
    parts: dict[str, tuple[Any, Any]] = {
        "leads": (told.leads, ("state", "result", "leads", "attempts", "uncharged")),
        "attempts": (told.attempts, ("outcome", "attempts", "answered", "ring_seconds", "talk_seconds")),
        "outcomes": (told.outcomes, ("outcome", "state", "leads")),
        "lists": (told.lists, ("name", "source", "imported_at", "leads", "waiting", "done")),
        "zones": (told.zones, (ZONES, "waiting", "due", "open")),
    }
    chosen = [by or "leads"] if by or output == "csv" else list(parts)
    for part in chosen:
        rows, columns = parts[part]
        show(rows, columns, output)


# ----------------------------------------------------------------------------- caller ids and admission


@cli.group("callerid")
def callerid() -> None:
    """Caller ids of a campaign: a pool with regions and daily caps; a lead always sees the same one."""


@callerid.command("list")
@tenant_option
@NAME
@output_option
@pass_app
def list_caller_ids(app: App, tenant: str, name: str, output: str) -> None:
    """List the pool with the calls of today."""
    rows = campaigns.caller_ids(app.conn, tenant_id=app.tenant_id(tenant), name=name)
    show(rows, ("number", "region", "daily_cap", "used_today"), output)


@callerid.command("set")
@tenant_option
@NAME
@click.argument("number")
@click.option("--region", default="", help="Destinations in this region (default: everywhere).")
@click.option("--daily-cap", type=click.IntRange(1), help="Calls a day (default: any number).")
@pass_app
def set_caller_id(app: App, tenant: str, name: str, number: str, region: str, daily_cap: int | None) -> None:
    """Put a number into the pool, or change its cap."""
    campaigns.set_caller_id(
        app.conn,
        tenant_id=app.tenant_id(tenant),
        name=name,
        number=number,
        region=region,
        daily_cap=daily_cap,
    )
    say(f"campaign {name} shows {number} {f'towards {region}' if region else 'everywhere'}")


@callerid.command("rm")
@tenant_option
@NAME
@click.argument("number")
@click.option("--region", help="Only for this region (default: for all).")
@pass_app
def remove_caller_id(app: App, tenant: str, name: str, number: str, region: str | None) -> None:
    """Take a number out of the pool."""
    tenant_id = app.tenant_id(tenant)
    campaigns.remove_caller_id(app.conn, tenant_id=tenant_id, name=name, number=number, region=region)
    say(f"campaign {name} shows {number} no more")


@cli.group("admission")
def admission() -> None:
    """When leads of each priority may take an agent from the queue."""


@admission.command("list")
@tenant_option
@NAME
@output_option
@pass_app
def list_admission(app: App, tenant: str, name: str, output: str) -> None:
    """List the admission of each priority."""
    rows = campaigns.admission(app.conn, tenant_id=app.tenant_id(tenant), name=name)
    show(rows, ("priority", "max_queue_percent", "min_free_agents", "preempts"), output)


@admission.command("set")
@tenant_option
@NAME
@click.argument("priority", type=click.Choice([priority.value for priority in LeadPriority]))
@click.option("--max-queue-percent", type=int, required=True, help="Most load of the queue.")
@click.option("--min-free-agents", type=int, required=True, help="Fewest free agents.")
@click.option("--preempts", is_flag=True, help="Goes ahead of callers who wait.")
@pass_app
def set_admission(app: App, tenant: str, name: str, priority: str, **rule: Any) -> None:
    """Say when leads of a priority may take an agent."""
    tenant_id = app.tenant_id(tenant)
    campaigns.set_admission(app.conn, tenant_id=tenant_id, name=name, priority=LeadPriority(priority), **rule)
    say(
        f"campaign {name}: {priority} up to {rule['max_queue_percent']} % and {rule['min_free_agents']} free agents"
    )
