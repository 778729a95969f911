"""Words of automatic dialling, and whether a lead may be dialled now.

Decides, from facts, the state that follows from a step of a campaign and what stands against dialling a number at a
moment. Never picks a lead out of a table, dials, or reads a clock: the moment is an argument. The enums equal those
of schema/62_campaign.sql and 63_lead.sql; docs/dialler.md explains how the parts work together.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from callcore.dial_hours import CallingHours
from callcore.errors import Refused
from callcore.value import value


class CampaignMode(StrEnum):
    """How a campaign brings people and agents together."""

    BROADCAST = "broadcast"
    AGENT_FIRST = "agent_first"
    PREVIEW = "preview"
    PROGRESSIVE = "progressive"
    PREDICTIVE = "predictive"


class CampaignState(StrEnum):
    """Whether a campaign places calls."""

    STOPPED = "stopped"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"


class DialReason(StrEnum):
    """Which constraint kept a campaign from dialling (more) in a second."""

    DIALLING = "dialling"
    NOT_RUNNING = "not_running"
    NO_LEADS = "no_leads"
    NOT_DUE = "not_due"
    HOURS = "hours"
    NO_ZONE = "no_zone"
    IN_PROGRESS = "in_progress"
    NO_AGENTS = "no_agents"
    AGENTS_BUSY = "agents_busy"
    QUEUE_LOAD = "queue_load"
    WARM_UP = "warm_up"
    ALLOWANCE = "allowance"
    ABANDON_CAP = "abandon_cap"
    LINES = "lines"
    CALLS_PER_SECOND = "calls_per_second"
    TENANT_LIMIT = "tenant_limit"
    GATEWAY_LIMIT = "gateway_limit"
    GATEWAY_FAILURES = "gateway_failures"
    HOST_LIMIT = "host_limit"
    NO_HOST = "no_host"
    LOAD_AVERAGE = "load_average"
    CALLER_ID_CAP = "caller_id_cap"
    FAIR_SHARE = "fair_share"


class RetryAction(StrEnum):
    """What follows from an attempt."""

    RETRY = "retry"
    NEXT_NUMBER = "next_number"
    DROP_NUMBER = "drop_number"
    STOP = "stop"
    DO_NOT_CALL = "do_not_call"


class LeadPriority(StrEnum):
    """How urgent a lead is."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    URGENT = "urgent"


class LeadState(StrEnum):
    """Whether a lead can be dialled."""

    WAITING = "waiting"
    DIALLING = "dialling"
    DONE = "done"


class LeadResult(StrEnum):
    """Why a lead is finished."""

    REACHED = "reached"
    EXHAUSTED = "exhausted"
    NO_NUMBER = "no_number"
    DO_NOT_CALL = "do_not_call"
    NO_CONSENT = "no_consent"
    DECLINED = "declined"
    EXPIRED = "expired"
    REMOVED = "removed"


class LeadNumberState(StrEnum):
    """Whether a number of a lead may be dialled."""

    GOOD = "good"
    DEAD = "dead"
    DO_NOT_CALL = "do_not_call"


class DoNotCallScope(StrEnum):
    """Whose do-not-call list holds a number, the widest first."""

    GLOBAL = "global"
    TENANT = "tenant"
    CAMPAIGN = "campaign"


#: Rank of a lead that goes before all others: it was abandoned, or cut off.
FRONT_RANK = 4
RANKS: Mapping[LeadPriority, int] = {priority: rank for rank, priority in enumerate(LeadPriority)}

#: Step → states in which it is allowed → the state that follows (SQL: campaign_next).
CAMPAIGN_TRANSITIONS: Mapping[str, Mapping[CampaignState, CampaignState]] = {
    "start": dict.fromkeys(
        (CampaignState.STOPPED, CampaignState.PAUSED, CampaignState.FINISHED), CampaignState.RUNNING
    ),
    "pause": {CampaignState.RUNNING: CampaignState.PAUSED},
    "stop": dict.fromkeys((CampaignState.RUNNING, CampaignState.PAUSED), CampaignState.STOPPED),
    "finish": {CampaignState.RUNNING: CampaignState.FINISHED},
}


class CampaignRefused(Refused):
    """The state of the campaign does not allow this."""

    error_id = "campaign-refused"


def campaign_after(state: CampaignState, step: str) -> CampaignState:
    """Return the state after a step; raises CampaignRefused, naming both."""
    after = CAMPAIGN_TRANSITIONS[step].get(state)
    if after is None:
        raise CampaignRefused(f"a campaign that is {state} cannot {step}", state=state, step=step)
    return after


class Obstacle(StrEnum):
    """Why a number of a lead is not dialled at a moment, or ever."""

    #: The lead is finished, or is being dialled.
    STATE = "state"
    DEAD = "dead"
    DO_NOT_CALL = "do_not_call"
    NO_CONSENT = "no_consent"
    EXPIRED = "expired"
    ATTEMPTS = "attempts"
    NOT_DUE = "not_due"
    NO_ZONE = "no_zone"
    HOURS = "hours"


@value(kw_only=True)
class LeadFacts:
    """What counts for whether a lead may be dialled with its present number."""

    state: LeadState
    due_at: datetime
    expires_at: datetime | None
    #: Charged ones.
    attempts: int
    consent_basis: str
    number_state: LeadNumberState
    #: IANA names of all zones in which the number may be; empty: unknown.
    zones: tuple[str, ...]
    #: Do-not-call list that holds the number now; None: none.
    listed: DoNotCallScope | None


@value(kw_only=True)
class DialRules:
    """What a campaign demands of a lead before it is dialled."""

    hours: CallingHours
    consent_required: bool
    max_attempts: int
    #: Zones that must be open for a number of unknown zone; empty: it is not dialled.
    unknown_zones: tuple[str, ...]


def obstacles(rules: DialRules, lead: LeadFacts, now: datetime) -> tuple[Obstacle, ...]:
    """Return everything that stands against dialling a lead at this moment; nothing: it may be dialled.

    Lasting reasons come first, those that time removes last.
    """
    zones = lead.zones or rules.unknown_zones
    found = (
        (lead.state is not LeadState.WAITING, Obstacle.STATE),
        (lead.number_state is LeadNumberState.DEAD, Obstacle.DEAD),
        (
            lead.listed is not None or lead.number_state is LeadNumberState.DO_NOT_CALL,
            Obstacle.DO_NOT_CALL,
        ),
        (rules.consent_required and not lead.consent_basis, Obstacle.NO_CONSENT),
        (lead.expires_at is not None and lead.expires_at <= now, Obstacle.EXPIRED),
        (lead.attempts >= rules.max_attempts, Obstacle.ATTEMPTS),
        (lead.due_at > now, Obstacle.NOT_DUE),
        (not zones, Obstacle.NO_ZONE),
        (bool(zones) and not rules.hours.is_open(zones, now), Obstacle.HOURS),
    )
    return tuple(obstacle for against, obstacle in found if against)
