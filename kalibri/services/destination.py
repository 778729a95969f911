"""What a public number may lead to: the form of a destination, and whether it exists.

Decides only what may be stored; what a call does there is decided in kemi/ks_route/destinations.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from callcore.errors import BadInput
from kalibri import db
from kalibri.db import Conn
from kemi.ks_route.model import DestinationKind

SQL = db.statements("destination")

_SIP_URI = r"sips?:[^\s<>\",]{1,500}"
#: Form of each kind that does not name an object, and how to say it.
_FORMS: Mapping[DestinationKind, tuple[str, str]] = {
    DestinationKind.URI: (_SIP_URI, "a SIP URI, as sip:100@example.org"),
    DestinationKind.ACCOUNT: (r"[A-Za-z0-9_.+*#-]{1,64}", "the user name of an account"),
    DestinationKind.REJECT: (
        r"[4-6][0-9]{2}( [ -~]{1,80})?",
        'a final response, as 486 or "404 No Such Number"',
    ),
    DestinationKind.REDIRECT: (rf"{_SIP_URI}( *, *{_SIP_URI})*", "SIP URIs with commas between them"),
}
_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}"


class BadDestination(BadInput):
    """A number cannot lead there."""

    error_id = "bad-destination"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a number of a tenant leads."""

    kind: DestinationKind
    #: User name, name, URI, response code or contacts, by kind.
    value: str


@dataclass(frozen=True, slots=True)
class _Missing:
    line: int
    message: str


def parse_destination(kind: str, value: str) -> Destination:
    """Return a destination in its stored form; raises BadDestination."""
    if kind not in tuple(DestinationKind) or kind == DestinationKind.NEXT:
        known = ", ".join(word for word in DestinationKind if word is not DestinationKind.NEXT)
        raise BadDestination(f'a number cannot lead to "{kind}": {known}')
    checked = DestinationKind(kind)
    form, meaning = _FORMS.get(checked, (_NAME, f"the name of the {checked}"))
    if not re.fullmatch(form, value, re.ASCII | re.IGNORECASE):
        raise BadDestination(f'destination {checked}: "{value}" is not {meaning}')
    return Destination(checked, value)


def require_destination(conn: Conn, *, tenant_id: int, destination: Destination) -> None:
    """Raise BadDestination if neither the tenant nor (for gateways and groups) the system has it."""
    for message in missing_destinations(conn, {0: (tenant_id, destination)}).values():
        raise BadDestination(message)


def missing_destinations(conn: Conn, wanted: Mapping[int, tuple[int, Destination]]) -> dict[int, str]:
    """Return what is wrong with destinations {line: (tenant id, destination)}, by line."""
    rows = db.fetch_all(
        conn,
        _Missing,
        SQL["missing_destinations"],
        lines=list(wanted),
        tenant_ids=[tenant_id for tenant_id, _ in wanted.values()],
        kinds=[destination.kind.value for _, destination in wanted.values()],
        destinations=[destination.value for _, destination in wanted.values()],
    )
    return {row.line: row.message for row in rows}
