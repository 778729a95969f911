"""Campaigns: their rules, states, caller ids and admission.

Decides what may be stored, and what a campaign needs before it starts. Never dials: the engine reads these rows
(docs/dialler.md). Leads: lead.py, lead_import.py; figures and reasons: campaign_report.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from typing import Any

from callcore.dial import CampaignMode, CampaignRefused, CampaignState, LeadPriority, campaign_after
from callcore.dial_hours import CallingHours
from callcore.errors import BadInput, NotFound, Refused
from callcore.region import normalise_region
from callcore.schedule import time_zone
from kalibri import db
from kalibri.db import Conn
from kalibri.services import retry_rule

SQL = db.statements("campaign")

#: What a key that the person presses may do.
KEY_ACTIONS = ("repeat", "queue", "opt_out", "callback")
_KEYS = frozenset("0123456789*#")
_KEY_FIELDS = frozenset({"action", "queue", "prompt"})


@dataclass(frozen=True, kw_only=True)
class CampaignRules:
    """Everything that a person configures; schema/62_campaign.sql explains each. None: no limit, or as the queue."""

    mode: CampaignMode
    queue: str | None
    prompt: str
    machine_prompt: str
    abandon_prompt: str
    language: str
    #: Key → {"action": repeat | queue | opt_out | callback, "queue": name, "prompt": name}.
    keys: Mapping[str, Any]
    priority: int
    weight: int
    lines: int
    calls_per_second: float
    #: Weekly hours where the callee is.
    hours: str
    holidays: tuple[date, ...]
    on_holidays: str
    #: Zones that must be open for a number of unknown zone; none: it is not dialled.
    unknown_zones: tuple[str, ...]
    retry_table: str
    max_attempts: int
    ring_seconds: int
    agent_ring_seconds: int
    reading_seconds: int
    wrapup_seconds: int | None
    max_call_seconds: int
    #: Load average of one minute per core at which the campaign waits, and below which it goes on.
    load_limit: float | None
    load_resume: float | None
    gateway: str
    purpose: str
    contract: str
    #: Why no consent is needed; empty: it is.
    consent_exemption: str
    abandon_cap_percent: float
    abandon_seconds: int
    pacing: Mapping[str, Any]
    detect_machines: bool
    machine_action: str
    record: bool
    keep_running: bool
    note: str
    #: Preview: how long an agent may look at a lead, what happens then (skip, dial), how long a skip lasts for him.
    preview_seconds: int
    preview_action: str
    preview_again_seconds: int


@dataclass(frozen=True, kw_only=True)
class Campaign(CampaignRules):
    """A campaign as it is listed."""

    tenant_id: int
    tenant: str
    campaign_id: int
    name: str
    state: CampaignState
    state_at: datetime
    state_by: str
    consent_required: bool
    created_at: datetime

    @property
    def calling_hours(self) -> CallingHours:
        """The hours in which people may be called; raises BadSchedule."""
        return CallingHours.make(self.hours, holidays=self.holidays, on_holidays=self.on_holidays)


@dataclass(frozen=True, kw_only=True)
class CampaignCallerId:
    """A caller id of a campaign's pool."""

    number: str
    #: Destinations in this region; empty: everywhere.
    region: str
    #: Calls a day; None: any number.
    daily_cap: int | None
    used_today: int


@dataclass(frozen=True, kw_only=True)
class Admission:
    """When leads of a priority may take an agent."""

    priority: LeadPriority
    #: Busy agents and waiting callers for each hundred agents.
    max_queue_percent: int
    min_free_agents: int
    #: Goes ahead of callers who wait.
    preempts: bool


RULE_NAMES = tuple(rule.name for rule in fields(CampaignRules))


def list_campaigns(conn: Conn, *, tenant_id: int | None) -> list[Campaign]:
    """Return the campaigns of a tenant; None: of all."""
    return db.fetch_all(conn, Campaign, SQL["list_campaigns"], tenant_id=tenant_id, name=None)


def find(conn: Conn, *, tenant_id: int, name: str) -> Campaign:
    """Return one campaign; raises NotFound, also for another tenant's."""
    found = db.fetch_one(conn, Campaign, SQL["list_campaigns"], tenant_id=tenant_id, name=name)
    return db.require(found, "campaign", name)


def add(
    conn: Conn,
    *,
    tenant_id: int,
    name: str,
    mode: CampaignMode,
    queue: str | None = None,
    prompt: str = "",
    **rules: Any,
) -> Campaign:
    """Make a campaign, stopped; rules: fields of CampaignRules, the others as the table has them.

    Raises AlreadyExists, BadInput, NotFound (queue, retry table, gateway).
    """
    with conn.transaction():
        if queue is not None:
            _require_queue(conn, tenant_id, queue)
        first = {"tenant_id": tenant_id, "name": name, "mode": mode, "queue": queue, "prompt": prompt}
        db.execute(conn, SQL["add_campaign"], **first)
        return change(conn, tenant_id=tenant_id, name=name, **rules)


def change(conn: Conn, *, tenant_id: int, name: str, **changes: Any) -> Campaign:
    """Change rules of a campaign; the next call obeys. Raises NotFound, BadInput.

    keys and pacing are merged into what there is; a value of None takes a key away. A load limit without a resume
    limit resumes at nine tenths of it.
    """
    with conn.transaction():
        db.fetch_value(conn, SQL["lock_campaign"], tenant_id=tenant_id, name=name)
        before = find(conn, tenant_id=tenant_id, name=name)
        for merged in ("keys", "pacing"):
            if merged in changes:
                both = {**getattr(before, merged), **changes[merged]}
                changes[merged] = {key: value for key, value in both.items() if value is not None}
        if "load_limit" in changes and "load_resume" not in changes:
            limit = changes["load_limit"]
            changes["load_resume"] = None if limit is None else round(limit * 0.9, 2)
        after = replace(before, **changes)
        _check(conn, after)
        rules = {rule: getattr(after, rule) for rule in RULE_NAMES}
        rules |= {"keys": json.dumps(after.keys), "pacing": json.dumps(after.pacing)}
        rules |= {"holidays": list(after.holidays), "unknown_zones": list(after.unknown_zones)}
        db.execute(conn, SQL["set_campaign"], tenant_id=tenant_id, campaign_id=after.campaign_id, **rules)
        return find(conn, tenant_id=tenant_id, name=name)


def _check(conn: Conn, campaign: Campaign) -> None:
    campaign.calling_hours  # noqa: B018 (raises BadSchedule)
    for zone in campaign.unknown_zones:
        time_zone(zone)
    if campaign.queue is not None:
        _require_queue(conn, campaign.tenant_id, campaign.queue)
    _check_keys(conn, campaign)
    retry_rule.find_table(conn, tenant_id=campaign.tenant_id, name=campaign.retry_table)
    if campaign.gateway and not db.fetch_value(
        conn, SQL["gateway_exists"], tenant_id=campaign.tenant_id, name=campaign.gateway
    ):
        raise NotFound(f'there is no gateway or group "{campaign.gateway}"')


def _check_keys(conn: Conn, campaign: Campaign) -> None:
    for key, rule in campaign.keys.items():
        if key not in _KEYS or not isinstance(rule, Mapping):
            raise BadInput(f'key "{key}": one of 0 to 9, * and #, with what it does')
        if unknown := set(rule) - _KEY_FIELDS:
            raise BadInput(f"key {key}: unknown {', '.join(sorted(unknown))}")
        if rule.get("action") not in KEY_ACTIONS:
            raise BadInput(f"key {key}: the action is one of {', '.join(KEY_ACTIONS)}")
        queue = rule.get("queue") or campaign.queue
        if rule["action"] in ("queue", "callback") and queue is None:
            raise BadInput(f"key {key}: name the queue, or give the campaign one")
        if rule.get("queue"):
            _require_queue(conn, campaign.tenant_id, rule["queue"])


def _require_queue(conn: Conn, tenant_id: int, name: str) -> None:
    if not db.fetch_value(conn, SQL["queue_exists"], tenant_id=tenant_id, name=name):
        raise NotFound(f'the tenant has no queue "{name}"')


def remove(conn: Conn, *, tenant_id: int, name: str) -> None:
    """Remove a campaign that has no lead; raises NotFound, Refused while it runs, StillInUse."""
    with conn.transaction():
        campaign = find(conn, tenant_id=tenant_id, name=name)
        if campaign.state in (CampaignState.RUNNING, CampaignState.PAUSED):
            raise CampaignRefused(f"the campaign is {campaign.state}: stop it first")
        ids = {"tenant_id": tenant_id, "campaign_id": campaign.campaign_id}
        db.execute(conn, SQL["remove_lists"], **ids)
        db.execute(conn, SQL["remove_campaign"], **ids)


# ----------------------------------------------------------------------------------------------- states


def start(conn: Conn, *, tenant_id: int, name: str, by: str = "") -> Campaign:
    """Let a campaign place calls; raises NotFound, CampaignRefused, Refused naming what it lacks."""
    with conn.transaction():
        campaign = find(conn, tenant_id=tenant_id, name=name)
        if lacks := _lacks(conn, campaign):
            raise Refused(f"the campaign cannot start: {'; '.join(lacks)}", lacks=lacks)
        return _step(conn, campaign, "start", by)


def pause(conn: Conn, *, tenant_id: int, name: str, by: str = "") -> Campaign:
    """Place no new call; those that ring or talk go on. Raises NotFound, CampaignRefused."""
    return _step(conn, find(conn, tenant_id=tenant_id, name=name), "pause", by)


def stop(conn: Conn, *, tenant_id: int, name: str, by: str = "") -> Campaign:
    """Place no new call and take back what was ordered and not yet dialled. Raises NotFound, CampaignRefused."""
    return _step(conn, find(conn, tenant_id=tenant_id, name=name), "stop", by)


def _step(conn: Conn, campaign: Campaign, step: str, by: str) -> Campaign:
    ids = {"tenant_id": campaign.tenant_id, "campaign_id": campaign.campaign_id}
    after = db.fetch_value(conn, SQL["step"], **ids, step=step, by=by)
    found = find(conn, tenant_id=campaign.tenant_id, name=campaign.name)
    if after is None:
        campaign_after(found.state, step)  # raises, with the words of the state that it has now
        raise CampaignRefused(f"somebody else changed the campaign, it is {found.state}")
    return found


def _lacks(conn: Conn, campaign: Campaign) -> list[str]:
    """Say what stands against the start of a campaign, for a person."""
    lacks = []
    if campaign.consent_required and not campaign.purpose:
        lacks.append("its purpose is not stated (--purpose), and it is not exempt from consent")
    prompts = [campaign.prompt, campaign.machine_prompt, campaign.abandon_prompt]
    prompts += [rule.get("prompt", "") for rule in campaign.keys.values()]
    names = sorted({prompt for prompt in prompts if prompt})
    missing = db.fetch_value(conn, SQL["missing_prompts"], tenant_id=campaign.tenant_id, names=names)
    if missing:
        lacks.append(f"there is no prompt {', '.join(missing)}")
    if campaign.machine_action == "message" and not campaign.machine_prompt:
        lacks.append("a message is to be left on voice mail, but which one is not said (--machine-prompt)")
    return lacks


# ----------------------------------------------------------------------------- caller ids and admission


def caller_ids(conn: Conn, *, tenant_id: int, name: str) -> list[CampaignCallerId]:
    """Return the pool of a campaign with the calls of today; raises NotFound."""
    campaign = find(conn, tenant_id=tenant_id, name=name)
    ids = {"tenant_id": tenant_id, "campaign_id": campaign.campaign_id}
    return db.fetch_all(conn, CampaignCallerId, SQL["list_caller_ids"], **ids)


def set_caller_id(
    conn: Conn, *, tenant_id: int, name: str, number: str, region: str = "", daily_cap: int | None = None
) -> None:
    """Put a number into the pool, or change its cap (None: none); raises NotFound, BadInput."""
    campaign = find(conn, tenant_id=tenant_id, name=name)
    ids = {"tenant_id": tenant_id, "campaign_id": campaign.campaign_id}
    db.execute(
        conn,
        SQL["set_caller_id"],
        **ids,
        number=number,
        region=normalise_region(region).name,
        daily_cap=daily_cap,
    )


def remove_caller_id(
    conn: Conn, *, tenant_id: int, name: str, number: str, region: str | None = None
) -> None:
    """Take a number out of the pool; region None: for every region. Raises NotFound."""
    campaign = find(conn, tenant_id=tenant_id, name=name)
    ids = {"tenant_id": tenant_id, "campaign_id": campaign.campaign_id}
    place = None if region is None else normalise_region(region).name
    if not db.execute(conn, SQL["remove_caller_id"], **ids, number=number, region=place):
        raise NotFound(f'the campaign has no caller id "{number}" so')


def admission(conn: Conn, *, tenant_id: int, name: str) -> list[Admission]:
    """Return when leads of each priority may take an agent; raises NotFound."""
    campaign = find(conn, tenant_id=tenant_id, name=name)
    ids = {"tenant_id": tenant_id, "campaign_id": campaign.campaign_id}
    return db.fetch_all(conn, Admission, SQL["list_admission"], **ids)


def set_admission(
    conn: Conn,
    *,
    tenant_id: int,
    name: str,
    priority: LeadPriority,
    max_queue_percent: int,
    min_free_agents: int,
    preempts: bool = False,
) -> None:
    """Say when leads of a priority may take an agent; raises NotFound, BadInput."""
    campaign = find(conn, tenant_id=tenant_id, name=name)
    db.execute(
        conn,
        SQL["set_admission"],
        tenant_id=tenant_id,
        campaign_id=campaign.campaign_id,
        priority=priority,
        max_queue_percent=max_queue_percent,
        min_free_agents=min_free_agents,
        preempts=preempts,
    )
