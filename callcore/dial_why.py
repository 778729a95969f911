"""Why a campaign places no call, in words for a person.

Decides, from what the index of leads tells, why there is no lead to dial, and says for each reason what would end it.
What binds a campaign that has leads (agents, lines, load …) the engine knows and notes each second.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from callcore.dial import CampaignState, DialReason
from callcore.value import value


@value(kw_only=True)
class Outlook:
    """What lead_outlook tells of the waiting leads of a campaign."""

    #: Some are due where the hours are open; where they are closed; where nobody knows the zone.
    due_open: bool
    due_closed: bool
    due_unknown: bool
    #: When the next lead is due; None: none waits.
    next_due_at: datetime | None
    #: Some are being dialled now.
    dialling: bool


def lead_reason(state: CampaignState, outlook: Outlook) -> DialReason | None:
    """Return why there is no lead to dial; None: there is one, so something else binds."""
    return lead_missing(outlook) if state is CampaignState.RUNNING else DialReason.NOT_RUNNING


def lead_missing(outlook: Outlook) -> DialReason | None:
    """Return why a campaign that runs has no lead to dial; None: some are due."""
    if outlook.due_open:
        return None
    if outlook.due_closed:
        return DialReason.HOURS
    if outlook.due_unknown:
        return DialReason.NO_ZONE
    if outlook.next_due_at is not None:
        return DialReason.NOT_DUE
    return DialReason.IN_PROGRESS if outlook.dialling else DialReason.NO_LEADS


#: Reason → what it means, and what would end it.
ADVICE: Mapping[DialReason, str] = {
    DialReason.DIALLING: "calls are placed",
    DialReason.NOT_RUNNING: "the campaign does not run: campaign start",
    DialReason.NO_LEADS: "no lead waits: lead import, or lead retry for those that were given up",
    DialReason.NOT_DUE: "every lead waits for the time of its next try",
    DialReason.HOURS: "it is too early or too late where the people are, in one of their possible zones",
    DialReason.NO_ZONE: "nobody knows the zone of the numbers: import the number ranges, or say --unknown-zone",
    DialReason.IN_PROGRESS: "the last leads are being called",
    DialReason.NO_AGENTS: "no agent of the queue is logged in",
    DialReason.AGENTS_BUSY: "every idle agent has his call",
    DialReason.QUEUE_LOAD: "the queue is too full for leads of this priority: campaign admission",
    DialReason.WARM_UP: "until enough answers are counted there is one call for one agent",
    DialReason.ALLOWANCE: "one more call would leave too many people without an agent",
    DialReason.ABANDON_CAP: "as many people were abandoned as the cap allows: one call for one agent until it is below",
    DialReason.LINES: "every line of the campaign is in use: --lines",
    DialReason.CALLS_PER_SECOND: "the campaign dials as fast as it may: --calls-per-second",
    DialReason.TENANT_LIMIT: "the tenant has as many calls as it may",
    DialReason.GATEWAY_LIMIT: "the gateways carry as many calls as they may",
    DialReason.GATEWAY_FAILURES: "the gateways fail too often: gateway list",
    DialReason.HOST_LIMIT: "the media hosts carry as many calls as they may: node list",
    DialReason.NO_HOST: "no media host takes calls: node list --kind media",
    DialReason.LOAD_AVERAGE: "the load average is too high: --load-limit",
    DialReason.CALLER_ID_CAP: "every caller id has made its calls of the day: campaign callerid",
    DialReason.FAIR_SHARE: "other campaigns have their turn: --weight, --priority",
}
