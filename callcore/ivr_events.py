"""What happens to a call in a scenario, and what the scenario wants done. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from callcore.ivr_condition import QueueState
from callcore.ivr_http import Request

# ------------------------------------------------------------------------------------------- events


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events."""


@dataclass(frozen=True, slots=True)
class Begun(Event):
    """The call is here."""


@dataclass(frozen=True, slots=True)
class Said(Event):
    """What was said with this token has come to its end."""

    token: int


@dataclass(frozen=True, slots=True)
class Key(Event):
    """The caller pressed a key: 0-9 * # A-D."""

    key: str


@dataclass(frozen=True, slots=True)
class TimeUp(Event):
    """A timer fired; one that was stopped meanwhile is told apart by its token."""

    token: int


@dataclass(frozen=True, slots=True)
class Answered(Event):
    """The answer to an Ask: a value, or None and why there is none."""

    token: int
    value: object = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Reached(Event):
    """Who was dialled answered; the two hear each other."""


@dataclass(frozen=True, slots=True)
class NotReached(Event):
    """Who was dialled did not answer."""

    code: int


@dataclass(frozen=True, slots=True)
class OtherLeft(Event):
    """Who the caller talked with is gone."""


@dataclass(frozen=True, slots=True)
class QueueLeft(Event):
    """The caller is out of the queue and still here."""

    #: He has talked with an agent.
    served: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class MailboxLeft(Event):
    """The caller has done with the mailbox and is still here."""

    #: Why he was not let in; "": he was.
    failure: str = ""


@dataclass(frozen=True, slots=True)
class RecordingFailed(Event):
    """A message cannot be recorded."""


@dataclass(frozen=True, slots=True)
class CallerLeft(Event):
    """The caller is gone."""


# ------------------------------------------------------------------------------------------- actions


@dataclass(frozen=True, slots=True)
class Action:
    """Base of all actions."""


@dataclass(frozen=True, slots=True)
class Say(Action):
    """Say prompts, one after the other, in place of what is heard now; answer the call first if it is not."""

    prompts: tuple[str, ...]
    language: str
    token: int


@dataclass(frozen=True, slots=True)
class PlayMusic(Action):
    """Play music, or "ringback", until something else is heard."""

    name: str


@dataclass(frozen=True, slots=True)
class BeQuiet(Action):
    """Stop what is heard."""


@dataclass(frozen=True, slots=True)
class SetTimer(Action):
    """Start the timer; there is one, a new one replaces it."""

    token: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ClearTimer(Action):
    """Stop the timer."""


@dataclass(frozen=True, slots=True)
class AskHttp(Action):
    """Ask a web server; the value of the answer is its JSON."""

    token: int
    request: Request


@dataclass(frozen=True, slots=True)
class AskRow(Action):
    """Find a row of a table; the value is a mapping of columns."""

    token: int
    table: str
    key: str


@dataclass(frozen=True, slots=True)
class Known:
    """Answer of AskFacts."""

    queues: Mapping[str, QueueState | None] = field(default_factory=dict)
    regions: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AskFacts(Action):
    """Find out the state of queues and the regions of numbers; the value is Known."""

    token: int
    queues: tuple[str, ...]
    numbers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AskCallback(Action):
    """Have a number called back by a queue; any value: it will be."""

    token: int
    queue: str
    number: str


@dataclass(frozen=True, slots=True)
class EnterQueue(Action):
    """Put the caller into a queue; QueueLeft comes, or the end."""

    queue: str


@dataclass(frozen=True, slots=True)
class EnterMailbox(Action):
    """Let the caller listen to a mailbox; MailboxLeft comes, or the end."""

    mailbox: str


@dataclass(frozen=True, slots=True)
class DialOut(Action):
    """Call somebody and connect; Reached or NotReached comes."""

    kind: str
    to: str
    caller_id: str


@dataclass(frozen=True, slots=True)
class GiveUpDial(Action):
    """Stop calling."""


@dataclass(frozen=True, slots=True)
class StartMessage(Action):
    """Begin to record what the caller says."""

    mailbox: str


@dataclass(frozen=True, slots=True)
class EndMessage(Action):
    """End the recording; kept or not."""

    keep: bool


@dataclass(frozen=True, slots=True)
class End(Action):
    """End the call. code: the answer to a call that was not answered yet; 0: an ordinary end."""

    code: int
    cause: str


@dataclass(frozen=True, slots=True)
class Tell(Action):
    """A line of the call's story."""

    kind: str
    data: Mapping[str, object]
