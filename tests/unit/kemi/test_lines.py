"""Calls of watched lines: those that run already, those that another proxy has, and those that have ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from callcore.presence import LineState
from kalibri.services.line import LineAt, StoredDialog, Wanted
from kemi import events, line_exchange, line_state, lines, presence
from kemi.call_state import CallState
from kemi.line_exchange import GIVE_UP_SECONDS
from tests.support.fake_proxy import FakeProxy
from tests.unit.kemi.test_presence import answer, notified, watch

OTHER = {"name": "n2-proxy", "kind": "proxy", "host": "n2", "address": "udp:192.0.2.99:5066"}
LINE = (1, "101")
CALL = {"c2": ["confirmed", "recipient", "100"]}


@pytest.fixture
def proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeProxy:
    """One of two proxies, and its process that follows lines, just begun."""
    monkeypatch.setattr(line_exchange, "_known", line_exchange._Known(begun=True))
    return FakeProxy(tmp_path, nodes=[OTHER])


def tick(proxy: FakeProxy, wanted: set[tuple[int, str]] | None, *found: LineAt) -> None:
    """Let the process look. wanted: what others watch, None: the database is away; found: what they have."""
    proxy.ksr.calls.clear()
    proxy.acd.results = [] if wanted is None else [(wanted, list(found))]
    line_exchange.tick(proxy.worker)


def at_other(*, registered: bool = True, calls: dict[str, Any] | None = None) -> LineAt:
    return LineAt(tenant_id=1, username="101", registered=registered, calls=calls or {})


def test_a_call_that_runs_already_is_shown_soon_after_the_subscription(proxy: FakeProxy) -> None:
    proxy.send("INVITE", auth=("100", 1))
    answer(proxy)
    watch(proxy)
    tick(proxy, set())
    ((_, body),) = notified(proxy)
    assert "confirmed" in body
    tick(proxy, set())
    assert notified(proxy) == []
    proxy.ksr.calls.clear()
    events.dialog(proxy.worker, "dialog:end")
    proxy.do_later()
    assert "<dialog " not in notified(proxy)[0][1]


def test_the_call_of_another_proxy_is_shown_until_it_is_over_there(proxy: FakeProxy) -> None:
    watch(proxy)
    tick(proxy, set(), at_other(calls=CALL))
    ((_, body),) = notified(proxy)
    assert "confirmed" in body
    assert "sip:100@demo.example" in body
    tick(proxy, set(), at_other(calls=CALL))
    assert notified(proxy) == []
    tick(proxy, set(), at_other())
    assert "<dialog " not in notified(proxy)[0][1]


def test_what_a_dead_proxy_told_is_given_up(proxy: FakeProxy) -> None:
    watch(proxy)
    tick(proxy, set(), at_other(calls=CALL))
    tick(proxy, set())  # the database does not count it any more
    assert "<dialog " not in notified(proxy)[0][1]
    assert proxy.ksr.tables["line"] == {}


def test_without_the_database_lamps_stay_as_they_are_for_a_while(
    proxy: FakeProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(line_exchange.time, "monotonic", lambda: now)
    watch(proxy)
    tick(proxy, set(), at_other(calls=CALL))
    tick(proxy, None)
    assert notified(proxy) == []
    now += GIVE_UP_SECONDS + 1
    tick(proxy, None)
    assert "<dialog " not in notified(proxy)[0][1]


def test_presence_shows_a_phone_that_is_registered_elsewhere(proxy: FakeProxy) -> None:
    proxy.ksr.results["registrar.registered_uri"] = -1
    watch(proxy, **{"$hdr(Event)": "presence"})
    assert "closed" in notified(proxy)[0][1]
    tick(proxy, set(), at_other())
    assert "open" in notified(proxy)[0][1]


def test_calls_are_told_to_who_watches_at_another_proxy(proxy: FakeProxy) -> None:
    proxy.ksr.results["registrar.registered_uri"] = -1
    tick(proxy, {LINE})
    proxy.send("INVITE", auth=("100", 1))
    wanted = Wanted(tenant_id=1, username="101", watched=True, registered=None, calls=None)
    ((told,), gone) = line_exchange._news(proxy.worker, [wanted])
    (call,) = told.calls.values()
    assert (call, told.registered, gone) == (["early", "recipient", "100"], False, [])
    known = Wanted(tenant_id=1, username="101", watched=True, registered=False, calls=told.calls)
    assert line_exchange._news(proxy.worker, [known]) == ([], [])
    events.dialog(proxy.worker, "dialog:failed")
    proxy.do_later()
    assert line_exchange._news(proxy.worker, [known]) == ([], [LINE])
    tick(proxy, set())
    assert proxy.ksr.tables["follow"] == {}


def test_a_line_that_nobody_watches_any_more_is_forgotten(proxy: FakeProxy) -> None:
    watch(proxy)
    proxy.send("INVITE", auth=("100", 1))
    tick(proxy, set())
    assert line_state.own(proxy.worker, *LINE) != {}
    proxy.ksr.tables["watch"].clear()
    tick(proxy, set())
    assert proxy.ksr.tables["follow"] == {}
    assert line_state.own(proxy.worker, *LINE) == {}
    events.dialog(proxy.worker, "dialog:end")
    proxy.do_later()
    assert line_state.own(proxy.worker, *LINE) == {}


def test_members_of_a_group_light_up_together_and_the_winner_stays_lit(proxy: FakeProxy) -> None:
    for name in ("101", "102", "103"):
        line_state.follow(proxy.worker, 1, name)
    state = CallState(call_id="c1", tenant_id=1)
    proxy.ksr.dialog_vars["ks_a"] = "7495"

    def shown() -> dict[str, str]:
        proxy.do_later()
        all_calls = {name: line_state.own(proxy.worker, 1, name) for name in ("101", "102", "103")}
        return {name: calls["c1"][0] for name, calls in all_calls.items() if calls}

    lines.ring(proxy.worker, state, ["101", "102"])
    assert shown() == {"101": "early", "102": "early"}
    lines.ring(proxy.worker, state, ["103"])
    assert shown() == {"103": "early"}
    lines.ring(proxy.worker, state, ["101", "102"])
    lines.answered(proxy.worker, state, "102")
    assert shown() == {"102": "confirmed"}
    lines.over(proxy.worker, "None:None")
    assert shown() == {}


def test_a_hidden_number_is_not_shown_to_watchers(proxy: FakeProxy) -> None:
    line_state.follow(proxy.worker, *LINE)
    proxy.ksr.dialog_vars["ks_a"] = "7495"
    lines.ring(proxy.worker, CallState(call_id="c1", tenant_id=1, hidden=True), ["101"])
    proxy.do_later()
    assert line_state.own(proxy.worker, *LINE)["c1"] == ["early", "recipient", "anonymous"]


def test_a_call_that_ended_during_the_look_does_not_come_back(proxy: FakeProxy) -> None:
    line_state.follow(proxy.worker, *LINE)
    proxy.ksr.dialog_vars["ks_a"] = "7495"
    lines.ring(proxy.worker, CallState(call_id="c1", tenant_id=1), ["101"])
    proxy.worker.later.clear()
    items = proxy.worker.port.table_items("talk")
    proxy.ksr.tables["talk"].clear()
    talk = lines.Talk(*json.loads(items[0][1]))
    lines._add(proxy.worker, *LINE, {"c1": (items[0][0], talk.lines()["101"])})
    assert line_state.own(proxy.worker, *LINE) == {}


def test_calls_that_outlive_a_restart_are_taken_up_if_they_still_run(
    proxy: FakeProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_exchange, "_known", line_exchange._Known())
    facts = {"ks_call": "c1", "ks_tenant": "1", "ks_a": "7495", "ks_b": "600", "ks_callee": "101"}
    kept, ended = (
        StoredDialog(hash_entry=1, hash_id=number, callid=f"i{number}", from_tag="t", variables=facts)
        for number in (1, 2)
    )
    monkeypatch.setattr(proxy.worker.port, "rpc", lambda method, *given: {} if given == ("i1", "t") else None)
    watch(proxy)
    proxy.acd.results = []
    line_exchange.tick(proxy.worker)  # the database is away
    proxy.ksr.calls.clear()
    proxy.acd.results = [None, [kept, ended], (set(), [])]
    line_exchange.tick(proxy.worker)
    assert list(proxy.ksr.tables["talk"]) == ["1:1"]
    assert line_state.own(proxy.worker, *LINE) == {"c1": ["confirmed", "recipient", "anonymous"]}
    assert "confirmed" in notified(proxy)[0][1]


def test_of_a_call_at_two_proxies_the_answer_counts() -> None:
    early, answered = [LineState.EARLY, "recipient", "1"], [LineState.CONFIRMED, "recipient", "1"]
    assert line_exchange._joined({"c": early}, {"c": answered}) == {"c": answered}
    assert line_exchange._joined({"c": answered}, {"c": early}) == {"c": answered}


def test_who_begins_to_watch_just_now_is_not_forgotten(proxy: FakeProxy) -> None:
    watch(proxy)
    presence.drop_unwatched(proxy.worker, *LINE)
    assert line_state.is_followed(proxy.worker, *LINE)
