"""Pacing rules of other dialers as their papers and manuals describe them (own words, own code): to compare with."""

from __future__ import annotations

import math
from collections import deque

from callcore.pacing import Constraint, PacingDecision, PacingFacts


class Rule:
    """Counts what happened; each rule decides from it."""

    def __init__(self) -> None:
        self.answers = 0
        self.lost = 0
        self.tries = 0
        self.talks = deque[float](maxlen=200)
        self.recent = deque[tuple[bool, float]](maxlen=300)

    def answered(self, now: float, ring_seconds: float) -> None:
        self.answers += 1
        self.recent.append((True, ring_seconds))

    def failed(self, ring_seconds: float) -> None:
        self.recent.append((False, ring_seconds))

    def abandoned(self, now: float) -> None:
        self.lost += 1

    def talked(self, seconds: float) -> None:
        self.talks.append(seconds)

    def calls(self, facts: PacingFacts) -> float:
        raise NotImplementedError

    def decide(self, facts: PacingFacts) -> PacingDecision:
        return PacingDecision(max(0, int(self.calls(facts))), Constraint.AGENTS, 0.0)

    def answer_share(self) -> float:
        return sum(answered for answered, _ in self.recent) / max(len(self.recent), 1)


class Progressive(Rule):
    """One call for one idle agent."""

    def calls(self, facts: PacingFacts) -> float:
        return facts.idle - facts.waiting - len(facts.ring_ages)


class FixedRatio(Rule):
    """A fixed number of calls for one idle agent."""

    def __init__(self, ratio: float) -> None:
        super().__init__()
        self.ratio = ratio

    def calls(self, facts: PacingFacts) -> float:
        return self.ratio * facts.idle - facts.waiting - len(facts.ring_ages)


class AdaptiveHard(Rule):
    """VICIdial's adaptive level with the hard limit: a level for all agents, 1 when over the cap."""

    def __init__(self) -> None:
        super().__init__()
        self.level = 1.0
        self.samples = deque[tuple[int, int, int]](maxlen=60)

    def calls(self, facts: PacingFacts) -> float:
        agents = facts.idle + len(facts.talk_ages) + len(facts.wrapup_left)
        self.samples.append((facts.idle, facts.waiting, agents))
        if int(facts.now) % 15 == 0:
            self._adapt()
        return self.level * agents - len(facts.ring_ages) - len(facts.talk_ages) - facts.waiting

    def _adapt(self) -> None:
        idle, waiting, agents = (
            sum(column) / len(self.samples) for column in zip(*self.samples, strict=True)
        )
        self.level = min(max(self.level * (1.0 + (idle - waiting) / max(agents, 1.0)), 1.0), 4.0)
        if self.answers > 50 and self.lost / self.answers > 0.03:
            self.level = 1.0


class TailPredictor(Rule):
    """Issabel's predictor: agents who have talked long enough count as free; divided by the answer share."""

    def __init__(self, quantile: float) -> None:
        super().__init__()
        self.quantile = quantile

    def calls(self, facts: PacingFacts) -> float:
        mean = sum(self.talks) / len(self.talks) if self.talks else 120.0
        soon = sum(1 for age in facts.talk_ages if 1.0 - math.exp(-(age + 9.0) / mean) >= self.quantile)
        wanted = facts.idle + soon - facts.waiting
        return wanted / max(self.answer_share(), 0.2) - len(facts.ring_ages)


class FailedOverAnswered(Rule):
    """UNICOM's published formula: idle + idle × failed ÷ answered over the recent calls."""

    def calls(self, facts: PacingFacts) -> float:
        answered = sum(ok for ok, _ in self.recent)
        failed = len(self.recent) - answered
        idle = facts.idle - facts.waiting
        return idle + idle * failed / max(answered, 1) - len(facts.ring_ages)
