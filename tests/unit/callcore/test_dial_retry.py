"""Retry rules: which one fits, and what follows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callcore.dial import FRONT_RANK, LeadResult, RetryAction
from callcore.dial_hours import CallingHours
from callcore.dial_retry import (
    NO_RULE,
    AttemptFacts,
    LeadHistory,
    RetryLimits,
    RetryRule,
    StepKind,
    choose,
    follow,
)

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
LIMITS = RetryLimits(hours=CallingHours.make("mon-sun 00:00-24:00"), max_attempts=10, unknown_zones=())
MOSCOW = ("Europe/Moscow",)
BUSY = RetryRule(position=1, code="486", action=RetryAction.RETRY, delay_seconds=900, max_attempts=3)
NEXT = RetryRule(position=2, outcome="no_answer", action=RetryAction.NEXT_NUMBER, delay_seconds=7200)
TRUNK = RetryRule(
    position=3,
    code="5xx",
    action=RetryAction.RETRY,
    delay_seconds=60,
    charged=False,
    growth=2,
    longest_seconds=300,
)
DROP = RetryRule(position=4, verdict="not_existing", action=RetryAction.DROP_NUMBER)
CAUSE = RetryRule(position=5, cause=21, action=RetryAction.STOP)
RULES = [DROP, BUSY, TRUNK, NEXT, CAUSE]


def history(
    attempts: int = 0, counts: dict[int, int] | None = None, position: int = 1, numbers: int = 1
) -> LeadHistory:
    return LeadHistory(
        attempts=attempts,
        rule_counts=counts or {},
        position=position,
        numbers={place: MOSCOW for place in range(1, numbers + 1)},
    )


@pytest.mark.parametrize(
    ("facts", "rule"),
    [
        (AttemptFacts(outcome="busy", code=486), BUSY),
        (AttemptFacts(outcome="congested", code=503), TRUNK),
        (AttemptFacts(outcome="no_answer"), NEXT),
        (AttemptFacts(outcome="no_answer", verdict="not_existing"), NEXT),
        (AttemptFacts(outcome="invalid", code=404, verdict="not_existing"), DROP),
        (AttemptFacts(outcome="declined", code=480, cause=21), CAUSE),
        (AttemptFacts(outcome="machine", code=200), NO_RULE),
    ],
)
def test_the_first_rule_that_fits(facts: AttemptFacts, rule: RetryRule) -> None:
    assert choose(RULES, facts) == rule


def test_a_busy_number_is_tried_again_later_and_then_given_up() -> None:
    facts = AttemptFacts(outcome="busy", code=486)
    step = follow(BUSY, facts, history(), LIMITS, NOW)
    assert (step.kind, step.position, step.due_at) == (StepKind.TURN, 1, NOW + timedelta(minutes=15))
    step = follow(BUSY, facts, history(counts={1: 2}), LIMITS, NOW)
    assert (step.kind, step.result) == (StepKind.END, LeadResult.EXHAUSTED)


def test_the_next_number_is_tried_at_once_and_the_first_again_after_the_delay() -> None:
    facts = AttemptFacts(outcome="no_answer")
    step = follow(NEXT, facts, history(position=1, numbers=2), LIMITS, NOW)
    assert (step.position, step.due_at) == (2, NOW)
    step = follow(NEXT, facts, history(position=2, numbers=2), LIMITS, NOW)
    assert (step.position, step.due_at) == (1, NOW + timedelta(hours=2))


def test_our_own_failures_are_not_charged_and_wait_longer_each_time() -> None:
    facts = AttemptFacts(outcome="congested", code=503)
    waits = []
    for times in range(5):
        step = follow(TRUNK, facts, history(attempts=9, counts={3: times}), LIMITS, NOW)
        assert step.kind is StepKind.TURN
        assert not step.charged
        assert step.due_at is not None
        waits.append((step.due_at - NOW).total_seconds())
    assert waits == [60, 120, 240, 300, 300]


def test_a_dead_number_leaves_the_others() -> None:
    facts = AttemptFacts(outcome="invalid", verdict="not_existing")
    step = follow(DROP, facts, history(position=2, numbers=2), LIMITS, NOW)
    assert (step.kind, step.position) == (StepKind.DROP, 1)
    step = follow(DROP, facts, history(), LIMITS, NOW)
    assert (step.kind, step.result) == (StepKind.DROP, LeadResult.NO_NUMBER)


def test_who_asked_not_to_be_called_is_not() -> None:
    rule = RetryRule(position=1, outcome="opted_out", action=RetryAction.DO_NOT_CALL)
    step = follow(rule, AttemptFacts(outcome="opted_out"), history(), LIMITS, NOW)
    assert (step.kind, step.result) == (StepKind.DO_NOT_CALL, LeadResult.DO_NOT_CALL)


def test_an_abandoned_person_goes_first() -> None:
    rule = RetryRule(position=1, action=RetryAction.RETRY, delay_seconds=60, first=True, charged=False)
    step = follow(rule, AttemptFacts(outcome="abandoned"), history(), LIMITS, NOW)
    assert step.rank == FRONT_RANK


def test_the_next_try_falls_into_open_hours_and_into_those_of_the_rule() -> None:
    limits = RetryLimits(hours=CallingHours.make("mon-fri 09:00-21:00"), max_attempts=10, unknown_zones=())
    evening = RetryRule(position=1, action=RetryAction.RETRY, delay_seconds=3600, hours="mon-fri 18:00-21:00")
    step = follow(evening, AttemptFacts(outcome="no_answer"), history(), limits, NOW)
    assert step.due_at == datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
    night = RetryRule(position=1, action=RetryAction.RETRY, delay_seconds=12 * 3600)
    step = follow(night, AttemptFacts(outcome="no_answer"), history(), limits, NOW)
    assert step.due_at == datetime(2026, 11, 24, 6, 0, tzinfo=UTC)


rules = st.builds(
    RetryRule,
    position=st.integers(1, 50),
    outcome=st.sampled_from(["", "busy", "no_answer", "ours"]),
    code=st.sampled_from(["", "486", "5xx"]),
    action=st.sampled_from(RetryAction),
    delay_seconds=st.integers(0, 100_000),
    max_attempts=st.none() | st.integers(1, 10),
    charged=st.booleans(),
    growth=st.sampled_from([1.0, 2.0, 10.0]),
    longest_seconds=st.integers(1, 100_000),
    first=st.booleans(),
)


@settings(max_examples=300, deadline=None)
@given(
    table=st.lists(rules, max_size=5),
    outcome=st.sampled_from(["busy", "no_answer", "ours", "answered"]),
    code=st.sampled_from([None, 200, 486, 503]),
    attempts=st.integers(0, 12),
    counts=st.dictionaries(st.integers(1, 50), st.integers(0, 1000)),
    numbers=st.integers(1, 4),
    data=st.data(),
)
def test_no_lead_is_lost_or_dialled_for_ever(
    table: list[RetryRule],
    outcome: str,
    code: int | None,
    attempts: int,
    counts: dict[int, int],
    numbers: int,
    data: st.DataObject,
) -> None:
    facts = AttemptFacts(outcome=outcome, code=code)
    rule = choose(table, facts)
    lead = history(attempts, counts, data.draw(st.integers(1, numbers)), numbers)
    step = follow(rule, facts, lead, LIMITS, NOW)
    if step.kind is StepKind.TURN:
        assert step.position in lead.numbers
        assert step.due_at is not None
        assert step.due_at >= NOW
        assert not (rule.charged and attempts + 1 >= LIMITS.max_attempts)
        assert rule.max_attempts is None or counts.get(rule.position, 0) + 1 < rule.max_attempts
    elif step.kind is StepKind.DROP:
        assert (step.position is None) == (numbers == 1)
    else:
        assert step.result is not None
    assert step.charged == rule.charged
