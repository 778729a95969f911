"""Methods campaign.*, lead.* and dnc.*: automatic dialling, whom it calls, and whom it does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from api.method import Context, Fields, Method, Scope, Tenancy
from callcore.dial import LeadPriority, LeadResult, LeadState
from callcore.schedule import time_zone
from kalibri.db import Conn
from kalibri.services import campaign as campaigns
from kalibri.services import campaign_report, do_not_call, lead_import, retry_rule
from kalibri.services import lead as leads
from kalibri.services import tenant as tenants
from kalibri.services.campaign import Campaign, CampaignRules
from kalibri.services.campaign_report import Hold, Report, Status, Why
from kalibri.services.do_not_call import Listed, ListImport
from kalibri.services.lead import Lead, LeadDetails
from kalibri.services.lead_import import LeadImport, Problem
from kalibri.services.retry_rule import RetryRuleFields

RULES = Fields(CampaignRules)
Limit = Annotated[int, Field(ge=1, le=10_000)]
Numbers = Annotated[list[Annotated[str, Field(max_length=40)]], Field(min_length=1, max_length=1000)]
LeadNames = Annotated[list[Annotated[str, Field(max_length=128)]], Field(min_length=1, max_length=1000)]
AttemptId = Annotated[int, Field(ge=0, le=2**63 - 1)]
#: Problems of an import that an answer names.
MOST_PROBLEMS = 1000
HOUR = timedelta(hours=1)


def start(context: Context, *, tenant_id: int, name: str) -> Campaign:
    """Let a campaign place calls; raises NotFound, CampaignRefused, Refused naming what it lacks."""
    return campaigns.start(context.conn, tenant_id=tenant_id, name=name, by=context.principal.actor)


def pause(context: Context, *, tenant_id: int, name: str) -> Campaign:
    """Place no new call; those that ring or talk go on. Raises NotFound, CampaignRefused."""
    return campaigns.pause(context.conn, tenant_id=tenant_id, name=name, by=context.principal.actor)


def stop(context: Context, *, tenant_id: int, name: str) -> Campaign:
    """Place no new call and take back what was not dialled yet. Raises NotFound, CampaignRefused."""
    return campaigns.stop(context.conn, tenant_id=tenant_id, name=name, by=context.principal.actor)


def status(context: Context, *, tenant_id: int | None, name: str | None = None) -> list[Status]:
    """Return how campaigns stand: leads, attempts, and what binds them now."""
    return campaign_report.status(context.conn, tenant_id=tenant_id, now=context.now, name=name)


def why(context: Context, *, tenant_id: int, name: str, since: datetime | None = None) -> Why:
    """Say why a campaign places no call, now and for each second since then (default: the last hour)."""
    return campaign_report.why(context.conn, tenant_id=tenant_id, name=name, now=context.now, since=since)


def holds(
    context: Context, *, tenant_id: int, name: str, since: datetime | None = None, limit: Limit = 1000
) -> list[Hold]:
    """Return which constraint bound when, the newest first; raises NotFound."""
    begin = since or context.now - HOUR
    return campaign_report.holds(
        context.conn, tenant_id=tenant_id, name=name, since=begin, until=context.now, limit=limit
    )


def report(
    context: Context,
    *,
    tenant_id: int,
    name: str,
    list_name: str | None = None,
    since: datetime | None = None,
) -> Report:
    """Return figures of a campaign, or of one of its lists; since: of attempts. Raises NotFound."""
    return campaign_report.report(
        context.conn, tenant_id=tenant_id, name=name, now=context.now, list_name=list_name, since=since
    )


def campaign_leads(
    conn: Conn, *, tenant_id: int, name: str, state: LeadState | None = None, limit: Limit = 1000
) -> list[Lead]:
    """Return leads of a campaign in the order in which they came; lead.list knows more filters."""
    return leads.list_leads(conn, tenant_id=tenant_id, campaign=name, state=state, limit=limit)


def export(conn: Conn, *, tenant_id: int, name: str, list_name: str | None = None) -> Iterator[str]:
    """Return the leads of a campaign as CSV, with how each stands. Raises NotFound."""
    return leads.export(conn, tenant_id=tenant_id, campaign=name, list_name=list_name)


def show_lead(context: Context, *, tenant_id: int, campaign: str, lead: str) -> LeadDetails:
    """Return everything about a lead (its id, or one of its numbers), and what stands against calling it now."""
    return leads.show(context.conn, tenant_id=tenant_id, campaign=campaign, lead=lead, now=context.now)


def add_lead(
    context: Context,
    *,
    tenant_id: int,
    campaign: str,
    numbers: Annotated[list[str], Field(min_length=1, max_length=20)],
    external_id: str = "",
    name: str = "",
    priority: LeadPriority = LeadPriority.MEDIUM,
    queue: str | None = None,
    gateway: str = "",
    zone: str = "",
    variables: Mapping[str, Any] | None = None,
    consent_basis: str = "",
    consent_at: datetime | None = None,
    consent_ref: str = "",
    expires_at: datetime | None = None,
    due_at: datetime | None = None,
) -> int:
    """Add one lead, due at once or at due_at; return its id. Raises NotFound, AlreadyExists, BadInput, Refused."""
    return leads.add(
        context.conn,
        tenant_id=tenant_id,
        campaign=campaign,
        numbers=numbers,
        now=context.now,
        country_code=context.config.routing.home_country_code,
        external_id=external_id,
        name=name,
        priority=priority,
        queue=queue,
        gateway=gateway,
        zone=zone,
        variables=variables,
        consent_basis=consent_basis,
        consent_at=consent_at,
        consent_ref=consent_ref,
        expires_at=expires_at,
        due_at=due_at,
    )


def retry_leads(
    context: Context,
    *,
    tenant_id: int,
    campaign: str,
    results: Sequence[LeadResult] | None = None,
    list_name: str | None = None,
    lead_names: LeadNames | None = None,
) -> int:
    """Let finished leads wait again, their attempts beginning anew; return how many. Raises NotFound."""
    return leads.retry(
        context.conn,
        tenant_id=tenant_id,
        campaign=campaign,
        now=context.now,
        results=results,
        list_name=list_name,
        leads=lead_names,
    )


def remove_leads(context: Context, *, tenant_id: int, campaign: str, lead_names: LeadNames) -> int:
    """Take leads out: they stay listed and are never called; return how many. Raises NotFound."""
    return leads.remove(
        context.conn, tenant_id=tenant_id, campaign=campaign, leads=lead_names, now=context.now
    )


@dataclass(frozen=True, kw_only=True)
class ImportAnswer:
    """What an import did, and the first rows that were not taken."""

    figures: LeadImport
    problems: list[Problem]


def import_leads(
    context: Context,
    *,
    tenant_id: int,
    campaign: str,
    list_name: str,
    file: Path,
    mapping: Mapping[str, str] | None = None,
    priority: LeadPriority = LeadPriority.MEDIUM,
    dry_run: bool = False,
) -> ImportAnswer:
    """Take a list of leads into a campaign; return figures and the first 1000 problems. Raises NotFound, BadHeading."""
    problems: list[Problem] = []

    def tell(problem: Problem) -> None:
        if len(problems) < MOST_PROBLEMS:
            problems.append(problem)

    result = lead_import.import_leads(
        context.conn,
        tenant_id=tenant_id,
        campaign=campaign,
        file=file,
        now=context.now,
        country_code=context.config.routing.home_country_code,
        list_name=list_name,
        mapping=mapping,
        priority=priority,
        dry_run=dry_run,
        tell=tell,
    )
    return ImportAnswer(figures=result, problems=problems)


def list_listed(
    context: Context,
    *,
    tenant_id: int | None,
    campaign: str | None = None,
    number: str | None = None,
    expired: bool = False,
    limit: Limit = 1000,
) -> list[Listed]:
    """Return do-not-call lists in order of numbers; expired: also what is over."""
    return do_not_call.list_numbers(
        context.conn,
        now=context.now,
        tenant_id=tenant_id,
        campaign=campaign,
        number=number,
        expired=expired,
        limit=limit,
    )


def add_listed(
    context: Context,
    *,
    tenant_id: int,
    numbers: Numbers,
    campaign: str | None = None,
    until: datetime | None = None,
    note: str = "",
) -> list[str]:
    """Put numbers on a do-not-call list; they are not called from now on. Raises NotFound, NotANumber."""
    return do_not_call.add(
        context.conn,
        tenant_id=tenant_id,
        numbers=numbers,
        country_code=context.config.routing.home_country_code,
        campaign=campaign,
        until=until,
        source=context.principal.actor,
        note=note,
    )


def remove_listed(context: Context, *, tenant_id: int, numbers: Numbers, campaign: str | None = None) -> None:
    """Take numbers from one do-not-call list; raises NotFound, NotANumber."""
    do_not_call.remove(
        context.conn,
        tenant_id=tenant_id,
        numbers=numbers,
        country_code=context.config.routing.home_country_code,
        campaign=campaign,
    )


def import_listed(
    context: Context, *, tenant_id: int, file: Path, campaign: str | None = None, dry_run: bool = False
) -> ListImport:
    """Put the numbers of a CSV (number, note, expires_at) on a do-not-call list, all or none. Raises CsvRefused."""
    zone = next(row for row in tenants.list_tenants(context.conn) if row.tenant_id == tenant_id).time_zone
    return do_not_call.import_(
        context.conn,
        tenant_id=tenant_id,
        file=file,
        country_code=context.config.routing.home_country_code,
        zone=time_zone(zone),
        campaign=campaign,
        dry_run=dry_run,
    )


METHODS = (
    Method("campaign.list", campaigns.list_campaigns, Scope.READ, Tenancy.FILTER),
    Method("campaign.show", campaigns.find, Scope.READ, Tenancy.ONE),
    Method("campaign.add", campaigns.add, Scope.ADMIN, Tenancy.ONE, RULES),
    Method("campaign.edit", campaigns.change, Scope.ADMIN, Tenancy.ONE, RULES),
    Method("campaign.rm", campaigns.remove, Scope.ADMIN, Tenancy.ONE),
    Method("campaign.start", start, Scope.SUPERVISOR, Tenancy.ONE),
    Method("campaign.pause", pause, Scope.SUPERVISOR, Tenancy.ONE),
    Method("campaign.stop", stop, Scope.SUPERVISOR, Tenancy.ONE),
    Method("campaign.status", status, Scope.READ, Tenancy.FILTER),
    Method("campaign.why", why, Scope.READ, Tenancy.ONE),
    Method("campaign.holds", holds, Scope.READ, Tenancy.ONE),
    Method("campaign.leads", campaign_leads, Scope.READ, Tenancy.ONE),
    Method("campaign.export", export, Scope.READ, Tenancy.ONE),
    Method("campaign.report", report, Scope.READ, Tenancy.ONE),
    Method(
        "campaign.attempts",
        campaign_report.attempts,
        Scope.READ,
        Tenancy.ONE,
        narrow={"after": AttemptId, "limit": Limit},
        hide=("lead_id",),
    ),
    Method("campaign.callerid.list", campaigns.caller_ids, Scope.READ, Tenancy.ONE),
    Method("campaign.callerid.set", campaigns.set_caller_id, Scope.ADMIN, Tenancy.ONE),
    Method("campaign.callerid.rm", campaigns.remove_caller_id, Scope.ADMIN, Tenancy.ONE),
    Method("campaign.admission.list", campaigns.admission, Scope.READ, Tenancy.ONE),
    Method("campaign.admission.set", campaigns.set_admission, Scope.ADMIN, Tenancy.ONE),
    Method("campaign.retry.list", retry_rule.list_rules, Scope.READ, Tenancy.FILTER),
    Method("campaign.retry.set", retry_rule.set_rule, Scope.ADMIN, Tenancy.OWNER, Fields(RetryRuleFields)),
    Method("campaign.retry.rm", retry_rule.remove_rule, Scope.ADMIN, Tenancy.OWNER),
    Method("campaign.retry.copy", retry_rule.copy_table, Scope.ADMIN, Tenancy.OWNER),
    Method(
        "lead.list",
        leads.list_leads,
        Scope.READ,
        Tenancy.ONE,
        narrow={"after": Annotated[int, Field(ge=0, le=2**63 - 1)], "limit": Limit},
    ),
    Method("lead.show", show_lead, Scope.READ, Tenancy.ONE),
    Method("lead.add", add_lead, Scope.SUPERVISOR, Tenancy.ONE),
    Method("lead.import", import_leads, Scope.ADMIN, Tenancy.ONE),
    Method("lead.retry", retry_leads, Scope.SUPERVISOR, Tenancy.ONE),
    Method("lead.rm", remove_leads, Scope.SUPERVISOR, Tenancy.ONE),
    Method("dnc.list", list_listed, Scope.READ, Tenancy.FILTER),
    Method("dnc.add", add_listed, Scope.SUPERVISOR, Tenancy.OWNER),
    Method("dnc.rm", remove_listed, Scope.ADMIN, Tenancy.OWNER),
    Method("dnc.import", import_listed, Scope.ADMIN, Tenancy.OWNER),
)
