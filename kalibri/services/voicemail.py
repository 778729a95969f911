"""Voice mail: what is in the mailboxes, what was heard, and to which addresses messages go out.

A message is here from the moment when its recording can be played until that is removed; the sound, its files and who
reached them are recording.py's. How letters are sent: voicemail_letter.py. How a message is taken: docs/ivr.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.errors import HeaderParseError
from email.headerregistry import Address
from pathlib import Path
from uuid import UUID

from callcore.errors import BadInput, NotFound, Refused
from callcore.states import LetterState
from kalibri import db
from kalibri.config import Config
from kalibri.db import Conn
from kalibri.pin import check_pin, hash_pin
from kalibri.services import recording as recordings

SQL = db.statements("voicemail")
NO_LIMIT = 1_000_000_000
_ADDRESS = re.compile(r"[^@\s<>,;\"()\x00-\x1f]{1,64}@[A-Za-z0-9][A-Za-z0-9.-]{0,253}")


@dataclass(frozen=True, kw_only=True)
class VoiceMessage:
    """A message in a mailbox."""

    tenant_id: int
    tenant: str
    #: Its id: that of the recording.
    recording_id: UUID
    mailbox: str
    #: The account whose mailbox it is; None: that of no account.
    account: str | None
    #: Number or user name of who left it.
    caller: str
    call_id: UUID
    left_at: datetime
    duration_ms: int
    arrived_at: datetime
    #: None: it is new.
    heard_at: datetime | None
    heard_by: str
    #: The e-mail that carries it; tries so far, the next one, and what the last one said.
    letter: LetterState
    letter_attempts: int
    letter_next_at: datetime | None
    letter_sent_at: datetime | None
    letter_error: str


@dataclass(frozen=True, kw_only=True)
class Mailbox:
    """A mailbox that has messages or addresses."""

    tenant_id: int
    tenant: str
    mailbox: str
    new: int
    heard: int
    #: Letters that could not be sent so far.
    unsent: int
    #: Addresses to which its messages go out.
    recipients: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class PhoneAccess:
    """How a mailbox is listened to by telephone."""

    tenant_id: int
    tenant: str
    mailbox: str
    #: Whether a PIN opens it from other telephones than the own one.
    has_pin: bool
    #: What is spoken: ru or en.
    language: str
    #: PINs that were tried since the last right one.
    failures: int
    #: Until then no PIN opens it.
    locked_until: datetime | None


# -------------------------------------------------------------------------------------------- messages


def list_messages(
    conn: Conn,
    *,
    tenant_id: int | None,
    mailbox: str | None = None,
    is_new: bool | None = None,
    limit: int | None = None,
) -> list[VoiceMessage]:
    """Return messages, the latest first; None: whatever it is."""
    given = {"tenant_id": tenant_id, "mailbox": mailbox, "is_new": is_new, "recording_id": None}
    most = NO_LIMIT if limit is None else limit
    return db.fetch_all(conn, VoiceMessage, SQL["list_messages"], **given, limit=most)


def find(conn: Conn, *, tenant_id: int, message: str, mailbox: str | None = None) -> VoiceMessage:
    """Return the message whose id begins so; mailbox: only of this one. Raises NotFound, BadInput."""
    recording_id = recordings.find_id(conn, text=message)
    given = {"tenant_id": tenant_id, "mailbox": mailbox, "is_new": None, "recording_id": recording_id}
    found = db.fetch_one(conn, VoiceMessage, SQL["list_messages"], **given, limit=1)
    return db.require(found, "voice message", message)


def set_heard(
    conn: Conn, *, tenant_id: int, message: str, by: str, heard: bool = True, mailbox: str | None = None
) -> VoiceMessage:
    """Note that a message was heard, or that it is new again; raises NotFound, BadInput."""
    with conn.transaction():
        found = find(conn, tenant_id=tenant_id, message=message, mailbox=mailbox)
        given = {"tenant_id": tenant_id, "recording_id": found.recording_id, "by": by, "heard": heard}
        if db.execute(conn, SQL["set_heard"], **given):
            recordings.note(conn, found.recording_id, "heard" if heard else "unheard", by)
        return find(conn, tenant_id=tenant_id, message=str(found.recording_id))


def remove(
    conn: Conn, *, tenant_id: int, message: str, by: str, why: str = "", mailbox: str | None = None
) -> None:
    """Remove a message and its recording; ks-rec erases the files. Raises NotFound, BadInput, LegalHold."""
    with conn.transaction():
        found = find(conn, tenant_id=tenant_id, message=message, mailbox=mailbox)
        recordings.remove(conn, recording_id=found.recording_id, by=by, why=why or "voice mail")


def sound(conn: Conn, config: Config, *, tenant_id: int, message: str, by: str) -> Path:
    """Return the MP3 of a message for playing, which makes it heard. Raises NotFound, BadInput, Unavailable."""
    found = find(conn, tenant_id=tenant_id, message=message)
    path = recordings.audio(conn, config, recording_id=found.recording_id, name="mp3", by=by, use="play")
    set_heard(conn, tenant_id=tenant_id, message=str(found.recording_id), by=by)
    return path


def send_again(conn: Conn, *, tenant_id: int, message: str, mailbox: str | None = None) -> VoiceMessage:
    """Have a message sent to the addresses of its mailbox, at once, whether it was sent or not.

    Raises NotFound, BadInput, Refused without an address.
    """
    with conn.transaction():
        found = find(conn, tenant_id=tenant_id, message=message, mailbox=mailbox)
        if not find_mailbox(conn, tenant_id=tenant_id, mailbox=found.mailbox).recipients:
            raise Refused(f'mailbox "{found.mailbox}" has no address: ksctl voicemail set')
        db.execute(conn, SQL["send_again"], tenant_id=tenant_id, recording_id=found.recording_id)
        return find(conn, tenant_id=tenant_id, message=str(found.recording_id))


# ------------------------------------------------------------------------------------------- mailboxes


def list_mailboxes(conn: Conn, *, tenant_id: int | None) -> list[Mailbox]:
    """Return the mailboxes that have messages or addresses; tenant_id None: of all tenants."""
    return db.fetch_all(conn, Mailbox, SQL["list_mailboxes"], tenant_id=tenant_id, mailbox=None)


def find_mailbox(conn: Conn, *, tenant_id: int, mailbox: str) -> Mailbox:
    """Return one mailbox; raises NotFound for one without messages and addresses."""
    found = db.fetch_one(conn, Mailbox, SQL["list_mailboxes"], tenant_id=tenant_id, mailbox=mailbox)
    return db.require(found, "mailbox", mailbox)


def set_mailbox(conn: Conn, *, tenant_id: int, mailbox: str, recipients: Sequence[str]) -> Mailbox:
    """Send messages that come from now on to these addresses. Raises BadInput."""
    check_addresses(recipients)
    with conn.transaction():
        db.execute(
            conn, SQL["set_mailbox"], tenant_id=tenant_id, mailbox=mailbox, recipients=list(recipients)
        )
        return find_mailbox(conn, tenant_id=tenant_id, mailbox=mailbox)


def drop_mailbox(conn: Conn, *, tenant_id: int, mailbox: str) -> None:
    """Send messages of a mailbox no more, not even those that wait for it; raises NotFound without an address."""
    with conn.transaction():
        if not db.execute(conn, SQL["drop_mailbox"], tenant_id=tenant_id, mailbox=mailbox):
            raise NotFound(f'mailbox "{mailbox}" has no address', kind="mailbox", name=mailbox)
        db.execute(conn, SQL["forget_letters"], tenant_id=tenant_id, mailbox=mailbox)


# ------------------------------------------------------------------------------------------ by telephone


def phone_access(conn: Conn, *, tenant_id: int, mailbox: str) -> PhoneAccess:
    """Return how a mailbox is listened to by telephone; one of which nothing was set has the defaults."""
    found = db.fetch_one(conn, PhoneAccess, SQL["phone_access"], tenant_id=tenant_id, mailbox=mailbox)
    return db.require(found, "tenant", tenant_id)


def set_phone(
    conn: Conn,
    *,
    tenant_id: int,
    mailbox: str,
    pin: str | None = None,
    language: str | None = None,
    unlock: bool = False,
) -> PhoneAccess:
    """Set the PIN of a mailbox ("": none any more), or what is spoken; None: as it is.

    A new PIN, and `unlock`, end a lock-out. Raises BadInput.
    """
    if pin:
        check_pin(pin)
    kept = hash_pin(pin) if pin else pin
    with conn.transaction():
        db.execute(
            conn,
            SQL["set_phone"],
            tenant_id=tenant_id,
            mailbox=mailbox,
            pin_hash=kept,
            language=language,
            forget=unlock or pin is not None,
        )
        return phone_access(conn, tenant_id=tenant_id, mailbox=mailbox)


def check_addresses(recipients: Sequence[str]) -> None:
    """Refuse what is no e-mail address, and none at all; raises BadInput."""
    if not recipients:
        raise BadInput("give at least one e-mail address")
    for recipient in recipients:
        if not _is_address(recipient):
            raise BadInput(f"{recipient!r} is no e-mail address")


def _is_address(text: str) -> bool:
    """Tell whether a header can hold it: who writes letters must not meet what it cannot write."""
    try:
        return bool(_ADDRESS.fullmatch(text)) and text.isascii() and Address(addr_spec=text).addr_spec == text
    except (ValueError, IndexError, HeaderParseError):
        return False
