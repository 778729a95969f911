"""What an attempt does to its lead: counted, tried again, finished.

Reads lead, rules and campaign, asks callcore/dial_retry.py, and does what it says, in one transaction. The engine
calls it for each attempt that has ended; twice for one attempt is twice counted, so it marks the attempt as settled
in the same transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from callcore.dial import RANKS, LeadNumberState, LeadPriority, LeadState
from callcore.dial_retry import (
    AttemptFacts,
    LeadHistory,
    RetryLimits,
    RetryRule,
    Step,
    StepKind,
    choose,
    follow,
)
from kalibri import db
from kalibri.db import Conn
from kalibri.services import campaign as campaigns
from kalibri.services import retry_rule
from kalibri.services.campaign import Campaign
from kalibri.services.lead import SQL, LeadNumber


@dataclass(frozen=True, kw_only=True)
class _Lead:
    tenant_id: int
    lead_id: int
    campaign_id: int
    campaign: str
    state: LeadState
    priority: LeadPriority
    attempts: int
    rule_counts: Mapping[str, int]
    position: int


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What was done with a lead."""

    rule: RetryRule
    step: Step
    #: The state that it has now.
    state: LeadState


def settle(
    conn: Conn, *, tenant_id: int, lead_id: int, position: int, attempt: AttemptFacts, now: datetime
) -> Settled:
    """Do what follows for a lead from an attempt with its number `position`; raises NotFound.

    A lead that was finished meanwhile (removed by a person) stays finished; the attempt is counted all the same.
    """
    with conn.transaction():
        ids = {"tenant_id": tenant_id, "lead_id": lead_id}
        lead = db.require(db.fetch_one(conn, _Lead, SQL["get_lead"], **ids), "lead", lead_id)
        campaign = campaigns.find(conn, tenant_id=tenant_id, name=lead.campaign)
        numbers = db.fetch_all(conn, LeadNumber, SQL["numbers"], **ids, now=now)
        rules = retry_rule.find_table(conn, tenant_id=tenant_id, name=campaign.retry_table)
        rule = choose(rules, attempt)
        history = LeadHistory(
            attempts=lead.attempts,
            rule_counts={int(place): count for place, count in lead.rule_counts.items()},
            position=position,
            numbers={row.position: row.zones for row in numbers if row.state is LeadNumberState.GOOD},
        )
        step = follow(rule, attempt, history, limits_of(campaign), now)
        counted = {"outcome": attempt.outcome, "charged": step.charged, "rule": rule.position}
        db.execute(conn, SQL["charge"], **ids, position=position, **counted)
        if lead.state is not LeadState.DONE:
            _take(conn, lead, step, numbers, position, now)
        state = LeadState(db.fetch_value(conn, SQL["lead_state"], **ids))
        return Settled(rule=rule, step=step, state=state)


def limits_of(campaign: Campaign) -> RetryLimits:
    """Return what a campaign says of all retries."""
    return RetryLimits(
        hours=campaign.calling_hours,
        max_attempts=campaign.max_attempts,
        unknown_zones=campaign.unknown_zones,
    )


def _take(
    conn: Conn, lead: _Lead, step: Step, numbers: list[LeadNumber], position: int, now: datetime
) -> None:
    """Do what a step says."""
    ids = {"tenant_id": lead.tenant_id, "lead_id": lead.lead_id}
    if step.kind is StepKind.TURN:
        rank = RANKS[lead.priority] if step.rank is None else step.rank
        db.execute(conn, SQL["turn_lead"], **ids, position=step.position, due_at=step.due_at, rank=rank)
    elif step.kind is StepKind.DROP:
        db.execute(
            conn, SQL["drop_number"], **ids, position=position, state="dead", due_at=step.due_at or now
        )
    else:
        if step.kind is StepKind.DO_NOT_CALL:
            number = next(row.number for row in numbers if row.position == position)
            listed = {"campaign_id": None, "number": number, "source": "opt_out", "until": None, "note": ""}
            db.execute(conn, SQL["add_listed"], tenant_id=lead.tenant_id, **listed)
        assert step.result is not None
        db.execute(conn, SQL["end_lead"], **ids, result=step.result.value)
