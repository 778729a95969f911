"""The agent's state machine: states, what happens to him, and which state may follow.

Everything about the machine lives here and, word for word, in the table acd_transition of the schema (a test
compares them). A state is never set: it follows from facts (`state_of`), and the table says which change is
possible by which event; another one is a fault of the program and is refused. Reads no clock, asks nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from callcore.call_queue import OfferState


class AgentState(StrEnum):
    """What an agent is doing (SQL enum agent_state)."""

    #: Not logged in, or his phone is not registered.
    OFFLINE = "offline"
    #: Gets calls, unless a penalty delay still runs.
    FREE = "free"
    #: Chosen for a caller; his phone is not being called yet.
    RESERVED = "reserved"
    #: His phone is being called.
    RINGING = "ringing"
    #: In a queue call, or in any other dialog of his account.
    BUSY = "busy"
    #: Work after a call, until the deadline.
    WRAPUP = "wrapup"
    #: With a reason.
    PAUSED = "paused"


class AgentEvent(StrEnum):
    """What changes the facts about an agent."""

    LOGIN = "login"
    LOGOUT = "logout"
    #: His phone registered, or is gone.
    REGISTER = "register"
    UNREGISTER = "unregister"
    PAUSE = "pause"
    RESUME = "resume"
    #: An offer: made for a host to perform, being rung, taken, over without an answer.
    RESERVE = "reserve"
    RING = "ring"
    ANSWER = "answer"
    OFFER_END = "offer_end"
    #: The queue call that he took is over.
    CALL_END = "call_end"
    #: A dialog of his account that is no offer.
    LEG_START = "leg_start"
    LEG_END = "leg_end"
    #: A deadline has come: wrap-up or penalty.
    TIME = "time"
    #: Somebody extends or ends the wrap-up.
    WRAPUP = "wrapup"
    #: A supervisor makes him free, or takes everything from him that holds him wrongly.
    FREE = "free"
    RELEASE = "release"
    #: His configuration changed.
    CHANGE = "change"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFacts:
    """What the state follows from."""

    enabled: bool = True
    logged_in: bool = False
    registered: bool = False
    #: The open offer, if there is one.
    offer: OfferState | None = None
    #: Dialogs of the account that are no offers.
    legs: int = 0
    #: Wrap-up has not been ended yet.
    wrapping_up: bool = False
    #: None: not paused.
    pause_reason: str | None = None


_OFFERED: Mapping[OfferState, AgentState] = {
    OfferState.RESERVED: AgentState.RESERVED,
    OfferState.RINGING: AgentState.RINGING,
    OfferState.ANSWERED: AgentState.BUSY,
}


def state_of(facts: AgentFacts) -> AgentState:
    """Return the state that follows from facts; the SQL function agent_live_follow decides the same."""
    if facts.offer is not None:
        return _OFFERED[facts.offer]
    if not (facts.logged_in and facts.enabled):
        return AgentState.OFFLINE
    if facts.legs:
        return AgentState.BUSY
    if not facts.registered:
        return AgentState.OFFLINE
    if facts.wrapping_up:
        return AgentState.WRAPUP
    return AgentState.FREE if facts.pause_reason is None else AgentState.PAUSED


_S, _E = AgentState, AgentEvent
_REST = frozenset({_S.FREE, _S.WRAPUP, _S.PAUSED})
_NO_CALL = _REST | {_S.OFFLINE}

#: (state, event) → states that may follow besides the same one. A pair that is missing changes nothing.
TRANSITIONS: Mapping[tuple[AgentState, AgentEvent], frozenset[AgentState]] = {
    (_S.OFFLINE, _E.LOGIN): _REST | {_S.BUSY},
    (_S.OFFLINE, _E.REGISTER): _REST,
    (_S.OFFLINE, _E.LEG_START): frozenset({_S.BUSY}),
    (_S.OFFLINE, _E.RESERVE): frozenset({_S.RESERVED}),
    (_S.OFFLINE, _E.RING): frozenset({_S.RINGING}),
    (_S.OFFLINE, _E.CHANGE): _REST | {_S.BUSY},
    (_S.FREE, _E.LOGOUT): frozenset({_S.OFFLINE}),
    (_S.FREE, _E.UNREGISTER): frozenset({_S.OFFLINE}),
    (_S.FREE, _E.PAUSE): frozenset({_S.PAUSED}),
    (_S.FREE, _E.RESERVE): frozenset({_S.RESERVED}),
    (_S.FREE, _E.RING): frozenset({_S.RINGING}),
    (_S.FREE, _E.LEG_START): frozenset({_S.BUSY}),
    (_S.FREE, _E.WRAPUP): frozenset({_S.WRAPUP}),
    (_S.FREE, _E.CHANGE): frozenset({_S.OFFLINE}),
    (_S.RESERVED, _E.RING): frozenset({_S.RINGING}),
    (_S.RESERVED, _E.ANSWER): frozenset({_S.BUSY}),
    (_S.RESERVED, _E.OFFER_END): _NO_CALL | {_S.BUSY},
    (_S.RESERVED, _E.RELEASE): _NO_CALL,
    (_S.RINGING, _E.ANSWER): frozenset({_S.BUSY}),
    (_S.RINGING, _E.OFFER_END): _NO_CALL | {_S.BUSY},
    (_S.RINGING, _E.RELEASE): _NO_CALL,
    (_S.BUSY, _E.CALL_END): _NO_CALL,
    (_S.BUSY, _E.LEG_END): _NO_CALL,
    (_S.BUSY, _E.LOGOUT): frozenset({_S.OFFLINE}),
    (_S.BUSY, _E.RELEASE): _NO_CALL,
    (_S.BUSY, _E.CHANGE): frozenset({_S.OFFLINE}),
    (_S.BUSY, _E.RESERVE): frozenset({_S.RESERVED}),
    (_S.BUSY, _E.RING): frozenset({_S.RINGING}),
    (_S.WRAPUP, _E.TIME): frozenset({_S.FREE, _S.PAUSED}),
    (_S.WRAPUP, _E.WRAPUP): frozenset({_S.FREE, _S.PAUSED}),
    (_S.WRAPUP, _E.FREE): frozenset({_S.FREE}),
    (_S.WRAPUP, _E.RELEASE): frozenset({_S.FREE, _S.PAUSED}),
    (_S.WRAPUP, _E.LOGOUT): frozenset({_S.OFFLINE}),
    (_S.WRAPUP, _E.UNREGISTER): frozenset({_S.OFFLINE}),
    (_S.WRAPUP, _E.RESERVE): frozenset({_S.RESERVED}),
    (_S.WRAPUP, _E.RING): frozenset({_S.RINGING}),
    (_S.WRAPUP, _E.LEG_START): frozenset({_S.BUSY}),
    (_S.WRAPUP, _E.CHANGE): frozenset({_S.OFFLINE}),
    (_S.PAUSED, _E.RESUME): frozenset({_S.FREE}),
    (_S.PAUSED, _E.LOGIN): frozenset({_S.FREE}),
    (_S.PAUSED, _E.FREE): frozenset({_S.FREE}),
    (_S.PAUSED, _E.WRAPUP): frozenset({_S.WRAPUP}),
    (_S.PAUSED, _E.LOGOUT): frozenset({_S.OFFLINE}),
    (_S.PAUSED, _E.UNREGISTER): frozenset({_S.OFFLINE}),
    (_S.PAUSED, _E.RESERVE): frozenset({_S.RESERVED}),
    (_S.PAUSED, _E.RING): frozenset({_S.RINGING}),
    (_S.PAUSED, _E.LEG_START): frozenset({_S.BUSY}),
    (_S.PAUSED, _E.CHANGE): frozenset({_S.OFFLINE}),
}


class IllegalTransition(Exception):
    """A state does not follow another one by this event: a fault of the program."""

    def __init__(self, state: AgentState, event: AgentEvent, after: AgentState) -> None:
        super().__init__(f"{state} cannot become {after} by {event}")
        self.state, self.event, self.after = state, event, after


def step(before: AgentState, event: AgentEvent, facts: AgentFacts) -> AgentState:
    """Return the state after an event that led to these facts; raises IllegalTransition."""
    after = state_of(facts)
    if after is not before and after not in TRANSITIONS.get((before, event), frozenset()):
        raise IllegalTransition(before, event, after)
    return after
