"""What the proxy remembers of a call while it is set up: one JSON text in a transaction variable.

Failure routes run in other processes, even in timer processes, so nothing of a call is kept in Python memory.
Pure: no KSR, no clock.
"""

from __future__ import annotations

import json
from dataclasses import fields
from operator import attrgetter
from typing import Any

from callcore.errors import KalibriError
from callcore.value import value
from kemi.ks_acd.model import QueueCall

#: Dialog variable that is "1" once the end of the call was told: what comes later tells nothing.
END_TOLD = "ks_ended"
#: A phone that gives no reply at all is unreachable after this time; its transaction retransmits meanwhile.
PHONE_NO_REPLY_MS = 8_000


class BadCallState(KalibriError):
    """The state of a call in set-up could not be read."""

    error_id = "bad-call-state"


@value
class Target:
    """One place to try: a gateway, the contacts of an account, or a URI."""

    kind: str  # gateway | account | uri | host | peer
    uri: str
    gateway_id: int | None = None
    username: str | None = None
    ring_timeout_ms: int = 120_000
    no_reply_timeout_ms: int = 5_000
    media_relay: str = "auto"
    cost: str | None = None
    #: Account id of an agent: a call of his makes him busy.
    agent_account: int | None = None
    #: Sent there, whatever the URI says.
    next_hop: str = ""
    #: Header line that tells a trusted gateway who calls.
    asserted: str = ""
    #: Hunt group by which it is rung; after it the next member is.
    group: str = ""
    #: Addresses of record that ring at the same time, separated by blanks.
    also: str = ""
    #: Internal sockets of the other proxies, separated by blanks: phones there ring at the same time (kemi/forking.py).
    peers: str = ""

    @property
    def rings_together(self) -> bool:
        """Tell whether it is a hunt group whose members all ring at once."""
        return self.group != "" and self.group == self.username


@value
class CallState:
    """A call in set-up, from the routing decision to its final response."""

    call_id: str
    tenant_id: int | None
    #: Target being tried; None before the first.
    current: Target | None = None
    #: Targets still to try, in order.
    remaining: tuple[Target, ...] = ()
    #: Number of the current attempt, from 1.
    attempt: int = 0
    emergency: bool = False
    caller_nat: bool = False
    #: auto, always or never: what route and caller ask for; the target has a say of its own.
    media_relay: str = "auto"
    #: Credentials were already sent to the current gateway.
    authenticated: bool = False
    #: What a leg that a media host or another proxy asked for is (X-KS-Leg); "": a call of its own.
    leg: str = ""
    #: A media host anchors this leg's media.
    hosted: bool = False
    #: Header lines for the media host that the call is brought to.
    host_headers: tuple[str, ...] = ()
    queue: QueueCall | None = None
    #: Forwardings so far, as callcore.diversion.Diversion.encode wrote them.
    diversions: tuple[str, ...] = ()
    #: The caller hides his number from the called (RFC 3323).
    hidden: bool = False
    #: A colleague may take it while it rings.
    pickup: bool = False

    def next_attempt(self) -> CallState | None:
        """Return the state with the next target as current one; None when there is none left."""
        if not self.remaining:
            return None
        return self.evolve(
            current=self.remaining[0],
            remaining=self.remaining[1:],
            attempt=self.attempt + 1,
            authenticated=False,
        )

    def evolve(self, **changes: Any) -> CallState:
        """Return a copy with these fields changed."""
        # dataclasses.replace looks at each field by itself, in Python.
        return CallState(**(dict(zip(_FIELDS, _ALL(self), strict=True)) | changes))

    def encode(self) -> str:
        """Return the state as compact ASCII JSON: values in the order of the fields."""
        current, *others = _TARGETS_FIRST(self)
        remaining, *plain = others
        return _write_json(
            [current and _TARGET(current), [_TARGET(target) for target in remaining], *plain],
        )


_TARGET = attrgetter(*(entry.name for entry in fields(Target)))
_FIELDS = tuple(entry.name for entry in fields(CallState))
_ALL = attrgetter(*_FIELDS)
_PLAIN = tuple(name for name in _FIELDS if name not in ("current", "remaining"))
_TARGETS_FIRST = attrgetter("current", "remaining", *_PLAIN)


def _queue_values(given: object) -> list[Any]:
    """Return what JSON does not know of itself as a list: the queue call is all there is."""
    if isinstance(given, QueueCall):
        return given.to_list()
    raise TypeError(f"{type(given).__name__} is no part of a call's state")


_write_json = json.JSONEncoder(separators=(",", ":"), default=_queue_values).encode


def decode(text: str | None) -> CallState | None:
    """Read what CallState.encode wrote; None stays None. Raises BadCallState."""
    if text is None:
        return None
    try:
        current, remaining, *plain = json.loads(text)
        values = dict(zip(_PLAIN, plain, strict=True))
        if values["queue"] is not None:
            values["queue"] = QueueCall.from_list(values["queue"])
        return CallState(
            current=Target(*current) if current else None,
            remaining=tuple(Target(*target) for target in remaining),
            **(
                values
                | {
                    "host_headers": tuple(values["host_headers"]),
                    "diversions": tuple(values["diversions"]),
                }
            ),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadCallState(f"state of a call in set-up cannot be read: {error}") from error
