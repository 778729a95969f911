"""Beginnings of queue calls for the tests of hold_queue: arrived, offered, talking."""

from __future__ import annotations

from sems_apps.events import (
    CallerArrived,
    Entered,
    LegAnswered,
    OfferMade,
    PromptEnded,
)
from sems_apps.machines.hold_queue import HoldQueue
from sems_apps.machines.queue_call import Phase
from sems_apps.settings import QueueSettings
from tests.support.queue_world import QueueWorld

NUMBER = "+74951234567"
PLAIN = QueueSettings(tenant=1, queue=7, name="sales", music="jazz")


def arrive(
    settings: QueueSettings = PLAIN, *, offered: bool = False, machine: HoldQueue | None = None
) -> QueueWorld:
    world = QueueWorld(machine)
    world.feed(CallerArrived(NUMBER, settings))
    world.feed(Entered(settings, offered))
    return world


def offer(number: int = 1, *, ring_all: bool = False) -> OfferMade:
    return OfferMade(number, f"10{number}", 15.0, ring_all)


def talk(settings: QueueSettings = PLAIN) -> QueueWorld:
    world = arrive(settings)
    world.feed(offer())
    world.feed(LegAnswered("agent:1"))
    if settings.whisper:
        world.feed(PromptEnded("agent:1", "whisper"))
    assert world.machine.phase is Phase.TALKING
    return world
