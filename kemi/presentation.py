"""What the called learns of the caller: From, Privacy (RFC 3323), P-Asserted-Identity (RFC 3325). Pure.

Who hides his number is anonymous to accounts and gateways alike; a trusted gateway is told it all the same, with the
request not to pass it on. An identity is believed from trusted gateways only. What a phone writes into its own Contact
is not changed: in-dialog requests need it.
"""

from __future__ import annotations

import re

from callcore.value import value

#: RFC 3323 section 4.1.1.3.
ANONYMOUS_HOST = "anonymous.invalid"
ANONYMOUS_URI = f"sip:anonymous@{ANONYMOUS_HOST}"
ANONYMOUS_NAME = '"Anonymous"'
#: Headers in which a caller may tell who he is, beside From; only ours go on.
IDENTITY_HEADERS = ("P-Asserted-Identity", "P-Preferred-Identity", "Remote-Party-ID")
_HIDING = frozenset({"id", "user", "header"})
_IDENTITY = re.compile(r"(?:^|<)\s*(?:sips?|tel):([^@;>\s]{1,128})(?:@([^;>\s:]{1,253}))?", re.IGNORECASE)


@value
class Identity:
    """User and host that an identity header names; host "": a tel URI."""

    user: str
    host: str


def identity_in(header: str) -> Identity | None:
    """Return the first identity of a P-Asserted- or P-Preferred-Identity header; None if there is none."""
    match = _IDENTITY.search(header)
    return None if match is None else Identity(match[1], (match[2] or "").lower())


def wants_hiding(privacy: str, from_user: str, from_host: str) -> bool | None:
    """Return whether a request asks to hide its sender; None: it does not say. "none" forbids it (section 4.2)."""
    words = {word.strip().lower() for word in privacy.split(";")} if privacy else frozenset[str]()
    if "none" in words:
        return False
    if from_host == ANONYMOUS_HOST or from_user.lower() == "anonymous" or words & _HIDING:
        return True
    return None


def is_hidden(*, asked: bool | None, always: bool, once: bool | None) -> bool:
    """Decide whether a caller is hidden. once: by a code for this call; asked: by the request; always: his setting."""
    if once is not None:
        return once
    return always if asked is None else asked


def asserted(number: str, host: str) -> str:
    """Return the P-Asserted-Identity line for a trusted gateway."""
    return f"P-Asserted-Identity: <sip:{number}@{host}>"
