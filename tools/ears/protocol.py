"""What ks-ears is asked, and what it answers: JSON objects, one a line (docs/ears.md). Pure.

Decides what a line means; does nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from callcore.ears_verdict import Verdict

LONGEST_LINE: Final = 16_384
_LONGEST_ID: Final = 128
_LONGEST_NUMBER: Final = 128
LONGEST_LISTENING: Final = 300


class BadRequest(Exception):
    """A line that means nothing; its text says why."""


@dataclass(frozen=True, kw_only=True)
class Listen:
    """Open a port for a leg and listen to what arrives."""

    id: str
    tenant: int = 0
    #: Country of the tones; empty: that of the number, or as configured.
    tones: str = ""
    #: Who is called, country code first; empty: unknown.
    number: str = ""
    #: Whoever was called has answered already.
    answered: bool = False
    #: Longest time, in seconds.
    seconds: int = 120


@dataclass(frozen=True, kw_only=True)
class Answered:
    """Whoever was called has answered: from now on people are told from machines."""

    id: str


@dataclass(frozen=True, kw_only=True)
class Failed:
    """How the call ended that was listened to."""

    call: UUID | None = None
    number: str = ""
    code: int | None = None


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Listen no more; failed: the call came to nothing, so what nobody knew in it is worth keeping."""

    id: str
    failed: Failed | None = None


@dataclass(frozen=True, kw_only=True)
class Ping:
    """Say how it goes."""


Request = Listen | Answered | Stop | Ping


def parse(line: bytes) -> Request:
    """Read a line; raises BadRequest."""
    try:
        table = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadRequest("not a JSON object") from error
    if not isinstance(table, dict):
        raise BadRequest("not a JSON object")
    operation = table.get("op")
    if operation == "ping":
        return Ping()
    name = _text(table, "id", _LONGEST_ID)
    if not name:
        raise BadRequest("id is missing")
    if operation == "listen":
        return Listen(
            id=name,
            tenant=_number(table, "tenant", 0, 2**31 - 1, 0),
            tones=_text(table, "tones", 16),
            number=_text(table, "number", _LONGEST_NUMBER),
            answered=table.get("answered") is True,
            seconds=_number(table, "seconds", 1, LONGEST_LISTENING, 120),
        )
    if operation == "answered":
        return Answered(id=name)
    if operation == "stop":
        return Stop(id=name, failed=_failed(table.get("failed")))
    raise BadRequest("op is one of listen, answered, stop, ping")


def _failed(table: Any) -> Failed | None:
    if table is None:
        return None
    if not isinstance(table, dict):
        raise BadRequest("failed is an object")
    call = _text(table, "call", 36)
    try:
        call_id = UUID(call) if call else None
    except ValueError as error:
        raise BadRequest("failed.call is no UUID") from error
    code = table.get("code")
    return Failed(
        call=call_id,
        number=_text(table, "number", _LONGEST_NUMBER),
        code=None if code is None else _number(table, "code", 300, 699, 0),
    )


def _text(table: dict[str, Any], name: str, longest: int) -> str:
    value = table.get(name, "")
    if not isinstance(value, str) or len(value) > longest or not value.isprintable():
        raise BadRequest(f"{name}: up to {longest} printing characters")
    return value


def _number(table: dict[str, Any], name: str, low: int, high: int, default: int) -> int:
    value = table.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise BadRequest(f"{name}: {low} to {high}")
    return value


def line(operation: str, **fields: object) -> bytes:
    """Return an answer or an event as a line."""
    return json.dumps({"op": operation, **fields}, ensure_ascii=False, default=str).encode() + b"\n"


def verdict_line(name: str, verdict: Verdict) -> bytes:
    """Return a verdict on a leg as a line."""
    return line(
        "verdict",
        id=name,
        heard=verdict.heard,
        name=verdict.name,
        reason=verdict.reason,
        final=verdict.final,
        doubtful=verdict.doubtful,
        at=round(verdict.at_seconds, 3),
        since=round(verdict.since_seconds, 3),
        likeness=verdict.likeness,
        fingerprint=verdict.fingerprint_id,
    )
