"""What call park asks of its host besides what every application may, and what happens to it alone. Pure values."""

from __future__ import annotations

from dataclasses import dataclass

from sems_apps.actions import Action
from sems_apps.events import Event

# ---- actions


@dataclass(frozen=True, slots=True)
class TakeSlot(Action):
    """Get a slot; SlotTaken or SlotRefused comes."""

    #: 0: any that is free.
    slot: int
    parker: str
    #: What is dialled before a slot's number, for the message to the parker; "": no message.
    code: str


@dataclass(frozen=True, slots=True)
class FreeSlot(Action):
    """Give the slot back; done anyhow when the session is over."""


#: What the host's park port performs.
PARK_ACTIONS = (TakeSlot, FreeSlot)

# ---- events


@dataclass(frozen=True, slots=True)
class ParkAsked(Event):
    """A call to be parked."""

    #: The caller's number, "" when withheld.
    number: str
    tenant: int
    #: 0: any that is free.
    slot: int
    #: User name of who transferred it here; "": not known.
    parker: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class SlotTaken(Event):
    """The slot is the call's."""

    slot: int
    wait_seconds: float
    ring_seconds: float
    #: As a Dial's target: "queue:sales"; "": none.
    overflow: str = ""


@dataclass(frozen=True, slots=True)
class SlotRefused(Event):
    """There is no slot for the call."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class PickupAsked(Event):
    """Somebody dialled the slot: his leg is there, not answered, with media ready."""

    leg: str
    by: str
    #: Id of his own call.
    call: str
