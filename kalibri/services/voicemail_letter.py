"""Voice mail by e-mail: each message once to the addresses of its mailbox, with the MP3; a job of ks-worker.

A letter goes out at least once: who is killed between the server's answer and the note of it sends it again, with the
same Message-ID, which mail programs show once. While the server is away it is tried again with longer and longer waits,
and given up after three days; the event voicemail.mail_failed and `ksctl voicemail list` tell of it. A machine sends
what its own ks-rec has stored, for there the sound lies. Nothing of a call waits for any of this.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime
from uuid import UUID

from callcore.errors import KalibriError, NotFound, Unavailable
from callcore.schedule import time_zone
from kalibri import db, mail
from kalibri.config import Config
from kalibri.db import Conn
from kalibri.services import recording as recordings

log = logging.getLogger("ks-worker")

SQL = db.statements("voicemail")
FIRST_RETRY = timedelta(minutes=1)
LONGEST_RETRY = timedelta(hours=1)
#: A run of the job begins no letter after this time: the other jobs of ks-worker wait for it. The next run goes on.
LONGEST_RUN_SECONDS = 20.0
MOST_AT_ONCE = 200
#: Written as `by` into the audit of a recording.
SENDER = "ks-worker"


@dataclass(frozen=True, kw_only=True)
class Letter:
    """A message that is to be sent."""

    tenant_id: int
    tenant: str
    time_zone: str
    recording_id: UUID
    mailbox: str
    #: Of the account whose mailbox it is.
    display_name: str
    caller: str
    left_at: datetime
    duration_ms: int
    recipients: tuple[str, ...]
    #: Tries that failed.
    attempts: int
    give_up_at: datetime


def wanted(config: Config) -> bool:
    """Tell whether there is a mail server."""
    return config.mail.host is not None


def any_due(conn: Conn, config: Config) -> bool:
    """Tell whether this machine has a letter to send now."""
    return bool(db.fetch_value(conn, SQL["letters_wait"], host=config.node_name))


def send_due(conn: Conn, config: Config, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> str:
    """Send what is due on this machine: the job of ks-worker."""
    now, began, tried = clock(), time.monotonic(), 0
    due = db.fetch_all(conn, Letter, SQL["due_letters"], host=config.node_name, now=now, limit=MOST_AT_ONCE)
    well = 0
    for letter in due:
        if tried and time.monotonic() - began > LONGEST_RUN_SECONDS:
            break
        well += _try(conn, config, letter, now)
        tried += 1
    return f"{well} messages sent" + (f", {tried - well} failed" if well < tried else "")


def _try(conn: Conn, config: Config, letter: Letter, now: datetime) -> bool:
    owner = {"tenant_id": letter.tenant_id, "recording_id": letter.recording_id}
    try:
        refused = mail.send(config.mail, message(config, letter, _sound(conn, config, letter)))
    except (KalibriError, OSError) as error:
        wait = min(FIRST_RETRY * 2 ** min(letter.attempts, 10), LONGEST_RETRY)
        log.warning("message %s of %s is not sent: %s", letter.recording_id, letter.tenant, error)
        db.execute(conn, SQL["letter_failed"], **owner, next_at=now + wait, error=str(error)[:1000])
        return False
    told = "; ".join(f"{name} refused: {answer}" for name, answer in refused.items())
    with conn.transaction():
        db.execute(conn, SQL["letter_sent"], **owner, error=told[:1000])
        recordings.note(conn, letter.recording_id, "mailed", SENDER, to=list(letter.recipients))
    return True


def _sound(conn: Conn, config: Config, letter: Letter) -> bytes:
    """Return the MP3; raises Unavailable while it is not at hand, OSError."""
    found = {file.name: file for file in recordings.files(conn, recording_ids=[letter.recording_id])}
    if "mp3" not in found:
        raise NotFound("the message has no MP3")
    path = recordings.local_path(config, found["mp3"])
    if not path.is_file():
        raise Unavailable(f"the MP3 is not on this machine: ksctl recording restore {letter.recording_id}")
    return path.read_bytes()


def message(config: Config, letter: Letter, sound: bytes) -> EmailMessage:
    """Write the e-mail. What callers are called comes from outside: it stands in no header as it is."""
    caller = _printable(letter.caller) or "unknown"
    left = letter.left_at.astimezone(time_zone(letter.time_zone))
    seconds = max(1, round(letter.duration_ms / 1000))
    length = f"{seconds // 60}:{seconds % 60:02}"
    written = EmailMessage()
    written["Subject"] = f"Voice message from {caller} for {letter.mailbox} ({length})"
    written["From"] = config.mail.sender
    written["To"] = ", ".join(letter.recipients)
    written["Date"] = format_datetime(letter.left_at)
    domain = config.mail.sender.rpartition("@")[2]
    written["Message-ID"] = f"<voicemail.{letter.recording_id}@{domain}>"
    written["Auto-Submitted"] = "auto-generated"
    whose = f"{letter.mailbox} ({letter.display_name})" if letter.display_name else letter.mailbox
    written.set_content(
        f"From:    {caller}\nMailbox: {whose}\nLeft:    {left:%Y-%m-%d %H:%M:%S %Z}\nLength:  {length}\n"
    )
    name = f"{left:%Y-%m-%d-%H%M%S}-{''.join(char for char in caller if char.isalnum()) or 'unknown'}.mp3"
    written.add_attachment(sound, maintype="audio", subtype="mpeg", filename=name)
    return written


def _printable(text: str) -> str:
    return "".join(char for char in text if char.isprintable())[:64]
