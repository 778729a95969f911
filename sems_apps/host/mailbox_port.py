"""Voice mail as a media host sees it: mailboxes in PostgreSQL, PINs, the sound of messages; nothing blocks the loop.

PINs are compared and messages made into frames by workers of their own, of which there are few: one message at a time
for each call, and who asks for another one meanwhile gets the latest. Sounds lie in a folder of the call and go with
it. What was heard and deleted is told until the database has it, also when the call is over.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from callcore.errors import KalibriError
from callcore.schedule import time_zone
from kalibri.config import Config
from kalibri.db import statements
from kalibri.message_audio import prepare
from kalibri.pin import is_pin
from sems_apps import mailbox_actions as box
from sems_apps.actions import Action
from sems_apps.host.acd_port import Link
from sems_apps.host.loop import Loop
from sems_apps.host.pg_link import Rows
from sems_apps.host.ports import Entry, MailboxCaller
from sems_apps.host.prompts import Submit

log = logging.getLogger("media")

SQL = statements("mailbox_call")
#: Folder of the sounds, below that of prompts: nodes read both.
FOLDER = "messages"
#: While the database is away, what must be told is told again so often, and not for ever.
RETRY_SECONDS = 1.0
MOST_RETRIES = 600


@dataclass(slots=True)
class _Sounds:
    """The messages of one call."""

    folder: Path
    #: Message id → compiled file.
    ready: dict[str, str] = field(default_factory=dict)
    #: The one that is being made, and the one that is wanted after it; "": none.
    running: str = ""
    wanted: box.FetchMessage | None = None
    is_over: bool = False


class MailboxPort:
    """Answers those who listen."""

    def __init__(
        self,
        loop: Loop,
        config: Config,
        node: str,
        links: Sequence[Link],
        submit: Submit,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """submit: does what blocks. clock: the time of day."""
        self._loop, self._config, self._links, self._submit = loop, config, links, submit
        self._clock = clock
        self._folder = config.prompt_directory / FOLDER / node
        self._sounds: dict[str, _Sounds] = {}

    def begin(self) -> None:
        """Delete what an earlier life of this host left."""
        self._submit(partial(shutil.rmtree, self._folder, ignore_errors=True), lambda result: None)

    def perform(self, caller: MailboxCaller, action: Action) -> None:
        """Take an action of MAILBOX_ACTIONS; answers come by `post`, later."""
        _PERFORM[type(action)](self, caller, action)

    def forget(self, entry: Entry) -> None:
        """The session is over: its sounds go."""
        sounds = self._sounds.get(entry.call)
        if sounds is not None:
            sounds.is_over = True
            if not sounds.running:
                self._erase(entry.call, sounds)

    def _erase(self, call: str, sounds: _Sounds) -> None:
        self._sounds.pop(call, None)
        self._submit(partial(shutil.rmtree, sounds.folder, ignore_errors=True), lambda result: None)

    def _execute(
        self, entry: Entry, statement: str, params: dict[str, object], done: Callable[[Rows | None], None]
    ) -> None:
        link = self._links[hash(entry.call) % len(self._links)]
        link.execute(SQL[statement], {"tenant": entry.tenant, **params}, done)

    # ---- getting in

    def _open(self, caller: MailboxCaller, action: box.OpenBox) -> None:
        if action.allowed:
            self._read(caller, action.mailbox)
        elif action.pin:
            self._try(caller, action)
        else:
            self._ask(caller, action.mailbox)

    def _ask(self, caller: MailboxCaller, mailbox: str) -> None:
        def done(rows: Rows | None) -> None:
            if rows:
                caller.post(box.BoxClosed(rows[0][0] or ""))
            else:
                caller.post(box.BoxRefused(box.BoxRefusal.AWAY))

        self._execute(caller.entry, "language", {"mailbox": mailbox}, done)

    def _try(self, caller: MailboxCaller, action: box.OpenBox) -> None:
        """Count the attempt, then compare."""

        def counted(rows: Rows | None) -> None:
            answer: dict[str, str] = json.loads(rows[0][0] or "{}") if rows else {"refused": "away"}
            kept = answer.get("pin_hash")
            if kept is None:
                caller.post(box.BoxRefused(box.BoxRefusal(answer["refused"])))
                return
            self._submit(partial(is_pin, action.pin, kept), partial(compared, kept))

        def compared(kept: str, is_right: bool | None) -> None:
            if not is_right:
                caller.post(box.BoxRefused(box.BoxRefusal.WRONG))
                return
            params: dict[str, object] = {"mailbox": action.mailbox, "pin_hash": kept}
            self._execute(caller.entry, "right", params, forgotten)

        def forgotten(rows: Rows | None) -> None:
            if rows and rows[0][0] == "t":
                self._read(caller, action.mailbox)
            else:
                reason = box.BoxRefusal.WRONG if rows else box.BoxRefusal.AWAY
                caller.post(box.BoxRefused(reason))

        self._execute(caller.entry, "try", {"mailbox": action.mailbox}, counted)

    def _read(self, caller: MailboxCaller, mailbox: str) -> None:
        def done(rows: Rows | None) -> None:
            text = rows[0][0] if rows else None
            if text is None:
                caller.post(box.BoxRefused(box.BoxRefusal.AWAY))
            else:
                caller.post(self._opened(json.loads(text)))

        self._execute(caller.entry, "contents", {"mailbox": mailbox}, done)

    def _opened(self, data: dict[str, Any]) -> box.BoxOpened:
        now = self._clock().astimezone(time_zone(data["zone"] or "UTC"))
        messages = tuple(
            box.VoiceMessage(
                row["id"], row["caller"], datetime.fromisoformat(row["left_at"]), bool(row["is_new"])
            )
            for row in data["messages"]
        )
        return box.BoxOpened(data["language"], now, messages)

    # ---- sounds

    def _fetch(self, caller: MailboxCaller, action: box.FetchMessage) -> None:
        call = caller.entry.call
        sounds = self._sounds.get(call)
        if sounds is None:
            sounds = self._sounds[call] = _Sounds(self._folder / call)
        if action.message_id in sounds.ready:
            caller.post(box.MessageReady(action.message_id, sounds.ready[action.message_id]))
        elif sounds.running:
            sounds.wanted = action
        else:
            self._make(caller, action, sounds)

    def _make(self, caller: MailboxCaller, action: box.FetchMessage, sounds: _Sounds) -> None:
        message, payload_type = action.message_id, caller.payload_type
        target = sounds.folder / message
        sounds.running = message

        def found(rows: Rows | None) -> None:
            text = rows[0][0] if rows else None
            if text is None:
                made("the message is gone" if rows is not None else "the database does not answer")
                return
            self._submit(partial(self._prepare, json.loads(text), payload_type, target), made)

        def made(result: str | None) -> None:
            sounds.running = ""
            if result == "":
                sounds.ready[message] = str(target)
                self._tell(caller.entry, "played", {"message": message, "file": "telephone"})
                caller.post(box.MessageReady(message, str(target)))
            else:
                caller.post(box.MessageMissing(message, result or "it cannot be read"))
            self._made(caller, sounds)

        self._execute(caller.entry, "files", {"mailbox": action.mailbox, "message": message}, found)

    def _prepare(self, facts: dict[str, Any], payload_type: int, target: Path) -> str:
        """Make the sound of a message, in a worker; return "" or why not."""
        try:
            prepare(self._config, facts, payload_type, target)
        except KalibriError as error:
            return error.message
        except OSError as error:
            log.warning("message %s: %s", target.name, error)
            return "it cannot be read"
        return ""

    def _made(self, caller: MailboxCaller, sounds: _Sounds) -> None:
        """Go on with what was asked for meanwhile, or erase what nobody hears any more."""
        wanted, sounds.wanted = sounds.wanted, None
        if sounds.is_over:
            self._erase(caller.entry.call, sounds)
        elif wanted is not None:
            self._fetch(caller, wanted)

    # ---- what was done

    def _heard(self, caller: MailboxCaller, action: box.NoteHeard) -> None:
        self._tell(caller.entry, "heard", {"mailbox": action.mailbox, "message": action.message_id})

    def _remove(self, caller: MailboxCaller, action: box.RemoveMessages) -> None:
        messages = "{" + ",".join(action.message_ids) + "}"
        self._tell(caller.entry, "remove", {"mailbox": action.mailbox, "messages": messages})

    def _tell(self, entry: Entry, statement: str, params: dict[str, object], tries: int = 1) -> None:
        """Tell the database until it has it."""

        def told(rows: Rows | None) -> None:
            if rows is not None:
                return
            if tries < MOST_RETRIES:
                again = partial(self._tell, entry, statement, params, tries + 1)
                self._loop.call_later(RETRY_SECONDS, again)
            else:
                log.error(
                    "voice mail of tenant %d: %s could not be told: %s", entry.tenant, statement, params
                )

        self._execute(entry, statement, {"by": f"telephone {entry.caller or 'anonymous'}", **params}, told)


_PERFORM: dict[type[Action], Callable[[MailboxPort, MailboxCaller, Any], None]] = {
    box.OpenBox: MailboxPort._open,
    box.FetchMessage: MailboxPort._fetch,
    box.NoteHeard: MailboxPort._heard,
    box.RemoveMessages: MailboxPort._remove,
}
