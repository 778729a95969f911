"""Queues as they stand now, the attempts of agents, and why an agent was chosen. Reads only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from callcore.call_queue import OfferOutcome, OfferState, QueueStrategy
from kalibri import db
from kalibri.db import Conn

SQL = db.statements("queue_live")


@dataclass(frozen=True, kw_only=True)
class LiveQueue:
    """One queue now, and its figures since the beginning of a time."""

    tenant_id: int
    tenant: str
    queue: str
    open: bool
    waiting: int
    offered: int
    talking: int
    callbacks: int
    longest_wait_seconds: float | None
    #: Agents of the queue by state.
    logged_in: int
    free: int
    ringing: int
    busy: int
    wrapup: int
    paused: int
    #: What the next caller has to expect; None: nobody staffs the queue.
    ewt_seconds: float | None
    answered: int
    abandoned: int
    left_otherwise: int
    #: Per cent: answered in time ÷ (answered + abandoned − short abandoned); None: no calls yet.
    service_level: float | None


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One ringing of one agent for one call."""

    offer_id: int
    entry_id: int
    call_id: UUID
    queue: str | None
    caller: str
    agent: str
    at: datetime
    wait_seconds: Decimal
    ring_seconds: Decimal | None
    talk_seconds: Decimal | None
    hold_seconds: Decimal
    answered: bool
    #: Joined with the caller.
    success: bool
    #: None: it goes on.
    outcome: OfferOutcome | None
    code: int | None
    cause: str
    hung_up_by: str


@dataclass(frozen=True, kw_only=True)
class _Offer:
    offer_id: int
    entry_id: int
    queue: str | None
    call_id: UUID
    caller: str
    agent: str | None
    agent_id: int
    strategy: QueueStrategy
    forced: bool
    ring_all: bool
    made_at: datetime
    waited_seconds: Decimal
    state: OfferState
    outcome: OfferOutcome | None
    cause: str
    candidates: Mapping[str, Any]
    queue_id: int


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An agent who was looked at for an offer."""

    agent: str
    chosen: bool
    tier: int | None
    penalty: int | None
    #: By the strategy, the smaller first; None: left out.
    rank: float | None
    #: Why he was not chosen; empty: he was ready, but another one came first.
    left_out: str


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why an agent was rung for a caller."""

    offer_id: int
    entry_id: int
    queue: str | None
    call_id: UUID
    caller: str
    agent: str
    strategy: QueueStrategy
    #: In one sentence.
    reason: str
    made_at: datetime
    waited_seconds: Decimal
    state: OfferState
    outcome: OfferOutcome | None
    candidates: tuple[Candidate, ...]
    #: Agents of the queue who are not named: state → how many.
    others: Mapping[str, int]


@dataclass(frozen=True)
class _Named:
    agent_id: int
    name: str


@dataclass(frozen=True)
class _State:
    agent_id: int
    state: str


RANKS: Mapping[QueueStrategy, str] = {
    QueueStrategy.RING_ALL: "every ready agent rings",
    QueueStrategy.LONGEST_IDLE: "idle longest of the best tier and penalty",
    QueueStrategy.FEWEST_CALLS: "fewest calls since login, of the best tier and penalty",
    QueueStrategy.LEAST_TALK: "least talk time since login, of the best tier and penalty",
    QueueStrategy.ROUND_ROBIN: "rung longest ago, of the best tier and penalty",
    QueueStrategy.LINEAR: "first position of the best tier and penalty",
    QueueStrategy.SKILL: "highest levels of the skills asked for, of the best tier and penalty",
    QueueStrategy.RANDOM: "drawn",
}


def live(conn: Conn, *, tenant_id: int | None, since: datetime, queue: str | None = None) -> list[LiveQueue]:
    """Return the queues of a tenant (None: of all) with figures of calls that came at or after `since`."""
    return db.fetch_all(conn, LiveQueue, SQL["live"], tenant_id=tenant_id, since=since, queue=queue)


def attempts(
    conn: Conn,
    *,
    tenant_id: int,
    since: datetime,
    queue: str | None = None,
    agent: str | None = None,
    limit: int = 200,
) -> list[Attempt]:
    """Return the offers made since a time, newest first."""
    params = {"since": since, "queue": queue, "agent": agent, "limit": limit}
    return db.fetch_all(conn, Attempt, SQL["attempts"], tenant_id=tenant_id, **params)


def explain(conn: Conn, *, tenant_id: int, offer_id: int) -> Explanation:
    """Return why an agent was chosen, who else was looked at, and who was left out; raises NotFound."""
    offer = db.require(
        db.fetch_one(conn, _Offer, SQL["offer"], tenant_id=tenant_id, offer_id=offer_id), "offer", offer_id
    )
    told = offer.candidates
    ids = [row["agent"] for row in (*told.get("ready", ()), *told.get("out", ()))] + [offer.agent_id]
    rows = db.fetch_all(conn, _Named, SQL["agent_names"], tenant_id=tenant_id, agent_ids=ids)
    names = {row.agent_id: row.name for row in rows}
    named = {row["agent"] for row in (*told.get("ready", ()), *told.get("out", ()))}
    return Explanation(
        offer_id=offer.offer_id,
        entry_id=offer.entry_id,
        queue=offer.queue,
        call_id=offer.call_id,
        caller=offer.caller,
        agent=offer.agent or f"agent {offer.agent_id}",
        strategy=offer.strategy,
        reason=_reason(offer),
        made_at=offer.made_at,
        waited_seconds=offer.waited_seconds,
        state=offer.state,
        outcome=offer.outcome,
        candidates=_candidates(offer, names),
        others=_others(conn, tenant_id, offer, named) if len(named) < told.get("members", 0) else {},
    )


def _reason(offer: _Offer) -> str:
    if offer.forced:
        return "somebody chose this agent"
    if offer.strategy is QueueStrategy.RANDOM:
        drawn, among = offer.candidates.get("drawn", 0), offer.candidates.get("among", 0)
        place = offer.candidates.get("from")
        where = "" if place is None else f" from place {place:.6f} of the row on"
        return f"drawn: number {int(drawn * among)} of {among}{where} (counted from 0), by {drawn:.6f}"
    return RANKS[offer.strategy]


def _candidates(offer: _Offer, names: Mapping[int, str]) -> tuple[Candidate, ...]:
    ready = [
        Candidate(
            agent=names.get(row["agent"], f"agent {row['agent']}"),
            chosen=row["agent"] == offer.agent_id,
            tier=row["tier"],
            penalty=row["penalty"],
            rank=None if row.get("out") else row["rank"],
            left_out=_left_out(row),
        )
        for row in offer.candidates.get("ready", ())
    ]
    out = [
        Candidate(
            agent=names.get(row["agent"], f"agent {row['agent']}"),
            chosen=row["agent"] == offer.agent_id,
            tier=None,
            penalty=None,
            rank=None,
            left_out=f"{row['state']} ({row['reason']})" if row["reason"] else row["state"],
        )
        for row in offer.candidates.get("out", ())
    ]
    return tuple(ready + out)


def _left_out(row: Mapping[str, Any]) -> str:
    match row.get("out"):
        case "opens":
            return f"only for callers who have waited {row['at']} s (tier, skill)"
        case "rejected":
            return "rejected this caller a moment ago"
        case "sticky":
            return "the caller waits for the agent whom he had last"
    return ""


def _others(conn: Conn, tenant_id: int, offer: _Offer, named: set[int]) -> Mapping[str, int]:
    params = {"queue_id": offer.queue_id, "at": offer.made_at}
    rows = db.fetch_all(conn, _State, SQL["states_at"], tenant_id=tenant_id, **params)
    return dict(Counter(row.state for row in rows if row.agent_id not in named))
