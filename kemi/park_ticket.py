"""What a transfer to a park code becomes: a user part that says where to park and who parks, sealed.

The phone that follows a REFER calls what Refer-To names and says nothing reliable about who sent it (Referred-By is
optional, RFC 3892). So the proxy, through which the REFER passes, writes both into Refer-To. The seal keeps phones
and gateways from parking calls that nobody transferred. Pure: the secret is an argument.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from functools import lru_cache
from urllib.parse import unquote

from callcore.value import value

_MAC_HEX = 20
PREFIX = "park-"
_TICKET = re.compile(rf"park-([0-9]{{1,9}})-([0-9]{{1,2}})-([0-9a-f]{{{_MAC_HEX}}})-(.{{0,64}})", re.ASCII)


@value
class ParkTicket:
    """Permission to park one call."""

    tenant_id: int
    #: 0: any that is free.
    slot: int
    #: User name of who parks; "": not known.
    parker: str


@lru_cache(maxsize=4)
def _key(secret: bytes) -> bytes:
    return hashlib.blake2s(secret, person=b"kspark").digest()


def _mac(secret: bytes, ticket: ParkTicket) -> str:
    text = f"{ticket.tenant_id}\n{ticket.slot}\n{ticket.parker}".encode()
    return hashlib.blake2s(text, key=_key(secret), digest_size=_MAC_HEX // 2).hexdigest()


def seal(secret: bytes, ticket: ParkTicket) -> str:
    """Return the user part of the URI that is called with this ticket; the name of the parker is not escaped."""
    return f"{PREFIX}{ticket.tenant_id}-{ticket.slot}-{_mac(secret, ticket)}-{ticket.parker}"


def read(secret: bytes, user: str) -> ParkTicket | None:
    """Return the ticket that a user part is; None: it is none, or its seal is not ours."""
    if not user.startswith(PREFIX):
        return None
    match = _TICKET.fullmatch(unquote(user))
    if match is None:
        return None
    ticket = ParkTicket(int(match[1]), int(match[2]), match[4])
    return ticket if hmac.compare_digest(match[3], _mac(secret, ticket)) else None
