"""RTPProxy's control protocol: commands to text, replies to values. Pure: no socket, no time.

A command over UDP is `cookie command`, its reply `cookie text`; the same cookie sent again is answered from
RTPProxy's memory without running the command twice, so a client may repeat a datagram safely.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from callcore.errors import KalibriError

#: What every RTPProxy of this century answers to `V`.
PROTOCOL_VERSION = 20040107

#: Newest optional capability that we use: several sub-commands in one U (`U ... && L ...`).
SINGLE_SHOT_CAPABILITY = 20260309


class ErrorCode(IntEnum):
    """Families of the numbers in an `E<number>` reply; each member is the first number of its family."""

    #: The command letter is not known.
    UNKNOWN_COMMAND = 0
    #: Too few or too many arguments.
    ARGUMENT_COUNT = 1
    #: A modifier behind the command letter is not known.
    BAD_MODIFIER = 2
    #: A sub-command after `&&` is wrong, or addresses a module that is not loaded.
    BAD_SUBCOMMAND = 3
    #: An argument cannot be read (5 to 19).
    BAD_ARGUMENT = 5
    #: The reply does not fit into a datagram (25, 26).
    REPLY_TOO_LONG = 25
    #: An argument can be read but makes no sense (31 to 37).
    REFUSED_ARGUMENT = 31
    #: No session of that call-id and tags; also answered when a recording file cannot be opened.
    UNKNOWN_SESSION = 50
    #: The player could not start: mostly a missing file.
    PLAYER_FAILED = 60
    #: Statistics of the session could not be read.
    QUERY_FAILED = 62
    #: The recording or fork could not be started.
    COPY_FAILED = 65
    #: A counter of that name does not exist.
    UNKNOWN_COUNTER = 68
    #: No pair of ports is free (71, 72).
    NO_PORTS = 71
    #: Notification was asked for but is not configured.
    NOTIFICATION_OFF = 75
    #: Out of memory (81 to 89).
    NO_MEMORY = 81
    #: Overload protection: takes no new session at present.
    OVERLOADED = 98
    #: Draining before a stop: takes no new session any more.
    DRAINING = 99

    @classmethod
    def from_number(cls, number: int) -> ErrorCode:
        """Return the family of an error number; ValueError for a number outside every family."""
        for first, last in _FAMILIES:
            if first <= number <= last:
                return first
        raise ValueError(f"no such RTPProxy error: {number}")


_FAMILIES = (
    *((code, int(code)) for code in ErrorCode if code in (0, 1, 2, 3, 50, 60, 62, 65, 68, 75, 98, 99)),
    (ErrorCode.BAD_ARGUMENT, 19),
    (ErrorCode.REPLY_TOO_LONG, 26),
    (ErrorCode.REFUSED_ARGUMENT, 37),
    (ErrorCode.NO_PORTS, 72),
    (ErrorCode.NO_MEMORY, 89),
)


class RtpError(KalibriError):
    """RTPProxy refused a command."""

    error_id = "rtp-refused"

    def __init__(self, number: int) -> None:
        self.code = ErrorCode.from_number(number)
        self.number = number
        super().__init__(f"RTPProxy refused the command: {self.code.name.lower()} (E{number})", number=number)


class BadReply(KalibriError):
    """RTPProxy's reply cannot be understood."""

    error_id = "rtp-bad-reply"


@dataclass(frozen=True)
class Version:
    """Ask which protocol the node speaks."""

    def encode(self) -> str:
        return "V"

    def parse(self, text: str) -> int:
        """Return the protocol version, a date as YYYYMMDD."""
        return _number(text)


@dataclass(frozen=True)
class HasCapability:
    """Ask whether the node knows an optional capability."""

    #: Date that names the capability, as YYYYMMDD.
    capability: int

    def encode(self) -> str:
        return f"VF {self.capability}"

    def parse(self, text: str) -> bool:
        return _number(text) == 1


@dataclass(frozen=True)
class Counters:
    """Read counters of the node, for example `nsess_created` or `pps_in`."""

    #: At least one; without a name RTPProxy's answer is empty.
    names: Sequence[str]

    def __post_init__(self) -> None:
        if not self.names or any(not name.isidentifier() for name in self.names):
            raise ValueError(f"not names of counters: {self.names!r}")

    def encode(self) -> str:
        return "G " + " ".join(self.names)

    def parse(self, text: str) -> dict[str, float]:
        values = text.split()
        if len(values) != len(self.names):
            raise BadReply(f"{len(self.names)} counters asked, {len(values)} answered")
        try:
            return dict(zip(self.names, map(float, values), strict=True))
        except ValueError as error:
            raise BadReply(f"not a counter: {text!r}") from error


def to_datagram(cookie: str, command: str) -> bytes:
    """Join a cookie (no white space) and a command line to what is sent over UDP."""
    if not cookie or any(character.isspace() for character in cookie):
        raise ValueError(f"not a cookie: {cookie!r}")
    return f"{cookie} {command}".encode()


def from_datagram(datagram: bytes) -> tuple[str, str]:
    """Split a reply into cookie and text.

    Raises BadReply where there is no text, RtpError where the text is an error number.
    """
    cookie, _, text = datagram.decode("utf-8", "replace").partition(" ")
    text = text.strip()
    if not text:
        raise BadReply(f"no text in the reply {datagram!r}")
    if text[0] == "E" and text[1:].isdigit():
        raise RtpError(int(text[1:]))
    return cookie, text


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise BadReply(f"a number was expected, not {text!r}")
    return int(text)
