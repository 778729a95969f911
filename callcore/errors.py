"""Errors of the domain: one base, one class per refusal; the docstring is the default message.

The shells map them: ksctl to exit codes (contracts.md 9), the API to stable error ids.
"""

from __future__ import annotations


class KalibriError(Exception):
    """Something went wrong."""

    #: Stable, machine-readable id (part of the API: never renamed).
    error_id = "error"
    #: Exit code of a command-line tool: 1 error, 2 usage, 3 not found, 4 refused by a rule.
    exit_code = 1

    def __init__(self, message: str = "", **details: object) -> None:
        self.message = message or " ".join((type(self).__doc__ or "").split())
        #: Facts about the refusal, for machines.
        self.details = details
        super().__init__(self.message)


class NotFound(KalibriError):
    """There is no such object."""

    error_id = "not-found"
    exit_code = 3


class Refused(KalibriError):
    """A rule does not allow this."""

    error_id = "refused"
    exit_code = 4


class AlreadyExists(Refused):
    """An object of this name exists already."""

    error_id = "already-exists"


class StillInUse(Refused):
    """Other objects refer to this one."""

    error_id = "still-in-use"


class BadInput(KalibriError):
    """The input is not valid."""

    error_id = "bad-input"
    exit_code = 1


class Unavailable(KalibriError):
    """A part that is needed does not answer."""

    error_id = "unavailable"
