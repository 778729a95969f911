"""The call token: call id carried in our Record-Route, so that every later request of a dialog names its call.

It is sealed with a MAC over the call id, its flags and the SIP Call-ID, hence a phone can neither invent one nor
use that of another call. It works with no memory at all: after a restart of the proxy, BYE and 200 still find
their call. Pure: the secret is an argument.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from functools import lru_cache

from callcore.value import value

#: Name of the Record-Route URI parameter (RFC 3261 section 20.30 allows any).
PARAMETER = "ksc"
_MAC_HEX = 20
_TOKEN = re.compile(
    rf";{PARAMETER}=([0-9a-f]{{32}})-([a-z0-9]{{0,8}})-([0-9a-f]{{{_MAC_HEX}}})(?=[;>,?\s]|$)"
)


@value
class CallToken:
    """What the Record-Route of a call says."""

    #: UUIDv7 as text.
    call_id: str
    #: Caller is behind NAT: its media address is not to be believed.
    caller_nat: bool = False


@lru_cache(maxsize=4)
def _key(secret: bytes) -> bytes:
    return hashlib.blake2s(secret, person=b"ksc").digest()


def _mac(secret: bytes, sip_call_id: str, body: str) -> str:
    # Keyed BLAKE2 is a MAC by itself (RFC 7693 section 2.9), and six times cheaper here than HMAC through OpenSSL.
    text = f"{body}\n{sip_call_id}".encode()
    return hashlib.blake2s(text, key=_key(secret), digest_size=_MAC_HEX // 2).hexdigest()


def seal(secret: bytes, token: CallToken, sip_call_id: str) -> str:
    """Return the URI parameter, as ";ksc=…", for this call."""
    flags = "n" if token.caller_nat else ""
    body = f"{token.call_id.replace('-', '')}-{flags}"
    return f";{PARAMETER}={body}-{_mac(secret, sip_call_id, body)}"


def find(secret: bytes, routes: str, sip_call_id: str) -> CallToken | None:
    """Return the token in Route or Record-Route text whose seal is right for this SIP Call-ID, else None."""
    for match in _TOKEN.finditer(routes):
        call_hex, flags, mac = match.groups()
        if hmac.compare_digest(mac, _mac(secret, sip_call_id, f"{call_hex}-{flags}")):
            call_id = f"{call_hex[:8]}-{call_hex[8:12]}-{call_hex[12:16]}-{call_hex[16:20]}-{call_hex[20:]}"
            return CallToken(call_id, caller_nat="n" in flags)
    return None
