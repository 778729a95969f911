"""Options of a route: a typed set with a strict parser.

Decides which keys and values `route.options` may hold and how the options of chained routes add up.
Never looks up the names it carries (gateways, caller-ID sets): `check` does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import field, fields
from typing import Any

from callcore.errors import BadInput
from callcore.value import value

#: Codec names as in SDP rtpmap (RFC 8866): token characters.
_CODEC = re.compile(r"[A-Za-z0-9.+_-]{1,32}", re.ASCII)
_NUMBER = re.compile(r"\+?[0-9]{1,20}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", re.ASCII)
#: A flag travels in headers and journal lines, so it stays one short printable line.
_FLAG_VALUE = re.compile(r"[\x20-\x7e]{0,128}", re.ASCII)
#: Limits of numbers: a day for times, more calls than a machine carries for counts.
MAX_SECONDS = 86_400
MAX_CALLS = 1_000_000
MAX_FLAGS = 32


class BadRouteOption(BadInput):
    """A route option is not valid."""

    error_id = "bad-route-option"


@value(kw_only=True)
class RouteOptions:
    """What a route asks of the later stages of a call. None: the route does not say."""

    #: Record the call.
    record: bool | None = None
    #: auto: relay media when a leg is behind NAT; always; never.
    relay: str | None = None
    #: Treat the other side as behind NAT, or as not behind it.
    nat: bool | None = None
    #: The call is ended after this time, in seconds.
    max_duration_seconds: int | None = None
    #: No answer within this time ends the attempt, in seconds.
    ring_timeout_seconds: int | None = None
    #: Only these codecs are offered, in this order; empty: all.
    codecs: tuple[str, ...] = ()
    #: The A number shown, whatever the caller's.
    caller_id: str | None = None
    #: Name of a caller-ID set: the A number by region of B.
    caller_id_set: str | None = None
    #: Calls at once through this route; a full route is passed over.
    max_calls: int | None = None
    #: Passes every limit, and is marked in the call's story.
    emergency: bool | None = None
    #: Gateways of B's own region come first.
    local_provider: bool | None = None
    #: This gateway of the group comes first, by name.
    prefer_gateway: str | None = None
    #: Order inside a group: "cost" (weight splits ties) or "weight" alone.
    group_order: str | None = None
    #: Free marks that travel to later stages.
    flags: Mapping[str, str] = field(default_factory=dict)

    def merged(self, later: RouteOptions) -> RouteOptions:
        """Return these options overridden by those of a later hop; flags add up, emergency stays."""
        if later is NO_OPTIONS or later == NO_OPTIONS:
            return self
        values: dict[str, Any] = {}
        for name in _FIELDS:
            theirs = getattr(later, name)
            values[name] = getattr(self, name) if theirs is None or theirs == () else theirs
        if later.caller_id or later.caller_id_set:  # one of the two ways to substitute, the later one
            values["caller_id"], values["caller_id_set"] = later.caller_id, later.caller_id_set
        values["flags"] = {**self.flags, **later.flags}
        values["emergency"] = self.emergency or later.emergency
        return RouteOptions(**values)

    def to_json(self) -> dict[str, Any]:
        """Return only what is set, as `route.options` stores it."""
        stored: dict[str, Any] = {}
        if self is NO_OPTIONS:
            return stored
        for name in _FIELDS:
            value = getattr(self, name)
            if value is None or value == () or value == {}:
                continue
            stored[name] = list(value) if isinstance(value, tuple) else value
        return stored


_FIELDS = tuple(entry.name for entry in fields(RouteOptions))
#: A route that asks for nothing.
NO_OPTIONS = RouteOptions()


def _refuse(key: str, value: object, expected: str) -> BadRouteOption:
    return BadRouteOption(f"option {key}: {value!r} is not {expected}", key=key, value=value)


def _flag(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _refuse(key, value, "true or false")
    return value


def _count(lowest: int, highest: int) -> Callable[[str, Any], int]:
    def parse(key: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            raise _refuse(key, value, f"a whole number from {lowest} to {highest}")
        return value

    return parse


def _one_of(*words: str) -> Callable[[str, Any], str]:
    def parse(key: str, value: Any) -> str:
        if value not in words:
            raise _refuse(key, value, "one of " + ", ".join(words))
        return str(value)

    return parse


def _shape(pattern: re.Pattern[str], what: str) -> Callable[[str, Any], str]:
    def parse(key: str, value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise _refuse(key, value, what)
        return value

    return parse


def _codecs(key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or len(value) > 16:
        raise _refuse(key, value, "a list of at most 16 codec names")
    for codec in value:
        if not isinstance(codec, str) or not _CODEC.fullmatch(codec):
            raise _refuse(key, codec, "a codec name")
    return tuple(value)


def _flags(key: str, value: Any) -> Mapping[str, str]:
    if not isinstance(value, Mapping) or len(value) > MAX_FLAGS:
        raise _refuse(key, value, f"a set of at most {MAX_FLAGS} names with text values")
    for name, text in value.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise _refuse(key, name, "a flag name")
        if not isinstance(text, str) or not _FLAG_VALUE.fullmatch(text):
            raise _refuse(f"{key}.{name}", text, "text of at most 128 printable ASCII characters")
    return dict(value)


_PARSERS: Mapping[str, Callable[[str, Any], Any]] = {
    "record": _flag,
    "relay": _one_of("auto", "always", "never"),
    "nat": _flag,
    "max_duration_seconds": _count(1, MAX_SECONDS),
    "ring_timeout_seconds": _count(1, 3600),
    "codecs": _codecs,
    "caller_id": _shape(_NUMBER, "a number of at most 20 digits"),
    "caller_id_set": _shape(_NAME, "the name of a caller-ID set"),
    "max_calls": _count(0, MAX_CALLS),
    "emergency": _flag,
    "local_provider": _flag,
    "prefer_gateway": _shape(_NAME, "the name of a gateway"),
    "group_order": _one_of("cost", "weight"),
    "flags": _flags,
}


def parse_options(stored: Mapping[str, Any]) -> RouteOptions:
    """Return the typed options; raises BadRouteOption naming the key that is unknown or wrong."""
    if not stored:
        return NO_OPTIONS
    unknown = sorted(str(key) for key in stored if key not in _PARSERS)
    if unknown:
        known = ", ".join(_PARSERS)
        raise BadRouteOption(f"unknown option {unknown[0]!r}; known: {known}", key=unknown[0])
    values = {key: _PARSERS[key](key, value) for key, value in stored.items() if value is not None}
    if "caller_id" in values and "caller_id_set" in values:
        raise BadRouteOption("options caller_id and caller_id_set exclude each other", key="caller_id_set")
    return RouteOptions(**values)
