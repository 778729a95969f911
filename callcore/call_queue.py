"""Queues, entries and offers: their words, which state follows which, order of callers, expected wait.

The same tables stand in the schema (enums, acd_transition; a test compares). Who meets whom is decided by the
SQL function acd_match; here are the small pure rules that tools and reports need too. Reads no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class EntryKind(StrEnum):
    """What waits (SQL enum entry_kind)."""

    #: A caller on the line.
    CALL = "call"
    #: A person who is to be called when it is his turn.
    CALLBACK = "callback"


class EntryState(StrEnum):
    """Where an entry stands (SQL enum entry_state)."""

    #: A proxy is bringing the call to a media host.
    ARRIVING = "arriving"
    #: Can be matched with an agent.
    WAITING = "waiting"
    #: At least one offer is open.
    OFFERED = "offered"
    #: Joined with an agent.
    TALKING = "talking"
    #: The host is gone with the call; the place is kept for the grace time.
    LOST = "lost"
    #: Over.
    ENDED = "ended"


class EntryEnd(StrEnum):
    """Why an entry ended (SQL enum entry_end)."""

    SERVED = "served"
    ABANDONED = "abandoned"
    TIMEOUT = "timeout"
    FULL = "full"
    EMPTY = "empty"
    CLOSED = "closed"
    EXIT_KEY = "exit_key"
    EJECTED = "ejected"
    #: An older callback of the same number stays in its place.
    CALLBACK = "callback"
    TRANSFERRED = "transferred"
    HOST_LOST = "host_lost"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    FAILED = "failed"


class OfferState(StrEnum):
    """Where an offer stands (SQL enum offer_state)."""

    #: A command for the host lies ready.
    RESERVED = "reserved"
    #: The agent is being called.
    RINGING = "ringing"
    #: The agent has the caller.
    ANSWERED = "answered"
    #: Over, see the outcome.
    ENDED = "ended"


class OfferOutcome(StrEnum):
    """How an offer ended (SQL enum offer_outcome)."""

    ANSWERED = "answered"
    NO_ANSWER = "no_answer"
    REJECTED = "rejected"
    BUSY = "busy"
    UNREACHABLE = "unreachable"
    #: The caller was quicker to leave.
    CALLER_GONE = "caller_gone"
    #: Another agent was quicker, or a supervisor decided otherwise.
    CANCELLED = "cancelled"
    #: Our fault or that of the codecs: the agent is not to blame.
    FAILED = "failed"
    #: Nobody told how it ended.
    LOST = "lost"


#: Outcomes that cost the agent a delay, and after some of them in a row a pause of this reason.
PENALISED = frozenset(
    {OfferOutcome.NO_ANSWER, OfferOutcome.REJECTED, OfferOutcome.BUSY, OfferOutcome.UNREACHABLE}
)


class QueueStrategy(StrEnum):
    """Which of the ready agents gets the call (SQL enum queue_strategy)."""

    RING_ALL = "ring_all"
    LONGEST_IDLE = "longest_idle"
    FEWEST_CALLS = "fewest_calls"
    LEAST_TALK = "least_talk"
    #: With memory: who was offered a call of this queue longest ago.
    ROUND_ROBIN = "round_robin"
    RANDOM = "random"
    #: Always in the order of positions.
    LINEAR = "linear"
    #: Highest levels of the skills that the queue asks for.
    SKILL = "skill"


class QueueAnchor(StrEnum):
    """Whether a media host carries a call although an agent is free (SQL enum queue_anchor)."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class QueueStaffing(StrEnum):
    """Whom a queue must have so that callers may join or stay (SQL enum queue_staffing)."""

    ALWAYS = "always"
    #: Somebody is logged in.
    LOGGED_IN = "logged_in"
    #: Somebody is logged in and not paused.
    AVAILABLE = "available"


_S, _O = EntryState, OfferState

#: State of an entry → {what happens: state that follows}.
ENTRY_TRANSITIONS: Mapping[EntryState, Mapping[str, EntryState]] = {
    _S.ARRIVING: {"adopt": _S.WAITING, "end": _S.ENDED},
    _S.WAITING: {"arrive": _S.ARRIVING, "offer": _S.OFFERED, "lose": _S.LOST, "end": _S.ENDED},
    _S.OFFERED: {"answer": _S.TALKING, "fail": _S.WAITING, "lose": _S.LOST, "end": _S.ENDED},
    _S.TALKING: {"requeue": _S.WAITING, "end": _S.ENDED},
    _S.LOST: {"return": _S.WAITING, "end": _S.ENDED},
    _S.ENDED: {},
}

#: State of an offer → {what happens: state that follows}.
OFFER_TRANSITIONS: Mapping[OfferState, Mapping[str, OfferState]] = {
    _O.RESERVED: {"ring": _O.RINGING, "answer": _O.ANSWERED, "end": _O.ENDED},
    _O.RINGING: {"answer": _O.ANSWERED, "end": _O.ENDED},
    _O.ANSWERED: {"end": _O.ENDED},
    _O.ENDED: {},
}


@dataclass(frozen=True, slots=True, order=True)
class CallerOrder:
    """What callers are ordered by, over all queues; the smallest is served first."""

    #: Negative class: a higher class goes first.
    rank: int
    at: datetime
    entry_id: int


def caller_order(
    *,
    entry_id: int,
    since: datetime,
    queue_priority: int,
    priority: int,
    ageing_seconds: int | None,
) -> CallerOrder:
    """Return the place of an entry; the SQL function acd_order computes the same.

    priority: above or below that of the queue. ageing_seconds: what one step of it is worth; None: a higher
    priority always goes first.
    """
    if ageing_seconds is None:
        return CallerOrder(-(queue_priority + priority), since, entry_id)
    return CallerOrder(-queue_priority, since - timedelta(seconds=priority * ageing_seconds), entry_id)


@dataclass(frozen=True, slots=True)
class ExpectedWait:
    """Expected wait as a range, in seconds; never below 0."""

    seconds: float
    low: float
    high: float


def expected_wait(position: int, handle_seconds: float, staffed: int) -> ExpectedWait | None:
    """Return position × average handle time ÷ agents staffed; None when nobody staffs the queue."""
    if staffed <= 0:
        return None
    seconds = max(0.0, position * handle_seconds / staffed)
    return ExpectedWait(seconds, seconds * 0.75, seconds * 1.25)
