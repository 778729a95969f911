"""One dial of a campaign: its states, and how it ended. Pure.

Decides the outcome from what the network said (SIP code, Q.850 cause, what was heard) and from what the person did.
What follows for the lead is decided by callcore/dial_retry.py. Never dials, never asks a clock.

    ordered ─take─► taken ─answer─► answered ─end─► ended ─settle─► settled
       └──────────────┴────────────────────end──────►

A person is charged an attempt only for what the person or the person's network did: what failed on our side (no route,
no line, a process that died) has outcomes of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
    #: Preview: the agent did not want to call this lead.
    SKIPPED = "skipped"


#: Outcomes of dials that left us: what a carrier is judged by.
DIALLED = frozenset(Outcome) - {Outcome.REFUSED, Outcome.UNTAKEN, Outcome.SKIPPED, Outcome.NO_AGENT}

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
#: What was heard (callcore.ears_verdict.HangupReason, or "machine") means more than what was signalled.
_VERDICTS: Mapping[str, Outcome] = {
    "not_existing": Outcome.INVALID,
    "changed": Outcome.INVALID,
    "unreachable": Outcome.NO_ANSWER,
    "busy": Outcome.BUSY,
    "no_answer": Outcome.NO_ANSWER,
    "barred": Outcome.DECLINED,
    "congestion": Outcome.CONGESTED,
    "voicemail": Outcome.MACHINE,
    "fax": Outcome.MACHINE,
    "machine": Outcome.MACHINE,
}
#: Verdicts of a machine that has answered.
MACHINES = frozenset({"voicemail", "fax", "machine"})
#: Verdicts that are no end: a person, or something that says nothing of the person.
PASSING = frozenset({"human", "wait", "other", ""})


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


#: Less of the message than this has not been heard, unless it was the whole.
ENOUGH_MS = 3000


@dataclass(frozen=True, slots=True, kw_only=True)
class DialFacts:
    """What a media host told of a dial (sems_apps.actions.ReportDial)."""

    answered: bool = False
    code: int = 0
    cause: int = 0
    verdict: str = ""
    rang: bool = False
    ours: bool = False
    heard_ms: int = 0
    heard_all: bool = False
    choice: str = ""
    abandoned: bool = False
    talked: bool = False
    no_agent: bool = False


def outcome_of(facts: DialFacts) -> Outcome:
    """Return how a dial ended that a media host has told the end of."""
    if facts.choice == "opt_out":
        return Outcome.OPTED_OUT
    if facts.no_agent:
        return Outcome.NO_AGENT
    if facts.abandoned:
        return Outcome.ABANDONED
    if not facts.answered:
        return outcome_of_failure(
            facts.code, cause=facts.cause, verdict=facts.verdict, rang=facts.rang, ours=facts.ours
        )
    if facts.verdict in MACHINES:
        return Outcome.MACHINE
    heard = facts.talked or facts.heard_all or facts.heard_ms >= ENOUGH_MS
    # A key is an answer to the message, whatever of it was said by then.
    return Outcome.ANSWERED if heard or facts.choice else Outcome.UNHEARD
