"""The state of one queue call: its phase, its legs, its offers. What every handler works on. Pure.

The handlers are in entering.py, offers.py, talking.py, callback.py and ending.py; the table that chooses among them is
in hold_queue.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from callcore.call_queue import OfferOutcome
from sems_apps.actions import CALLER, Action, LegKind, SupervisionMode
from sems_apps.machines.listening import Listening, Wished
from sems_apps.settings import QueueSettings


class Phase(StrEnum):
    """Where a queue call stands."""

    #: Nothing has happened yet.
    NEW = "new"
    #: The caller is here, the ACD has been asked for an entry.
    ENTERING = "entering"
    #: The caller hears ringing and is not answered; an agent's phone rings.
    RINGING = "ringing"
    #: The caller is answered and waits with music; agents' phones may ring.
    WAITING = "waiting"
    #: An agent has answered and hears the whisper, or the ACD decides whether he gets the caller.
    JOINING = "joining"
    #: Caller and partner hear each other.
    TALKING = "talking"
    #: The partner hands the caller on; the new leg is being called.
    TRANSFERRING = "transferring"
    #: The caller is sent elsewhere (exit key, overflow); the new leg is being called.
    DIVERTING = "diverting"
    #: Callback, agent first: the agent's phone rings.
    CALLING_AGENT = "calling_agent"
    #: Callback: the caller's phone rings; with agent first, the agent listens.
    CALLING_CALLER = "calling_caller"
    #: The caller marks the conversation.
    SURVEY = "survey"
    #: A last announcement, then the end.
    LEAVING = "leaving"
    #: Over.
    ENDED = "ended"


class LegState(StrEnum):
    """Where a leg stands, as far as the machine has been told."""

    #: The caller's INVITE, not answered by us.
    INCOMING = "incoming"
    #: Called by us, not answered.
    DIALLING = "dialling"
    UP = "up"
    ENDED = "ended"


@dataclass(slots=True)
class Offer:
    """One agent who is rung for this caller."""

    offer: int
    leg: str
    ring_all: bool
    answered: bool = False
    #: A provisional response came: his phone is there.
    rang: bool = False


@dataclass(frozen=True, slots=True)
class Gateways:
    """Gateways of the person's call, as in sems_apps.actions.Dial."""

    gateway: str = ""
    avoid: str = ""
    probe: str = ""


class QueueCall:
    """What is known of the call. `out` collects the actions of the step that is being made."""

    def __init__(self, *, anchors: bool = True, can_unbridge: bool = True) -> None:
        #: Capabilities of the host: a SEMS host cannot take a caller back from a bridge.
        self.anchors, self.can_unbridge = anchors, can_unbridge
        self.phase = Phase.NEW
        self.settings = QueueSettings()
        self.number = ""
        self.caller_id = ""
        #: Of a callback: the agent reads so long, then the caller's phone may ring so long.
        self.reading_seconds, self.caller_seconds = 0.0, 45.0
        #: Words of a Dial about gateways, of a campaign's callback.
        self.gateways = Gateways()
        self.legs: dict[str, LegState] = {}
        self.offers: dict[int, Offer] = {}
        self.ear = Listening(self.settings, "")
        #: Whether the entry (or its wish) is still in the queue.
        self.queued = False
        #: The leg that the caller talks to, "" for none; and the offer that brought it, 0 for none.
        self.partner = ""
        self.offer = 0
        #: The claim of an answered agent is being decided, or his whisper is playing.
        self.joining: Offer | None = None
        self.supervisors: dict[str, SupervisionMode] = {}
        #: The leg that asked for the transfer, "" where a supervisor did.
        self.referrer = ""
        self.transfer_kind = ""
        self.transfer_target = ""
        self.survey_rounds = 0
        self.recording = False
        #: Monotonic seconds of the step that is being made.
        self.now = 0.0
        self.out: list[Action] = []

    # ---- telling the host

    def do(self, *actions: Action) -> None:
        """Add to what the host is told."""
        self.out.extend(actions)

    def hear(self, step: Iterable[Action | Wished]) -> tuple[Wished, ...]:
        """Add what the ear does; return what the caller wishes."""
        wishes = []
        for item in step:
            if isinstance(item, Wished):
                wishes.append(item)
            else:
                self.out.append(item)
        return tuple(wishes)

    # ---- asking

    def is_up(self, leg: str) -> bool:
        """Whether a leg is answered and has not ended."""
        return self.legs.get(leg) is LegState.UP

    def is_live(self, leg: str) -> bool:
        """Whether a leg is there at all."""
        return self.legs.get(leg, LegState.ENDED) is not LegState.ENDED

    @property
    def answered(self) -> bool:
        """Whether the caller is answered."""
        return self.is_up(CALLER)

    def offer_of(self, leg: str) -> Offer | None:
        """Return the offer whose agent this leg calls."""
        return next((offer for offer in self.offers.values() if offer.leg == leg), None)


def leg_kind_of(leg: str) -> LegKind:
    """Return what X-KS-Leg says of a leg of this name."""
    head = leg.partition(":")[0]
    return {"agent": LegKind.AGENT, "supervisor": LegKind.SUPERVISOR, CALLER: LegKind.CALLER}.get(
        head, LegKind.CALLEE
    )


def outcome_of(code: int, *, rang: bool) -> OfferOutcome:
    """Say what a final response code tells of an agent (RFC 3261 section 21); 0: he was not asked.

    rang: his phone rang before; a proxy that says for it that nobody answers means that it is not there else.
    """
    if code in (486, 600):
        return OfferOutcome.BUSY
    if code in (408, 480, 487):
        return no_answer(rang=rang)
    if code in (403, 603, 607):
        return OfferOutcome.REJECTED
    # The phone refuses what we offered, or got nothing: that is our doing, and no fault of the agent.
    if code in (0, 415, 488, 606):
        return OfferOutcome.FAILED
    return OfferOutcome.UNREACHABLE


def no_answer(*, rang: bool) -> OfferOutcome:
    """Say what silence tells of an agent: a phone that gave no sign at all is not there, which is not his doing."""
    return OfferOutcome.NO_ANSWER if rang else OfferOutcome.UNREACHABLE
