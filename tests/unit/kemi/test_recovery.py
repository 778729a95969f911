"""What a start of the proxy learns from the journals of the dead processes."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from kemi import recovery
from kemi.proxy_start import RECOVERED
from kemi.replies import REPLIED
from tests.support.fake_proxy import FakeProxy


@pytest.fixture
def proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeProxy:
    for name, value in (
        ("_told", False),
        ("_recovered", {}),
        ("_closed", False),
        ("_started_at", time.time()),
    ):
        monkeypatch.setattr(recovery, name, value)
    fake = FakeProxy(tmp_path)
    fake.journal_folder.mkdir()
    return fake


def line(kind: str, call: str, **data: Any) -> str:
    return json.dumps({"kind": kind, "call": call, "data": data})


def start(call: str, sip_call_id: str) -> str:
    """The lines of a call that was sent to somebody."""
    return f"{received(call, sip_call_id)}\n{line('call.attempt', call, n=1)}"


def received(call: str, sip_call_id: str) -> str:
    return line("call.start", call, sip_call_id=sip_call_id, from_tag="t", cseq=2)


def write(proxy: FakeProxy, *lines: str, name: str = "n1-kamailio-boot-1-1.jsonl") -> Path:
    path = proxy.journal_folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def seen(proxy: FakeProxy) -> dict[str, Any]:
    return proxy.ksr.tables.get("seen", {})


def test_calls_that_were_being_set_up_are_known_again(proxy: FakeProxy) -> None:
    write(proxy, start("c1", "a@x"), start("c2", "b@x"), line("call.end", "c2"))
    recovery.load_seen(proxy.worker)
    assert seen(proxy) == {"a@x\nt\n2": RECOVERED + "c1"}


def test_an_entry_that_expires_reads_no_journal(proxy: FakeProxy) -> None:
    write(proxy, start("c1", "a@x"))
    recovery.table_event(proxy.worker, "htable:expired:seen")
    assert seen(proxy) == {}
    recovery.table_event(proxy.worker, recovery.TABLES_MADE)
    assert len(seen(proxy)) == 1


def test_the_end_may_stand_in_another_file(proxy: FakeProxy) -> None:
    write(proxy, start("c1", "a@x"))
    write(proxy, line("call.end", "c1"), name="n1-kamailio-boot-2-1.jsonl")
    recovery.load_seen(proxy.worker)
    assert seen(proxy) == {}


def test_torn_lines_strange_lines_and_old_files_do_no_harm(proxy: FakeProxy) -> None:
    write(
        proxy,
        "[1]",
        "{",
        "\x00",
        line("call.start", "c1"),
        '{"kind":"call.start","call":5}',
        received("c2", "b@x")[:40],
    )
    old = write(proxy, start("c3", "c@x"), name="n1-kamailio-boot-3-1.jsonl")
    os.utime(old, (time.time() - 1000, time.time() - 1000))
    recovery.load_seen(proxy.worker)
    assert seen(proxy) == {}


def test_a_retransmitted_invite_makes_no_second_call(proxy: FakeProxy) -> None:
    write(proxy, start("c1", "a@x"))
    recovery.load_seen(proxy.worker)
    proxy.send("INVITE", auth=("100", 1), ci="a@x", ft="t", cs="2")
    assert proxy.replies == [(100, "Trying")]
    assert not proxy.relayed
    assert [event["call"] for event in proxy.events("call.retransmission")] == ["c1"]


def test_a_repeated_invite_of_a_media_host_rings_no_second_time_and_ends_no_call(proxy: FakeProxy) -> None:
    write(proxy, received("c1", "a@x").replace("call.start", "leg.start"), line("leg.attempt", "c1"))
    recovery.load_seen(proxy.worker)
    assert list(seen(proxy).values()) == ["recovered:c1/leg"]
    assert recovery._recovered == {}
    proxy.send("INVITE", ci="a@x", ft="t", cs="2")
    assert proxy.replies == [(100, "Trying")]
    assert [event["call"] for event in proxy.events("call.retransmission")] == ["c1"]


def test_an_invite_that_never_left_the_dead_proxy_makes_the_call_when_it_is_repeated(
    proxy: FakeProxy,
) -> None:
    write(proxy, received("c1", "a@x"), line("call.route", "c1"))
    recovery.load_seen(proxy.worker)
    proxy.send("INVITE", auth=("100", 1), ci="a@x", ft="t", cs="2")
    assert proxy.relayed
    assert {event["call"] for event in proxy.events("call.attempt")} != {"c1"}


def test_an_invite_that_comes_round_again_is_a_loop(proxy: FakeProxy) -> None:
    proxy.ksr.tables["seen"] = {"a@x\nt\n2": "c9"}
    proxy.send("INVITE", auth=("100", 1), ci="a@x", ft="t", cs="2")
    assert proxy.replies == [(482, "Loop Detected")]


def test_what_nobody_answered_is_closed_after_the_time_of_a_setup(
    proxy: FakeProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(proxy, start("c1", "a@x"), start("c2", "b@x"), start("c3", "c@x"), line("call.answer", "c3"))
    recovery.load_seen(proxy.worker)
    assert len(seen(proxy)) == 3
    proxy.ksr.tables["seen"]["b@x\nt\n2" + REPLIED] = "200"
    recovery.close_abandoned(proxy.worker)
    assert proxy.events("call.end") == []
    monkeypatch.setattr(recovery, "_started_at", time.time() - recovery.SETUP_SECONDS - 1)
    recovery.close_abandoned(proxy.worker)
    recovery.close_abandoned(proxy.worker)
    assert [(event["call"], event["data"]["cause"]) for event in proxy.events("call.end")] == [
        ("c1", "proxy_restart")
    ]
