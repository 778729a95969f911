"""Passwords of SIP accounts: only HA1 is stored (RFC 3261 section 22, RFC 8760), weak ones are refused.

A password is an argument here and nowhere kept. HA1 cannot be turned back, but for its realm it is as good
as the password, so it is a secret too.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from callcore.errors import Refused

MIN_PASSWORD_CHARACTERS = 8


class WeakPassword(Refused):
    """The password is too weak."""

    error_id = "weak-password"


@dataclass(frozen=True)
class Ha1:
    """What is stored of a password, for the two digest algorithms."""

    md5: str = field(repr=False)
    sha256: str = field(repr=False)


def ha1(username: str, realm: str, password: str) -> Ha1:
    """Compute HA1 = H(username:realm:password), UTF-8, for MD5 and SHA-256."""
    text = f"{username}:{realm}:{password}".encode()
    return Ha1(
        md5=hashlib.md5(text, usedforsecurity=False).hexdigest(), sha256=hashlib.sha256(text).hexdigest()
    )


def check_password(username: str, password: str) -> None:
    """Refuse what a guesser tries first; raises WeakPassword."""
    if len(password) < MIN_PASSWORD_CHARACTERS:
        raise WeakPassword(f"the password has fewer than {MIN_PASSWORD_CHARACTERS} characters")
    if not password.isprintable():
        raise WeakPassword("the password holds characters that do not print")
    if password.lower() == username.lower() or len(set(password)) == 1:
        raise WeakPassword("the password is the user name or one character repeated")
