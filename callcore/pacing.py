"""How many customers a campaign dials now, so that agents are busy and nobody who answers finds no agent.

Pure: the engine and the simulator (callcore/pacing_simulator.py) run the same object. Decides a number of calls and
names the constraint that set it. Never dials, never looks at a clock, never knows a number or a person.

Progressive: one call for one idle agent; nobody is abandoned. Predictive: agents who are about to be free count too.
The number of agents that will be free when a call dialled now is answered, and the number of answers by then, are
random; the largest number of calls is dialled for which the expected share of answers without an agent stays within
`allowance`. Two laws bound it:
- the strict cap: over the whole campaign, and over the last half hour, expected and counted abandonments together
  never exceed cap × answers; while they would, the campaign is progressive;
- the allowance itself is corrected each minute by what was really abandoned, because the test is repeated each second
  and so is optimistic (measured: at a fixed allowance of the whole cap it abandons three times that).
Until `warm_up_answers` answers are counted nothing is known and the campaign is progressive.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Constraint(StrEnum):
    """What kept the number of calls from being higher."""

    #: Every idle agent has his call.
    AGENTS = "agents"
    #: One more call would leave too many answers without an agent.
    ALLOWANCE = "allowance"
    #: The share of abandoned answers is used up: one call for one agent.
    CAP = "cap"
    #: Too little is known yet: one call for one agent.
    WARM_UP = "warm_up"
    #: Lines, calls per second or another limit of the caller of this module.
    LINES = "lines"


@dataclass(frozen=True)
class PacingSettings:
    """What an administrator may set; the defaults hold 3 % with 5 to 50 agents (bench/pacing.py)."""

    #: Abandoned answers ÷ answers that must not be exceeded.
    abandon_cap: float = 0.03
    #: Answers to be counted before more than one call an agent is dialled.
    warm_up_answers: int = 50
    #: Most calls in the air for each agent at work.
    max_calls_per_agent: float = 8.0
    #: Part of the cap that the correction of the allowance aims at. Nearer to 1 the cap is reached more often, and the
    #: minutes of one call an agent that follow cost more occupancy than the boldness gains (measured: bench/pacing.py).
    aim: float = 0.6

    def __post_init__(self) -> None:
        if not 0.0 <= self.abandon_cap < 1.0 or self.max_calls_per_agent < 1.0 or not 0.0 < self.aim <= 1.0:
            raise ValueError(f"impossible pacing settings: {self}")


@dataclass(frozen=True)
class PacingFacts:
    """A campaign at one moment. Ages are seconds, at least 0."""

    #: Monotonic seconds.
    now: float
    #: Agents who could take a caller at once.
    idle: int
    #: How long each talking agent has talked.
    talk_ages: Sequence[float]
    #: How long each agent in wrap-up will still need.
    wrapup_left: Sequence[float]
    #: How long each customer has been ringing.
    ring_ages: Sequence[float]
    #: People who have answered and wait for an agent.
    waiting: int
    #: Calls that lines and other limits still allow; None: any number.
    lines_left: int | None = None


@dataclass(frozen=True)
class PacingDecision:
    """What to do now."""

    #: Calls to place.
    calls: int
    constraint: Constraint
    #: Expected share of abandoned answers among those to come, 0 to 1.
    risk: float


class Durations:
    """Seconds that something took, as counted so far: tells how likely it ends soon. Old ones fade."""

    #: Longer ones count as this long.
    LONGEST = 1800
    #: Half of the weight after so many more.
    HALF_LIFE = 400.0

    def __init__(self, *, guess_seconds: float) -> None:
        self._weights = np.zeros(self.LONGEST + 1)
        self._added = 1.0
        # An exponential guess of little weight, so that the first minutes have an answer too.
        bins = np.arange(self.LONGEST + 1)
        self._weights += 5.0 * np.exp(-bins / guess_seconds) / guess_seconds
        self._tail: Floats | None = None

    def add(self, seconds: float) -> None:
        """Count one more."""
        self._added *= 2.0 ** (1.0 / self.HALF_LIFE)
        self._weights[min(int(seconds), self.LONGEST)] += self._added
        self._tail = None
        if self._added > 1e9:
            self._weights /= self._added
            self._added = 1.0

    def longer_than(self, seconds: Floats) -> Floats:
        """Return the share that took longer than each of `seconds`."""
        if self._tail is None:
            total = np.cumsum(self._weights[::-1])[::-1]
            self._tail = np.append(total / total[0], 0.0)
        position = np.clip(seconds, 0.0, self.LONGEST)
        low = position.astype(np.int64)
        part = position - low
        return self._tail[low] * (1.0 - part) + self._tail[low + 1] * part

    def mean(self) -> float:
        """Return the mean in seconds."""
        bins = np.arange(self.LONGEST + 1) + 0.5
        return float(bins @ self._weights / self._weights.sum())


@dataclass
class _Tally:
    """Answers and abandonments within a time, and over all."""

    window_seconds: float
    answers: float = 0.0
    abandoned: float = 0.0
    _recent: deque[tuple[float, int, int]] = field(default_factory=deque)

    def add(self, now: float, answers: int, abandoned: int) -> None:
        self.answers += answers
        self.abandoned += abandoned
        self._recent.append((now, answers, abandoned))

    def recent(self, now: float) -> tuple[int, int]:
        while self._recent and self._recent[0][0] < now - self.window_seconds:
            self._recent.popleft()
        return sum(entry[1] for entry in self._recent), sum(entry[2] for entry in self._recent)


class Pacer:
    """The pacing of one campaign: fed with what happened, asked once a second. One instance a campaign."""

    #: How often the allowance is corrected.
    CORRECTION_SECONDS = 30.0
    #: Time over which abandonments are looked at.
    RECENT_SECONDS = 1800.0
    #: The cap over the last half hour may be exceeded by this part (small numbers swing).
    RECENT_SLACK = 1.1

    def __init__(self, settings: PacingSettings | None = None) -> None:
        self.settings = settings or PacingSettings()
        self.talk = Durations(guess_seconds=120.0)
        self.answer_delay = Durations(guess_seconds=10.0)
        self.failure_delay = Durations(guess_seconds=20.0)
        self.answer_share = 0.5
        self._share_weight = 4.0
        self._tally = _Tally(self.RECENT_SECONDS)
        self.allowance = self.settings.abandon_cap / 2
        self._corrected_at: float | None = None
        #: Answers that another pacer has counted: they count for the cap, and teach nothing.
        self._seeded = 0

    def seed(self, answers: int, abandoned: int) -> None:
        """Begin with what was counted of the campaign before; the warm-up begins anew."""
        self._tally.answers += answers
        self._tally.abandoned += abandoned
        self._seeded += answers

    # ---- what happened

    def answered(self, now: float, ring_seconds: float) -> None:
        """A person has answered."""
        self.answer_delay.add(ring_seconds)
        self._share(1.0)
        self._tally.add(now, 1, 0)

    def failed(self, ring_seconds: float) -> None:
        """A call ended without an answer of a person."""
        self.failure_delay.add(ring_seconds)
        self._share(0.0)

    def abandoned(self, now: float) -> None:
        """A person who had answered found no agent in time."""
        self._tally.add(now, 0, 1)

    def talked(self, seconds: float) -> None:
        """An agent has finished a talk (without wrap-up)."""
        self.talk.add(seconds)

    def _share(self, value: float) -> None:
        self._share_weight = min(self._share_weight + 1.0, 250.0)
        self.answer_share += (value - self.answer_share) / self._share_weight

    # ---- what to do

    def decide(self, facts: PacingFacts) -> PacingDecision:
        """Return how many calls to place now."""
        self._correct(facts.now)
        plain = max(0, facts.idle - facts.waiting - len(facts.ring_ages))
        if self._tally.answers - self._seeded < self.settings.warm_up_answers:
            return self._limit(facts, plain, Constraint.WARM_UP, 0.0)
        budget = self._budget(facts.now)
        if budget <= 0.0:
            return self._limit(facts, plain, Constraint.CAP, 0.0)
        calls, risk, constraint = self._predict(facts, budget)
        if calls <= plain:
            return self._limit(facts, plain, Constraint.AGENTS, risk)
        return self._limit(facts, calls, constraint, risk)

    def _limit(self, facts: PacingFacts, calls: int, constraint: Constraint, risk: float) -> PacingDecision:
        if facts.lines_left is not None and calls > facts.lines_left:
            return PacingDecision(max(0, facts.lines_left), Constraint.LINES, risk)
        return PacingDecision(calls, constraint, risk)

    def _budget(self, now: float) -> float:
        """Return how many answers may still be abandoned."""
        cap = self.settings.abandon_cap
        whole = cap * self._tally.answers - self._tally.abandoned
        answers, abandoned = self._tally.recent(now)
        recent = cap * self.RECENT_SLACK * max(answers, 100) - abandoned
        return min(whole, recent)

    def _correct(self, now: float) -> None:
        """Move the allowance towards what makes real abandonments meet the aim."""
        if self._corrected_at is None:
            self._corrected_at = now
        if now - self._corrected_at < self.CORRECTION_SECONDS:
            return
        self._corrected_at = now
        answers, abandoned = self._tally.recent(now)
        cap, aim = self.settings.abandon_cap, self.settings.aim * self.settings.abandon_cap
        if answers < 30:
            return
        error = (aim - abandoned / answers) / cap
        self.allowance = min(max(self.allowance * 2.0 ** (0.15 * error), cap / 50), cap * 2)

    def _predict(self, facts: PacingFacts, budget: float) -> tuple[int, float, Constraint]:
        """Return the largest number of calls whose risk is allowed, that risk, and what bound it."""
        agents = facts.idle + len(facts.talk_ages) + len(facts.wrapup_left)
        most = max(0, int(self.settings.max_calls_per_agent * agents) - len(facts.ring_ages))
        answers = np.pad(self._answers(np.asarray(facts.ring_ages, dtype=float)), (0, most))
        shortage = self._shortage(facts, len(answers))
        expected = float(np.arange(len(answers)) @ answers)
        share, risk = self.answer_share, 0.0
        for calls in range(most):
            answers = _one_more(answers, share)
            expected += share
            lost = float(answers @ shortage)
            if lost > self.allowance * expected:
                return calls, risk, Constraint.ALLOWANCE
            if lost > budget:
                return calls, risk, Constraint.CAP
            risk = lost / expected
        return most, risk, Constraint.LINES

    def _shortage(self, facts: PacingFacts, size: int) -> Floats:
        """Return for 0, 1, 2 … answers how many of them are expected to find no agent."""
        free = self._free_agents(facts)
        room = np.maximum(facts.idle - facts.waiting + np.arange(len(free)), 0)
        missing: Floats = np.maximum(np.arange(size)[:, None] - room[None, :], 0.0) @ free
        return missing

    def _free_agents(self, facts: PacingFacts) -> Floats:
        """Return the distribution of the number of busy agents who are free when a call dialled now is answered."""
        horizon = self.answer_delay.mean()
        ages = np.asarray(facts.talk_ages, dtype=float)
        chances = 1.0 - self.talk.longer_than(ages + horizon) / np.maximum(self.talk.longer_than(ages), 1e-9)
        soon = sum(1 for left in facts.wrapup_left if left <= horizon)
        return np.concatenate([np.zeros(soon), _count_of(chances)])

    def _answers(self, ages: Floats) -> Floats:
        """Return the distribution of the number of ringing customers who will answer."""
        will = self.answer_share * self.answer_delay.longer_than(ages)
        wont = (1.0 - self.answer_share) * self.failure_delay.longer_than(ages)
        return _count_of(will / np.maximum(will + wont, 1e-9))


def _one_more(spread: Floats, chance: float) -> Floats:
    """Return the distribution of a count with one more event of a chance; the last place must be empty."""
    moved: Floats = spread * (1.0 - chance)
    moved[1:] += spread[:-1] * chance
    return moved


def _count_of(chances: Floats) -> Floats:
    """Return the distribution of how many of independent events happen (Poisson binomial)."""
    spread = np.zeros(len(chances) + 1)
    spread[0] = 1.0
    for chance in chances:
        spread = _one_more(spread, float(chance))
    return spread
