"""Simulates agents and customers of a campaign second by second, to judge a pacing before it meets people.

The same Pacer as in the engine is asked once a second. Pure: everything random comes from the seed. The model is that
of facts measured on real campaigns of the trade: talk times log-normal, a share of calls that fail at once, the others
ringing until answered or given up, people who wait `patience_seconds` for an agent and are abandoned then.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from callcore.pacing import PacingDecision, PacingFacts


class Pacing(Protocol):
    """What the simulator asks and tells; callcore.pacing.Pacer is one."""

    def decide(self, facts: PacingFacts) -> PacingDecision: ...
    def answered(self, now: float, ring_seconds: float) -> None: ...
    def failed(self, ring_seconds: float) -> None: ...
    def abandoned(self, now: float) -> None: ...
    def talked(self, seconds: float) -> None: ...


@dataclass(frozen=True)
class World:
    """A simulated campaign. Times in seconds."""

    agents: int
    #: Chance that a dialled person answers, by the second of the simulation.
    answer_chance: Callable[[int], float]
    talk_mean_seconds: float = 120.0
    #: Standard deviation of the talk time ÷ its mean.
    talk_spread: float = 0.8
    wrapup_seconds: float = 15.0
    answer_delay_seconds: float = 9.0
    answer_delay_deviation: float = 3.0
    no_answer_seconds: float = 25.0
    failed_at_once: float = 0.1
    patience_seconds: float = 2.0

    def talk_seconds(self, chance: random.Random) -> float:
        """Return one talk time of the log-normal distribution."""
        sigma = math.sqrt(math.log(1.0 + self.talk_spread**2))
        mean = math.log(self.talk_mean_seconds) - sigma * sigma / 2.0
        return max(1.0, chance.lognormvariate(mean, sigma))


@dataclass(frozen=True)
class Sample:
    """One minute of a simulated campaign."""

    second: int
    busy_agents: float
    calls_in_air: int
    answers: int
    abandoned: int


@dataclass(frozen=True)
class Result:
    """What a pacing reached. Percentages are of agents' time and of answers; the warm-up counts for the cap only."""

    occupancy_pct: float
    abandoned_pct: float
    #: The worst half hour after the first 200 answers.
    worst_half_hour_pct: float
    answers: int
    samples: tuple[Sample, ...]


@dataclass
class _Ringing:
    since: int
    until: float
    answers: bool


@dataclass
class _State:
    idle: int
    talks: list[tuple[int, float]] = field(default_factory=list)
    wrapups: list[float] = field(default_factory=list)
    ringing: list[_Ringing] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    answers: int = 0
    abandoned: int = 0


def simulate(world: World, pacing: Pacing, seed: int, *, seconds: int, skip_seconds: int = 1800) -> Result:
    """Run a campaign; occupancy is counted after `skip_seconds`, abandonment from the first second."""
    chance = random.Random(seed)
    state = _State(world.agents)
    busy_seconds, samples = 0, list[Sample]()
    for now in range(seconds):
        _agents_finish(world, state, pacing, now)
        _customers_answer(state, pacing, now)
        _join(world, state, chance, now)
        _give_up(world, state, pacing, now)
        _dial(world, state, pacing.decide(_facts(state, now)).calls, chance, now)
        busy = len(state.talks) + len(state.wrapups)
        if now >= skip_seconds:
            busy_seconds += busy
        if now % 60 == 0:
            samples.append(Sample(now, busy, len(state.ringing), state.answers, state.abandoned))
    return Result(
        occupancy_pct=100.0 * busy_seconds / (world.agents * (seconds - skip_seconds)),
        abandoned_pct=100.0 * state.abandoned / max(state.answers, 1),
        worst_half_hour_pct=_worst_half_hour(samples),
        answers=state.answers,
        samples=tuple(samples),
    )


def _facts(state: _State, now: int) -> PacingFacts:
    return PacingFacts(
        now=float(now),
        idle=state.idle,
        talk_ages=[now - since for since, _ in state.talks],
        wrapup_left=[until - now for until in state.wrapups],
        ring_ages=[now - call.since for call in state.ringing],
        waiting=len(state.waiting),
    )


def _agents_finish(world: World, state: _State, pacing: Pacing, now: int) -> None:
    for since, until in state.talks:
        if until <= now:
            pacing.talked(until - since)
            state.wrapups.append(now + world.wrapup_seconds)
    state.talks = [talk for talk in state.talks if talk[1] > now]
    working = [until for until in state.wrapups if until > now]
    state.idle += len(state.wrapups) - len(working)
    state.wrapups = working


def _customers_answer(state: _State, pacing: Pacing, now: int) -> None:
    for call in state.ringing:
        if call.until > now:
            continue
        if call.answers:
            pacing.answered(now, call.until - call.since)
            state.answers += 1
            state.waiting.append(now)
        else:
            pacing.failed(call.until - call.since)
    state.ringing = [call for call in state.ringing if call.until > now]


def _join(world: World, state: _State, chance: random.Random, now: int) -> None:
    while state.waiting and state.idle:
        state.waiting.pop(0)
        state.idle -= 1
        state.talks.append((now, now + world.talk_seconds(chance)))


def _give_up(world: World, state: _State, pacing: Pacing, now: int) -> None:
    patient = [since for since in state.waiting if now - since < world.patience_seconds]
    for _ in range(len(state.waiting) - len(patient)):
        pacing.abandoned(now)
        state.abandoned += 1
    state.waiting = patient


def _dial(world: World, state: _State, calls: int, chance: random.Random, now: int) -> None:
    share = world.answer_chance(now) / (1.0 - world.failed_at_once)
    for _ in range(calls):
        if chance.random() < world.failed_at_once:
            state.ringing.append(_Ringing(now, now + 1.0, answers=False))
        elif chance.random() < share:
            delay = max(1.0, chance.gauss(world.answer_delay_seconds, world.answer_delay_deviation))
            state.ringing.append(_Ringing(now, now + delay, answers=True))
        else:
            state.ringing.append(_Ringing(now, now + world.no_answer_seconds, answers=False))


def _worst_half_hour(samples: list[Sample]) -> float:
    worst = 0.0
    for earlier, later in zip(samples, samples[30:], strict=False):
        answers = later.answers - earlier.answers
        if earlier.answers >= 200 and answers:
            worst = max(worst, 100.0 * (later.abandoned - earlier.abandoned) / answers)
    return worst
