"""The campaign engine: looks several times a second, and dials as much as every limit allows.

Decides when to look and in which order; how many calls each campaign gets is callcore/dial_share.py, what is done is
kalibri/services/dial.py. It holds nothing that matters: killed at any moment, another one goes on, since leads,
orders and attempts change in transactions of the database.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

from callcore.attempt import DIALLED, Outcome
from callcore.dial import CampaignMode, DialReason
from callcore.dial_facts import HostRoom, RunningCampaign, Settled
from callcore.dial_gateways import GatewayWatch
from callcore.dial_share import Grant, Shared, Shares, Wish
from callcore.dial_why import lead_missing
from kalibri.db import Conn
from kalibri.services import dial
from tools.dial.agent_first import AgentFirst
from tools.dial.campaign_state import CampaignState
from tools.dial.paced import Allowed, Paced
from tools.dial.shared_queues import SharedQueues

#: Between two looks while something runs; nothing runs: a start is notified.
BUSY_SECONDS = 0.1
IDLE_SECONDS = 1.0
EXPIRE_SECONDS = 1.0
#: Hours change at whole minutes; a change of the campaign's settings is obeyed so soon.
SETS_SECONDS = 5.0
#: The agent hears of the lead before the person is called; in preview he decides whether the person is called.
AGENT_FIRST = frozenset({CampaignMode.AGENT_FIRST, CampaignMode.PREVIEW})
#: How dials went at gateways is read so often; what a journal tells later than this after others is not read.
GATEWAYS_SECONDS = 1.0
GATEWAYS_LATE = timedelta(seconds=3)
#: A new engine looks so far back.
GATEWAYS_BEFORE = timedelta(seconds=60)
#: A campaign without a due lead is looked at again after this.
NO_LEAD_SECONDS = 1.0


def load_average() -> float:
    """Return the load average of one minute for each core."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)


class Engine:
    """The leader's work."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        load: Callable[[], float] = load_average,
    ) -> None:
        self._clock, self._now, self._load = clock, now, load
        self._shares = Shares()
        self._queues = SharedQueues()
        self._gateways = GatewayWatch()
        self._gateways_at = 0.0
        #: Up to where the journals' words about gateways were read, and those of the last seconds before.
        self._heard_until: datetime | None = None
        self._heard: dict[UUID, datetime] = {}
        self._campaigns: dict[int, CampaignState] = {}
        self._expire_at = 0.0
        self._noted_at = 0.0
        #: Calls ordered and attempts settled so far, for people.
        self.ordered = self.settled = 0

    def look(self, conn: Conn, *, may_judge: bool) -> float:
        """Look once; return seconds until the next look. may_judge: silence of hosts means that they are gone."""
        now = self._clock()
        if now >= self._expire_at:
            self._expire_at = now + EXPIRE_SECONDS
            dial.expire(conn, leases=may_judge)
            dial.withdraw(conn)
        self._settle(conn, now)
        campaigns = dial.running(conn)
        self._campaigns = {
            campaign.campaign_id: self._campaigns.get(campaign.campaign_id) or CampaignState()
            for campaign in campaigns
        }
        if not campaigns:
            return IDLE_SECONDS if not self.ordered > self.settled else BUSY_SECONDS
        if now >= self._gateways_at:
            self._gateways_at = now + GATEWAYS_SECONDS
            self._hear_gateways(conn, now)
        self._place(conn, campaigns, now)
        if now - self._noted_at >= 1.0:
            self._noted_at = now
            self._note(conn, campaigns)
        return BUSY_SECONDS

    # ---- what has ended

    def _settle(self, conn: Conn, now: float) -> None:
        while done := dial.settle(conn, now=self._now()):
            self.settled += len(done)
            for ended in done:
                self._learn(ended, now)
            if len(done) < dial.SETTLED_AT_ONCE:
                return

    def _learn(self, ended: Settled, now: float) -> None:
        state = self._campaigns.get(ended.campaign_id)
        if state is None:
            return
        state.idle_until = 0.0  # its lead may be due again at once
        if state.paced is not None:
            state.paced.ended(ended, now)
        if ended.outcome is not Outcome.OURS and ended.outcome in DIALLED:
            self._gateways.freed(ended.campaign_id)
        if ended.outcome in DIALLED and not (
            ended.outcome is Outcome.OURS and self._gateways.is_full(ended.campaign_id)
        ):
            state.failures.ended(ended.outcome in (Outcome.CONGESTED, Outcome.OURS), now)

    def _hear_gateways(self, conn: Conn, now: float) -> None:
        """Learn how gateways took the dials, from the journals of the proxies; each word once."""
        since = self._heard_until or self._now() - GATEWAYS_BEFORE
        for end in dial.gateway_ends(conn, since=since - GATEWAYS_LATE):
            since = max(since, end.at)
            if end.event_id in self._heard:
                continue
            self._heard[end.event_id] = end.at
            if end.full:
                self._gateways.full(end.campaign_id, end.full, now)
            elif end.gateway_id:
                self._gateways.ended(end.campaign_id, end.gateway_id, end.name, failed=end.failed, now=now)
        self._heard_until = since
        self._heard = {event: at for event, at in self._heard.items() if at > since - 2 * GATEWAYS_LATE}

    # ---- what is placed

    def _place(self, conn: Conn, campaigns: list[RunningCampaign], now: float) -> None:
        hosts = dial.host_room(conn)
        load = self._load()
        self._queues.see(campaigns)
        wishes = [self._wish(conn, campaign, now, load) for campaign in campaigns]
        grants = self._shares.divide(wishes, _shared(campaigns, hosts))
        for campaign in campaigns:
            self._order(conn, campaign, grants[campaign.campaign_id], now)

    def _wish(self, conn: Conn, campaign: RunningCampaign, now: float, load: float) -> Wish:
        state = self._campaigns[campaign.campaign_id]
        allowed = self._allowed(conn, campaign, state, now)
        room = self._gateways.room(campaign.campaign_id, now)
        return state.wish(campaign, now, load, calls=allowed.calls, because=allowed.reason, gateways=room)

    def _allowed(self, conn: Conn, campaign: RunningCampaign, state: CampaignState, now: float) -> Allowed:
        """Return how many calls the mode of the campaign allows now."""
        if campaign.mode == CampaignMode.BROADCAST:
            return Allowed(campaign.lines, DialReason.LINES)
        if campaign.mode in AGENT_FIRST:
            if state.agent_first is None or now >= state.sets_until:
                state.agent_first = AgentFirst(dial.admission_of(conn, campaign))
            agents, waiting = dial.agents_of(conn, campaign), dial.waiting_in_queue(conn, campaign)
            allowed = state.agent_first.allowed(agents, waiting, self._queues.queued(campaign))
            return allowed if self._queues.may_place(campaign) else Allowed(0, DialReason.AGENTS_BUSY)
        if state.paced is None:
            before = dial.counted(conn, campaign)
            state.paced = Paced(campaign, answers=before.answers, abandoned=before.abandoned)
        agents, dials = dial.agents_of(conn, campaign), dial.dials_of(conn, campaign)
        state.paced.hear(dials, now)
        if not self._queues.may_place(campaign):
            return Allowed(0, DialReason.AGENTS_BUSY)
        others = [one for other in self._queues.others(campaign) for one in dial.dials_of(conn, other)]
        return state.paced.allowed(agents, [*dials, *others], dial.waiting_in_queue(conn, campaign), now)

    def _order(self, conn: Conn, campaign: RunningCampaign, grant: Grant, now: float) -> None:
        state = self._campaigns[campaign.campaign_id]
        state.reason = grant.binding
        if now >= state.sets_until and (grant.calls > 0 or campaign.mode in AGENT_FIRST):
            state.sets_until = now + SETS_SECONDS
            state.sets = dial.open_now(conn, campaign, self._now())
            if campaign.mode in AGENT_FIRST and campaign.ordered:
                dial.withdraw_closed(conn, campaign, state.sets)
        if grant.calls <= 0:
            return
        vias = self._gateways.plan(campaign.campaign_id, grant.calls, now)
        if state.agent_first is not None:
            rooms = {key: min(room, grant.calls) for key, room in state.agent_first.rooms.items()}
            placed = dial.order_agents(conn, campaign, state.sets, rooms, state.agent_first.preempting, vias)
        else:
            placed = dial.order(conn, campaign, state.sets, grant.calls, vias)
        self._gateways.placed(campaign.campaign_id, vias[:placed], now)
        self.ordered += placed
        state.placed += placed
        state.rate.used(placed)
        state.failures.placed(placed)
        if placed < grant.calls:
            self._idle(conn, campaign, state, now)

    def _idle(self, conn: Conn, campaign: RunningCampaign, state: CampaignState, now: float) -> None:
        """Find out why there were not enough leads, and end a campaign that has none left."""
        # Leads are due, and yet none was taken: their caller ids have been shown often enough today.
        outlook = dial.outlook(conn, campaign.campaign_id, state.sets)
        reason = lead_missing(outlook) or DialReason.CALLER_ID_CAP
        if reason is DialReason.CALLER_ID_CAP and state.agent_first is not None:
            reason = state.agent_first.reason  # leads are due whose priority is not admitted now
        state.reason = state.idle_reason = reason
        state.idle_until = now + NO_LEAD_SECONDS
        done = reason is DialReason.NO_LEADS and campaign.open == 0 and not state.placed
        if done and not campaign.keep_running:
            dial.finish(conn, campaign)

    def _note(self, conn: Conn, campaigns: list[RunningCampaign]) -> None:
        at = self._now()
        for campaign in campaigns:
            state = self._campaigns[campaign.campaign_id]
            reason = DialReason.DIALLING if state.placed else state.reason
            state.placed = 0
            dial.note(conn, campaign, reason, at=at, detail=state.detail)


def _shared(campaigns: list[RunningCampaign], hosts: HostRoom) -> Mapping[str, Shared]:
    """Return the limits that campaigns share: room at media hosts, calls of their tenants."""
    waiting = sum(campaign.ordered for campaign in campaigns)
    no_room = DialReason.HOST_LIMIT if hosts.hosts else DialReason.NO_HOST
    shared = {"hosts": Shared(hosts.room - waiting, no_room)}
    for campaign in campaigns:
        if campaign.max_calls is not None:
            used = sum(other.open for other in campaigns if other.tenant_id == campaign.tenant_id)
            shared[f"tenant {campaign.tenant_id}"] = Shared(
                campaign.max_calls - used, DialReason.TENANT_LIMIT
            )
    return shared
