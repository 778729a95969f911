"""Whether an answer to a digest challenge uses a nonce that was given to this very address, and is still good. Pure.

Kamailio's auth module makes the nonces, bound to the source address (conf/kamailio.cfg: auth_checks_*), but tells a
nonce that is not good only to whom the password is known: a wrong password is "wrong" with whatever nonce. So nobody
could count wrong passwords without counting those that a forger sends in another's name. Here it is found out before
the password is looked at.

A nonce of Kamailio 5.6, in base64: expiry and time of making (4 bytes each, Unix time), MD5 of these (16), MD5 of the
source address and the second half of the secret (16), and more.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Iterable

_EXPIRY, _ADDRESS = slice(0, 4), slice(24, 40)
_SHORTEST_BYTES = 40
_PARAMETER = re.compile(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')


def nonce_for(credentials: Iterable[str], realm: str) -> str:
    """Return the nonce of the credentials for a realm, among the values of a header; "" if there is none."""
    for text in credentials:
        parameters = {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(text)}
        if parameters.get("realm", "").lower() == realm.lower():
            return str(parameters.get("nonce", ""))
    return ""


def is_good(nonce: str, ip: str, *, secret: bytes, now: float) -> bool:
    """Tell whether a nonce was given to this address and has not expired; secret: that of the auth module.

    now: Unix time. What was changed in it, the auth module finds.
    """
    try:
        raw = base64.b64decode(nonce, validate=True)
    except ValueError:
        return False
    if len(raw) < _SHORTEST_BYTES or int.from_bytes(raw[_EXPIRY], "big") < now:
        return False
    return hmac.compare_digest(raw[_ADDRESS], address_mark(ip, secret))


def address_mark(ip: str, secret: bytes) -> bytes:
    """Return what a nonce says of the address that it was given to."""
    packed = ipaddress.ip_address(ip.strip("[]")).packed
    return hashlib.md5(packed + secret[(len(secret) + 1) // 2 :], usedforsecurity=False).digest()
