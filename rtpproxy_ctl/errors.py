"""Error numbers of RTPProxy's control protocol, and the exceptions that carry them. Pure."""

from __future__ import annotations

from enum import IntEnum

from callcore.errors import KalibriError


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


_KNOWN = frozenset(number for first, last in _FAMILIES for number in range(first, last + 1))


def is_known(number: int) -> bool:
    """Tell whether RTPProxy has an error of this number."""
    return number in _KNOWN


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


class BadCommand(KalibriError):
    """A command cannot be understood; `number` is what RTPProxy answers to it."""

    error_id = "rtp-bad-command"

    def __init__(self, number: int, reason: str) -> None:
        self.code = ErrorCode.from_number(number)
        self.number = number
        super().__init__(f"{reason} (E{number})", number=number)
