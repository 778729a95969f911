"""Is a node fit for sessions? A state machine as a table; pure, time is an argument.

What counts as an event is the business of link.py. A node that refuses (nothing listens there) twice is gone, and so
is one that was silent for LOST_SECONDS or came back with its counters at zero: then its sessions are lost. One that
is merely silent keeps its sessions: a frozen process goes on where it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from rtpproxy_ctl.balancer import Health

#: A node that answers again is only used in need for so long.
PROBATION_SECONDS = 5.0
#: A node silent for so long is given up with its sessions.
LOST_SECONDS = 30.0


class Sign(StrEnum):
    """What a node shows of itself."""

    ANSWERED = "answered"
    #: A question was not answered in time.
    SILENT = "silent"
    #: Nothing listens at its address.
    REFUSED = "refused"
    #: It answered, and has forgotten what it counted: another process.
    RESTARTED = "restarted"
    #: Time has passed: it was on probation, or down, for long enough.
    EXPIRED = "expired"


TRANSITIONS: Mapping[Health, Mapping[Sign, Health]] = {
    Health.NEW: {
        Sign.ANSWERED: Health.UP,
        Sign.RESTARTED: Health.UP,
        Sign.SILENT: Health.DOWN,
        Sign.REFUSED: Health.DOWN,
    },
    Health.UP: {Sign.SILENT: Health.SUSPECT, Sign.REFUSED: Health.DOWN, Sign.RESTARTED: Health.PROBATION},
    Health.SUSPECT: {
        Sign.ANSWERED: Health.UP,
        Sign.SILENT: Health.DOWN,
        Sign.REFUSED: Health.DOWN,
        Sign.RESTARTED: Health.PROBATION,
    },
    Health.DOWN: {
        Sign.ANSWERED: Health.PROBATION,
        Sign.RESTARTED: Health.PROBATION,
        Sign.REFUSED: Health.GONE,
        Sign.EXPIRED: Health.GONE,
    },
    Health.GONE: {Sign.ANSWERED: Health.PROBATION, Sign.RESTARTED: Health.PROBATION},
    Health.PROBATION: {
        Sign.SILENT: Health.DOWN,
        Sign.REFUSED: Health.DOWN,
        Sign.EXPIRED: Health.UP,
        Sign.RESTARTED: Health.PROBATION,
    },
}

#: After how many seconds in a state EXPIRED comes.
EXPIRES = {Health.PROBATION: PROBATION_SECONDS, Health.DOWN: LOST_SECONDS}


@dataclass(frozen=True, slots=True)
class NodeHealth:
    """The health of a node and since when."""

    state: Health
    since: float


@dataclass(frozen=True, slots=True)
class Change:
    """What a sign did."""

    health: NodeHealth
    #: The sessions of the node are lost.
    lost: bool = False


def step(health: NodeHealth, sign: Sign, now: float) -> Change:
    """Return the health after a sign at `now`; a sign that means nothing in a state changes nothing."""
    state = TRANSITIONS[health.state].get(sign)
    lost = sign is Sign.RESTARTED or state is Health.GONE
    if state is None or state is health.state:
        return Change(replace(health, since=now) if sign is Sign.RESTARTED else health, lost)
    return Change(NodeHealth(state, now), lost)


def expired(health: NodeHealth, now: float) -> bool:
    """Tell whether the state has lasted for its time."""
    limit = EXPIRES.get(health.state)
    return limit is not None and now - health.since >= limit
