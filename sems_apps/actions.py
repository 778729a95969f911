"""What an application may ask of its host. Two interpreters perform these: the embedded host and SEMS.

A leg is a name that the machine gives: "caller", "agent:17" (17 is the offer), "target", "supervisor:3".
Actions are performed in the order in which the machine returned them. An action on a leg that has ended
meanwhile does nothing: its end is already on the way to the machine as an event.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote

from callcore.call_queue import OfferOutcome
from sems_apps.sounds import Sound

CALLER = "caller"
#: Where a transfer, an exit key or an overflow leads.
TARGET = "target"
AGENT_PREFIX = "agent:"
SUPERVISOR_PREFIX = "supervisor:"
#: A kind is a word: what has other characters before its colon is all number or URI.
_KIND = re.compile(r"[a-z_]+", re.ASCII)


class LegKind(StrEnum):
    """What a dialled leg is, told to the proxy as X-KS-Leg."""

    CALLER = "caller"
    AGENT = "agent"
    CALLEE = "callee"
    SUPERVISOR = "supervisor"


class SupervisionMode(StrEnum):
    """How a supervisor takes part."""

    #: Hears both, is heard by nobody.
    LISTEN = "listen"
    #: Hears both, is heard by the agent.
    WHISPER = "whisper"
    #: Hears both, is heard by both.
    BARGE = "barge"


class EndedBy(StrEnum):
    """Who ended a conversation first."""

    CALLER = "caller"
    AGENT = "agent"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Action:
    """Base of all actions."""


# ---- an incoming leg


@dataclass(frozen=True, slots=True)
class Ring(Action):
    """Send 180 to the unanswered caller."""

    leg: str


@dataclass(frozen=True, slots=True)
class Answer(Action):
    """Send 200 to the caller."""

    leg: str


@dataclass(frozen=True, slots=True)
class Reject(Action):
    """Refuse the unanswered caller."""

    leg: str
    code: int
    reason: str


# ---- what a leg hears


@dataclass(frozen=True, slots=True)
class Play(Action):
    """Play to a leg in place of what it hears from us now.

    The end of what is not looped comes back as PromptEnded with the same token, unless something else was played
    before or the playing was stopped.
    """

    leg: str
    sounds: tuple[Sound, ...]
    language: str
    loop: bool = False
    token: str = ""


@dataclass(frozen=True, slots=True)
class StopPlaying(Action):
    """Stop what we play to a leg; nothing is reported."""

    leg: str


# ---- timers


@dataclass(frozen=True, slots=True)
class StartTimer(Action):
    """Start a timer; one of the same name that runs is replaced."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class StopTimer(Action):
    """Stop a timer; one that does not run is no error."""

    name: str


# ---- other legs


@dataclass(frozen=True, slots=True)
class Dial(Action):
    """Call somebody through the proxy; the outcome comes back as LegAnswered or LegFailed."""

    leg: str
    kind: LegKind
    #: A number, a SIP URI, or kind:name ("account:eve", "queue:sales"); the proxy routes it.
    target: str
    #: The number that the callee sees.
    caller_id: str
    #: X-KS-Offer; 0: none.
    offer: int = 0
    #: Value of a Replaces header (RFC 3891), for attended transfer.
    replaces: str = ""
    #: Gateway or group that is tried first among those of the route; empty: as the route says.
    gateway: str = ""
    #: Ids of gateways (with commas) that rest and are not tried, and of one to be tried first; empty: none.
    avoid: str = ""
    probe: str = ""


def split_target(target: str) -> tuple[str, str]:
    """Return kind ("": number or URI) and name of a Dial's target."""
    kind, found, name = target.partition(":")
    named = found and kind not in ("sip", "sips", "tel") and _KIND.fullmatch(kind)
    return (kind, name) if named else ("", target)


def leg_argument(tenant: int, action: Dial) -> str:
    """Return the value of X-KS-Arg for a leg that is called (contracts.md 3)."""
    kind, _ = split_target(action.target)
    parts = [f"tenant={tenant}", f"to_kind={kind}" if kind else ""]
    for name in ("gateway", "avoid", "probe"):
        wish = getattr(action, name)
        parts.append(f"{name}={quote(wish, safe='')}" if wish else "")
    return ";".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class CancelDial(Action):
    """Give up a leg that has not answered; no LegFailed follows."""

    leg: str
    reason: str


@dataclass(frozen=True, slots=True)
class Hangup(Action):
    """End a leg that is up (or, late, one that was answered meanwhile); no LegEnded follows."""

    leg: str
    reason: str


@dataclass(frozen=True, slots=True)
class Bridge(Action):
    """Let two legs hear each other; what we play to either stops."""

    left: str
    right: str


@dataclass(frozen=True, slots=True)
class Unbridge(Action):
    """Part two legs that hear each other."""

    left: str
    right: str


@dataclass(frozen=True, slots=True)
class Record(Action):
    """Begin (or end) the recording of this call."""

    on: bool


# ---- transfer and supervision


@dataclass(frozen=True, slots=True)
class Notify(Action):
    """Tell who sent REFER how the new leg goes; a code of 200 and above is the last one."""

    leg: str
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Supervise(Action):
    """Join a supervisor's answered leg to the conversation of two others, or change his mode."""

    leg: str
    mode: SupervisionMode
    caller: str
    agent: str


@dataclass(frozen=True, slots=True)
class Unsupervise(Action):
    """Take the supervisor out; the other two go on."""

    leg: str


# ---- the queue (performed by the ACD port, off the SIP loop)


@dataclass(frozen=True, slots=True)
class EnterQueue(Action):
    """Make the entry; while the database is away it is made later, with this moment as its beginning."""

    #: The queue; 0: the one that the call came for.
    queue: int = 0


@dataclass(frozen=True, slots=True)
class LeaveQueue(Action):
    """The caller waits no more, without an agent: abandoned, exit, callback, overflow, ejected, …"""

    cause: str


@dataclass(frozen=True, slots=True)
class ReportOffer(Action):
    """Tell how an offer ended; ANSWERED is answered by OfferClaimed."""

    offer: int
    outcome: OfferOutcome
    code: int = 0


@dataclass(frozen=True, slots=True)
class ReportJoin(Action):
    """Caller and agent hear each other."""

    offer: int


@dataclass(frozen=True, slots=True)
class ReportTalkEnd(Action):
    """The conversation with this agent is over; `again`: the caller waits again, with his place."""

    offer: int
    by: EndedBy
    cause: str
    again: bool = False


@dataclass(frozen=True, slots=True)
class AskPosition(Action):
    """Ask for place and expected wait; PositionKnown comes, or nothing while the database is away."""


@dataclass(frozen=True, slots=True)
class AskCallback(Action):
    """Turn the entry into a callback to this number; CallbackTaken comes."""

    number: str


@dataclass(frozen=True, slots=True)
class ReportCallback(Action):
    """Tell how the call back to the caller went: "reached", "busy", "no_answer", "failed"."""

    outcome: str
    code: int = 0
    #: What early media said (callcore.attempt); empty: nothing.
    verdict: str = ""


@dataclass(frozen=True, slots=True)
class ReportSurvey(Action):
    """The caller's mark of the conversation, 1 to 5."""

    score: int


@dataclass(frozen=True, slots=True)
class ReportHold(Action):
    """A side holds the other (or no more)."""

    leg: str
    on: bool


@dataclass(frozen=True, slots=True)
class ReportTransfer(Action):
    """The agent's caller was handed on: "blind" or "attended", and where."""

    offer: int
    kind: str
    target: str
    succeeded: bool


# ---- campaigns (performed by the dial port, off the SIP loop)


class DialStage(StrEnum):
    """What is told of a dial."""

    #: Somebody, or something, answered.
    ANSWERED = "answered"
    #: A key was chosen that has an effect of its own: opt-out, callback.
    CHOSEN = "chosen"
    #: Over; told exactly once.
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportDial(Action):
    """Tell how a dial of a campaign goes; facts only, what they mean is decided elsewhere (callcore/attempt.py)."""

    attempt: int
    stage: DialStage
    #: Final response and Q.850 cause of a call that was not answered; 0: none.
    code: int = 0
    cause: int = 0
    #: Our own proxy refused, or a fault of ours ended it.
    ours: bool = False
    #: 180 or 183 was seen.
    rang: bool = False
    answered: bool = False
    #: What was recognised; "": nothing.
    verdict: str = ""
    #: How much of the message was said to the person.
    heard_ms: int = 0
    heard_all: bool = False
    #: Last key of the menu, and what it does; "": none.
    key: str = ""
    choice: str = ""
    #: Queue of a callback.
    queue: int = 0
    #: Answered, and no agent in time.
    abandoned: bool = False
    #: The conversation with an agent took place.
    talked: bool = False


@dataclass(frozen=True, slots=True)
class Finish(Action):
    """The session is over; nothing follows."""

    cause: str
