"""Health of a node: the whole grid of states and signs."""

from __future__ import annotations

import itertools

import pytest

from rtpproxy_ctl.balancer import ALIVE, Health
from rtpproxy_ctl.controller.health import (
    LOST_SECONDS,
    PROBATION_SECONDS,
    TRANSITIONS,
    NodeHealth,
    Sign,
    expired,
    step,
)


@pytest.mark.parametrize(("state", "sign"), list(itertools.product(Health, Sign)))
def test_every_sign_in_every_state_does_what_the_table_says(state: Health, sign: Sign) -> None:
    change = step(NodeHealth(state, 1.0), sign, 9.0)
    target = TRANSITIONS[state].get(sign)
    assert change.health.state is (state if target is None else target)
    moved = target is not None and target is not state
    assert change.health.since == (9.0 if moved or sign is Sign.RESTARTED else 1.0)
    assert change.lost == (sign is Sign.RESTARTED or target is Health.GONE)


def follow(*signs: Sign) -> list[Health]:
    health, seen = NodeHealth(Health.UP, 0.0), []
    for sign in signs:
        health = step(health, sign, 1.0).health
        seen.append(health.state)
    return seen


def test_a_frozen_node_comes_back_with_its_sessions() -> None:
    assert follow(Sign.SILENT, Sign.SILENT, Sign.ANSWERED, Sign.EXPIRED) == [
        Health.SUSPECT,
        Health.DOWN,
        Health.PROBATION,
        Health.UP,
    ]


def test_a_killed_node_is_gone_at_the_second_refusal() -> None:
    assert follow(Sign.REFUSED, Sign.REFUSED, Sign.REFUSED) == [Health.DOWN, Health.GONE, Health.GONE]


def test_only_a_late_answer_is_forgiven_at_once() -> None:
    assert follow(Sign.SILENT, Sign.ANSWERED) == [Health.SUSPECT, Health.UP]
    assert follow(Sign.RESTARTED) == [Health.PROBATION]


def test_probation_and_silence_have_an_end() -> None:
    assert not expired(NodeHealth(Health.PROBATION, 1.0), PROBATION_SECONDS)
    assert expired(NodeHealth(Health.PROBATION, 1.0), 1.0 + PROBATION_SECONDS)
    assert expired(NodeHealth(Health.DOWN, 1.0), 1.0 + LOST_SECONDS)
    assert not any(expired(NodeHealth(state, 0.0), 1e9) for state in ALIVE - {Health.PROBATION})
