"""All 49 messages of RFC 4475, and what Kalibri's proxy does with each: the table that the torture
scenario asserts.

`EXPECTED` is data about our proxy, not about the RFC (`TortureMessage.allows` is the RFC's view):
where the proxy differs from the RFC, `reason` says why that is accepted.
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


@dataclass(frozen=True)
class Expected:
    """What our proxy does with one message."""

    outcome: Outcome
    #: Final codes that come back; of RELAYED: what the other side answers.
    codes: tuple[int, ...] = ()
    #: Why, where the RFC would have it otherwise.
    reason: str = ""


@dataclass(frozen=True)
class Row:
    """What becomes of one message by where it comes from and how."""

    #: From whom nobody knows, by UDP.
    stranger: Expected
    #: From a known gateway by UDP; None: the same.
    gateway: Expected | None = None
    #: On a stream, where a Content-Length delimits; None: the same as by UDP, from both places.
    stream: Expected | None = None
    #: On a stream from a gateway; None: as `stream`, or else as `gateway`.
    gateway_stream: Expected | None = None

    def at(self, *, gateway: bool, stream: bool) -> Expected:
        """Return what is expected at this place."""
        datagram = (self.gateway or self.stranger) if gateway else self.stranger
        if not stream:
            return datagram
        return ((self.gateway_stream if gateway else None) or self.stream) or datagram


def _answered(*codes: int, reason: str = "") -> Expected:
    return Expected(Outcome.ANSWERED, codes, reason)


def _silent(reason: str) -> Row:
    return Row(Expected(Outcome.SILENT, (), reason))


_RELAYED = Expected(Outcome.RELAYED, (480,))
#: A well-formed INVITE: strangers are challenged, a gateway's call is routed to the sink, which answers 480.
_CALL = Row(_answered(407), _RELAYED)
#: A well-formed REGISTER: nobody registers without a password, not even a gateway.
_REGISTRATION = Row(_answered(401))
_PARSER = "Kamailio's parser drops it, and no answer can be built from what it did not read"
_NO_OPTIONS = "OPTIONS to a user is refused to everybody: answers would tell which accounts exist"
_SANITY = "Kamailio's sanity module refuses it"
_NOT_OURS = "a response to no request of ours"

EXPECTED: dict[str, Row] = {
    # 3.1.1 valid syntax
    "wsinv": _silent(f"{_PARSER} (CSeq folded before its method): known deviation"),
    "intmeth": _silent(f"{_PARSER} (NUL in a quoted string, odd characters in the URI): known deviation"),
    "esc01": _CALL,
    "escnull": _REGISTRATION,
    "esc02": _silent(f"{_PARSER} (% in the method): known deviation"),
    "lwsdisp": Row(_answered(405, reason=_NO_OPTIONS)),
    "longreq": _CALL,
    "dblreq": Row(
        _answered(400, reason="the datagram is longer than its Content-Length says: known deviation"),
        stream=_answered(401, 407, reason="on a stream they are two messages"),
        gateway_stream=_answered(401, 480, reason="on a stream they are two messages"),
    ),
    "semiuri": Row(_answered(405, reason=_NO_OPTIONS)),
    "transports": Row(_answered(405, reason=_NO_OPTIONS)),
    "mpart01": Row(_answered(407), _answered(403, reason="messages are for accounts")),
    "unreason": _silent(_NOT_OURS),
    "noreason": _silent(_NOT_OURS),
    # 3.1.2 invalid syntax
    "badinv01": _silent(_PARSER),
    "clerr": Row(_answered(400), stream=Expected(Outcome.SILENT, (), "waits for the rest of the body")),
    "ncl": _silent(_PARSER),
    "scalar02": Row(_answered(400)),
    "scalarlg": _silent(_NOT_OURS),
    "quotbal": _silent(_PARSER),
    "ltgtruri": Row(_answered(400)),
    "lwsruri": _silent(_PARSER),
    "lwsstart": _silent(_PARSER),
    "trws": Row(_answered(405, reason=_NO_OPTIONS)),
    "escruri": _CALL,
    "baddate": _CALL,
    "regbadct": Row(_answered(401, reason="the password comes before the Contact")),
    "badaspec": Row(_answered(405, reason=_NO_OPTIONS)),
    "baddn": Row(_answered(405, reason=_NO_OPTIONS)),
    "badvers": _silent(f"{_PARSER} (SIP/7.0 in Via): known deviation, 505 is wanted"),
    "mismatch01": Row(_answered(400)),
    "mismatch02": Row(_answered(400)),
    "bigcode": _silent(_NOT_OURS),
    # 3.2 transaction layer
    "badbranch": Row(_answered(405, reason=_NO_OPTIONS)),
    # 3.3 application layer
    "insuf": _silent(f"{_PARSER} (no Call-ID, From, To): known deviation, 400 is wanted"),
    "unkscm": Row(_answered(416)),
    "novelsc": Row(_answered(416)),
    "unksm2": Row(_answered(400)),
    "bext01": Row(_answered(420)),
    "invut": _CALL,
    "regaut01": _REGISTRATION,
    "multi01": _silent(f"{_PARSER} (two CSeq): known deviation, 400 is wanted"),
    "mcl01": _silent(f"{_PARSER} (two Content-Length): known deviation, 400 is wanted"),
    "bcast": _silent(_NOT_OURS),
    "zeromf": Row(_answered(483)),
    "cparam01": _REGISTRATION,
    "cparam02": _REGISTRATION,
    "regescrt": _REGISTRATION,
    "sdp01": _CALL,
    # 3.4 RFC 2543
    "inv2543": Row(
        _answered(400, reason="no From tag: devices of RFC 2543 are not served, known deviation"),
        stream=Expected(Outcome.SILENT, (), "no Content-Length on a stream (RFC 3261 section 18.3)"),
    ),
}
