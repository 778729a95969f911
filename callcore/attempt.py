"""One dial of a campaign: how it ended, and what follows for the person who was to be called. Pure.

Decides the outcome from what the network said (SIP code, Q.850 cause, what was heard before the answer), and from the
outcome and the campaign's table of rules what happens to the lead: when it is tried again, with which of its numbers,
or why never. Never dials, never knows a clock but its argument.

    ordered ─take─► taken ─answer─► answered ─end─► ended ─settle─► settled
       └──────────────┴────────────────────end──────►

A person is charged an attempt only for what the person or the person's network did. What failed on our side (no
route, no line, a process that died) is tried again without being counted, with a brake of its own so that a broken
trunk does not dial one number for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class AttemptState(StrEnum):
    """Where a dial stands (SQL enum attempt_state)."""

    #: Ordered from a media host that has not taken it; may still be withdrawn.
    ORDERED = "ordered"
    #: A media host has taken it: from here on the number may have been dialled.
    TAKEN = "taken"
    #: Somebody, or something, answered.
    ANSWERED = "answered"
    #: Over; what follows for the lead is not decided yet.
    ENDED = "ended"
    #: The lead knows.
    SETTLED = "settled"


class Outcome(StrEnum):
    """How a dial ended (SQL enum attempt_outcome)."""

    #: A person answered and heard what was to be said, or talked to an agent.
    ANSWERED = "answered"
    #: Answered, and hung up before enough was heard.
    UNHEARD = "unheard"
    #: Answered, and no agent was there in time.
    ABANDONED = "abandoned"
    #: A machine answered.
    MACHINE = "machine"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    #: The person declined.
    DECLINED = "declined"
    #: There is no such number.
    INVALID = "invalid"
    #: The person asked not to be called any more.
    OPTED_OUT = "opted_out"
    #: Not dialled: do-not-call list, hours, or the campaign was stopped between order and dial.
    REFUSED = "refused"
    #: A carrier could not complete the call.
    CONGESTED = "congested"
    #: Agent first: the agent was lost before the person was reached.
    NO_AGENT = "no_agent"
    #: A fault of ours: no route, no media, no line.
    OURS = "ours"
    #: Not dialled: no media host took the order in time.
    UNTAKEN = "untaken"
    #: The media host died; the person may have been rung.
    LOST = "lost"


#: Outcomes that say something of us and nothing of the person: not charged.
FREE = frozenset(
    {
        Outcome.REFUSED,
        Outcome.CONGESTED,
        Outcome.NO_AGENT,
        Outcome.OURS,
        Outcome.UNTAKEN,
        Outcome.LOST,
        Outcome.ABANDONED,
    }
)
#: Outcomes of dials that left us: what a carrier is judged by.
DIALLED = frozenset(Outcome) - {Outcome.REFUSED, Outcome.UNTAKEN}

_CODES: Mapping[int, Outcome] = {
    486: Outcome.BUSY,
    600: Outcome.BUSY,
    480: Outcome.NO_ANSWER,
    487: Outcome.NO_ANSWER,
    603: Outcome.DECLINED,
    607: Outcome.DECLINED,
    608: Outcome.DECLINED,
    404: Outcome.INVALID,
    410: Outcome.INVALID,
    484: Outcome.INVALID,
    604: Outcome.INVALID,
    415: Outcome.OURS,
    420: Outcome.OURS,
    488: Outcome.OURS,
    606: Outcome.OURS,
}
#: Q.850 causes that say more than the SIP code they came with.
_CAUSES: Mapping[int, Outcome] = {
    1: Outcome.INVALID,
    17: Outcome.BUSY,
    18: Outcome.NO_ANSWER,
    19: Outcome.NO_ANSWER,
    20: Outcome.NO_ANSWER,
    21: Outcome.DECLINED,
    22: Outcome.INVALID,
    28: Outcome.INVALID,
    34: Outcome.CONGESTED,
    38: Outcome.CONGESTED,
    41: Outcome.CONGESTED,
    42: Outcome.CONGESTED,
    44: Outcome.CONGESTED,
    47: Outcome.CONGESTED,
}
#: What was heard (docs/dialler.md names the verdicts) and means more than what was signalled.
_VERDICTS: Mapping[str, Outcome] = {
    "busy": Outcome.BUSY,
    "congestion": Outcome.CONGESTED,
    "no_answer": Outcome.NO_ANSWER,
    "unavailable": Outcome.NO_ANSWER,
    "invalid": Outcome.INVALID,
    "declined": Outcome.DECLINED,
    "machine": Outcome.MACHINE,
}


def outcome_of_failure(code: int, *, cause: int = 0, verdict: str = "", rang: bool, ours: bool) -> Outcome:
    """Return how a dial that was not answered ended.

    code: final SIP response. cause: Q.850, 0: none. verdict: what early media said, "": nothing.
    rang: 180 or 183 was seen. ours: our own proxy refused, no carrier did.
    """
    if ours:
        return Outcome.OURS
    if verdict in _VERDICTS:
        return _VERDICTS[verdict]
    if cause in _CAUSES:
        return _CAUSES[cause]
    if code == 408:
        # Nobody picked up, or nobody was there to ring: only the first says something of the person.
        return Outcome.NO_ANSWER if rang else Outcome.CONGESTED
    return _CODES.get(code, Outcome.CONGESTED)


def outcome_of_answer(*, verdict: str, heard_ms: int, enough_ms: int, keyed: bool) -> Outcome:
    """Return how a dial that was answered ended, where neither an agent nor an opt-out decides it.

    heard_ms: of the message. enough_ms: what counts as heard. keyed: a key of the menu was pressed.
    """
    if verdict == "machine":
        return Outcome.MACHINE
    return Outcome.ANSWERED if keyed or heard_ms >= enough_ms else Outcome.UNHEARD


class LeadEnd(StrEnum):
    """What becomes of a lead after a dial."""

    #: It is dialled again, at a time.
    AGAIN = "again"
    #: Reached: nothing more is to be done.
    DONE = "done"
    #: Every attempt that the rules allow is used up, or the numbers are bad.
    FAILED = "failed"
    #: It must not be called any more.
    DO_NOT_CALL = "do_not_call"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRule:
    """What one outcome leads to."""

    #: Seconds until the next dial; None: there is no next one.
    delay_seconds: float | None
    #: Dials with this outcome before the number is given up; 0: any number.
    most: int = 0
    #: Goes to the lead's next number, if it has one, and without delay.
    next_number: bool = False
    #: What the lead becomes when this rule gives up.
    final: LeadEnd = LeadEnd.FAILED
    #: The next dial goes before those that were never dialled.
    first: bool = False
    #: Each further time the delay is multiplied by this, up to `longest_seconds`.
    growth: float = 1.0
    longest_seconds: float = 86_400.0

    def delay(self, times: int) -> float:
        """Return the delay after so many dials with this outcome, seconds; 0 where there is none."""
        if self.delay_seconds is None:
            return 0.0
        return float(min(self.delay_seconds * self.growth ** max(0, times - 1), self.longest_seconds))


Rules = Mapping[Outcome, RetryRule]

#: Used where a campaign says nothing else. Delays as operators of such systems set them (minutes for a busy line,
#: hours for one that nobody answers).
DEFAULT_RULES: Rules = {
    Outcome.ANSWERED: RetryRule(delay_seconds=None, final=LeadEnd.DONE),
    Outcome.UNHEARD: RetryRule(delay_seconds=7200, most=2, final=LeadEnd.DONE),
    Outcome.ABANDONED: RetryRule(delay_seconds=600, first=True),
    Outcome.MACHINE: RetryRule(delay_seconds=14_400, most=3),
    Outcome.BUSY: RetryRule(delay_seconds=900, most=5),
    Outcome.NO_ANSWER: RetryRule(delay_seconds=7200, most=4, next_number=True),
    Outcome.DECLINED: RetryRule(delay_seconds=None),
    Outcome.INVALID: RetryRule(delay_seconds=None, next_number=True),
    Outcome.OPTED_OUT: RetryRule(delay_seconds=None, final=LeadEnd.DO_NOT_CALL),
    Outcome.REFUSED: RetryRule(delay_seconds=300, growth=2.0, longest_seconds=3600),
    Outcome.CONGESTED: RetryRule(delay_seconds=60, growth=2.0, longest_seconds=3600),
    Outcome.NO_AGENT: RetryRule(delay_seconds=0, first=True),
    Outcome.OURS: RetryRule(delay_seconds=60, growth=2.0, longest_seconds=3600),
    Outcome.UNTAKEN: RetryRule(delay_seconds=1, growth=2.0, longest_seconds=60),
    Outcome.LOST: RetryRule(delay_seconds=300, growth=2.0, longest_seconds=3600),
}


@dataclass(frozen=True, slots=True)
class LeadHistory:
    """What was tried so far with a lead, the dial that has just ended included."""

    #: Charged dials in all.
    charged: int
    #: Dials of the present number with the outcome that it had now.
    same: int
    #: Whether the lead has numbers behind the present one.
    has_next: bool
    #: Most charged dials of a lead, whatever their outcomes; 0: no limit.
    most: int = 0


@dataclass(frozen=True, slots=True)
class LeadStep:
    """What follows for a lead."""

    end: LeadEnd
    #: When it is dialled again; None unless AGAIN. Hours of the callee still apply to it.
    at: datetime | None = None
    next_number: bool = False
    #: Goes before leads that were never dialled.
    first: bool = False


def is_charged(outcome: Outcome) -> bool:
    """Tell whether a dial counts against the lead."""
    return outcome not in FREE


def next_step(outcome: Outcome, history: LeadHistory, now: datetime, rules: Rules = DEFAULT_RULES) -> LeadStep:
    """Return what follows for a lead after a dial with this outcome."""
    rule = rules.get(outcome) or DEFAULT_RULES[outcome]
    used_up = rule.delay_seconds is None or 0 < rule.most <= history.same
    if is_charged(outcome) and 0 < history.most <= history.charged and outcome is not Outcome.ANSWERED:
        return LeadStep(rule.final if used_up else LeadEnd.FAILED)
    if rule.next_number and history.has_next:
        return LeadStep(LeadEnd.AGAIN, now, next_number=True, first=rule.first)
    if used_up:
        return LeadStep(rule.final)
    at = now + timedelta(seconds=rule.delay(history.same))
    return LeadStep(LeadEnd.AGAIN, at, first=rule.first)
