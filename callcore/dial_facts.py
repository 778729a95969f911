"""What the campaign engine knows at a moment: campaigns, agents, open dials, ends. Plain values. Pure.

Read from the database by kalibri/services/dial.py, decided upon by tools/dial/*.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from callcore.attempt import Outcome


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
    #: Goes on without leads: further ones are added while it runs.
    keep_running: bool
    #: Calls at once of the tenant; None: any number.
    max_calls: int | None
    #: Attempts that are ordered, dialled or talked, and the ordered ones among them.
    open: int
    ordered: int
    #: Orders that wait for a media host, tasks that wait for an agent: nobody is doing anything for them yet.
    queued: int = 0


@dataclass(frozen=True)
class HostRoom:
    """Media hosts that live, and how many calls they have room for."""

    hosts: int
    room: int


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
class GatewayEnd:
    """How a dial went at a gateway."""

    event_id: UUID
    at: datetime
    campaign_id: int
    #: 0: none was tried.
    gateway_id: int
    name: str
    #: It could not complete the call; whatever the person said is no failure.
    failed: bool
    #: Why no gateway was tried, when all of them are full; empty: one was.
    full: str
