"""What a failed ringing means for the agent."""

from __future__ import annotations

import pytest

from kemi.ks_acd.outcomes import Outcome, RingingEnd, outcome_of

CASES = [
    # code, our timer, rang before -> outcome
    (408, True, True, Outcome.NO_ANSWER),
    (408, True, False, Outcome.UNREACHABLE),
    (408, False, True, Outcome.NO_ANSWER),
    (408, False, False, Outcome.UNREACHABLE),
    (480, False, True, Outcome.NO_ANSWER),
    (480, False, False, Outcome.UNREACHABLE),
    (487, False, True, Outcome.NO_ANSWER),
    (486, False, False, Outcome.BUSY),
    (486, False, True, Outcome.BUSY),
    (600, False, True, Outcome.BUSY),
    (603, False, True, Outcome.REJECTED),
    (403, False, False, Outcome.REJECTED),
    (302, False, False, Outcome.REJECTED),
    (488, False, False, Outcome.FAILED),
    (606, False, False, Outcome.FAILED),
    (415, False, False, Outcome.FAILED),
    (420, False, False, Outcome.FAILED),
    (404, False, False, Outcome.UNREACHABLE),
    (500, False, False, Outcome.UNREACHABLE),
    (503, False, True, Outcome.UNREACHABLE),
    (401, False, False, Outcome.UNREACHABLE),
]


@pytest.mark.parametrize(("code", "silent", "alerted", "outcome"), CASES)
def test_each_end_of_a_ringing_has_its_outcome(
    code: int, silent: bool, alerted: bool, outcome: Outcome
) -> None:
    assert outcome_of(RingingEnd(code, silent=silent, alerted=alerted)) is outcome


def test_no_code_is_left_without_an_outcome() -> None:
    for code in range(300, 700):
        for alerted in (False, True):
            assert outcome_of(RingingEnd(code, alerted=alerted)) in Outcome
