"""Where a caller of a queue may be sent: by overflow, by a supervisor who ejects or transfers him, or to listen.

Decides form and existence at the moment when somebody asks; where the call then leads is decided by the proxy
(kemi/queue_exit.py, kemi/application_calls.py).
"""

from __future__ import annotations

import re

from callcore.errors import BadInput
from kalibri import db
from kalibri.db import Conn
from kalibri.services import agent as agents
from kalibri.services.destination import parse_destination, require_destination
from kemi.ks_route.model import DestinationKind

SQL = db.statements("queue")

#: Kinds beside those of routes: digits that the routes look at, and an agent by his name.
NUMBER, AGENT = "number", "agent"
_DIGITS = re.compile(r"[+]?[0-9*#]{2,32}", re.ASCII)
#: A gateway has no number to dial, and nothing waits behind the others.
_EXITS = (
    DestinationKind.ACCOUNT,
    DestinationKind.QUEUE,
    DestinationKind.IVR,
    DestinationKind.ANNOUNCEMENT,
    DestinationKind.URI,
)
#: Of who has not been answered yet: a response of its own.
_RESPONSES = (DestinationKind.REJECT, DestinationKind.REDIRECT)


class BadTarget(BadInput):
    """A caller of a queue cannot be sent there."""

    error_id = "bad-target"


def require_target(
    conn: Conn, *, tenant_id: int, kind: str, value: str, responses: bool = False
) -> dict[str, str]:
    """Return {"to_kind", "to"} of a target that is well-formed and exists.

    responses: reject and redirect are targets, too. Raises BadTarget, BadInput, NotFound.
    """
    known = (NUMBER, *_EXITS, *(_RESPONSES if responses else ()))
    if kind not in known:
        raise BadTarget(f'a caller cannot be sent to "{kind}": {", ".join(known)}')
    if kind == NUMBER:
        if not _DIGITS.fullmatch(value):
            raise BadTarget(f'"{value}" is no number')
        return {"to_kind": kind, "to": value}
    destination = parse_destination(kind, value)
    require_destination(conn, tenant_id=tenant_id, destination=destination)
    if destination.kind is DestinationKind.QUEUE:
        found = db.fetch_value(conn, SQL["queue_exists"], tenant_id=tenant_id, name=value)
        db.require(found or None, "queue", value)
    return {"to_kind": destination.kind.value, "to": destination.value}


def parse_target(conn: Conn, *, tenant_id: int, text: str, default: str = "") -> dict[str, str]:
    """Return {"to_kind", "to"} of KIND:VALUE; without a kind it is the `default`. An agent is sought by his name.

    Raises BadTarget, BadInput, NotFound.
    """
    kind, colon, value = text.partition(":")
    if not colon:
        kind, value = default, text
    if not kind:
        raise BadTarget(f'"{text}": write KIND:VALUE, as account:101')
    if kind == AGENT:
        found = agents.find(conn, tenant_id=tenant_id, name=value)
        if found.number is not None:
            return {"to_kind": NUMBER, "to": found.number}
        return {"to_kind": DestinationKind.ACCOUNT.value, "to": str(found.account)}
    return require_target(conn, tenant_id=tenant_id, kind=kind, value=value)
