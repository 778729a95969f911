"""What the end of an agent's ringing means for him: the outcome of his offer (SQL enum offer_outcome). Pure.

An agent is to blame for what he or his phone said, never for what the caller's phone or the switch did.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from callcore.sip import SipCode


class Outcome(StrEnum):
    """How the ringing of an agent ended, as the proxy can see it."""

    #: The phone rang as long as it may.
    NO_ANSWER = "no_answer"
    #: The agent refused the call, or sent it elsewhere (302).
    REJECTED = "rejected"
    #: The phone said busy.
    BUSY = "busy"
    #: The phone is not there, not registered, or ill.
    UNREACHABLE = "unreachable"
    #: Not the agent's fault: codecs, our own failure.
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class RingingEnd:
    """How an attempt to ring an agent ended."""

    #: Final response; 0: none.
    code: int
    #: Our own timer ended it.
    silent: bool = False
    #: 101-199 was seen before.
    alerted: bool = False


#: Codes that mean the same whether the phone rang before or not.
_BY_CODE: Mapping[int, Outcome] = {
    SipCode.FORBIDDEN: Outcome.REJECTED,
    406: Outcome.FAILED,
    413: Outcome.FAILED,
    415: Outcome.FAILED,
    420: Outcome.FAILED,
    421: Outcome.FAILED,
    SipCode.BUSY_HERE: Outcome.BUSY,
    SipCode.NOT_ACCEPTABLE_HERE: Outcome.FAILED,
    600: Outcome.BUSY,
    SipCode.DECLINE: Outcome.REJECTED,
    606: Outcome.FAILED,
    607: Outcome.REJECTED,
    608: Outcome.REJECTED,
}
#: A phone that says so after it rang means that nobody answered.
_TIMEOUTS = frozenset({SipCode.REQUEST_TIMEOUT, SipCode.TEMPORARILY_UNAVAILABLE, SipCode.REQUEST_TERMINATED})


def outcome_of(end: RingingEnd) -> Outcome:
    """Name the outcome of an offer from how its ringing ended."""
    if end.silent or end.code in _TIMEOUTS:
        return Outcome.NO_ANSWER if end.alerted else Outcome.UNREACHABLE
    if end.code in _BY_CODE:
        return _BY_CODE[end.code]
    if 300 <= end.code < 400:
        return Outcome.REJECTED
    return Outcome.UNREACHABLE
