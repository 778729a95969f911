"""What the engine remembers of a running campaign between two looks: its rate, its brakes, its pacing.

Nothing here must survive: another engine begins anew, a little more careful. Decides what a campaign would like to
do now (`wish`), from facts; never asks a clock or a database.
"""

from __future__ import annotations

from collections.abc import Sequence

from callcore.dial import DialReason
from callcore.dial_brake import FailureBrake, LoadBrake, LoadLimit
from callcore.dial_facts import RunningCampaign
from callcore.dial_gateways import GatewayRoom
from callcore.dial_share import Rate, Wish
from tools.dial.agent_first import AgentFirst
from tools.dial.paced import Paced

#: Orders of a campaign that no media host has taken: more would only wait.
MOST_ORDERED = 200


class CampaignState:
    """One running campaign."""

    def __init__(self) -> None:
        self.rate = Rate()
        self.load = LoadBrake()
        self.failures = FailureBrake()
        #: The pacing of a campaign with agents; made when it is first asked.
        self.paced: Paced | None = None
        self.agent_first: AgentFirst | None = None
        #: Zone sets whose hours are open, and until when this is believed (monotonic seconds).
        self.sets: Sequence[int] = ()
        self.sets_until = 0.0
        #: No lead was found: not looked again before (monotonic seconds).
        self.idle_until = 0.0
        self.idle_reason = DialReason.NO_LEADS
        #: What bound it in the second that runs, and calls placed in it.
        self.reason = DialReason.DIALLING
        self.placed = 0
        #: Gateways that rest or are full, for people.
        self.detail = ""

    def wish(
        self,
        campaign: RunningCampaign,
        now: float,
        load: float,
        *,
        calls: int,
        because: DialReason,
        gateways: GatewayRoom,
    ) -> Wish:
        """Return what the campaign would like to do now, and why no more.

        calls: what its mode allows, and the reason for no more. load: load average for each core. gateways: what
        they bear.
        """
        lines = min(campaign.lines - campaign.open, MOST_ORDERED - campaign.ordered)
        calls, because = self._braked(campaign, now, load, calls, because)
        self.detail = gateways.detail
        if gateways.calls is not None and gateways.calls < calls:
            calls, because = gateways.calls, gateways.reason
        return Wish(
            campaign=campaign.campaign_id,
            calls=calls,
            because=because,
            priority=campaign.priority,
            weight=campaign.weight,
            lines=max(0, lines),
            rate=self.rate.allowed(campaign.calls_per_second, now),
            uses=("hosts", f"tenant {campaign.tenant_id}"),  # names of engine._shared
        )

    def _braked(
        self, campaign: RunningCampaign, now: float, load: float, calls: int, because: DialReason
    ) -> tuple[int, DialReason]:
        if campaign.load_limit is not None and campaign.load_resume is not None:
            limit = LoadLimit(campaign.load_limit, campaign.load_resume)
            if self.load.look(load, limit):
                return 0, DialReason.LOAD_AVERAGE
        if now < self.idle_until:
            return 0, self.idle_reason
        room = self.failures.room(now)
        if room is not None and room < calls:
            return room, DialReason.GATEWAY_FAILURES
        return calls, because
