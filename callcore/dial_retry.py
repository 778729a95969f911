"""What follows from an attempt: the first rule that fits, and the next try that it gives.

Decides from facts about the attempt and the lead, a campaign's rules and the moment. Never writes: the SQL functions
lead_charge, lead_turn, lead_drop_number and lead_end do what a Step says (kalibri/services/lead_outcome.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from callcore.dial import FRONT_RANK, LeadResult, RetryAction
from callcore.dial_hours import CallingHours
from callcore.value import value

#: Outcomes after which a lead that is finished has got what the campaign wanted, and those that say no.
_REACHED = frozenset({"answered", "unheard"})
_DECLINED = frozenset({"declined"})
#: Where the hours never open (a campaign whose hours are all holidays), the lead is looked at again after this.
_NEVER = timedelta(days=365)


@value(kw_only=True)
class AttemptFacts:
    """How an attempt ended; what is not known is empty."""

    outcome: str
    #: SIP final response; None: none came.
    code: int | None = None
    #: Q.850 cause.
    cause: int | None = None
    #: What the ears heard: a hang-up reason, or machine.
    verdict: str = ""


@value(kw_only=True)
class RetryRule:
    """One row of retry_rule; durations in seconds."""

    position: int
    #: Empty or None fit everything.
    outcome: str = ""
    code: str = ""
    cause: int | None = None
    verdict: str = ""
    action: RetryAction
    delay_seconds: int = 0
    #: Attempts of a lead that this rule may fit; None: as many as the campaign allows.
    max_attempts: int | None = None
    #: False: our own failure.
    charged: bool = True
    #: Weekly hours into which the next try falls; empty: any.
    hours: str = ""
    growth: float = 1.0
    longest_seconds: int = 86_400
    #: The next try goes before all others.
    first: bool = False


#: A table without a rule that fits everything: nobody is called again by accident.
NO_RULE = RetryRule(position=0, action=RetryAction.STOP)


def choose(rules: Sequence[RetryRule], attempt: AttemptFacts) -> RetryRule:
    """Return the first rule, by position, that fits an attempt; NO_RULE (stop) if none does."""
    fitting = (rule for rule in rules if _fits(rule, attempt))
    return min(fitting, key=lambda rule: rule.position, default=NO_RULE)


def _fits(rule: RetryRule, attempt: AttemptFacts) -> bool:
    return (
        rule.outcome in ("", attempt.outcome)
        and _code_fits(rule.code, attempt.code)
        and rule.cause in (None, attempt.cause)
        and rule.verdict in ("", attempt.verdict)
    )


def _code_fits(wanted: str, code: int | None) -> bool:
    if not wanted:
        return True
    found = "" if code is None else str(code)
    return found[:1] == wanted[:1] if wanted.endswith("xx") else found == wanted


@value(kw_only=True)
class LeadHistory:
    """A lead after the attempt, which is not counted in it yet."""

    #: Charged attempts before this one.
    attempts: int
    #: Position of a rule → attempts that it fitted before this one.
    rule_counts: Mapping[int, int]
    #: Which number was dialled.
    position: int
    #: Good numbers, this one included: position → zones in which it may be (none: unknown).
    numbers: Mapping[int, tuple[str, ...]]


@value(kw_only=True)
class RetryLimits:
    """What a campaign says of all retries."""

    hours: CallingHours
    max_attempts: int
    unknown_zones: tuple[str, ...]


class StepKind(StrEnum):
    """What is done with the lead."""

    #: It waits for its next attempt: position, due_at, rank.
    TURN = "turn"
    #: The number that was dialled is dead; position is the next good one, and the lead is done if there is none.
    DROP = "drop"
    #: It is done, with result.
    END = "end"
    #: The number goes on the do-not-call list, and the lead is done.
    DO_NOT_CALL = "do_not_call"


@value(kw_only=True)
class Step:
    """What follows for a lead."""

    kind: StepKind
    charged: bool
    #: Number that is dialled next.
    position: int | None = None
    due_at: datetime | None = None
    #: None: as it was.
    rank: int | None = None
    result: LeadResult | None = None


def follow(
    rule: RetryRule, attempt: AttemptFacts, lead: LeadHistory, limits: RetryLimits, now: datetime
) -> Step:
    """Return what follows for a lead from an attempt that a rule fits."""
    if rule.action is RetryAction.DO_NOT_CALL:
        return Step(kind=StepKind.DO_NOT_CALL, charged=rule.charged, result=LeadResult.DO_NOT_CALL)
    if rule.action is RetryAction.STOP:
        return Step(kind=StepKind.END, charged=rule.charged, result=_result_of(attempt))
    times = lead.rule_counts.get(rule.position, 0) + 1
    if _used_up(rule, lead, limits, times):
        return Step(kind=StepKind.END, charged=rule.charged, result=LeadResult.EXHAUSTED)
    if rule.action is RetryAction.DROP_NUMBER:
        return _drop(rule, lead, limits, now)
    position, delay = lead.position, _delay(rule, times)
    if rule.action is RetryAction.NEXT_NUMBER:
        behind = [other for other in sorted(lead.numbers) if other > lead.position]
        position = behind[0] if behind else min(lead.numbers, default=lead.position)
        delay = timedelta() if behind else delay
    return Step(
        kind=StepKind.TURN,
        charged=rule.charged,
        position=position,
        due_at=next_try(rule, lead.numbers.get(position, ()), limits, now + delay),
        rank=FRONT_RANK if rule.first else None,
    )


def _result_of(attempt: AttemptFacts) -> LeadResult:
    if attempt.outcome in _REACHED:
        return LeadResult.REACHED
    return LeadResult.DECLINED if attempt.outcome in _DECLINED else LeadResult.EXHAUSTED


def _used_up(rule: RetryRule, lead: LeadHistory, limits: RetryLimits, times: int) -> bool:
    """Tell whether no further attempt is allowed; a number that is dropped may leave others to try."""
    if rule.charged and lead.attempts + 1 >= limits.max_attempts:
        return True
    return rule.max_attempts is not None and times >= rule.max_attempts


def _delay(rule: RetryRule, times: int) -> timedelta:
    # Growth is bounded before it is a number that no float holds.
    grown = rule.delay_seconds * rule.growth ** min(times - 1, 64)
    return timedelta(seconds=min(grown, max(rule.longest_seconds, rule.delay_seconds)))


def _drop(rule: RetryRule, lead: LeadHistory, limits: RetryLimits, now: datetime) -> Step:
    others = [position for position in sorted(lead.numbers) if position != lead.position]
    behind = [position for position in others if position > lead.position]
    position = next(iter(behind or others), None)
    if position is None:
        return Step(kind=StepKind.DROP, charged=rule.charged, result=LeadResult.NO_NUMBER, due_at=now)
    due_at = next_try(rule, lead.numbers[position], limits, now)
    return Step(kind=StepKind.DROP, charged=rule.charged, position=position, due_at=due_at)


def next_try(rule: RetryRule, zones: tuple[str, ...], limits: RetryLimits, after: datetime) -> datetime:
    """Return the first moment from `after` on at which a number in these zones may be tried again.

    Without zones, neither its own nor the campaign's for such numbers, it is `after`: the choice of leads then
    refuses it and says why.
    """
    where = zones or limits.unknown_zones
    if not where:
        return after
    also = CallingHours.make(rule.hours, on_holidays="ignore") if rule.hours else None
    return limits.hours.next_open(where, after, also=also) or after + _NEVER
