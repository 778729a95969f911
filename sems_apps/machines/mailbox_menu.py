"""mailbox: somebody listens to his voice mail by telephone. Pure.

    machine = MailboxMenu()
    actions = machine.step(MailboxAsked("101", allowed=True), now)

Who is not known by his account gives a PIN. Then he hears how many messages there are, and of each number, moment and
caller, and the message: 1 again, 2 delete or keep, 3 next, 9 previous, 0 leave, * back to how many there are. A message
counts as heard when it was played to its end, or left by a key; deleted ones go when the call is over, and not before.
The call ends by itself: after silence, after PINs that were wrong, and in any case after LONGEST_SECONDS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum

from callcore import speech
from sems_apps import actions as do
from sems_apps.actions import CALLER, Action
from sems_apps.events import (
    Dtmf,
    Event,
    HangupAsked,
    HostStopping,
    LegAnswered,
    LegEnded,
    LegFailed,
    LegHeld,
    LegRinging,
    MediaLost,
    PromptEnded,
    RecordAsked,
    TimerFired,
    TransferAsked,
)
from sems_apps.ivr_actions import TellStory
from sems_apps.machines.table import Row, find_handler, ignore
from sems_apps.mailbox_actions import (
    BoxClosed,
    BoxOpened,
    BoxRefusal,
    BoxRefused,
    FetchMessage,
    MailboxAsked,
    MessageMissing,
    MessageReady,
    NoteHeard,
    OpenBox,
    RemoveMessages,
    VoiceMessage,
)
from sems_apps.sounds import Sound, file, prompt

TIMER, LIMIT = "mailbox", "mailbox-limit"
TOKEN = "mailbox:"
#: The database answers in milliseconds; the comparison of a PIN takes a tenth of a second.
OPENING_SECONDS = 5.0
#: A message that comes from an archive may take a while; nobody waits longer in silence.
FETCHING_SECONDS = 20.0
KEY_SECONDS = 8.0
DIGIT_SECONDS = 4.0
#: A prompt is over when it should have been heard, and media come a little later than that.
LAST_WORDS_SECONDS = 0.3
#: No call lasts longer.
LONGEST_SECONDS = 3600.0
#: PINs that a call may try, and times that the keys are told to who presses none.
TRIES = 3
LONGEST_PIN = 10
DEFAULT_LANGUAGE = "ru"


class BoxPhase(StrEnum):
    """Where the call stands."""

    NEW = "new"
    #: The database is asked, or the PIN compared.
    OPENING = "opening"
    #: A PIN is typed.
    PIN = "pin"
    #: He hears how many messages there are.
    SUMMARY = "summary"
    #: He hears whose message comes; meanwhile it is fetched.
    HEADER = "header"
    #: It is still being fetched.
    FETCHING = "fetching"
    #: He hears the message.
    MESSAGE = "message"
    #: He hears the keys, or chooses.
    CHOICE = "choice"
    #: He hears that it will be deleted; then comes the next one.
    DELETED = "deleted"
    #: Last words.
    LEAVING = "leaving"
    ENDED = "ended"


class MailboxMenu:
    """One call."""

    def __init__(self) -> None:
        self._phase = BoxPhase.NEW
        self._asked = MailboxAsked("", False)
        self._allowed, self._language = False, DEFAULT_LANGUAGE
        self._now = datetime.min.replace(tzinfo=UTC)
        self._messages: tuple[VoiceMessage, ...] = ()
        self._at = 0
        #: Sound of the message that he is at; "": not there (yet), with the reason if there will be none.
        self._path, self._missing = "", ""
        self._heard: set[str] = set()
        self._deleted: dict[str, None] = {}
        self._typed, self._tries, self._silent = "", 0, 0
        self._token = 0
        self._caller_here = True
        self._out: list[Action] = []
        #: Why the mailbox was not opened; "": it was, or nobody knows yet.
        self.failure = ""

    @property
    def phase(self) -> BoxPhase:
        """Where the call stands."""
        return self._phase

    @property
    def is_conversation(self) -> bool:
        """Whether a host that stops should wait for the call."""
        return self._phase is not BoxPhase.ENDED

    def step(self, event: Event, now: float) -> list[Action]:
        """Take an event at this moment (monotonic seconds) and return what to do, in this order."""
        self._out = []
        find_handler(_TABLE, _ANY_PHASE, self._phase, event)(self, event)
        return self._out

    # ---- telling the host

    def _tell(self, kind: str, **data: object) -> None:
        self._out.append(TellStory(f"mailbox.{kind}", {"mailbox": self._asked.mailbox, **data}))

    def _play(self, phase: BoxPhase, *sounds: Sound) -> None:
        self._phase = phase
        self._token += 1
        self._out += [
            do.StopTimer(TIMER),
            do.Play(CALLER, sounds, self._language, token=f"{TOKEN}{self._token}"),
        ]

    def _say(self, phase: BoxPhase, *names: str) -> None:
        self._play(phase, *(prompt(name) for name in names))

    def _wait(self, seconds: float) -> None:
        self._out.append(do.StartTimer(TIMER, seconds))

    # ---- getting in

    def arrived(self, event: MailboxAsked) -> None:
        """The call is here."""
        self._asked, self._allowed = event, event.allowed
        self._language = event.language or DEFAULT_LANGUAGE
        if not event.answered:
            self._out.append(do.Answer(CALLER))
        self._out.append(do.StartTimer(LIMIT, LONGEST_SECONDS))
        self._open()

    def _open(self, pin: str = "") -> None:
        self._phase = BoxPhase.OPENING
        self._out.append(OpenBox(self._asked.mailbox, self._allowed, pin))
        self._wait(OPENING_SECONDS)

    def closed(self, event: BoxClosed) -> None:
        """A PIN is wanted."""
        self._language = self._asked.language or event.language
        self._ask_pin()

    def _ask_pin(self, *before: str) -> None:
        self._typed = ""
        self._say(BoxPhase.PIN, *before, "mailbox-enter-pin")

    def pin_key(self, key: str) -> None:
        """Take a key of the PIN; # ends it, * begins anew, or leaves when there is nothing to take back."""
        self._token += 1  # what is being said is not waited for any more
        self._out.append(do.StopPlaying(CALLER))
        if key == "#":
            self._try_pin()
        elif key == "*":
            if self._typed:
                self._ask_pin()
            else:
                self._leave("no PIN")
        elif key.isdigit():
            self._typed += key
            if len(self._typed) >= LONGEST_PIN:
                self._try_pin()
            else:
                self._wait(DIGIT_SECONDS)
        else:
            self._wait(DIGIT_SECONDS)

    def _try_pin(self) -> None:
        if self._typed:
            self._open(self._typed)
        else:
            self._wrong_pin("mailbox-enter-pin")

    def pin_silent(self, event: TimerFired) -> None:
        """No key comes any more."""
        self._try_pin()

    def _wrong_pin(self, *names: str) -> None:
        self._tries += 1
        if self._tries >= TRIES:
            self._refuse("wrong PIN", "mailbox-refused")
        else:
            self._typed = ""
            self._say(BoxPhase.PIN, *names)

    def refused(self, event: BoxRefused) -> None:
        """It stays closed."""
        self._tell("refused", reason=event.reason.value)
        if event.reason is BoxRefusal.WRONG and not self._allowed:
            self._wrong_pin("mailbox-wrong-pin", "mailbox-enter-pin")
        else:
            self._refuse(event.reason.value, _REFUSED[event.reason])

    def _refuse(self, failure: str, name: str) -> None:
        self.failure = failure
        self._say(BoxPhase.LEAVING, name)

    def opening_late(self, event: TimerFired) -> None:
        """The database does not say."""
        self.refused(BoxRefused(BoxRefusal.AWAY))

    # ---- how many there are

    def opened(self, event: BoxOpened) -> None:
        """He is in: say what there is."""
        if not self._allowed or not self._messages:
            self._tell("open", by="own" if self._asked.allowed else "pin", messages=len(event.messages))
        self._allowed, self._tries = True, 0
        self._language = self._asked.language or event.language
        self._now, self._messages, self._at = event.now, event.messages, 0
        kept = [one for one in event.messages if one.message_id not in self._deleted]
        new = sum(self._is_new(one) for one in kept)
        self._say(BoxPhase.SUMMARY, *speech.mailbox(new, len(kept) - new, self._spoken()))

    def _is_new(self, message: VoiceMessage) -> bool:
        return message.is_new and message.message_id not in self._heard

    def _spoken(self) -> str:
        return self._language if self._language in speech.LANGUAGES else "en"

    def summary_said(self, event: PromptEnded) -> None:
        """Go on to the first message."""
        self.first()

    def first(self) -> None:
        """Go to the first message; there may be none."""
        if self._messages:
            self._go_to(0)
        else:
            self._leave("no messages")

    # ---- a message

    def _go_to(self, number: int) -> None:
        self._at, self._path, self._missing = number, "", ""
        message = self._message
        self._tell("message", message_id=message.message_id, number=number + 1)
        self._out.append(FetchMessage(self._asked.mailbox, message.message_id))
        self._say(BoxPhase.HEADER, *self._header(message))

    @property
    def _message(self) -> VoiceMessage:
        return self._messages[self._at]

    def _header(self, message: VoiceMessage) -> tuple[str, ...]:
        """Say which message it is, since when, and from whom."""
        language = self._spoken()
        said = ("mailbox-number", *speech.number(self._at + 1, language))
        said += speech.moment(message.left_at, self._now, language)
        number = message.caller.removeprefix("+")
        if number.isascii() and number.isdigit():
            said += ("mailbox-from", *speech.digits(number, language))
        else:
            said += ("mailbox-from-unknown",)
        return (*said, "mailbox-is-deleted") if message.message_id in self._deleted else said

    def ready(self, event: MessageReady) -> None:
        """Its sound is there; it is played when what is said before is over."""
        if event.message_id == self._message.message_id:
            self._path, self._missing = event.path, ""
            if self._phase is BoxPhase.FETCHING:
                self._play_message()

    def missing(self, event: MessageMissing) -> None:
        """There is none."""
        if event.message_id == self._message.message_id:
            self._missing = event.reason or "not found"
            if self._phase is BoxPhase.FETCHING:
                self._unplayable()

    def header_said(self, event: PromptEnded) -> None:
        """Play the message, as soon as it is there."""
        if self._path:
            self._play_message()
        elif self._missing:
            self._unplayable()
        else:
            self._phase = BoxPhase.FETCHING
            self._wait(FETCHING_SECONDS)

    def fetching_late(self, event: TimerFired) -> None:
        """It does not come."""
        self._missing = "not fetched in time"
        self._unplayable()

    def _unplayable(self) -> None:
        self._tell("unplayable", message_id=self._message.message_id, why=self._missing)
        self._say(BoxPhase.CHOICE, "mailbox-unplayable", "mailbox-menu")

    def _play_message(self) -> None:
        self._play(BoxPhase.MESSAGE, file(self._path))

    def message_said(self, event: PromptEnded) -> None:
        """He has heard it; now he chooses."""
        self._left_message()
        self._say(BoxPhase.CHOICE, "mailbox-menu")

    def _left_message(self) -> None:
        """Note that the message was heard, if it was being played."""
        message_id = self._message.message_id if self._messages else ""
        if self._phase is not BoxPhase.MESSAGE or message_id in self._heard:
            return
        self._heard.add(message_id)
        if self._message.is_new:
            self._out.append(NoteHeard(self._asked.mailbox, message_id))
        self._tell("heard", message_id=message_id)

    # ---- keys

    def key(self, event: Dtmf) -> None:
        """Take a key; one that means nothing here is passed over, but for who is asked to choose."""
        if event.leg != CALLER:
            return
        if self._phase is BoxPhase.PIN:
            self.pin_key(event.digit)
            return
        choose = _KEYS.get(self._phase, {}).get(event.digit)
        if choose is not None:
            self._silent = 0
            name, handler = choose
            self._left_message()
            self._tell("key", what=name)
            handler(self)
        elif self._phase is BoxPhase.CHOICE:
            self._tell_keys("invalid")

    def again(self) -> None:
        """Hear the message once more; before it has come, who left it and when."""
        if self._path and self._phase is not BoxPhase.HEADER:
            self._play_message()
        else:
            self._go_to(self._at)

    def delete(self) -> None:
        """Delete the message when the call is over, or keep it after all."""
        message_id = self._message.message_id
        if message_id in self._deleted:
            del self._deleted[message_id]
            self._tell("kept", message_id=message_id)
            self._say(BoxPhase.CHOICE, "mailbox-kept", "mailbox-menu")
        else:
            self._deleted[message_id] = None
            self._tell("deleted", message_id=message_id)
            self._say(BoxPhase.DELETED, "mailbox-deleted")

    def deleted_said(self, event: PromptEnded) -> None:
        """Go on behind a message that will be deleted."""
        self.following()

    def following(self) -> None:
        """Go to the next message."""
        if self._at + 1 < len(self._messages):
            self._go_to(self._at + 1)
        else:
            self._say(BoxPhase.CHOICE, "mailbox-no-more", "mailbox-menu")

    def previous(self) -> None:
        """Go to the message before; at the first one that is said anew."""
        self._go_to(max(0, self._at - 1))

    def back(self) -> None:
        """Look into the mailbox anew, and say what there is."""
        self._token += 1
        self._out.append(do.StopPlaying(CALLER))
        self._open()

    def choice_said(self, event: PromptEnded) -> None:
        """Wait for a key."""
        self._wait(KEY_SECONDS)

    def choice_silent(self, event: TimerFired) -> None:
        """Tell the keys again, to a caller who is still there."""
        self._tell_keys()

    def _tell_keys(self, *before: str) -> None:
        self._silent += 1
        if self._silent >= TRIES:
            self._leave("silence")
        else:
            self._say(BoxPhase.CHOICE, *before, "mailbox-menu")

    # ---- the end

    def away(self) -> None:
        """Leave, with a word."""
        self._leave("left")

    def _leave(self, cause: str) -> None:
        self.failure = cause if cause == "no PIN" else self.failure
        self._tell("leave", cause=cause)
        self._say(BoxPhase.LEAVING, "goodbye")

    def last_words(self, event: PromptEnded) -> None:
        """They are on their way."""
        self._wait(LAST_WORDS_SECONDS)

    def last_words_heard(self, event: TimerFired) -> None:
        """Hang up."""
        self._end("done")

    def prompt_ended(self, event: PromptEnded) -> None:
        """Something came to its end; only what was said last counts."""
        if event.token == f"{TOKEN}{self._token}":
            handler = _SAID.get(self._phase)
            if handler is not None:
                handler(self, event)

    def timer_fired(self, event: TimerFired) -> None:
        """A time is up."""
        if event.name == LIMIT:
            self._end("time limit")
        elif event.name == TIMER:
            handler = _SILENT.get(self._phase)
            if handler is not None:
                handler(self, event)

    def left(self, event: LegEnded) -> None:
        """The caller hung up: a message that he did not hear to its end stays as it is."""
        if event.leg == CALLER:
            self._caller_here = False
            self._end("caller hung up")

    def stopped(self, event: HangupAsked | MediaLost | HostStopping) -> None:
        """Somebody ends the call, or the host cannot go on with it."""
        self._end(event.reason if isinstance(event, HangupAsked) else _CAUSES[type(event)])

    def declined(self, event: TransferAsked) -> None:
        """Who listens transfers nobody."""
        self._out.append(do.Notify(event.leg, 603, "Decline"))

    def _end(self, cause: str) -> None:
        if self._deleted:
            gone = tuple(self._deleted)
            self._tell("removed", messages=list(gone))
            self._out.append(RemoveMessages(self._asked.mailbox, gone))
        self._tell("end", cause=cause, phase=self._phase.value)
        self._phase = BoxPhase.ENDED
        self._out += [do.StopTimer(TIMER), do.StopTimer(LIMIT)]
        if self._caller_here:
            self._out.append(do.Hangup(CALLER, cause))
        self._out.append(do.Finish(cause))


_REFUSED: Mapping[BoxRefusal, str] = {
    BoxRefusal.WRONG: "mailbox-refused",
    BoxRefusal.LOCKED: "mailbox-locked",
    BoxRefusal.AWAY: "mailbox-away",
}
_CAUSES: Mapping[type[Event], str] = {MediaLost: "media lost", HostStopping: "host stopped"}

_OnKey = tuple[str, Callable[[MailboxMenu], None]]
_OF_MESSAGE: Mapping[str, _OnKey] = {
    "1": ("again", MailboxMenu.again),
    "2": ("delete", MailboxMenu.delete),
    "3": ("next", MailboxMenu.following),
    "9": ("previous", MailboxMenu.previous),
    "0": ("leave", MailboxMenu.away),
    "*": ("back", MailboxMenu.back),
}
#: What keys do where he is; the keys of a PIN are digits.
_KEYS: Mapping[BoxPhase, Mapping[str, _OnKey]] = {
    BoxPhase.SUMMARY: {
        "1": ("first", MailboxMenu.first),
        "3": ("first", MailboxMenu.first),
        "0": ("leave", MailboxMenu.away),
        "*": ("leave", MailboxMenu.away),
    },
    BoxPhase.HEADER: _OF_MESSAGE,
    BoxPhase.FETCHING: _OF_MESSAGE,
    BoxPhase.MESSAGE: _OF_MESSAGE,
    BoxPhase.CHOICE: _OF_MESSAGE,
    BoxPhase.DELETED: _OF_MESSAGE,
}
#: What follows when everything has been said.
_SAID: Mapping[BoxPhase, Callable[[MailboxMenu, PromptEnded], None]] = {
    BoxPhase.PIN: lambda menu, event: menu._wait(KEY_SECONDS),
    BoxPhase.SUMMARY: MailboxMenu.summary_said,
    BoxPhase.HEADER: MailboxMenu.header_said,
    BoxPhase.MESSAGE: MailboxMenu.message_said,
    BoxPhase.CHOICE: MailboxMenu.choice_said,
    BoxPhase.DELETED: MailboxMenu.deleted_said,
    BoxPhase.LEAVING: MailboxMenu.last_words,
}
#: What follows when nothing has come in time.
_SILENT: Mapping[BoxPhase, Callable[[MailboxMenu, TimerFired], None]] = {
    BoxPhase.OPENING: MailboxMenu.opening_late,
    BoxPhase.PIN: MailboxMenu.pin_silent,
    BoxPhase.FETCHING: MailboxMenu.fetching_late,
    BoxPhase.CHOICE: MailboxMenu.choice_silent,
    BoxPhase.LEAVING: MailboxMenu.last_words_heard,
}
_AT_MESSAGE: Row = {MessageReady: MailboxMenu.ready, MessageMissing: MailboxMenu.missing}
_TABLE: Mapping[BoxPhase, Row] = {
    BoxPhase.NEW: {MailboxAsked: MailboxMenu.arrived},
    BoxPhase.OPENING: {
        BoxClosed: MailboxMenu.closed,
        BoxOpened: MailboxMenu.opened,
        BoxRefused: MailboxMenu.refused,
    },
    BoxPhase.HEADER: _AT_MESSAGE,
    BoxPhase.FETCHING: _AT_MESSAGE,
    BoxPhase.MESSAGE: _AT_MESSAGE,
    BoxPhase.CHOICE: _AT_MESSAGE,
    BoxPhase.DELETED: _AT_MESSAGE,
    BoxPhase.ENDED: dict.fromkeys(
        (Dtmf, PromptEnded, TimerFired, LegEnded, HangupAsked, MediaLost, HostStopping, TransferAsked), ignore
    ),
}
#: What counts in every phase; answers that come when nobody waits for them are late.
_ANY_PHASE: Row = {
    Dtmf: MailboxMenu.key,
    PromptEnded: MailboxMenu.prompt_ended,
    TimerFired: MailboxMenu.timer_fired,
    LegEnded: MailboxMenu.left,
    HangupAsked: MailboxMenu.stopped,
    MediaLost: MailboxMenu.stopped,
    HostStopping: MailboxMenu.stopped,
    TransferAsked: MailboxMenu.declined,
    **dict.fromkeys(
        (
            *(BoxClosed, BoxOpened, BoxRefused, MessageMissing, MessageReady),
            *(LegAnswered, LegFailed, LegHeld, LegRinging, RecordAsked),
        ),
        ignore,
    ),
}
