"""State machines as tables: which handler takes an event in a phase. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from callcore.errors import KalibriError
from sems_apps.actions import Action
from sems_apps.events import Event

#: A handler changes the machine's state and tells it what to do; it returns nothing.
Handler = Callable[[Any, Any], None]
Row = Mapping[type[Event], Handler]
Phases = TypeVar("Phases", bound=StrEnum)


class Machine(Protocol):
    """An application: events in, actions out."""

    @property
    def is_conversation(self) -> bool:
        """Whether a host that stops should wait for the call."""

    def step(self, event: Event, now: float) -> list[Action]:
        """Take an event at this moment (monotonic seconds) and return what to do, in this order."""


class IllegalEvent(KalibriError):
    """An event that the machine has no row for."""

    error_id = "illegal-event"


def find_handler(table: Mapping[Phases, Row], any_phase: Row, phase: Phases, event: Event) -> Handler:
    """Return the handler of the phase, else the one that counts in every phase; raises IllegalEvent."""
    kind = type(event)
    handler = table.get(phase, {}).get(kind) or any_phase.get(kind)
    if handler is None:
        raise IllegalEvent(f"{kind.__name__} in phase {phase}", event=kind.__name__, phase=str(phase))
    return handler


def ignore(machine: Any, event: Event) -> None:
    """Take an event that comes too late to matter."""
