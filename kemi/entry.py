"""First look at a request: decides whether it is served at all, before anything in it is believed. Pure."""

from __future__ import annotations

import re

from callcore.sip import SipCode
from callcore.value import value
from kemi.sip_request import SipRequest

#: Methods that are relayed or answered (RFC 3261, 3262, 3311, 3428, 3515, 6086, 6665, 3903).
SERVED_METHODS = frozenset(
    [
        "REGISTER",
        "INVITE",
        "ACK",
        "BYE",
        "CANCEL",
        "OPTIONS",
        "INFO",
        "UPDATE",
        "PRACK",
        "REFER",
        "NOTIFY",
        "SUBSCRIBE",
        "MESSAGE",
        "PUBLISH",
    ]
)
#: What we answer in Allow (RFC 3261 section 20.5).
ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, MESSAGE, REFER, INFO, UPDATE, PRACK, NOTIFY, SUBSCRIBE"
#: Schemes of a Request-URI that can be routed; sanity refuses those of them that it cannot parse.
ROUTABLE_SCHEMES = frozenset(["sip", "sips", "tel", "tels", "urn"])
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")
#: Longer users are no numbers and no accounts; the index caps its inputs too.
MAX_USER_CHARACTERS = 128


@value
class Refusal:
    """A final response; code 0: say nothing (the sender is not worth a packet)."""

    code: int
    reason: str


def unknown_scheme(ruri: str) -> Refusal | None:
    """Return the refusal of a Request-URI whose scheme nobody here knows (RFC 3261 section 8.2.2.1)."""
    if ruri.startswith("sip:"):
        return None
    scheme = _SCHEME.match(ruri)
    if scheme is None or scheme[1].lower() in ROUTABLE_SCHEMES:
        return None
    return Refusal(SipCode.UNSUPPORTED_URI_SCHEME, "Unsupported URI Scheme")


def first_look(sip: SipRequest, *, max_message_bytes: int) -> Refusal | None:
    """Return why a request is refused at the door; None to go on."""
    if sip.size_bytes > max_message_bytes:
        return Refusal(SipCode.MESSAGE_TOO_LARGE, "Message Too Large")
    if sip.method not in SERVED_METHODS:
        return Refusal(SipCode.NOT_IMPLEMENTED, "Not Implemented")
    if not sip.from_tag and sip.method != "ACK":
        return Refusal(SipCode.BAD_REQUEST, "Missing From tag")
    if len(sip.ruri_user) > MAX_USER_CHARACTERS or len(sip.from_user) > MAX_USER_CHARACTERS:
        return Refusal(SipCode.BAD_REQUEST, "User Too Long")
    # None of these may hold one (section 25.1); Kamailio cannot take a NUL as a key, and nobody wants one in a log.
    texts = _texts(sip)
    if not texts.isprintable() and _CONTROL_CHARACTER.search(texts):
        return Refusal(SipCode.BAD_REQUEST, "Control Characters")
    return None


def _texts(sip: SipRequest) -> str:
    """Return what the sender wrote and what is stored, compared or shown later."""
    users = f"{sip.ruri_user} {sip.from_user} {sip.to_user} {sip.auth_user}"
    return f"{users} {sip.ruri} {sip.from_host} {sip.to_host} {sip.sip_call_id} {sip.from_tag} {sip.to_tag}"
