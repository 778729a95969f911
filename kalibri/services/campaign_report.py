"""How campaigns stand: leads by state and result, attempts, zones, why nothing is dialled.

Only reads. The reasons of each second were noted by the engine (campaign_note); where no engine ran nothing was
noted, and that is said, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from uuid import UUID

from callcore.attempt import AttemptState, Outcome
from callcore.dial import CampaignMode, CampaignState, DialReason, LeadResult, LeadState
from callcore.dial_why import ADVICE, Outlook, lead_reason
from kalibri import db
from kalibri.csv_table import write_table
from kalibri.db import Conn
from kalibri.services import campaign as campaigns
from kalibri.services.campaign import SQL, Campaign
from kalibri.services.campaign_hours import open_among, zone_sets

#: An engine that has noted nothing for so long does not run.
SILENCE = timedelta(seconds=15)


@dataclass(frozen=True, kw_only=True)
class LeadCount:
    """Leads of one state and result."""

    state: LeadState
    result: LeadResult | None
    leads: int
    #: Charged and uncharged attempts of these leads.
    attempts: int
    uncharged: int


@dataclass(frozen=True, kw_only=True)
class OutcomeCount:
    """Leads whose last attempt ended so."""

    outcome: str
    state: LeadState
    leads: int


@dataclass(frozen=True, kw_only=True)
class AttemptCount:
    """Attempts of a time that ended so; open: not over."""

    outcome: str
    attempts: int
    #: Somebody, or something, took the call.
    answered: int
    #: Means; None: none of them rang, or was answered.
    ring_seconds: float | None
    talk_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One dial of one number."""

    attempt_id: int
    #: External id.
    lead: str
    position: int
    number: str
    caller_id: str
    state: AttemptState
    outcome: Outcome | None
    ordered_at: datetime
    taken_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    #: Media host.
    host: str | None
    #: Its story: call show.
    call_id: UUID
    #: SIP response, Q.850 cause, what was heard.
    code: int | None
    cause: int | None
    verdict: str


@dataclass(frozen=True, kw_only=True)
class ZoneCount:
    """Leads that wait, by the zones in which their next number may be."""

    zone_set_id: int
    #: None of them: nobody knows.
    zones: tuple[str, ...]
    waiting: int
    #: Whose time has come.
    due: int
    #: The hours of the campaign are open there now.
    open: bool


@dataclass(frozen=True, kw_only=True)
class _ZoneRow:
    zone_set_id: int
    zones: tuple[str, ...]
    waiting: int
    due: int


@dataclass(frozen=True, kw_only=True)
class ListCount:
    """A list of a campaign with its leads."""

    list_id: int
    name: str
    source: str
    imported_at: datetime | None
    leads: int
    waiting: int
    done: int


@dataclass(frozen=True, kw_only=True)
class HoldCount:
    """How long one constraint bound."""

    reason: DialReason
    seconds: float
    #: What was noted last with it.
    detail: str
    last_at: datetime


@dataclass(frozen=True, kw_only=True)
class Hold:
    """A time in which one constraint bound, second by second."""

    since: datetime
    until: datetime
    seconds: float
    reason: DialReason
    detail: str


@dataclass(frozen=True, kw_only=True)
class Why:
    """Why a campaign places no call, now and in a time before."""

    campaign: str
    state: CampaignState
    #: What binds now.
    reason: DialReason
    #: What that means, and what would end it.
    text: str
    detail: str
    #: When the next lead is due; None: none waits.
    next_due_at: datetime | None
    #: When the hours open next for leads that are due; None: they are open, or never do.
    opens_at: datetime | None
    #: The engine notes what it does; False: it does not run.
    engine: bool
    holds: tuple[HoldCount, ...]
    zones: tuple[ZoneCount, ...]


@dataclass(frozen=True, kw_only=True)
class Status:
    """A campaign at a glance."""

    tenant: str
    campaign: str
    mode: CampaignMode
    state: CampaignState
    state_at: datetime
    state_by: str
    waiting: int
    dialling: int
    done: int
    reached: int
    attempts: int
    uncharged: int
    #: What binds now.
    reason: DialReason


@dataclass(frozen=True, kw_only=True)
class Report:
    """Figures of a campaign, or of one of its lists."""

    leads: tuple[LeadCount, ...]
    #: How the last attempt of leads ended.
    outcomes: tuple[OutcomeCount, ...]
    #: Of the time that was asked for.
    attempts: tuple[AttemptCount, ...]
    lists: tuple[ListCount, ...]
    zones: tuple[ZoneCount, ...]


ATTEMPT_COLUMNS = tuple(field.name for field in fields(Attempt))
_PAGE = 5000


def why(conn: Conn, *, tenant_id: int, name: str, now: datetime, since: datetime | None = None) -> Why:
    """Say why a campaign places no call; since: of the seconds that are added up (None: the last hour).

    Raises NotFound.
    """
    campaign = campaigns.find(conn, tenant_id=tenant_id, name=name)
    outlook = _outlook(conn, campaign, now)
    counts = _holds(conn, campaign, since or now - timedelta(hours=1), now)
    latest = max(counts, key=lambda row: row.last_at, default=None)
    engine = latest is not None and now - latest.last_at < SILENCE
    reason = lead_reason(campaign.state, outlook)
    detail = ""
    if reason is None:
        reason = latest.reason if latest and engine else DialReason.NO_HOST
        detail = latest.detail if latest and engine else "the engine (ks-dial) notes nothing: ksinit status"
    zones = _zones(conn, campaign, now)
    return Why(
        campaign=name,
        state=campaign.state,
        reason=reason,
        text=ADVICE[reason],
        detail=detail,
        next_due_at=outlook.next_due_at,
        opens_at=_opens_at(campaign, zones, now) if reason is DialReason.HOURS else None,
        engine=engine,
        holds=tuple(counts),
        zones=tuple(zones),
    )


def _outlook(conn: Conn, campaign: Campaign, now: datetime) -> Outlook:
    sets = open_among(zone_sets(conn), campaign.calling_hours, campaign.unknown_zones, now)
    found = db.fetch_one(
        conn, Outlook, SQL["outlook"], campaign_id=campaign.campaign_id, open_sets=sets, now=now
    )
    assert found is not None
    return found


def _opens_at(campaign: Campaign, zones: list[ZoneCount], now: datetime) -> datetime | None:
    hours = campaign.calling_hours
    moments = [hours.next_open(row.zones or campaign.unknown_zones, now) for row in zones if row.due]
    return min((moment for moment in moments if moment), default=None)


def _holds(conn: Conn, campaign: Campaign, since: datetime, until: datetime) -> list[HoldCount]:
    ids = {"tenant_id": campaign.tenant_id, "campaign_id": campaign.campaign_id}
    return db.fetch_all(conn, HoldCount, SQL["holds"], **ids, since=since, until=until)


def holds(
    conn: Conn, *, tenant_id: int, name: str, since: datetime, until: datetime, limit: int = 1000
) -> list[Hold]:
    """Return which constraint bound when, the newest first; raises NotFound."""
    campaign = campaigns.find(conn, tenant_id=tenant_id, name=name)
    ids = {"tenant_id": tenant_id, "campaign_id": campaign.campaign_id}
    return db.fetch_all(conn, Hold, SQL["hold_seconds"], **ids, since=since, until=until, limit=limit)


def _zones(conn: Conn, campaign: Campaign, now: datetime) -> list[ZoneCount]:
    ids = {"tenant_id": campaign.tenant_id, "campaign_id": campaign.campaign_id}
    hours = campaign.calling_hours
    return [
        ZoneCount(
            zone_set_id=row.zone_set_id,
            zones=row.zones,
            waiting=row.waiting,
            due=row.due,
            open=hours.is_open(row.zones or campaign.unknown_zones, now),
        )
        for row in db.fetch_all(conn, _ZoneRow, SQL["zone_counts"], **ids, now=now)
    ]


def _lead_counts(conn: Conn, campaign: Campaign, list_id: int | None) -> list[LeadCount]:
    ids = {"tenant_id": campaign.tenant_id, "campaign_id": campaign.campaign_id}
    return db.fetch_all(conn, LeadCount, SQL["lead_counts"], **ids, list_id=list_id)


def status(conn: Conn, *, tenant_id: int | None, now: datetime, name: str | None = None) -> list[Status]:
    """Return how campaigns stand; name None: all of a tenant, tenant None: of all. Raises NotFound."""
    if name is not None and tenant_id is not None:
        chosen = [campaigns.find(conn, tenant_id=tenant_id, name=name)]
    else:
        chosen = campaigns.list_campaigns(conn, tenant_id=tenant_id)
    return [_status(conn, campaign, now) for campaign in chosen]


def _status(conn: Conn, campaign: Campaign, now: datetime) -> Status:
    counts = _lead_counts(conn, campaign, None)
    told = why(conn, tenant_id=campaign.tenant_id, name=campaign.name, now=now)

    def leads(state: LeadState) -> int:
        return sum(row.leads for row in counts if row.state is state)

    return Status(
        tenant=campaign.tenant,
        campaign=campaign.name,
        mode=campaign.mode,
        state=campaign.state,
        state_at=campaign.state_at,
        state_by=campaign.state_by,
        waiting=leads(LeadState.WAITING),
        dialling=leads(LeadState.DIALLING),
        done=leads(LeadState.DONE),
        reached=sum(row.leads for row in counts if row.result is LeadResult.REACHED),
        attempts=sum(row.attempts for row in counts),
        uncharged=sum(row.uncharged for row in counts),
        reason=told.reason,
    )


def report(
    conn: Conn,
    *,
    tenant_id: int,
    name: str,
    now: datetime,
    list_name: str | None = None,
    since: datetime | None = None,
) -> Report:
    """Return figures of a campaign, or of one of its lists; since: of attempts (None: all). Raises NotFound."""
    campaign = campaigns.find(conn, tenant_id=tenant_id, name=name)
    ids = {"tenant_id": tenant_id, "campaign_id": campaign.campaign_id}
    lists = db.fetch_all(conn, ListCount, SQL["list_counts"], **ids)
    list_id = None
    if list_name is not None:
        found = next((row for row in lists if row.name == list_name), None)
        list_id = db.require(found, "list", list_name).list_id
    times = {"since": since or campaign.created_at, "until": now}
    attempts = db.fetch_all(conn, AttemptCount, SQL["attempt_counts"], **ids, **times, list_id=list_id)
    return Report(
        leads=tuple(_lead_counts(conn, campaign, list_id)),
        outcomes=tuple(db.fetch_all(conn, OutcomeCount, SQL["outcome_counts"], **ids, list_id=list_id)),
        attempts=tuple(attempts),
        lists=tuple(lists),
        zones=tuple(_zones(conn, campaign, now)),
    )


def attempts(
    conn: Conn, *, tenant_id: int, name: str, lead_id: int | None = None, after: int = 0, limit: int = 1000
) -> list[Attempt]:
    """Return attempts in the order in which they were made; after: the attempt_id of the last page.

    lead_id: only of this lead. Raises NotFound.
    """
    campaign = campaigns.find(conn, tenant_id=tenant_id, name=name)
    ids = {"tenant_id": tenant_id, "campaign_id": campaign.campaign_id}
    page = {"lead_id": lead_id, "after": after, "limit": limit}
    return db.fetch_all(conn, Attempt, SQL["attempts"], **ids, **page)


def export_attempts(conn: Conn, *, tenant_id: int, name: str) -> Iterator[str]:
    """Yield the lines of a CSV with every attempt of a campaign; raises NotFound."""
    campaigns.find(conn, tenant_id=tenant_id, name=name)
    return write_table(ATTEMPT_COLUMNS, _attempt_rows(conn, tenant_id, name))


def _attempt_rows(conn: Conn, tenant_id: int, name: str) -> Iterator[list[str]]:
    after = 0
    while rows := attempts(conn, tenant_id=tenant_id, name=name, after=after, limit=_PAGE):
        after = rows[-1].attempt_id
        for row in rows:
            values = (getattr(row, column) for column in ATTEMPT_COLUMNS)
            yield ["" if value is None else _text(value) for value in values]


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
