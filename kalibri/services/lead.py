"""Leads: list, show, add, try again, take out.

Decides what may be done to a lead by a person or a program. Lists from files: lead_import.py. What follows from an
attempt: lead_outcome.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from callcore.dial import (
    DialRules,
    DoNotCallScope,
    LeadFacts,
    LeadNumberState,
    LeadPriority,
    LeadResult,
    LeadState,
    Obstacle,
    obstacles,
)
from callcore.dial_import import BadLead, country_of
from callcore.dial_zones import zones_of_country, zones_of_number
from callcore.errors import BadInput, NotFound, Refused
from callcore.region import normalise_region
from kalibri import db
from kalibri.csv_table import write_table
from kalibri.db import Conn
from kalibri.services import campaign as campaigns
from kalibri.services import number_range
from kalibri.services.campaign import Campaign

SQL = db.statements("lead")

#: List of leads that came one by one.
SINGLE = "single"
#: The columns of an export, in this order; an import takes the first of them as they are.
COLUMNS = (
    "id", "number", "name", "priority", "consent", "list", "state", "result", "region", "zones",
    "attempts", "uncharged", "last_outcome", "last_attempt_at", "due_at", "caller_id",
)  # fmt: skip
_PAGE = 5000


@dataclass(frozen=True, kw_only=True)
class Lead:
    """A lead as it is listed."""

    lead_id: int
    external_id: str
    name: str
    list: str
    state: LeadState
    result: LeadResult | None
    priority: LeadPriority
    rank: int
    due_at: datetime
    #: Which of its numbers is next.
    position: int
    number: str | None
    region: str | None
    #: Zones in which that number may be; none: unknown.
    zones: tuple[str, ...]
    #: Charged ones; uncharged are our own failures.
    attempts: int
    uncharged: int
    last_outcome: str
    last_attempt_at: datetime | None
    caller_id: str | None
    consent_basis: str


@dataclass(frozen=True, kw_only=True)
class LeadNumber:
    """A number of a lead."""

    position: int
    number: str
    state: LeadNumberState
    region: str
    zones: tuple[str, ...]
    attempts: int
    last_outcome: str
    #: Do-not-call list that holds it now.
    listed: DoNotCallScope | None


@dataclass(frozen=True, kw_only=True)
class _Details:
    tenant_id: int
    lead_id: int
    campaign_id: int
    external_id: str
    name: str
    list: str
    state: LeadState
    result: LeadResult | None
    priority: LeadPriority
    rank: int
    due_at: datetime
    position: int
    attempts: int
    uncharged: int
    rule_counts: Mapping[str, int]
    caller_id: str | None
    queue: str | None
    gateway: str
    variables: Mapping[str, Any]
    consent_basis: str
    consent_at: datetime | None
    consent_ref: str
    expires_at: datetime | None
    last_outcome: str
    last_attempt_at: datetime | None
    created_at: datetime
    done_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class LeadDetails(_Details):
    """Everything about a lead, and what stands against dialling it now."""

    numbers: tuple[LeadNumber, ...]
    #: Nothing: it may be dialled; the campaign must run, too.
    obstacles: tuple[Obstacle, ...]


def list_leads(
    conn: Conn,
    *,
    tenant_id: int,
    campaign: str,
    list_name: str | None = None,
    state: LeadState | None = None,
    result: LeadResult | None = None,
    number: str | None = None,
    after: int = 0,
    limit: int = 1000,
) -> list[Lead]:
    """Return leads in the order in which they came; after: the lead_id of the last page. Raises NotFound."""
    found = campaigns.find(conn, tenant_id=tenant_id, name=campaign)
    return _page(conn, found, list_name, state, result, number, after, limit)


def _page(
    conn: Conn,
    campaign: Campaign,
    list_name: str | None,
    state: LeadState | None,
    result: LeadResult | None,
    number: str | None,
    after: int,
    limit: int,
) -> list[Lead]:
    return db.fetch_all(
        conn,
        Lead,
        SQL["list_leads"],
        tenant_id=campaign.tenant_id,
        campaign_id=campaign.campaign_id,
        list=list_name,
        state=state,
        result=result,
        number=number,
        after=after,
        limit=limit,
    )


def show(conn: Conn, *, tenant_id: int, campaign: str, lead: str, now: datetime) -> LeadDetails:
    """Return everything about a lead; lead: its external id, or one of its numbers. Raises NotFound."""
    found = campaigns.find(conn, tenant_id=tenant_id, name=campaign)
    ids = {"tenant_id": tenant_id, "campaign_id": found.campaign_id}
    details = db.require(db.fetch_one(conn, _Details, SQL["find_lead"], **ids, lead=lead), "lead", lead)
    rows = db.fetch_all(
        conn, LeadNumber, SQL["numbers"], tenant_id=tenant_id, lead_id=details.lead_id, now=now
    )
    known = {name: getattr(details, name) for name in _Details.__dataclass_fields__}
    return LeadDetails(**known, numbers=tuple(rows), obstacles=_obstacles(found, details, rows, now))


def _obstacles(
    campaign: Campaign, lead: _Details, numbers: Sequence[LeadNumber], now: datetime
) -> tuple[Obstacle, ...]:
    number = next((row for row in numbers if row.position == lead.position), None)
    facts = LeadFacts(
        state=lead.state,
        due_at=lead.due_at,
        expires_at=lead.expires_at,
        attempts=lead.attempts,
        consent_basis=lead.consent_basis,
        number_state=number.state if number else LeadNumberState.DEAD,
        zones=number.zones if number else (),
        listed=number.listed if number else None,
    )
    return obstacles(rules_of(campaign), facts, now)


def rules_of(campaign: Campaign) -> DialRules:
    """Return what a campaign demands of a lead before it is dialled."""
    return DialRules(
        hours=campaign.calling_hours,
        consent_required=campaign.consent_required,
        max_attempts=campaign.max_attempts,
        unknown_zones=campaign.unknown_zones,
    )


def add(
    conn: Conn,
    *,
    tenant_id: int,
    campaign: str,
    numbers: Sequence[str],
    now: datetime,
    country_code: str,
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
    """Add one lead, due at once or at due_at; return its id. It stands in the list "single".

    external_id: empty, the first number. Raises NotFound, AlreadyExists (id or number), BadInput, Refused (all
    numbers are on do-not-call lists).
    """
    digits = [number_range.to_e164(number, country_code=country_code) for number in numbers]
    if not digits:
        raise BadLead("there is no number")
    with conn.transaction():
        found = campaigns.find(conn, tenant_id=tenant_id, name=campaign)
        ids = {"tenant_id": tenant_id, "campaign_id": found.campaign_id}
        if queue is not None and not db.fetch_value(
            conn, campaigns.SQL["queue_exists"], tenant_id=tenant_id, name=queue
        ):
            raise NotFound(f'the tenant has no queue "{queue}"')
        places = [_place(conn, number, zone) for number in digits]
        lead_id: int = db.fetch_value(
            conn,
            SQL["add_lead"],
            **ids,
            list_id=db.fetch_value(conn, SQL["put_list"], **ids, name=SINGLE),
            external_id=external_id or digits[0],
            name=name,
            priority=priority.value,
            due_at=due_at or now,
            zone_set_id=places[0][1],
            queue=queue,
            gateway=gateway,
            variables=json.dumps(dict(variables or {})),
            consent_basis=consent_basis,
            consent_at=consent_at,
            consent_ref=consent_ref,
            expires_at=expires_at,
        )
        for position, (number, (region, zone_set)) in enumerate(zip(digits, places, strict=True), 1):
            where = {"position": position, "number": number, "region": region, "zone_set_id": zone_set}
            db.execute(conn, SQL["add_number"], **ids, lead_id=lead_id, **where)
        rows = db.fetch_all(conn, LeadNumber, SQL["numbers"], tenant_id=tenant_id, lead_id=lead_id, now=now)
        if all(row.listed for row in rows):
            raise Refused(f"{digits[0]} is on a do-not-call list ({rows[0].listed})")
        return lead_id


def _place(conn: Conn, number: str, zone: str) -> tuple[str, int]:
    """Return region (its one name) and set of zones of a number."""
    range_region: str = db.fetch_value(conn, SQL["region_of"], number=number) or ""
    zones = zones_of_number(number, zone=zone, range_region=range_region)
    zones = zones or zones_of_country(country_of(number))
    region = normalise_region(range_region).name if range_region else ""
    return region, db.fetch_value(conn, SQL["zone_set_of"], zones=list(zones))


def retry(
    conn: Conn,
    *,
    tenant_id: int,
    campaign: str,
    now: datetime,
    results: Sequence[LeadResult] | None = None,
    list_name: str | None = None,
    leads: Sequence[str] | None = None,
) -> int:
    """Let finished leads wait again, their attempts beginning anew; return how many.

    results: None, only those that time or we are to blame for (exhausted, no_number, no_consent, expired); with
    leads (external ids or numbers) whatever their result, and those that wait are due at once. Numbers on
    do-not-call lists stay what they are. Raises NotFound.
    """
    with conn.transaction():
        found = campaigns.find(conn, tenant_id=tenant_id, name=campaign)
        ids = {"tenant_id": tenant_id, "campaign_id": found.campaign_id}
        chosen = None
        if leads is not None:
            rows = [db.fetch_one(conn, _Details, SQL["find_lead"], **ids, lead=lead) for lead in leads]
            chosen = [db.require(row, "lead", lead).lead_id for row, lead in zip(rows, leads, strict=True)]
        elif results is None:
            results = RETRIED
        wanted = {"list": list_name, "leads": chosen, "now": now}
        told = None if results is None else [result.value for result in results]
        count = db.execute(conn, SQL["retry_leads"], **ids, **wanted, results=told)
        if chosen is not None:
            count += db.execute(conn, SQL["due_now"], **ids, **wanted)
        return count


#: Results after which `retry` without further words tries again.
RETRIED = (LeadResult.EXHAUSTED, LeadResult.NO_NUMBER, LeadResult.NO_CONSENT, LeadResult.EXPIRED)


def remove(conn: Conn, *, tenant_id: int, campaign: str, leads: Sequence[str], now: datetime) -> int:
    """Take leads out: they are done, with the result removed, and never dialled; return how many were not yet done.

    One that is being called is finished after that call. Raises NotFound, BadInput.
    """
    if not leads:
        raise BadInput("name the leads")
    with conn.transaction():
        found = campaigns.find(conn, tenant_id=tenant_id, name=campaign)
        ids = {"tenant_id": tenant_id, "campaign_id": found.campaign_id}
        gone = 0
        for lead in leads:
            row = db.fetch_one(conn, _Details, SQL["find_lead"], **ids, lead=lead)
            lead_id = db.require(row, "lead", lead).lead_id
            where = {"tenant_id": tenant_id, "lead_id": lead_id, "now": now}
            gone += bool(db.fetch_value(conn, SQL["remove_lead"], **where))
        return gone


def export(conn: Conn, *, tenant_id: int, campaign: str, list_name: str | None = None) -> Iterator[str]:
    """Yield the lines of a CSV with the leads of a campaign and how each stands. Raises NotFound."""
    found = campaigns.find(conn, tenant_id=tenant_id, name=campaign)
    return write_table(COLUMNS, _export_rows(conn, found, list_name))


def _export_rows(conn: Conn, campaign: Campaign, list_name: str | None) -> Iterator[list[str]]:
    after = 0
    while rows := _page(conn, campaign, list_name, None, None, None, after, _PAGE):
        after = rows[-1].lead_id
        for row in rows:
            known = {"id": row.external_id, "consent": row.consent_basis, "zones": " ".join(row.zones)}
            values = (known.get(column, getattr(row, column, None)) for column in COLUMNS)
            yield ["" if value is None else _text(value) for value in values]


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
