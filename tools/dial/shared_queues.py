"""Campaigns whose people go to the agents of one queue. Pure.

Each of them sees the same idle agents: so in one look only one of them may place calls, in turn, and what the others
have under way counts against its agents.
"""

from __future__ import annotations

from collections.abc import Sequence

from callcore.dial import CampaignMode
from callcore.dial_facts import RunningCampaign


class SharedQueues:
    """Which campaigns share a queue, as of this look."""

    def __init__(self) -> None:
        self._groups: dict[tuple[int, int | None], list[RunningCampaign]] = {}
        self._looks = 0

    def see(self, campaigns: Sequence[RunningCampaign]) -> None:
        """Begin a look: take the running campaigns, and give the turn to the next one of each queue."""
        self._looks += 1
        self._groups = {}
        for campaign in campaigns:
            if campaign.mode != CampaignMode.BROADCAST:
                self._groups.setdefault((campaign.tenant_id, campaign.queue_id), []).append(campaign)

    def may_place(self, campaign: RunningCampaign) -> bool:
        """Tell whether it is this campaign's turn; who shares its queue with nobody has every turn."""
        group = self._group(campaign)
        return group[self._looks % len(group)].campaign_id == campaign.campaign_id

    def others(self, campaign: RunningCampaign) -> list[RunningCampaign]:
        """Return the other campaigns of the same queue."""
        return [one for one in self._group(campaign) if one.campaign_id != campaign.campaign_id]

    def queued(self, campaign: RunningCampaign) -> int:
        """Return how many tasks of all campaigns of the queue wait for an agent; who has one is not counted."""
        return sum(one.queued for one in self._group(campaign))

    def _group(self, campaign: RunningCampaign) -> list[RunningCampaign]:
        return self._groups[campaign.tenant_id, campaign.queue_id]
