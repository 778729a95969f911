"""What happens to an application: SIP, digits, timers, prompts, and the answers of the ACD."""

from __future__ import annotations

from dataclasses import dataclass

from sems_apps.actions import SupervisionMode
from sems_apps.dial_order import DialOrder
from sems_apps.settings import QueueSettings


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events."""


# ---- beginnings


@dataclass(frozen=True, slots=True)
class CallerArrived(Event):
    """An INVITE for this application."""

    #: The caller's number, "" when withheld.
    number: str
    #: What is known of the queue without asking the database.
    settings: QueueSettings
    #: He was answered already, by what he went through before.
    answered: bool = False


@dataclass(frozen=True, slots=True)
class CallbackDue(Event):
    """It is the turn of a callback; `offer` is 0 where the caller is called first."""

    number: str
    settings: QueueSettings
    offer: int = 0
    #: What the caller sees as calling number.
    caller_id: str = ""
    target: str = ""
    ring_seconds: float = 20.0
    #: How long the agent reads before the person is called, and how long the person's phone may ring.
    reading_seconds: float = 0.0
    caller_seconds: float = 45.0
    #: Of a campaign: what the person's leg says before its answer is listened to.
    is_heard: bool = False
    #: Of a campaign: gateways of the person's call, as in sems_apps.actions.Dial.
    gateway: str = ""
    avoid: str = ""
    probe: str = ""


@dataclass(frozen=True, slots=True)
class DialDue(Event):
    """A lead of a campaign is to be dialled."""

    order: DialOrder


@dataclass(frozen=True, slots=True)
class CallerHandedOver(Event):
    """A caller who is answered already comes to a queue: somebody whom a campaign has called."""

    number: str
    #: As far as known; the ACD brings the rest with the entry.
    settings: QueueSettings


# ---- legs


@dataclass(frozen=True, slots=True)
class LegRinging(Event):
    """A dialled leg rings."""

    leg: str


@dataclass(frozen=True, slots=True)
class LegAnswered(Event):
    """A dialled leg answered."""

    leg: str


@dataclass(frozen=True, slots=True)
class LegFailed(Event):
    """A dialled leg will not answer."""

    leg: str
    #: Final response code; 408 when nobody answered at all; 0: nobody was asked (no port, no proxy that answers).
    code: int
    #: Q.850 cause of the response's Reason; 0: none.
    cause: int = 0
    #: Our own proxy refused, or we could not even ask: no carrier was asked, or none could be.
    ours: bool = False


@dataclass(frozen=True, slots=True)
class LegEnded(Event):
    """A leg is gone by the far end's will: BYE, CANCEL of the unanswered caller, or it died."""

    leg: str
    cause: str = ""


@dataclass(frozen=True, slots=True)
class LegHeld(Event):
    """A leg holds us (re-INVITE sendonly or inactive), or takes us back."""

    leg: str
    on: bool


@dataclass(frozen=True, slots=True)
class Dtmf(Event):
    """A key: 0-9, *, #, A-D; from RFC 4733 or INFO."""

    leg: str
    digit: str


@dataclass(frozen=True, slots=True)
class TransferAsked(Event):
    """A leg sent REFER; it was answered 202 and waits for Notify."""

    leg: str
    target: str
    replaces: str = ""


# ---- time and sound


@dataclass(frozen=True, slots=True)
class TimerFired(Event):
    """A timer that the machine started."""

    name: str


@dataclass(frozen=True, slots=True)
class PromptEnded(Event):
    """What was played to a leg has come to its end."""

    leg: str
    token: str


@dataclass(frozen=True, slots=True)
class MediaLost(Event):
    """The RTP session is gone and could not be had again."""


@dataclass(frozen=True, slots=True)
class Recognised(Event):
    """What is heard from a leg was recognised: a tone, an operator's message, a machine, a person."""

    leg: str
    #: A verdict as callcore.attempt knows them: "busy", "invalid", "machine", "human" …
    verdict: str


# ---- the ACD


@dataclass(frozen=True, slots=True)
class Entered(Event):
    """The entry exists. `offered`: an agent was found at once and OfferMade follows."""

    settings: QueueSettings
    offered: bool = False


@dataclass(frozen=True, slots=True)
class AcdAway(Event):
    """The database does not answer: the entry will be made when it is back."""


@dataclass(frozen=True, slots=True)
class PositionKnown(Event):
    """Place in the queue (1: next) and expected wait in seconds (None: unknown)."""

    position: int
    wait_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class OfferMade(Event):
    """Ring this agent for the caller."""

    offer: int
    target: str
    ring_seconds: float
    #: Several agents ring; the first who answers must be claimed before he is joined.
    ring_all: bool = False


@dataclass(frozen=True, slots=True)
class OfferWithdrawn(Event):
    """The ACD took an offer back."""

    offer: int


@dataclass(frozen=True, slots=True)
class OfferClaimed(Event):
    """The ACD says whether the agent who answered gets the caller."""

    offer: int
    won: bool


@dataclass(frozen=True, slots=True)
class Moved(Event):
    """The entry is in another queue now (overflow, supervisor), with the place that its wait gives it."""

    settings: QueueSettings


@dataclass(frozen=True, slots=True)
class Diverted(Event):
    """The ACD sends the caller elsewhere: overflow, closed, full. An empty target: the call ends."""

    target: str
    reason: str
    #: Prompt to say before; "": none.
    announcement: str = ""


@dataclass(frozen=True, slots=True)
class CallbackTaken(Event):
    """Whether the callback was accepted."""

    accepted: bool


# ---- orders of people


@dataclass(frozen=True, slots=True)
class HangupAsked(Event):
    """A supervisor ends the call; `agent_only`: only the agent's part in it."""

    reason: str = "supervisor"
    agent_only: bool = False


@dataclass(frozen=True, slots=True)
class TransferCommanded(Event):
    """A supervisor (or the agent's desktop) transfers the caller."""

    target: str


@dataclass(frozen=True, slots=True)
class RecordAsked(Event):
    """Recording on demand."""

    on: bool


@dataclass(frozen=True, slots=True)
class SuperviseAsked(Event):
    """A supervisor wants to take part, or to change how; `target` is his phone."""

    leg: str
    target: str
    mode: SupervisionMode


@dataclass(frozen=True, slots=True)
class SupervisionEnded(Event):
    """A supervisor is to leave the call."""

    leg: str


@dataclass(frozen=True, slots=True)
class PlayAsked(Event):
    """Somebody wants the waiting caller to hear a prompt."""

    prompt: str


@dataclass(frozen=True, slots=True)
class HostStopping(Event):
    """The host ends soon: who waits loses the call, not the place."""
