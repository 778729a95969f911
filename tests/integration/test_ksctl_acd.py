"""ksctl queue, agent, entry, callback, skill, pausereason, and the orders of ksctl call."""

from __future__ import annotations

import io
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from kalibri.db import Conn
from kalibri.services import queue as queues
from kalibri.services import queue_live
from tests.support.acd_field import HOST, Field
from tests.support.fix_ksctl import Ksctl
from tools.ksctl.commands.queue import LIVE_COLUMNS
from tools.ksctl.live_table import follow


@pytest.fixture
def acme(db: Conn, monkeypatch: pytest.MonkeyPatch) -> Field:
    monkeypatch.setenv("KALIBRI_TENANT", "acme")
    field = Field(db)
    field.host()
    return field


def call(field: Field, name: str, caller: str = "700") -> tuple[int, str]:
    """Let a call come; return its entry and the action."""
    queue = queues.find(field.conn, tenant_id=field.tenant, name=name).queue_id
    action = field.enter(queue, caller)
    assert action.entry_id is not None
    return action.entry_id, action.kind


def test_queue_with_every_kind_of_rule(acme: Field, ksctl: Ksctl) -> None:
    ksctl.ok("queue add second")
    ksctl.ok(
        "queue",
        "add",
        "sales",
        *("--strategy", "round_robin", "--tiers", "0,30,60", "--max-size", "5", "--ageing-seconds", "60"),
        *("--overflow", "timeout=queue:second", "--overflow", "full=reject:486", "--no-answer-limit", "none"),
        *("--media", "music=jazz", "--media", "announce_position=yes", "--record", "--callback"),
    )
    shown = ksctl.ok("queue show sales -o json").json
    assert (shown["strategy"], shown["tier_waits"], shown["max_size"]) == ("round_robin", [0, 30, 60], 5)
    assert (shown["no_answer_limit"], shown["record"], shown["callback_enabled"]) == (None, True, True)
    assert shown["overflow"]["timeout"] == {"kind": "queue", "value": "second", "announcement": ""}
    assert shown["media"] == {"music": "jazz", "announce_position": True}
    ksctl.ok(
        "queue edit sales --max-size none --overflow full=none --media music=none --anchor always --disable"
    )
    shown = ksctl.ok("queue show sales -o json").json
    assert (shown["max_size"], shown["anchored"], shown["enabled"]) == (None, True, False)
    assert (list(shown["overflow"]), shown["media"]) == (["timeout"], {"announce_position": True})
    [second, first] = [row["name"] for row in ksctl.ok("queue list -o json").json][::-1]
    assert (first, second) == ("sales", "second")


def test_what_a_queue_refuses(acme: Field, ksctl: Ksctl) -> None:
    ksctl.ok("queue add sales")
    for words, told in (
        ("queue edit sales --tiers 0,60,30", "tiers open one after the other"),
        ("queue edit sales --tiers 5", "the first 0"),
        ("queue edit sales --media loudness=11", 'no option "loudness"'),
        ("queue edit sales --media after_agent=dance", "end or survey or queue"),
        ("queue edit sales --media exit_key=1 --media callback_key=1", "key 1 cannot be both"),
        ("queue edit sales --overflow boredom=reject:486", "nobody leaves a queue for the reason"),
        ("queue edit sales --ring-seconds 0", "ring time: 1 to 600 seconds"),
        ("queue edit sales --strategy ring_all --anchor never", "ring_all needs a media host"),
    ):
        assert told in ksctl.fails(1, words)
    assert 'no queue "nowhere"' in ksctl.fails(3, "queue edit sales --overflow timeout=queue:nowhere")
    assert 'no schedule "never"' in ksctl.fails(3, "queue edit sales --schedule never")
    assert "already" in ksctl.fails(4, "queue add sales")


def test_agents_from_login_to_history(acme: Field, ksctl: Ksctl) -> None:
    ksctl.ok("queue add sales")
    ksctl.ok("agent add anna --number 74951234567 --queue sales")
    assert "not both" in ksctl.fails(1, "agent add bob")
    assert 'no account "101"' in ksctl.fails(3, "agent add bob --account 101")
    ksctl.ok("pausereason add lunch --unpaid")
    assert "is free" in ksctl.ok("agent login anna").stderr
    assert 'no pause reason "nap"' in ksctl.fails(3, "agent pause anna nap")
    assert "is paused" in ksctl.ok("agent pause anna lunch").stderr
    [row] = ksctl.ok("agent list -o json").json
    assert (row["state"], row["state_reason"], row["queues"]) == ("paused", "lunch", ["sales"])
    assert [row["paused"] for row in ksctl.ok("pausereason list -o json").json] == [1]
    ksctl.ok("agent resume anna")
    assert "is wrapup" in ksctl.ok("agent wrapup anna 60").stderr
    assert "is free" in ksctl.ok("agent free anna").stderr
    history = ksctl.ok("agent history anna -o json").json
    assert [(row["state"], row["reason"], row["paid"]) for row in history] == [
        ("wrapup", "", True),
        ("free", "", True),
        ("paused", "lunch", False),
        ("free", "", True),
        ("offline", "", True),
    ]
    ksctl.ok("agent edit anna --number 74951234568 --display-name Anna")
    assert "is offline" in ksctl.ok("agent logout anna").stderr
    ksctl.ok("agent rm anna")
    assert ksctl.ok("agent list -o json").json == []


def test_skills_and_members(acme: Field, ksctl: Ksctl) -> None:
    ksctl.ok("queue add sales")
    ksctl.ok("skill add english")
    for name in ("anna", "bob"):
        ksctl.ok(f"agent add {name} --number 100")
        ksctl.ok(f"agent login {name}")
    ksctl.ok("queue member add sales anna bob --tier 2 --penalty 1")
    ksctl.ok("queue member set sales anna")
    rows = ksctl.ok("queue member list sales -o json").json
    assert [(row["agent"], row["tier"], row["penalty"]) for row in rows] == [("anna", 1, 0), ("bob", 2, 1)]
    assert ksctl.ok("agent skills anna english=8 -o json").json == [{"skill": "english", "level": 8}]
    ksctl.ok("queue skill set sales english 5")
    ksctl.ok("queue skill set sales english 0 --after 60")
    assert "may not ask for more" in ksctl.fails(1, "queue skill set sales english 7 --after 30")
    assert len(ksctl.ok("queue skill list sales -o json").json) == 2
    assert "level: 1 to 10" in ksctl.fails(1, "agent skills bob english=11")
    assert "still" in ksctl.fails(4, "skill rm english")
    ksctl.ok("queue skill rm sales english")
    ksctl.ok("agent skills anna english=0")
    ksctl.ok("skill rm english")
    ksctl.ok("queue member rm sales bob")
    assert "not in the queue" in ksctl.fails(3, "queue member rm sales bob")


def test_supervisor_steers_waiting_callers(acme: Field, ksctl: Ksctl) -> None:
    for name in ("sales", "support"):
        ksctl.ok(f"queue add {name} --wrapup-seconds 0")
    ksctl.ok("agent add anna --number 100 --queue sales")
    ksctl.ok("agent add bob --number 101")
    first, _ = call(acme, "sales", "700")
    second, _ = call(acme, "sales", "701")
    waiting = ksctl.ok("queue waiting sales -o json").json
    assert [(row["position"], row["entry_id"], row["caller"]) for row in waiting] == [
        (1, first, "700"),
        (2, second, "701"),
    ]
    assert "position 1" in ksctl.ok(f"entry priority {second} 5").stderr
    assert "queue support" in ksctl.ok(f"entry move {first} support").stderr
    assert "being rung" in ksctl.ok(f"entry assign {second} bob").stderr
    assert [row["agent"] for row in ksctl.ok("entry list --queue sales -o json").json] == ["bob"]
    assert "priority: -100000 to 100000" in ksctl.fails(1, f"entry priority {first} 99999999999")
    assert "has priority -5" in ksctl.ok(f"entry priority {first} -5").stderr
    assert "already" in ksctl.fails(4, f"entry move {first} support")
    assert "not in the range" in ksctl.fails(2, f"entry show {2**70}")
    assert 'no account "101"' in ksctl.fails(1, f"entry eject {first} --to account:101")
    assert "cannot be sent" in ksctl.fails(1, f"entry eject {first} --to gateway:out")
    ksctl.ok("entry", "eject", str(first), "--to", "number:84951234567")
    assert "not waiting" in ksctl.fails(4, f"entry move {first} sales")
    assert "no entry" in ksctl.fails(3, "entry show 999")
    assert "calls or callbacks are in the queue" in ksctl.fails(4, "queue rm sales")
    acme.acts("acd_end", second, "abandoned")
    ksctl.ok("queue rm sales")


def test_callbacks_are_listed_moved_and_cancelled(acme: Field, ksctl: Ksctl) -> None:
    for name in ("sales", "support"):
        ksctl.ok(f"queue add {name} --callback")
    ksctl.ok("callback add sales 79161234567")
    assert "position 1" in ksctl.ok("callback add sales 79161234567").stderr
    [row] = ksctl.ok("callback list -o json").json
    ksctl.ok(f"callback move {row['entry_id']} support")
    ksctl.ok(f"callback cancel {row['entry_id']}")
    assert ksctl.ok("callback list -o json").json == []
    entry, _ = call(acme, "sales")
    assert "is no callback" in ksctl.fails(3, f"callback cancel {entry}")


def test_explain_and_attempts(acme: Field, ksctl: Ksctl) -> None:
    ksctl.ok("queue add sales --strategy random")
    for name in ("anna", "bob", "carl"):
        ksctl.ok(f"agent add {name} --number 100 --queue sales")
        ksctl.ok(f"agent login {name}")
    ksctl.ok("agent logout carl")
    call(acme, "sales")
    [attempt] = ksctl.ok("queue attempts -o json").json
    told = ksctl.ok(f"queue explain {attempt['offer_id']} -o json").json
    assert told["reason"].startswith("drawn: number ")
    assert {row["agent"]: row["left_out"] for row in told["candidates"]} == {
        "anna": "",
        "bob": "",
        "carl": "offline",
    }
    assert [row["agent"] for row in told["candidates"] if row["chosen"]] == [attempt["agent"]]
    assert "no offer" in ksctl.fails(3, "queue explain 999")
    assert "random" in ksctl.ok(f"queue explain {attempt['offer_id']}").stderr


def test_explanation_in_a_large_queue_counts_the_others(acme: Field) -> None:
    queue = acme.queue()
    acme.conn.execute(
        "INSERT INTO agent (tenant_id, name, number) SELECT %s, 'a' || n, '100' FROM generate_series(1, 70) n",
        [acme.tenant],
    )
    acme.conn.execute(
        "INSERT INTO queue_member (tenant_id, queue_id, agent_id) SELECT tenant_id, %s, agent_id FROM agent",
        [queue],
    )
    first = acme.value("SELECT min(agent_id) FROM agent")
    acme.call("acd_login", first)
    acme.changed(queue)
    offer = acme.enter(queue).offer_id
    assert offer is not None
    acme.call("acd_login", first + 1)  # later: does not count
    told = queue_live.explain(acme.conn, tenant_id=acme.tenant, offer_id=offer)
    assert [candidate.agent for candidate in told.candidates] == ["a1"]
    assert told.others == {"offline": 69}


def test_live_table_and_figures(acme: Field, ksctl: Ksctl) -> None:
    ksctl.ok("queue add sales --wrapup-seconds 30")
    ksctl.ok("agent add anna --number 100 --queue sales")
    ksctl.ok("agent login anna")
    entry, _ = call(acme, "sales")
    offer = acme.value("SELECT offer_id FROM offer WHERE entry_id = %s", entry)
    acme.answer(offer)
    acme.acts("acd_finish", offer, "caller")
    call(acme, "sales", "701")
    [row] = ksctl.ok("queue live --once -o json").json
    figures = ("waiting", "wrapup", "free", "answered", "service_level", "open")
    assert [row[name] for name in figures] == [1, 1, 0, 1, 100.0, True]
    screen = io.StringIO()
    looks = []

    def rows() -> Sequence[Any]:
        looks.append(1)
        return queue_live.live(acme.conn, tenant_id=acme.tenant, since=datetime(2020, 1, 1, tzinfo=UTC))

    def wait(_seconds: float) -> None:
        if len(looks) == 3:
            raise KeyboardInterrupt

    follow(
        "queues",
        rows,
        LIVE_COLUMNS,
        every_seconds=1,
        console=Console(file=screen, force_terminal=True, width=220),
        wait=wait,
    )
    assert len(looks) == 3
    assert "sales" in screen.getvalue()


def test_orders_are_given_to_the_host_of_a_call(
    acme: Field, ksctl: Ksctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.ksctl.call_orders.PATIENCE_SECONDS", 0.2)
    ksctl.ok("queue add sales")
    ksctl.ok("agent add anna --number 100 --queue sales")
    ksctl.ok("agent login anna")
    entry, _ = call(acme, "sales")
    acme.answer(acme.value("SELECT offer_id FROM offer"))
    call_id = acme.value("SELECT call_id FROM queue_entry")
    assert 'no account "900"' in ksctl.fails(1, f"call listen {call_id} --to 900")
    assert 'no queue "support"' in ksctl.fails(3, f"call transfer {entry} queue:support")
    ksctl.ok("queue add support")
    assert "waits for the media host" in ksctl.ok(f"call listen {call_id} --to number:900").stderr
    ksctl.ok(f"call barge {entry} --to number:74951234567")
    ksctl.ok(f"call transfer {entry} queue:support")
    ksctl.ok(f"call transfer {entry} agent:anna")
    ksctl.ok(f"call hangup {entry} --side agent")
    taken = acme.take(HOST)
    told = [(command.kind, command.data.get("mode"), command.data.get("to")) for command in taken]
    assert (
        told
        == [
            ("settings", None, None),
            ("supervise", "listen", "900"),
            ("supervise", "barge", "74951234567"),
            ("transfer", None, "support"),
            ("transfer", None, "100"),
            ("hangup", None, None),
        ][-len(told) :]
    )
    acme.conn.execute("SELECT acd_done(%s, 'no such phone')", [taken[-1].id])
    assert "no queue call" in ksctl.fails(3, f"call hangup {uuid.uuid4()}")
    acme.acts("acd_end", entry, "abandoned")
    assert "no media host has this call" in ksctl.fails(4, f"call hangup {entry}")
