"""How a dial ended, from what the network and the person did."""

from __future__ import annotations

import pytest

from callcore.attempt import DialFacts, Outcome, outcome_of

RANG = {"rang": True}


@pytest.mark.parametrize(
    ("facts", "outcome"),
    [
        ({"code": 486}, Outcome.BUSY),
        ({"code": 600}, Outcome.BUSY),
        ({"code": 480}, Outcome.NO_ANSWER),
        ({"code": 408, "rang": True}, Outcome.NO_ANSWER),
        # Nobody was rung: the carrier is silent, and the person knows nothing of it.
        ({"code": 408}, Outcome.CONGESTED),
        ({"code": 603}, Outcome.DECLINED),
        ({"code": 404}, Outcome.INVALID),
        ({"code": 484}, Outcome.INVALID),
        ({"code": 503}, Outcome.CONGESTED),
        ({"code": 403}, Outcome.CONGESTED),
        ({"code": 488}, Outcome.OURS),
        # The cause says more than the code it came with.
        ({"code": 480, "cause": 17}, Outcome.BUSY),
        ({"code": 500, "cause": 1}, Outcome.INVALID),
        ({"code": 480, "cause": 34}, Outcome.CONGESTED),
        # What is heard says more than both.
        ({"code": 480, "cause": 17, "verdict": "not_existing"}, Outcome.INVALID),
        ({"code": 0, "verdict": "voicemail"}, Outcome.MACHINE),
        # Our own proxy refused: no code means anything of the number.
        ({"code": 404, "ours": True}, Outcome.OURS),
        ({"answered": True, "heard_ms": 500}, Outcome.UNHEARD),
        ({"answered": True, "heard_ms": 3000}, Outcome.ANSWERED),
        ({"answered": True, "heard_ms": 900, "heard_all": True}, Outcome.ANSWERED),
        ({"answered": True, "choice": "repeat"}, Outcome.ANSWERED),
        ({"answered": True, "talked": True}, Outcome.ANSWERED),
        ({"answered": True, "heard_ms": 9000, "verdict": "voicemail"}, Outcome.MACHINE),
        ({"answered": True, "heard_ms": 9000, "verdict": "human"}, Outcome.ANSWERED),
        ({"answered": True, "abandoned": True}, Outcome.ABANDONED),
        ({"answered": True, "choice": "opt_out", "heard_ms": 9000}, Outcome.OPTED_OUT),
        ({"no_agent": True, "code": 487}, Outcome.NO_AGENT),
    ],
)
def test_outcome_follows_from_facts(facts: dict[str, object], outcome: Outcome) -> None:
    assert outcome_of(DialFacts(**facts)) is outcome  # type: ignore[arg-type]


def test_every_refusal_has_an_outcome_that_is_no_answer() -> None:
    reached = (Outcome.ANSWERED, Outcome.UNHEARD, Outcome.ABANDONED, Outcome.OPTED_OUT)
    assert not [code for code in range(300, 700) if outcome_of(DialFacts(code=code, rang=True)) in reached]
