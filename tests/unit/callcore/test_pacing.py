"""Pacing: never more than one call an agent before anything is known, the cap holds, agents are busy."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callcore.pacing import Constraint, Durations, Pacer, PacingFacts, PacingSettings
from callcore.pacing_simulator import World, simulate

AGES = st.lists(st.floats(0, 900), max_size=20)
FACTS = st.builds(
    PacingFacts,
    now=st.floats(0, 1e6),
    idle=st.integers(0, 30),
    talk_ages=AGES,
    wrapup_left=AGES,
    ring_ages=AGES,
    waiting=st.integers(0, 5),
    lines_left=st.none() | st.integers(0, 40),
)


def experienced(abandoned: int = 0, *, answers: int = 400, share: float = 0.3) -> Pacer:
    """A pacer that has seen a campaign with this share of answers."""
    pacer, chance = Pacer(), random.Random(7)
    for number in range(answers):
        for _ in range(round(1 / share) - 1):
            pacer.failed(25.0)
        pacer.answered(number, chance.uniform(5, 13))
        pacer.talked(chance.lognormvariate(4.5, 0.7))
    for _ in range(abandoned):
        pacer.abandoned(answers)
    return pacer


def facts(**changes: object) -> PacingFacts:
    usual: dict[str, object] = {
        "now": 400.0,
        "idle": 3,
        "talk_ages": [60.0] * 15,
        "wrapup_left": [5.0, 12.0],
        "ring_ages": [],
        "waiting": 0,
    }
    return PacingFacts(**{**usual, **changes})  # type: ignore[arg-type]


@given(FACTS)
def test_one_call_an_idle_agent_until_enough_is_known(asked: PacingFacts) -> None:
    decision = Pacer().decide(asked)
    assert decision.calls <= max(0, asked.idle - asked.waiting - len(asked.ring_ages))
    assert decision.risk == 0.0


@settings(deadline=None)
@given(FACTS, st.integers(0, 40))
def test_never_negative_never_beyond_the_lines_and_always_a_reason(
    asked: PacingFacts, abandoned: int
) -> None:
    decision = experienced(abandoned).decide(asked)
    assert decision.calls >= 0
    assert asked.lines_left is None or decision.calls <= asked.lines_left
    assert isinstance(decision.constraint, Constraint)


def test_a_known_campaign_dials_ahead_of_its_idle_agents() -> None:
    decision = experienced().decide(facts())
    assert decision.calls > 3
    assert decision.constraint is Constraint.ALLOWANCE


def test_the_used_up_cap_leaves_one_call_an_agent() -> None:
    assert experienced(abandoned=12).decide(facts()).calls == 3
    assert experienced(abandoned=30).decide(facts()).constraint is Constraint.CAP


@given(st.lists(st.floats(0, 20), min_size=1, max_size=30))
def test_more_customers_in_the_air_never_mean_more_calls(ages: list[float]) -> None:
    pacer = experienced()
    assert pacer.decide(facts(ring_ages=ages)).calls <= pacer.decide(facts(ring_ages=ages[1:])).calls


def test_a_rarer_answer_lets_more_calls_out() -> None:
    rare, frequent = experienced(share=0.1), experienced(share=0.5)
    assert rare.decide(facts()).calls > frequent.decide(facts()).calls


def test_durations_fall_from_one_to_nothing_and_learn() -> None:
    durations = Durations(guess_seconds=100.0)
    for _ in range(2000):
        durations.add(30.0)
    tail = durations.longer_than(np.array([0.0, 15.0, 29.0, 32.0, 5000.0]))
    assert tail[0] == 1.0
    assert list(tail) == sorted(tail, reverse=True)
    assert tail[2] > 0.95
    assert tail[3] < 0.05
    assert durations.mean() == pytest.approx(30.5, abs=3)


def test_impossible_settings_are_refused() -> None:
    for bad in ({"abandon_cap": 1.0}, {"max_calls_per_agent": 0.5}, {"aim": 0.0}):
        with pytest.raises(ValueError, match="impossible pacing settings"):
            PacingSettings(**bad)


@pytest.mark.parametrize("seed", [1, 2])
def test_twenty_agents_are_busy_and_the_cap_holds(seed: int) -> None:
    world = World(agents=20, answer_chance=lambda second: 0.4)
    result = simulate(world, Pacer(), seed, seconds=9000)
    assert result.occupancy_pct >= 80.0
    assert result.abandoned_pct <= 3.0
    assert result.answers > 500


def test_the_simulation_is_what_its_seed_says() -> None:
    world = World(agents=5, answer_chance=lambda second: 0.3)
    one, other = (simulate(world, Pacer(), 3, seconds=4000) for _ in range(2))
    assert one == other
    assert simulate(world, Pacer(), 4, seconds=4000) != one
