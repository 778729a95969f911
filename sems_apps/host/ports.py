"""What a session needs of the world around it, as interfaces: the host implements them, tests put others in place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from sems_apps.actions import Action, ReportDial, Supervise
from sems_apps.events import Event
from sems_apps.host.proxies import Address
from sems_apps.host.sip_leg_facts import Replaced
from sems_apps.mailbox_actions import BoxRefusal, BoxRefused, OpenBox
from sems_apps.park_actions import SlotRefused, TakeSlot
from sems_apps.sounds import Sound

if TYPE_CHECKING:
    from sems_apps.host.session import Session


@dataclass(slots=True)
class Entry:
    """What the ACD must know of a call, and what it said of it."""

    call: str
    tenant: int
    queue: int
    caller: str
    caller_name: str = ""
    #: Unix time of the caller's INVITE.
    since: float = 0.0
    #: Node through which agents are called.
    proxy: str = ""
    #: 0: not made yet.
    entry: int = 0
    #: Where events of the ACD go.
    post: Callable[[Event], None] = lambda event: None
    #: The dialogs of the legs by name, for Replaces and reconciliation.
    legs: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    #: The agent leg's whisper delays the join.
    whispers: bool = False
    #: This is a callback: nobody has called.
    is_callback: bool = False
    #: More that the entry is made with: variables, priority.
    options: dict[str, object] = field(default_factory=dict)
    #: The number that was dialled, for the agent's screen.
    called: str = ""


class Acd(Protocol):
    """The queue behind the call."""

    def perform(self, entry: Entry, action: Action) -> None:
        """Take an action of the machine that concerns the queue; answers come as events to `entry.post`, later."""

    def forget(self, entry: Entry) -> None:
        """The session is over."""

    def supervised(self, leg: str, error: str) -> None:
        """Tell how the supervision of this leg began: "" or why it did not."""

    def find_leg(self, tenant: int, wanted: Replaced, done: Callable[[Address | None], None]) -> None:
        """Tell which media host has a dialog of this tenant; None: none has."""


class Dialling(Protocol):
    """The campaign behind a dialled call."""

    def report(self, action: ReportDial) -> None:
        """Tell how a dial goes."""

    def forget(self, call: str) -> None:
        """The session of this call is over; a dial whose end was not reported is reported as a fault of ours."""


class NoDialling:
    """For hosts that dial no campaigns."""

    def report(self, action: ReportDial) -> None:
        """Nobody listens."""

    def forget(self, call: str) -> None:
        """Nothing is known."""


class Ivr(Protocol):
    """What scenarios ask of the world."""

    def perform(self, caller: Session, action: Action) -> None:
        """Take an action of IVR_ACTIONS; answers come as events to the session, later."""


class ParkCaller(Protocol):
    """The session of a parked call."""

    entry: Entry

    def post(self, event: Event) -> None:
        """Take an answer."""


class Parking(Protocol):
    """The slots of parked calls."""

    def perform(self, caller: ParkCaller, action: Action) -> None:
        """Take an action of PARK_ACTIONS; answers come as events to the session, later."""

    def forget(self, entry: Entry) -> None:
        """The session is over: its slot, if it has one, is free."""


class NoParking:
    """For hosts that park no calls."""

    def perform(self, caller: ParkCaller, action: Action) -> None:
        """Refuse."""
        if isinstance(action, TakeSlot):
            caller.post(SlotRefused(480, "Calls Are Not Parked Here"))

    def forget(self, entry: Entry) -> None:
        """Nothing is known."""


class MailboxCaller(Protocol):
    """The session of somebody who listens to voice mail."""

    entry: Entry

    @property
    def payload_type(self) -> int:
        """In which codec he hears."""

    def post(self, event: Event) -> None:
        """Take an answer."""


class Mailboxes(Protocol):
    """Voice mail."""

    def perform(self, caller: MailboxCaller, action: Action) -> None:
        """Take an action of MAILBOX_ACTIONS; answers come as events to the session, later."""

    def forget(self, entry: Entry) -> None:
        """The session is over: its sounds are not needed any more."""


class NoMailboxes:
    """For hosts that have no voice mail."""

    def perform(self, caller: MailboxCaller, action: Action) -> None:
        """Refuse."""
        if isinstance(action, OpenBox):
            caller.post(BoxRefused(BoxRefusal.AWAY))

    def forget(self, entry: Entry) -> None:
        """Nothing is known."""


class Journal(Protocol):
    """Where the story of the call is written."""

    def event(
        self, kind: str, /, *, call: str | None = None, tenant: int | None = None, **data: object
    ) -> None:
        """Write one event; never raises."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A compiled file: its path without the payload type, and how long it plays."""

    path: str
    seconds: float


class Prompts(Protocol):
    """Where sounds are found."""

    def find(
        self,
        tenant: int,
        sounds: tuple[Sound, ...],
        language: str,
        payload_type: int,
        done: Callable[[Clip | None], None],
    ) -> None:
        """Tell the file that holds these sounds one after the other, at once or later; None: there is none."""


class Supervision(Protocol):
    """Supervisors in calls."""

    def join(self, session: Session, action: Supervise) -> None:
        """Let a supervisor's answered leg take part, or change how."""

    def leave(self, session: Session, leg: str) -> None:
        """Take a supervisor out."""

    def forget(self, session: Session) -> None:
        """The call is over."""


#: (method, params, done): a call of the RTP controller, done with its result or None.
Rpc = Callable[[str, dict[str, Any], Callable[[Any], None]], None]
