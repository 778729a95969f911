"""The caller hangs up in every kind of node and in whatever it waits for: it ends there, and nothing follows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from callcore import ivr_events as ev
from callcore.ivr_model import NodeKind
from callcore.ivr_run import Stage
from tests.support.ivr_world import IvrWorld, bundle, version

#: Kinds that lead on at once: there is no moment in which a caller could hang up in one.
NEVER_WAIT = {NodeKind.SET, NodeKind.SCENARIO, NodeKind.RETURN}
NODES = {
    "play": "{kind: play, say: x, next: z}",
    "menu": "{kind: menu, say: x, keys: {1: z}, on_failure: z}",
    "collect": "{kind: collect, say: x, into: v, max_digits: 2, confirm: {say: [{digits: '{v}'}]},"
    " next: z, on_failure: z}",
    "branch": "{kind: branch, when: [{if: {queue: sales}, next: z}], otherwise: z}",
    "http": "{kind: http, url: 'http://crm.test/', into: {v: v}, next: z, on_failure: z}",
    "lookup": "{kind: lookup, table: t, key: k, into: {v: v}, next: z, on_failure: z}",
    "queue": "{kind: queue, queue: sales, next: z, on_failure: z}",
    "transfer": "{kind: transfer, to: 'account:eve', next: z, on_failure: z}",
    "record": "{kind: record, say: x, next: z, on_failure: z}",
    "mailbox": "{kind: mailbox, mailbox: '101', next: z, on_failure: z}",
    "callback": "{kind: callback, queue: sales, next: z, on_failure: z}",
    "hangup": "{kind: hangup, say: x}",
}


def nothing(world: IvrWorld) -> None:
    """The node waits there as soon as it is entered."""


def let_said(world: IvrWorld) -> None:
    world.said()


def type_digits(world: IvrWorld) -> None:
    world.press("12", settle=False)


def answer(world: IvrWorld) -> None:
    world.feed(ev.Reached(), settle=False)


def speak(world: IvrWorld) -> None:
    world.said()
    world.now += timedelta(seconds=9)


@pytest.mark.parametrize(
    ("kind", "until", "stage", "undone"),
    [
        ("play", nothing, Stage.SAYING, None),
        ("menu", nothing, Stage.MENU, None),
        ("menu", let_said, Stage.MENU, None),
        ("collect", nothing, Stage.COLLECT, None),
        ("collect", type_digits, Stage.CONFIRM, None),
        ("branch", nothing, Stage.ASKING, None),
        ("http", nothing, Stage.ASKING, None),
        ("lookup", nothing, Stage.ASKING, None),
        ("callback", nothing, Stage.ASKING, None),
        ("queue", nothing, Stage.QUEUED, None),
        ("mailbox", nothing, Stage.LISTENING, None),
        ("transfer", nothing, Stage.DIALLING, ev.GiveUpDial()),
        ("transfer", answer, Stage.TALKING, None),
        ("record", nothing, Stage.BEEPING, None),
        ("record", speak, Stage.RECORDING, ev.EndMessage(True)),
        ("hangup", nothing, Stage.LEAVING, None),
        ("hangup", let_said, Stage.LEAVING, None),
    ],
)
@pytest.mark.parametrize("within", [False, True], ids=["first", "sub"])
def test_it_ends_in_the_node(
    kind: str, until: Callable[[IvrWorld], None], stage: Stage, undone: ev.Action | None, within: bool
) -> None:
    end = "" if kind == "hangup" else "\n  z: {kind: hangup}"
    source = f"nodes:\n  {kind}: {NODES[kind]}{end}"
    outer = "nodes: {a: {kind: scenario, scenario: inner, next: b, on_failure: b}, b: {kind: hangup}}"
    world = IvrWorld(bundle(outer, version(source, "inner")) if within else bundle(source))
    world.feed(ev.Begun(), settle=False)
    until(world)
    assert (world.run.stage, world.path[-1]) == (stage, kind)
    tokens = range(world.run.token + 2)
    world.feed(ev.CallerLeft(), settle=False)
    assert world.end == ev.End(0, "caller hung up")
    assert world.timer is None
    told = world.told[-1]
    assert (told["kind"], told["node"], told["by"], told["stage"]) == ("ivr.end", kind, "caller", stage)
    assert told["scenario"] == ("inner" if within else "main")
    assert [one for one in world.done if isinstance(one, ev.GiveUpDial | ev.EndMessage)] == (
        [undone] if undone else []
    )
    late: list[ev.Event] = [ev.CallerLeft(), ev.Key("1"), ev.Reached(), ev.NotReached(486), ev.OtherLeft()]
    late += [ev.QueueLeft(True), ev.RecordingFailed()]
    late += [event for token in tokens for event in (ev.Said(token), ev.TimeUp(token))]
    late += [ev.Answered(token, {"v": "1"}) for token in tokens]
    for event in late:
        assert world.run.step(event, world.now + timedelta(seconds=1)) == []


def test_every_kind_and_every_stage_is_tried() -> None:
    (mark,) = (one for one in test_it_ends_in_the_node.pytestmark if "stage" in one.args[0])  # type: ignore[attr-defined]
    assert {kind for kind, *_ in mark.args[1]} == set(NodeKind) - NEVER_WAIT
    assert {stage for _, _, stage, _ in mark.args[1]} == set(Stage) - {Stage.NEW, Stage.ENDED}
