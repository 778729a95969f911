"""Campaigns whose people go to agents: how many calls the agents allow now. Pure.

Feeds callcore/pacing.py with what the database says and what has ended, and asks it: the same object that the
simulator runs. Progressive is the same with a warm-up that never ends: one call for one idle agent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from callcore.attempt import DIALLED, Outcome
from callcore.dial import CampaignMode, DialReason
from callcore.dial_facts import AgentNow, DialNow, RunningCampaign, Settled
from callcore.pacing import Constraint, Pacer, PacingFacts, PacingSettings

#: The test of the allowance is made for one look a second; oftener it would be too bold.
DECIDE_SECONDS = 1.0
_NEVER = 1_000_000_000
_REASONS = {
    Constraint.AGENTS: DialReason.AGENTS_BUSY,
    Constraint.ALLOWANCE: DialReason.ALLOWANCE,
    Constraint.CAP: DialReason.ABANDON_CAP,
    Constraint.WARM_UP: DialReason.WARM_UP,
    Constraint.LINES: DialReason.LINES,
}
#: Keys of campaign.pacing that are settings of the pacer.
_SETTINGS = ("warm_up_answers", "max_calls_per_agent", "aim")


@dataclass(frozen=True)
class Allowed:
    """Calls that the agents allow, and why no more."""

    calls: int
    reason: DialReason


class Paced:
    """One campaign with agents."""

    def __init__(self, campaign: RunningCampaign, *, answers: int = 0, abandoned: int = 0) -> None:
        """answers, abandoned: of this campaign so far, as counted by whoever paced it before."""
        self.is_predictive = campaign.mode == CampaignMode.PREDICTIVE
        self.pacer = Pacer(_settings(campaign, self.is_predictive))
        self.pacer.seed(answers, abandoned)
        #: Attempts whose answer the pacer knows.
        self._answered: set[int] = set()
        self._decided_at: float | None = None
        self._last = Allowed(0, DialReason.NO_AGENTS)

    def allowed(
        self, agents: Sequence[AgentNow], dials: Sequence[DialNow], waiting: int, now: float
    ) -> Allowed:
        """Return how many calls the agents allow now.

        dials: of all campaigns whose people go to these agents. waiting: callers of the queue without an agent.
        """
        if not agents:
            return Allowed(0, DialReason.NO_AGENTS)
        if self.is_predictive and self._decided_at is not None and now - self._decided_at < DECIDE_SECONDS:
            return Allowed(0, self._last.reason)
        self._decided_at = now
        decision = self.pacer.decide(_facts(agents, dials, waiting, now))
        reason = _REASONS[decision.constraint]
        if not self.is_predictive and reason is DialReason.WARM_UP:
            reason = DialReason.AGENTS_BUSY
        self._last = Allowed(decision.calls, reason)
        return self._last

    def hear(self, dials: Iterable[DialNow], now: float) -> None:
        """Count the answers to this campaign's dials as they happen, not when their conversations end."""
        for dial in dials:
            if dial.answered and dial.attempt_id not in self._answered:
                self._answered.add(dial.attempt_id)
                self.pacer.answered(now, dial.ring_seconds)

    def ended(self, ended: Settled, now: float) -> None:
        """Learn from a dial that is over."""
        known = ended.attempt_id in self._answered
        self._answered.discard(ended.attempt_id)
        if ended.talk_seconds is None:
            if ended.outcome in DIALLED and ended.outcome is not Outcome.LOST:
                self.pacer.failed(ended.ring_seconds)
            return
        if not known:
            self.pacer.answered(now, ended.ring_seconds)
        if ended.outcome is Outcome.ABANDONED:
            self.pacer.abandoned(now)
        elif ended.facts.get("talked"):
            self.pacer.talked(ended.talk_seconds)


def _settings(campaign: RunningCampaign, is_predictive: bool) -> PacingSettings:
    known = {name: campaign.pacing[name] for name in _SETTINGS if name in campaign.pacing}
    if not is_predictive:
        known["warm_up_answers"] = _NEVER
    return PacingSettings(abandon_cap=campaign.abandon_cap_percent / 100.0, **known)


def _facts(agents: Sequence[AgentNow], dials: Sequence[DialNow], waiting: int, now: float) -> PacingFacts:
    unserved = sum(1 for dial in dials if dial.answered and not dial.queued)
    return PacingFacts(
        now=now,
        idle=sum(1 for agent in agents if agent.is_idle),
        talk_ages=[agent.age_seconds for agent in agents if not agent.is_idle and agent.wrapup_left is None],
        wrapup_left=[agent.wrapup_left for agent in agents if agent.wrapup_left is not None],
        ring_ages=[dial.ring_seconds for dial in dials if not dial.answered],
        waiting=waiting + unserved,
    )
