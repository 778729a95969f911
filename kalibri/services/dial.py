"""What ks-dial does: takes leads, orders their dials, settles what has ended. One use case, one function.

Each function is one transaction and safe to repeat; when it is called, and for how many leads, is decided by
tools/dial/engine.py with callcore/dial_share.py and callcore/pacing.py. What may be dialled is decided by lead_take,
what follows from an attempt by callcore/dial_retry.py, how one ended by callcore/attempt.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from callcore.attempt import DialFacts, Outcome, outcome_of
from callcore.dial import DialReason
from callcore.dial_caller_id import NoCallerId, PoolNumber, choose_caller_id
from callcore.dial_retry import AttemptFacts
from kalibri import db
from kalibri.db import Conn
from kalibri.services import campaign as campaigns
from kalibri.services import campaign_hours, lead_outcome

SQL = db.statements("dial")
#: Attempts that are settled in one look.
SETTLED_AT_ONCE = 200
_FACTS = frozenset(entry.name for entry in fields(DialFacts))


@dataclass(frozen=True, kw_only=True)
class RunningCampaign:
    """A campaign that runs, as far as the engine needs it."""

    tenant_id: int
    campaign_id: int
    name: str
    mode: str
    queue_id: int | None
    priority: int
    weight: int
    lines: int
    calls_per_second: float
    load_limit: float | None
    load_resume: float | None
    gateway: str
    abandon_cap_percent: float
    pacing: Mapping[str, Any]
    #: Calls at once of the tenant; None: any number.
    max_calls: int | None
    #: Attempts that are ordered, dialled or talked, and the ordered ones among them.
    open: int
    ordered: int


@dataclass(frozen=True)
class HostRoom:
    """Media hosts that live, and how many calls they have room for."""

    hosts: int
    room: int


@dataclass(frozen=True)
class Outlook:
    """Why a campaign has no lead to dial (SQL function lead_outlook)."""

    due_open: bool
    due_closed: bool
    due_unknown: bool
    next_due_at: datetime | None
    dialling: bool

    @property
    def reason(self) -> DialReason:
        """The reason in one word."""
        if self.due_open:
            return DialReason.CALLER_ID_CAP
        if self.due_closed:
            return DialReason.HOURS
        if self.due_unknown:
            return DialReason.NO_ZONE
        if self.next_due_at is not None:
            return DialReason.NOT_DUE
        return DialReason.IN_PROGRESS if self.dialling else DialReason.NO_LEADS


@dataclass(frozen=True)
class Settled:
    """An attempt that was closed."""

    attempt_id: int
    campaign_id: int
    outcome: Outcome
    facts: Mapping[str, Any]
    #: From the dial to the answer, or to the end without one.
    ring_seconds: float
    #: From the answer to the end; None: not answered.
    talk_seconds: float | None


@dataclass(frozen=True)
class AgentNow:
    """An agent at work in a queue."""

    is_idle: bool
    #: In the present state.
    age_seconds: float
    #: Of the wrap-up; None: is in none.
    wrapup_left: float | None


@dataclass(frozen=True)
class DialNow:
    """An open dial."""

    attempt_id: int
    answered: bool
    #: Until now, or until the answer.
    ring_seconds: float
    #: The person has an entry in a queue, or had one.
    queued: bool


@dataclass(frozen=True)
class Counted:
    """Answers of a campaign."""

    answers: int
    abandoned: int


@dataclass(frozen=True)
class _Taken:
    lead_id: int
    position: int
    number: str
    region: str
    caller_id: str | None
    due_at: datetime


@dataclass(frozen=True)
class _Pool:
    number: str
    region: str
    daily_cap: int | None


@dataclass(frozen=True)
class _Used:
    number: str
    calls: int


@dataclass(frozen=True)
class _Ended:
    tenant_id: int
    attempt_id: int
    campaign_id: int
    lead_id: int
    position: int
    outcome: Outcome | None
    facts: Mapping[str, Any]
    ring_seconds: float
    talk_seconds: float | None


def try_to_lead(conn: Conn) -> bool:
    """Become the leader if there is none; the leadership ends with the connection."""
    return bool(db.fetch_value(conn, SQL["lead"]))


def running(conn: Conn) -> list[RunningCampaign]:
    """Return the campaigns that run."""
    return db.fetch_all(conn, RunningCampaign, SQL["running"])


def host_room(conn: Conn) -> HostRoom:
    """Return the media hosts that live, and their room for calls of campaigns."""
    return db.fetch_one(conn, HostRoom, SQL["hosts"]) or HostRoom(0, 0)


def order(conn: Conn, campaign: RunningCampaign, sets: Sequence[int], most: int) -> int:
    """Take at most so many due leads of a campaign and order their dials; return how many.

    sets: zone sets whose hours are open. Leads and attempts change in one transaction: a crash leaves both or neither.
    """
    ids = {"tenant_id": campaign.tenant_id, "campaign_id": campaign.campaign_id}
    with conn.transaction():
        taken = db.fetch_all(conn, _Taken, SQL["take"], **ids, sets=list(sets), most=most)
        if not taken:
            return 0
        shown = _caller_ids(conn, campaign, taken)
        orders = [
            {
                "lead_id": lead.lead_id,
                "position": lead.position,
                "number": lead.number,
                "caller_id": shown[lead.lead_id],
            }
            for lead in taken
            if lead.lead_id in shown
        ]
        for lead in taken:
            if lead.lead_id not in shown:
                ids_of = {"tenant_id": campaign.tenant_id, "lead_id": lead.lead_id}
                db.execute(conn, SQL["put_back"], **ids_of, position=lead.position, due_at=lead.due_at)
        return int(db.fetch_value(conn, SQL["order"], **ids, orders=json.dumps(orders)) or 0)


def _caller_ids(conn: Conn, campaign: RunningCampaign, taken: Sequence[_Taken]) -> dict[int, str]:
    """Choose and count a caller id for each lead; one that is missing has none free today."""
    ids = {"tenant_id": campaign.tenant_id, "campaign_id": campaign.campaign_id}
    pool = [
        PoolNumber(number=row.number, region=row.region, daily_cap=row.daily_cap)
        for row in db.fetch_all(conn, _Pool, SQL["pool"], **ids)
    ]
    if not pool:
        return {lead.lead_id: lead.caller_id or "" for lead in taken}
    used = {row.number: row.calls for row in db.fetch_all(conn, _Used, SQL["used_today"], **ids)}
    shown: dict[int, str] = {}
    for lead in taken:
        chosen = choose_caller_id(pool, region=lead.region, used_today=used, kept=lead.caller_id)
        if chosen is NoCallerId.NO_POOL:
            shown[lead.lead_id] = lead.caller_id or ""
        elif isinstance(chosen, PoolNumber) and _count_call(conn, campaign.tenant_id, chosen):
            used[chosen.number] = used.get(chosen.number, 0) + 1
            shown[lead.lead_id] = chosen.number
            who = {"tenant_id": campaign.tenant_id, "lead_id": lead.lead_id}
            db.execute(conn, SQL["keep_caller_id"], **who, number=chosen.number)
    return shown


def _count_call(conn: Conn, tenant_id: int, chosen: PoolNumber) -> bool:
    return bool(
        db.fetch_value(
            conn, SQL["take_caller_id"], tenant_id=tenant_id, number=chosen.number, cap=chosen.daily_cap
        )
    )


def open_now(conn: Conn, campaign: RunningCampaign, now: datetime) -> list[int]:
    """Return the zone sets in which people may be called for this campaign at this moment."""
    found = campaigns.find(conn, tenant_id=campaign.tenant_id, name=campaign.name)
    return campaign_hours.open_sets(conn, found, now)


def agents_of(conn: Conn, campaign: RunningCampaign) -> list[AgentNow]:
    """Return the agents at work in the campaign's queue."""
    ids = {"tenant_id": campaign.tenant_id, "queue_id": campaign.queue_id}
    return db.fetch_all(conn, AgentNow, SQL["agents"], **ids)


def waiting_in_queue(conn: Conn, campaign: RunningCampaign) -> int:
    """Return how many callers of the campaign's queue have no agent yet."""
    ids = {"tenant_id": campaign.tenant_id, "queue_id": campaign.queue_id}
    return int(db.fetch_value(conn, SQL["waiting"], **ids) or 0)


def dials_of(conn: Conn, campaign: RunningCampaign) -> list[DialNow]:
    """Return the open dials of a campaign."""
    return db.fetch_all(conn, DialNow, SQL["dials"], campaign_id=campaign.campaign_id)


def counted(conn: Conn, campaign: RunningCampaign) -> Counted:
    """Return what has been counted of a campaign so far."""
    ids = {"tenant_id": campaign.tenant_id, "campaign_id": campaign.campaign_id}
    return db.fetch_one(conn, Counted, SQL["counted"], **ids) or Counted(0, 0)


def outlook(conn: Conn, campaign_id: int, sets: Sequence[int]) -> Outlook:
    """Return why a campaign has no lead to dial."""
    found = db.fetch_one(conn, Outlook, SQL["outlook"], campaign_id=campaign_id, sets=list(sets))
    return found or Outlook(False, False, False, None, False)


def note(
    conn: Conn, campaign: RunningCampaign, reason: DialReason, *, at: datetime, detail: str = ""
) -> None:
    """Write down what binds a campaign in this second."""
    ids = {"tenant_id": campaign.tenant_id, "campaign_id": campaign.campaign_id}
    db.execute(conn, SQL["note"], **ids, at=at, reason=reason.value, detail=detail)


def finish(conn: Conn, campaign: RunningCampaign) -> None:
    """End a campaign whose leads are all done."""
    db.fetch_value(conn, SQL["finish"], tenant_id=campaign.tenant_id, campaign_id=campaign.campaign_id)


def expire(conn: Conn, *, leases: bool) -> int:
    """Withdraw orders that nobody took, and with `leases` end what silent hosts held; return how many."""
    return int(db.fetch_value(conn, SQL["expire"], leases=leases) or 0)


def settle(conn: Conn, *, now: datetime) -> list[Settled]:
    """Tell leads how their dials ended, and count these; return them.

    One transaction: what is lost by a crash is done again, once. Two engines share the work (SKIP LOCKED).
    """
    settled = []
    with conn.transaction():
        conn.execute(SQL["relaxed"])
        for row in db.fetch_all(conn, _Ended, SQL["ended"], most=SETTLED_AT_ONCE):
            outcome = row.outcome or outcome_of(_dial_facts(row.facts))
            lead_outcome.settle(
                conn,
                tenant_id=row.tenant_id,
                lead_id=row.lead_id,
                position=row.position,
                attempt=_attempt_facts(outcome, row.facts),
                now=now,
            )
            ids = {"tenant_id": row.tenant_id, "attempt_id": row.attempt_id}
            db.fetch_value(conn, SQL["settled"], **ids, outcome=outcome.value)
            settled.append(
                Settled(
                    row.attempt_id, row.campaign_id, outcome, row.facts, row.ring_seconds, row.talk_seconds
                )
            )
    return settled


def _dial_facts(told: Mapping[str, Any]) -> DialFacts:
    return DialFacts(**{name: value for name, value in told.items() if name in _FACTS})


def _attempt_facts(outcome: Outcome, told: Mapping[str, Any]) -> AttemptFacts:
    """Return what retry rules are matched with: a refusal of our own proxy says nothing of the number."""
    if told.get("ours"):
        return AttemptFacts(outcome=outcome.value)
    return AttemptFacts(
        outcome=outcome.value,
        code=told.get("code") or None,
        cause=told.get("cause") or None,
        verdict=str(told.get("verdict") or ""),
    )
