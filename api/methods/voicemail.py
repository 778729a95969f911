"""Methods voicemail.*: messages in mailboxes, the addresses to which they go out, and the PINs that open them.

The token of an account reaches the mailbox of that account and no other one. Sound is not sent here (ksctl plays it).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from api.method import Context, Method, Scope, Tenancy
from kalibri.db import Conn
from kalibri.services import voicemail
from kalibri.services.voicemail import PhoneAccess, VoiceMessage

Limit = Annotated[int, Field(ge=1, le=1000)]
Language = Literal["ru", "en"]
Addresses = Annotated[list[str], Field(min_length=1, max_length=20)]


def list_messages(
    conn: Conn, *, tenant_id: int, mailbox: str, is_new: bool | None = None, limit: Limit = 50
) -> list[VoiceMessage]:
    """Return the messages of a mailbox, the latest first; is_new: only new ones, or only heard ones."""
    return voicemail.list_messages(conn, tenant_id=tenant_id, mailbox=mailbox, is_new=is_new, limit=limit)


def show(conn: Conn, *, tenant_id: int, mailbox: str, message: str) -> VoiceMessage:
    """Return a message; the first digits of its id will do. Raises NotFound, BadInput."""
    return voicemail.find(conn, tenant_id=tenant_id, mailbox=mailbox, message=message)


def seen(context: Context, *, tenant_id: int, mailbox: str, message: str, heard: bool = True) -> VoiceMessage:
    """Note that a message was heard; heard false: it is new again. Raises NotFound, BadInput."""
    return voicemail.set_heard(
        context.conn,
        tenant_id=tenant_id,
        mailbox=mailbox,
        message=message,
        heard=heard,
        by=context.principal.actor,
    )


def remove(context: Context, *, tenant_id: int, mailbox: str, message: str) -> None:
    """Remove a message with its recording. Raises NotFound, BadInput, LegalHold."""
    voicemail.remove(
        context.conn, tenant_id=tenant_id, mailbox=mailbox, message=message, by=context.principal.actor
    )


def mail(conn: Conn, *, tenant_id: int, mailbox: str, message: str) -> VoiceMessage:
    """Have a message sent to the addresses of its mailbox, again if it was sent. Raises NotFound, Refused."""
    return voicemail.send_again(conn, tenant_id=tenant_id, mailbox=mailbox, message=message)


def phone(
    conn: Conn,
    *,
    tenant_id: int,
    mailbox: str,
    pin: str | None = None,
    language: Language | None = None,
    unlock: bool = False,
) -> PhoneAccess:
    """Return how a mailbox is listened to by telephone, after what is given was changed; pin "": none any more.

    Raises BadInput.
    """
    if pin is None and language is None and not unlock:
        return voicemail.phone_access(conn, tenant_id=tenant_id, mailbox=mailbox)
    return voicemail.set_phone(
        conn, tenant_id=tenant_id, mailbox=mailbox, pin=pin, language=language, unlock=unlock
    )


METHODS = (
    Method("voicemail.boxes", voicemail.list_mailboxes, Scope.READ, Tenancy.FILTER),
    *(
        Method(f"voicemail.{verb}", do, Scope.AGENT, Tenancy.ONE, account="mailbox")
        for verb, do in (
            ("list", list_messages),
            ("show", show),
            ("seen", seen),
            ("rm", remove),
            ("mail", mail),
            ("phone", phone),
        )
    ),
    Method(
        "voicemail.set", voicemail.set_mailbox, Scope.ADMIN, Tenancy.ONE, narrow={"recipients": Addresses}
    ),
    Method("voicemail.unset", voicemail.drop_mailbox, Scope.ADMIN, Tenancy.ONE),
)
