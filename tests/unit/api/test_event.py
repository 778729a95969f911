"""Which events a listener gets, and how they are written."""

from __future__ import annotations

import json

import pytest

from api.events.event import Batch, Event, make_filter
from api.events.feed import PORTION_BYTES, Ring, portions
from callcore.errors import BadInput


def event(seq: int = 1, text: str = "{}", **more: object) -> Event:
    known = {"tenant_id": 1, "kind": "call.start", "queue_id": None, "agent_id": None, "account": None}
    return Event(seq=seq, text=text, **{**known, **more})  # type: ignore[arg-type]


def test_a_tenant_gets_its_own_events_and_the_system_all() -> None:
    mine = make_filter(tenant_id=1, account=None)
    assert mine.matches(event())
    assert not mine.matches(event(tenant_id=2))
    assert not mine.matches(event(tenant_id=None))
    assert make_filter(tenant_id=None, account=None).matches(event(tenant_id=None))


def test_kinds_queues_agents_and_the_account_all_count() -> None:
    chosen = make_filter(
        tenant_id=1, account="101", kinds=["call.*", "agent.state"], queues=["7"], agents=[3]
    )
    right = {"queue_id": 7, "agent_id": 3, "account": "101"}
    assert chosen.matches(event(**right))
    assert chosen.matches(event(**right, kind="agent.state"))
    for wrong in ({"kind": "agent.login"}, {"queue_id": 8}, {"agent_id": None}, {"account": "102"}):
        assert not chosen.matches(event(**{**right, **wrong}))


@pytest.mark.parametrize("kind", ["", "a*b", "x" * 101])
def test_what_is_no_kind_is_refused(kind: str) -> None:
    with pytest.raises(BadInput):
        make_filter(tenant_id=1, account=None, kinds=[kind])


def test_each_event_of_a_batch_says_where_to_go_on() -> None:
    batch = Batch([event(4, '{"a": 1}'), event(9, '{"a": 2}')], upto=12)
    assert batch.sse.count(b"\n\n") == 2
    assert b"id: 9\nevent: call.start\ndata: {" in batch.sse
    told = json.loads(batch.notification)["params"]
    assert (told["after"], told["events"]) == (12, [{"a": 1}, {"a": 2}])


def test_memory_holds_the_newest_and_knows_where_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.events.feed.RING_EVENTS", 3)
    ring = Ring(floor=10)
    ring.add([event(seq) for seq in (11, 13, 14, 17)])
    assert ring.floor == 11
    assert [found.seq for found in ring.after(13, 10)] == [14, 17]
    assert [found.seq for found in ring.after(11, 2)] == [13, 14]


def test_portions_are_small_and_complete() -> None:
    events = [event(seq, "x" * (PORTION_BYTES // 3 + 1)) for seq in range(7)]
    parts = list(portions(events))
    assert [found.seq for part in parts for found in part] == list(range(7))
    assert max(len(part) for part in parts) == 2
    assert list(portions([])) == []
