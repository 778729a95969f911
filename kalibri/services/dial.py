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
from callcore.dial import DialReason, LeadPriority
from callcore.dial_admission import Admission
from callcore.dial_caller_id import NoCallerId, PoolNumber, choose_caller_id
from callcore.dial_facts import (
    AgentNow,
    Counted,
    DialNow,
    GatewayEnd,
    HostRoom,
    RunningCampaign,
    Settled,
)
from callcore.dial_gateways import Via
from callcore.dial_retry import AttemptFacts
from callcore.dial_why import Outlook
from kalibri import db
from kalibri.db import Conn
from kalibri.services import campaign as campaigns
from kalibri.services import campaign_hours, lead_outcome

SQL = db.statements("dial")
#: Attempts that are settled in one look.
SETTLED_AT_ONCE = 200
_FACTS = frozenset(entry.name for entry in fields(DialFacts))


@dataclass(frozen=True)
class _Taken:
    lead_id: int
    position: int
    number: str
    region: str
    caller_id: str | None
    due_at: datetime
    priority: LeadPriority = LeadPriority.MEDIUM


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


def order(
    conn: Conn, campaign: RunningCampaign, sets: Sequence[int], most: int, vias: Sequence[Via] = ()
) -> int:
    """Take at most so many due leads of a campaign and order their dials; return how many.

    sets: zone sets whose hours are open. vias: what each call does about gateways, the first calls first.
    Leads and attempts change in one transaction: a crash leaves both or neither.
    """
    ids = {"tenant_id": campaign.tenant_id, "campaign_id": campaign.campaign_id}
    with conn.transaction():
        taken = db.fetch_all(conn, _Taken, SQL["take"], **ids, sets=list(sets), most=most)
        if not taken:
            return 0
        shown = _caller_ids(conn, campaign, taken)
        orders = _via([_order_of(lead, shown) for lead in taken if lead.lead_id in shown], vias)
        _put_back(conn, campaign, [lead for lead in taken if lead.lead_id not in shown])
        return int(db.fetch_value(conn, SQL["order"], **ids, orders=json.dumps(orders)) or 0)


def order_agents(
    conn: Conn,
    campaign: RunningCampaign,
    sets: Sequence[int],
    rooms: Mapping[LeadPriority, int],
    preempting: frozenset[LeadPriority],
    vias: Sequence[Via] = (),
) -> int:
    """Take due leads and put them into the campaign's queue, so that an agent is called first; return how many.

    rooms: how many of each priority may begin now, all of higher ones included. preempting: priorities that go
    before callers who wait. vias, one transaction: as `order`.
    """
    ids = {"tenant_id": campaign.tenant_id, "campaign_id": campaign.campaign_id}
    with conn.transaction():
        most = max(rooms.values())
        taken = db.fetch_all(conn, _Taken, SQL["take_for_agents"], **ids, sets=list(sets), most=most)
        admitted: list[_Taken] = []
        for lead in taken:
            if len(admitted) < rooms[lead.priority]:
                admitted.append(lead)
        shown = _caller_ids(conn, campaign, admitted) if admitted else {}
        orders = [
            _order_of(lead, shown) | {"preempts": lead.priority in preempting}
            for lead in admitted
            if lead.lead_id in shown
        ]
        _put_back(
            conn, campaign, [lead for lead in taken if lead not in admitted or lead.lead_id not in shown]
        )
        if not orders:
            return 0
        told = json.dumps(_via(orders, vias))
        return int(db.fetch_value(conn, SQL["order_agents"], **ids, orders=told) or 0)


def _order_of(lead: _Taken, shown: Mapping[int, str]) -> dict[str, Any]:
    return {
        "lead_id": lead.lead_id,
        "position": lead.position,
        "number": lead.number,
        "caller_id": shown[lead.lead_id],
    }


def _via(orders: Sequence[dict[str, Any]], vias: Sequence[Via]) -> list[dict[str, Any]]:
    """Give the first orders what they do about gateways."""
    told = [via.told for via in vias[: len(orders)]]
    told += [{}] * (len(orders) - len(told))
    return [order | ({"via": via} if via else {}) for order, via in zip(orders, told, strict=True)]


def gateway_ends(conn: Conn, *, since: datetime) -> list[GatewayEnd]:
    """Return how dials went at gateways, as the proxies' journals told since that time, in order."""
    return db.fetch_all(conn, GatewayEnd, SQL["gateway_ends"], since=since)


def _put_back(conn: Conn, campaign: RunningCampaign, leads: Sequence[_Taken]) -> None:
    for lead in leads:
        ids = {"tenant_id": campaign.tenant_id, "lead_id": lead.lead_id}
        db.execute(conn, SQL["put_back"], **ids, position=lead.position, due_at=lead.due_at)


def admission_of(conn: Conn, campaign: RunningCampaign) -> dict[LeadPriority, Admission]:
    """Return when leads of each priority may take an agent."""
    rows = campaigns.admission(conn, tenant_id=campaign.tenant_id, name=campaign.name)
    return {
        row.priority: Admission(float(row.max_queue_percent), row.min_free_agents, row.preempts)
        for row in rows
    }


def withdraw(conn: Conn) -> int:
    """Take tasks that must not be dialled any more, or that no agent wants, out of their queues; return how many."""
    return int(db.fetch_value(conn, SQL["withdraw"]) or 0)


def withdraw_closed(conn: Conn, campaign: RunningCampaign, sets: Sequence[int]) -> int:
    """Take tasks out of their queues where it is too early or too late now; return how many. sets: open ones."""
    ids = {"tenant_id": campaign.tenant_id, "campaign_id": campaign.campaign_id}
    return int(db.fetch_value(conn, SQL["withdraw_closed"], **ids, sets=list(sets)) or 0)


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
    return found or Outlook(
        due_open=False, due_closed=False, due_unknown=False, next_due_at=None, dialling=False
    )


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
        rules = lead_outcome.RulesRead()
        for row in db.fetch_all(conn, _Ended, SQL["ended"], most=SETTLED_AT_ONCE):
            outcome = row.outcome or outcome_of(_dial_facts(row.facts))
            lead_outcome.settle(
                conn,
                tenant_id=row.tenant_id,
                lead_id=row.lead_id,
                position=row.position,
                attempt=_attempt_facts(outcome, row.facts),
                now=now,
                rules_read=rules,
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
