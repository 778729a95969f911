"""First look at a request: decides whether it is served at all, before anything in it is believed. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from callcore.sip import SipCode
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
ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, MESSAGE, REFER, INFO, UPDATE, PRACK, NOTIFY"
#: Longer users are no numbers and no accounts; the index caps its inputs too.
MAX_USER_CHARACTERS = 128


@dataclass(frozen=True, slots=True)
class Refusal:
    """A final response; code 0: say nothing (the sender is not worth a packet)."""

    code: int
    reason: str


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
    if _has_control_characters(sip.ruri_user) or _has_control_characters(sip.from_user):
        return Refusal(SipCode.BAD_REQUEST, "Bad User")
    return None


def _has_control_characters(text: str) -> bool:
    return any(character < " " or character == "\x7f" for character in text)
