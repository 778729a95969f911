"""After a restart of the proxy: which calls are gone, and that nobody is hung up by mistake."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from callcore.cdr import PROXY_RESTART, fold
from callcore.event import Event
from callcore.restart import DIALOGS_PER_EVENT, Restart, is_gone, restart_end, restarts, start_parts
from tests.support.events import START, CallBuilder


def told(builder: CallBuilder, ms: float, **data: Any) -> Event:
    return builder.add(ms, "proxy.start", **data)


def restart_of(call: CallBuilder, ms: float, dialogs: list[str]) -> Restart:
    [restart] = restarts([told(CallBuilder(99, start=call.start_time), ms, dialogs=dialogs)])
    return restart


def talking() -> CallBuilder:
    call = CallBuilder(1)
    call.start()
    call.answer(1000)
    return call


def gone(call: CallBuilder, restart: Restart) -> bool:
    return is_gone(fold(call.call_id, call.events), call.events, restart)


def test_a_call_that_the_proxy_does_not_name_is_gone() -> None:
    call = talking()
    assert gone(call, restart_of(call, 5000, []))


def test_a_call_that_the_proxy_names_lives() -> None:
    call = talking()
    assert not gone(call, restart_of(call, 5000, [str(call.call_id).upper()]))


def test_a_call_that_began_after_the_restart_lives() -> None:
    call = talking()
    assert not gone(call, restart_of(call, -1, []))


def test_a_call_that_began_before_the_list_was_told_lives() -> None:
    call = talking()
    began_at = (call.start_time - timedelta(seconds=1)).isoformat()
    told_late = told(CallBuilder(99, start=call.start_time), 5000, dialogs=[], began_at=began_at)
    [restart] = restarts([told_late])
    assert not gone(call, restart)


def test_a_nonsensical_beginning_is_not_believed() -> None:
    call = talking()
    for began_at in ("yesterday", "2026-11-22T10:00:00", None, 5):
        start = told(CallBuilder(99, start=call.start_time), 5000, dialogs=[], began_at=began_at)
        [restart] = restarts([start])
        assert restart.at == start.at


def test_a_call_that_shows_life_after_the_restart_lives() -> None:
    call = talking()
    assert not gone(call, restart_of(call, 900, []))


def test_a_late_media_event_is_no_sign_of_life() -> None:
    call = talking()
    call.add(60_000, "call.media", a_packets=1)
    assert gone(call, restart_of(call, 5000, []))


def test_a_call_that_has_ended_is_not_ended_again() -> None:
    call = talking()
    call.end(4000)
    assert not gone(call, restart_of(call, 5000, []))


def test_a_call_of_another_node_is_left_alone() -> None:
    call = CallBuilder(1, node="n2")
    call.start()
    assert not gone(call, restart_of(call, 5000, []))


def test_the_end_is_the_same_event_however_often_it_is_concluded() -> None:
    call = talking()
    restart = restart_of(call, 5000, [])
    end = restart_end(call.call_id, 7, restart)
    assert end == restart_end(call.call_id, 7, restart)
    cdr = fold(call.call_id, [*call.events, end, end])
    assert (cdr.cause, cdr.hung_up_by, cdr.ended_at) == (PROXY_RESTART, "system", restart.at)
    other = CallBuilder(2)
    assert restart_end(other.call_id, 7, restart).id != end.id


def test_a_long_list_is_told_in_parts_and_counts_only_when_all_are_there() -> None:
    ids = [str(CallBuilder(n).call_id) for n in range(DIALOGS_PER_EVENT + 5)]
    proxy = CallBuilder(99)
    parts = [told(proxy, n, **part) for n, part in enumerate(start_parts(ids, "run-1"))]
    assert len(parts) == 2
    [restart] = restarts(parts)
    assert restart.dialogs == set(ids)
    assert restart.at == START
    assert restarts(parts[:1]) == []
    assert restarts(parts[1:]) == []


def test_a_list_without_dialogs_is_told_too() -> None:
    [part] = start_parts([], "run-1")
    assert len(restarts([told(CallBuilder(), 0, **part)])) == 1


def test_a_cut_or_missing_list_is_not_trusted() -> None:
    proxy = CallBuilder()
    assert restarts([told(proxy, 0, dialogs=["x"], cut_from_bytes=70000)]) == []
    assert restarts([told(proxy, 0)]) == []
    assert restarts([told(proxy, 0, dialogs="x")]) == []
    assert restarts([told(proxy, 0, dialogs=[], parts="two")]) == []


def test_complete_restarts_come_in_order() -> None:
    proxy = CallBuilder()
    events = [
        told(proxy, 1000, dialogs=["b"]),
        told(proxy, 0, dialogs=["a"]),
        told(proxy, 2000, dialogs=["c"], part=1, parts=2, run="r"),
    ]
    assert [(r.at - START, set(r.dialogs)) for r in restarts(events)] == [
        (timedelta(0), {"a"}),
        (timedelta(seconds=1), {"b"}),
    ]
