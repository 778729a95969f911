"""All 49 messages of RFC 4475, and what Kalibri's proxy does with each: the table that the torture
scenario asserts.

`EXPECTED` is data about our proxy, not about the RFC (`TortureMessage.allows` is the RFC's view):
UNDECIDED means that nobody has looked yet. Where the proxy differs from the RFC, `reason` says why that is
accepted.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tests.scenarios.torture import rfc4475_invalid, rfc4475_semantics, rfc4475_valid
from tests.scenarios.torture.markup import Kind, TortureMessage

#: In the order of the RFC.
ALL: tuple[TortureMessage, ...] = (
    *rfc4475_valid.MESSAGES,
    *rfc4475_invalid.MESSAGES,
    *rfc4475_semantics.MESSAGES,
)
BY_NAME = {message.name: message for message in ALL}
COUNTS = {Kind.VALID: 13, Kind.INVALID: 19, Kind.TRANSACTION: 1, Kind.APPLICATION: 15, Kind.RFC2543: 1}


class Outcome(StrEnum):
    """What can become of a message."""

    #: It came out at the other side.
    RELAYED = "relayed"
    #: A final response came back.
    ANSWERED = "answered"
    #: Neither.
    SILENT = "silent"
    #: Not looked at yet.
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Expected:
    """What our proxy does with one message."""

    outcome: Outcome = Outcome.UNDECIDED
    #: Final codes that are right when it is ANSWERED.
    codes: tuple[int, ...] = ()
    #: Why, where the RFC would have it otherwise.
    reason: str = ""


EXPECTED: dict[str, Expected] = {message.name: Expected() for message in ALL}
