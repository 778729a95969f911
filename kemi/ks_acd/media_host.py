"""What proxy and media host tell each other in headers (contracts.md 3), and which host is tried first. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, unquote
from uuid import UUID
from zlib import crc32

from callcore.errors import BadInput
from kemi.ks_acd.model import MediaHost, QueueCall

#: Option tags that a media host does not know (sippy): taken out of Supported and Require.
UNKNOWN_OPTIONS = frozenset({"timer", "100rel"})
#: Headers that mean nothing without them (RFC 4028).
TIMER_HEADERS = ("Session-Expires", "Min-SE")
#: Values of X-KS-Leg.
LEGS = frozenset({"caller", "agent", "callee", "supervisor", "peer"})
_UNESCAPED = "+*#@:/!~"


class BadHeader(BadInput):
    """A header of a media host does not say what it should."""

    error_id = "bad-header"


def write_arg(values: Mapping[str, object]) -> str:
    """Return "key=value;..." with percent-encoded values; None is left out."""
    told = ((key, _text(value)) for key, value in values.items() if value is not None)
    return ";".join(f"{key}={quote(text, safe=_UNESCAPED)}" for key, text in told)


def _text(value: object) -> str:
    return ("1" if value else "0") if isinstance(value, bool) else str(value)


def read_arg(text: str) -> dict[str, str]:
    """Read what write_arg wrote; what is no key=value is left out."""
    pairs = (part.partition("=") for part in text.split(";"))
    return {key.strip(): unquote(value) for key, mark, value in pairs if mark and key.strip()}


def queue_headers(call_id: str, call: QueueCall, settings: Mapping[str, object]) -> tuple[str, ...]:
    """Return the header lines of a queue call on its way to a media host."""
    plain = {key: value for key, value in settings.items() if isinstance(value, str | int | float)}
    arg = {
        **plain,
        "tenant": call.tenant_id,
        "queue": call.queue_id,
        "name": call.queue_name,
        "caller": call.caller,
        "called": call.called or None,
        "entry": call.entry_id or None,
    }
    return application_headers(call_id, "hold_queue", arg)


def application_headers(call_id: str, application: str, arg: Mapping[str, object]) -> tuple[str, ...]:
    """Return the header lines that start an application at a media host."""
    return (
        f"X-KS-Call: {call_id}",
        f"X-KS-App: {application}",
        f"X-KS-Arg: {write_arg(arg)}",
        "X-KS-Leg: caller",
    )


def known_options(header: str) -> str:
    """Return a Supported or Require header without the option tags that a media host does not know; may be ""."""
    tags = (tag.strip() for tag in header.split(","))
    return ", ".join(tag for tag in tags if tag and tag.lower() not in UNKNOWN_OPTIONS)


def in_order(
    hosts: Sequence[MediaHost], *, resting: Iterable[str] = (), seed: str | None = None
) -> tuple[MediaHost, ...]:
    """Return hosts in the order of trying: as given (least loaded first), or spread by `seed`; resting ones last."""
    start = crc32(seed.encode()) % len(hosts) if seed and hosts else 0
    turned = [*hosts[start:], *hosts[:start]]
    tired = frozenset(resting)
    return tuple(sorted(turned, key=lambda host: host.address in tired))


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLeg:
    """A leg that a media host asks the proxy for."""

    #: The call that it belongs to; None: a new one.
    call_id: UUID | None
    #: agent, callee, supervisor; caller: who asked to be called back
    leg: str
    offer_id: int
    #: None: the domain of the Request-URI says it.
    tenant_id: int | None
    #: account, number, or another kind of destination; "": what the routes say of the user part.
    to_kind: str
    arg: Mapping[str, str] = field(default_factory=dict)


def read_leg(*, call: str, leg: str, offer: str, arg: str) -> HostLeg:
    """Read the headers of an INVITE from a media host. Raises BadHeader."""
    values = read_arg(arg)
    try:
        call_id = UUID(call) if call else None
    except ValueError as error:
        raise BadHeader(f"X-KS-Call is no id: {call[:64]!r}") from error
    kind = (leg or "callee").strip().lower()
    if kind not in LEGS:
        raise BadHeader(f"X-KS-Leg: {leg[:64]!r}")
    return HostLeg(
        call_id=call_id,
        leg=kind,
        offer_id=_number(offer or "0", "X-KS-Offer"),
        tenant_id=_number(values["tenant"], "tenant") if values.get("tenant") else None,
        to_kind=values.get("to_kind", ""),
        arg=values,
    )


def _number(text: str, what: str) -> int:
    if not (text.strip().isdecimal() and len(text.strip()) < 19):
        raise BadHeader(f"{what}: {text[:64]!r}")
    return int(text)
