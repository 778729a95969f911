"""What listening to voice mail asks of its host besides what every application may, and what happens to it alone.

Pure values.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sems_apps.actions import Action
from sems_apps.events import Event


class BoxRefusal(StrEnum):
    """Why a mailbox is not opened."""

    #: There is none that is opened from elsewhere, or the PIN is another one: a caller is told no difference.
    WRONG = "wrong"
    #: Too many wrong PINs; a while nobody gets in.
    LOCKED = "locked"
    #: The database does not answer.
    AWAY = "away"


@dataclass(frozen=True, slots=True)
class VoiceMessage:
    """A message as it is told."""

    message_id: str
    #: Number or user name of who left it; "": hidden.
    caller: str
    #: Aware.
    left_at: datetime
    is_new: bool


# ---- actions


@dataclass(frozen=True, slots=True)
class OpenBox(Action):
    """Find what is in a mailbox; BoxClosed, BoxOpened or BoxRefused comes."""

    mailbox: str
    #: Who asks has shown that it is his; else a PIN is wanted.
    allowed: bool
    pin: str = ""


@dataclass(frozen=True, slots=True)
class FetchMessage(Action):
    """Make the sound of a message ready for this call; MessageReady or MessageMissing comes."""

    mailbox: str
    message_id: str


@dataclass(frozen=True, slots=True)
class NoteHeard(Action):
    """A message was heard; told until the database has it."""

    mailbox: str
    message_id: str


@dataclass(frozen=True, slots=True)
class RemoveMessages(Action):
    """Messages are deleted; told until the database has it."""

    mailbox: str
    message_ids: tuple[str, ...]


#: What the host's mailbox port performs.
MAILBOX_ACTIONS = (OpenBox, FetchMessage, NoteHeard, RemoveMessages)

# ---- events


@dataclass(frozen=True, slots=True)
class MailboxAsked(Event):
    """A call that wants to listen to a mailbox."""

    mailbox: str
    #: The caller is who it belongs to: the proxy has authenticated him.
    allowed: bool
    #: What is spoken; "": as the mailbox is set.
    language: str = ""
    #: He was answered already, by what he went through before.
    answered: bool = False


@dataclass(frozen=True, slots=True)
class BoxClosed(Event):
    """A PIN is wanted."""

    language: str


@dataclass(frozen=True, slots=True)
class BoxOpened(Event):
    """What is in the mailbox, in the order in which it is told."""

    language: str
    #: Aware, in the zone whose clock is told.
    now: datetime
    messages: tuple[VoiceMessage, ...] = ()


@dataclass(frozen=True, slots=True)
class BoxRefused(Event):
    """The mailbox stays closed."""

    reason: BoxRefusal


@dataclass(frozen=True, slots=True)
class MessageReady(Event):
    """The sound of a message is there."""

    message_id: str
    #: Compiled file, without payload type.
    path: str


@dataclass(frozen=True, slots=True)
class MessageMissing(Event):
    """The sound of a message cannot be had."""

    message_id: str
    reason: str
