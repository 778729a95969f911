"""Random valid scenarios with random keys and answers: they always end, never hang, never raise."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from callcore import ivr_events as ev
from callcore.ivr_condition import QueueState
from callcore.ivr_run import Bundle, Stage, Version
from callcore.schedule import Schedule
from tests.support.ivr_random import random_scenario
from tests.support.ivr_world import IvrWorld, version

OFFICE = Schedule.make(
    schedule_id=1, tenant_id=1, name="office", zone_name="Europe/Moscow", hours="mon-fri 09:00-18:00"
)
OTHER = version(
    "nodes: {a: {kind: menu, say: other, keys: {1: b}, on_failure: b}, b: {kind: return}}", "other"
)
#: More than this many events, and the call hangs: the most steps times the events that a node takes.
MOST_EVENTS = 20_000


@pytest.mark.parametrize("seed", range(150))
def test_random_scenarios_end(seed: int) -> None:
    rng = random.Random(seed)
    source, scenario = random_scenario(rng)
    bundle = Bundle(
        scenarios={"main": Version(name="main", version=1, scenario=scenario), "other": OTHER},
        schedules={"office": OFFICE},
    )
    world = IvrWorld(bundle)
    world.feed(ev.Begun(), settle=False)
    for _ in range(MOST_EVENTS):
        if world.end is not None:
            break
        _anything(rng, world)
    assert world.end is not None, f"{world.run.stage} at {world.run.node}\n{source}"
    assert world.run.step(ev.Key("1"), world.now) == []
    assert world.path[0] == "n0"


def _anything(rng: random.Random, world: IvrWorld) -> None:
    """Let something happen: what is awaited, mostly, or something late, early or meaningless."""
    world.now += timedelta(seconds=rng.choice((0, 0.1, 1, 5)))
    if rng.random() < 0.05:
        world.feed(_nonsense(rng, world), settle=False)
    elif rng.random() < 0.4:
        world.press(rng.choice("0123456789*#"), settle=False)
    else:
        _awaited(rng, world)


def _awaited(rng: random.Random, world: IvrWorld) -> None:
    stage = world.run.stage
    if world.saying is not None:
        world.said()
    elif stage is Stage.ASKING and rng.random() < 0.8:
        world.feed(ev.Answered(world.asked.token, _answer(rng, world.asked), "no"), settle=False)
    elif stage is Stage.QUEUED:
        world.feed(ev.QueueLeft(rng.random() < 0.5, "closed"), settle=False)
    elif stage is Stage.LISTENING:
        world.feed(ev.MailboxLeft(rng.choice(("", "wrong PIN"))), settle=False)
    elif stage is Stage.DIALLING and rng.random() < 0.8:
        world.feed(rng.choice((ev.Reached(), ev.NotReached(486))), settle=False)
    elif stage is Stage.TALKING:
        world.feed(ev.OtherLeft(), settle=False)
    elif world.timer is not None:
        timer, world.timer = world.timer, None
        world.now = max(world.now, world.timer_at)
        world.feed(ev.TimeUp(timer.token), settle=False)
    else:
        assert stage is Stage.ENDED, f"{stage} waits for nothing"


def _answer(rng: random.Random, asked: object) -> object:
    if rng.random() < 0.3:
        return None
    if isinstance(asked, ev.AskHttp):
        return rng.choice(
            ({"value": 5}, {"value": "x" * 9999}, {}, [1], "text", {"value": {"a": 1}}, {"value": None})
        )
    if isinstance(asked, ev.AskRow):
        return rng.choice(({"office": "3"}, {}, {"office": ""}))
    if isinstance(asked, ev.AskFacts):
        return ev.Known(
            {"sales": QueueState(3, 0, 1, True, None)}, {number: "Москва" for number in asked.numbers}
        )
    return True


def _nonsense(rng: random.Random, world: IvrWorld) -> ev.Event:
    events: list[ev.Event] = [
        ev.Said(-1),
        ev.TimeUp(-1),
        ev.Answered(-1, {"a": 1}),
        ev.Reached(),
        ev.NotReached(404),
        ev.OtherLeft(),
        ev.QueueLeft(True),
        ev.RecordingFailed(),
        ev.MailboxLeft(),
        ev.Begun(),
    ]
    return ev.CallerLeft() if rng.random() < 0.05 else rng.choice(events)
