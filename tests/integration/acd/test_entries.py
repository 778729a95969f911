"""What becomes of entries: overflow, supervisors, lost hosts, redials, callbacks, transfers, replay."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from tests.support.acd_field import HOST, OTHER_HOST, PROXY, Action, Field


def due(field: Field, entry: int | None, column: str = "due_at") -> None:
    """Let a time of an entry come."""
    field.conn.execute(
        f"UPDATE queue_entry SET {column} = now() WHERE entry_id = %s",  # type: ignore[arg-type]
        [entry],
    )


def orders(field: Field) -> list[Action]:
    """Take the commands of the host, without news of a changed queue."""
    return [action for action in field.take() if action.kind != "settings"]


def kinds(actions: list[Action]) -> list[str]:
    return [action.kind for action in actions]


# ---- overflow


def test_full_closed_and_empty_queues_send_callers_where_they_are_told(field: Field) -> None:
    there = {"kind": "ivr", "value": "sorry", "announcement": "busy"}
    full = field.queue("full", max_size=1, overflow={"full": there})
    assert field.enter(full).kind == "wait"
    left = field.enter(full)
    assert (left.kind, left.data["reason"], left.data["to_kind"], left.data["announcement"]) == (
        "leave",
        "full",
        "ivr",
        "busy",
    )
    closed = field.queue("closed", enabled=False)
    assert field.enter(closed).data["reason"] == "closed"
    empty = field.queue("empty", join_when="available")
    agent = field.agent("a", empty)
    field.call("acd_pause", agent, "x")
    assert field.enter(empty).data["reason"] == "empty"
    field.change(empty, join_when="logged_in")
    assert field.enter(empty).kind == "wait"


def test_size_zero_still_gives_calls_to_free_agents(field: Field) -> None:
    queue = field.queue(max_size=0)
    field.agent("a", queue)
    assert [field.enter(queue).kind for _ in range(2)] == ["offer_agent", "leave"]


def test_overflow_to_a_queue_keeps_the_waited_time(field: Field) -> None:
    second = field.queue("second")
    first = field.queue(
        "first", max_wait_seconds=30, overflow={"timeout": {"kind": "queue", "value": "second"}}
    )
    entry = field.enter(first, "700").entry_id
    since = field.entry(entry)["since"]
    newer = field.enter(second, "701").entry_id
    due(field, entry, "leave_at")
    due(field, entry)
    field.tick()
    row = field.entry(entry)
    assert (row["queue_id"], row["since"], row["state"]) == (second, since, "waiting")
    assert kinds(orders(field)) == ["move", "wait"]
    field.agent("a", second)
    assert field.entry(entry)["state"] == "offered"
    assert field.entry(newer)["state"] == "waiting"


def test_longest_wait_ends_with_a_command(field: Field) -> None:
    queue = field.queue(max_wait_seconds=30)
    entry = field.enter(queue).entry_id
    due(field, entry, "leave_at")
    due(field, entry)
    field.tick()
    [command] = orders(field)
    assert (command.kind, command.data["reason"], command.data["to_kind"]) == ("leave", "timeout", None)
    assert field.entry(entry)["end_reason"] == "timeout"


def test_overflow_in_a_circle_ends(field: Field) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        field.queue(name, enabled=False, overflow={"closed": {"kind": "queue", "value": other}})
    queue = field.value("SELECT queue_id FROM queue WHERE name = 'a'")
    assert kinds(field.acts("acd_enter", queue, uuid.uuid4(), HOST, True, "1"))[-1] == "leave"


def test_queue_that_loses_its_agents_lets_callers_go(field: Field) -> None:
    queue = field.queue(stay_when="logged_in")
    agent = field.agent("a", queue)
    field.call("acd_pause", agent, "x")
    entry = field.enter(queue).entry_id
    due(field, entry)
    field.tick()
    assert field.entry(entry)["state"] == "waiting"
    field.call("acd_logout", agent)
    due(field, entry)
    field.tick()
    assert field.entry(entry)["end_reason"] == "empty"


def test_exit_key_leads_to_its_target(field: Field) -> None:
    queue = field.queue(overflow={"exit_key": {"kind": "account", "value": "101"}})
    [action] = field.acts("acd_end", field.enter(queue).entry_id, "exit_key")
    assert (action.data["to_kind"], action.data["to"]) == ("account", "101")


# ---- supervisors


def test_priority_moves_a_waiting_caller_to_the_front(field: Field) -> None:
    queue = field.queue()
    agent = field.agent("a", queue, login=False)
    field.enter(queue, "1")
    second = field.enter(queue, "2").entry_id
    field.acts("acd_priority", second, 5, "boss")
    field.call("acd_login", agent)
    assert field.entry(second)["state"] == "offered"
    assert field.events("entry.priority") == [{"from": 0, "to": 5, "by": "boss"}]


def test_move_takes_the_offer_back_and_matches_there(field: Field) -> None:
    first, second = field.queue("first"), field.queue("second")
    a, b = field.agent("a", first), field.agent("b", second)
    entry = field.enter(first).entry_id
    assert kinds(field.acts("acd_move", entry, second, "boss")) == ["move"]
    assert (field.state(a), field.state(b), field.entry(entry)["queue_id"]) == ("free", "reserved", second)
    assert kinds(orders(field)) == ["cancel_offer", "move", "offer_agent"]
    assert field.state(b) == "ringing"


def test_eject_ends_and_sends_away(field: Field) -> None:
    queue = field.queue()
    entry = field.enter(queue).entry_id
    field.acts("acd_eject", entry, "ivr", "bye", "boss")
    [command] = orders(field)
    assert (command.kind, command.data["to"], field.entry(entry)["end_reason"]) == ("leave", "bye", "ejected")


@pytest.mark.parametrize("state", ["paused", "wrapup", "offline"])
def test_assign_rings_the_agent_whatever_his_state(field: Field, state: str) -> None:
    queue = field.queue()
    agent = field.agent("a")
    {
        "paused": lambda: field.call("acd_pause", agent, "x"),
        "wrapup": lambda: field.call("acd_wrapup", agent, 100),
        "offline": lambda: field.call("acd_logout", agent),
    }[state]()
    entry = field.enter(queue, "700").entry_id
    field.acts("acd_assign", entry, agent, "boss")
    [command] = orders(field)
    assert (command.kind, command.data["agent"], command.data["forced"]) == ("offer_agent", agent, True)
    assert field.outcome(command.offer_id, "no_answer")[0].kind == "wait"
    assert field.state(agent) == state
    assert field.entry(entry)["assigned_agent"] is None


def test_busy_agent_gets_the_assigned_caller_next(field: Field) -> None:
    queue, other = field.queue(wrapup_seconds=60), field.queue("other", priority=100)
    agent = field.agent("a", queue, other)
    talking = field.enter(queue)
    field.answer(talking.offer_id)
    field.enter(other, "vip")
    assigned = field.enter(queue, "700").entry_id
    field.acts("acd_assign", assigned, agent, "boss")
    assert field.entry(assigned)["state"] == "waiting"
    field.acts("acd_finish", talking.offer_id, "caller")
    assert field.entry(assigned)["state"] == "offered"
    assert field.state(agent) == "ringing"


def test_release_frees_whoever_is_held_and_says_what_held_him(field: Field) -> None:
    queue = field.queue()
    agent = field.agent("a", queue)
    action = field.enter(queue)
    field.answer(action.offer_id)
    assert field.call("acd_release", agent, "boss") == "free"
    [event] = field.events("agent.release")
    assert (event["state"], event["offer"], event["by"]) == ("busy", action.offer_id, "boss")


def test_orders_go_to_the_host_of_the_call(field: Field) -> None:
    queue = field.queue()
    field.agent("a", queue)
    action = field.enter(queue)
    field.answer(action.offer_id)
    order = {"mode": "listen", "to_kind": "account", "to": "900"}
    command = field.call("acd_command", action.entry_id, "supervise", Jsonb(order), "boss")
    [taken] = orders(field)
    assert (taken.id, taken.kind, taken.offer_id, taken.data["mode"]) == (
        command,
        "supervise",
        action.offer_id,
        "listen",
    )
    direct = field.queue("direct")
    field.agent("b", direct)
    rung = field.enter(direct, holder=PROXY, anchored=False)
    assert field.call("acd_command", rung.entry_id, "hangup", Jsonb({}), "boss") is None


def test_change_of_a_queue_reaches_its_calls(field: Field) -> None:
    queue = field.queue()
    entry = field.enter(queue).entry_id
    field.change(queue, media={"music": "jazz"}, max_wait_seconds=10)
    command = field.take()[-1]
    assert (command.kind, command.data["settings"]["music"]) == ("settings", "jazz")
    assert command.data["entries"] == [entry]
    row = field.entry(entry)
    assert (row["leave_at"] - row["entered_at"]).total_seconds() == 10


# ---- hosts


def silent(field: Field, host: str) -> None:
    """Let a host have been silent for long, and what it holds be older than that."""
    field.conn.execute("UPDATE node SET heartbeat_at = now() - interval '6 s' WHERE name = %s", [host])
    field.conn.execute(
        "UPDATE queue_entry SET state_at = state_at - interval '10 s' WHERE holder = %s", [host]
    )


def test_dead_host_loses_calls_but_no_place_and_no_agent(field: Field) -> None:
    field.host(OTHER_HOST)
    queue = field.queue(wrapup_seconds=0, grace_seconds=60)
    a, b = field.agent("a", queue), field.agent("b", queue)
    talking, ringing = field.enter(queue, "700"), field.enter(queue, "701")
    waiting = field.enter(queue, "702").entry_id
    elsewhere = field.enter(queue, "703", holder=OTHER_HOST).entry_id
    field.answer(talking.offer_id)
    since = field.entry(waiting)["since"]
    silent(field, HOST)
    assert field.conn.execute("SELECT acd_silent_hosts()").fetchall() == [(HOST,)]
    field.value("SELECT acd_lose_host(%s, 'silent')", HOST)
    states = [field.entry(entry)["state"] for entry in (talking.entry_id, ringing.entry_id, waiting)]
    assert states == ["ended", "lost", "lost"]
    assert field.entry(elsewhere)["state"] == "offered"
    assert {field.state(a), field.state(b)} == {"reserved", "free"}
    field.call("acd_logout", a), field.call("acd_logout", b)
    back = field.enter(queue, "702", holder=OTHER_HOST)
    assert (back.entry_id, field.entry(waiting)["since"]) == (waiting, since)
    due(field, ringing.entry_id)
    field.tick()
    assert field.entry(ringing.entry_id)["end_reason"] == "host_lost"


def test_report_finds_calls_that_one_side_only_knows(field: Field) -> None:
    queue = field.queue(wrapup_seconds=0)
    agent = field.agent("a", queue)
    action = field.enter(queue, "700")
    field.answer(action.offer_id)
    field.report(HOST, [])
    assert field.state(agent) == "busy"  # once is nothing
    field.report(HOST, [action.entry_id or 0])
    assert field.entry(action.entry_id)["missing_since"] is None
    field.report(HOST, [])
    field.past("queue_entry", "missing_since", action.entry_id, 3)
    field.report(HOST, [])
    assert (field.state(agent), field.entry(action.entry_id)["end_reason"]) == ("free", "host_lost")
    field.conn.execute("UPDATE queue_entry SET ended_at = ended_at - interval '3 s'")
    told = field.report(HOST, [action.entry_id or 0, 999])
    assert [(row.kind, row.entry_id) for row in told] == [("end", action.entry_id), ("end", 999)]
    assert len(field.events("repair")) == 1


def test_restarted_host_has_lost_what_it_held(field: Field) -> None:
    queue = field.queue()
    entry = field.enter(queue, "700").entry_id
    statement = "SELECT count(*) FROM acd_report(%s, %s, '{}', '{}')"
    field.value(statement, HOST, uuid.uuid4())
    assert field.entry(entry)["state"] == "lost"


def test_command_that_nobody_takes_goes_to_another_agent(field: Field) -> None:
    queue = field.queue()
    field.enter(queue, "700")
    a = field.agent("a", queue)
    b = field.agent("b", queue)
    offer = field.row("SELECT offer_id, agent_id, state::text FROM offer")
    assert (offer["agent_id"], offer["state"]) == (a, "reserved")
    field.past("offer", "deadline_at", offer["offer_id"], 6)
    field.tick()
    assert field.offer(offer["offer_id"])["outcome"] == "lost"
    assert field.state(b) == "reserved"
    assert kinds(orders(field)) == ["cancel_offer", "offer_agent"]  # never the old offer
    assert field.events("repair")[0]["what"] == "offer"


def test_silent_proxy_loses_its_offer_but_the_caller_may_still_come(field: Field) -> None:
    queue = field.queue()
    agent = field.agent("a", queue)
    call = uuid.uuid4()
    action = field.enter(queue, "700", holder=PROXY, anchored=False, call=call)
    field.past("offer", "deadline_at", action.offer_id, 60)
    field.tick()
    assert (field.state(agent), field.entry(action.entry_id)["state"]) == ("free", "arriving")
    assert kinds(field.outcome(action.offer_id, "no_answer")) == ["wait"]
    due(field, action.entry_id)
    field.tick()
    assert field.entry(action.entry_id)["end_reason"] == "failed"


# ---- callbacks


def callback_queue(field: Field, **columns: Any) -> int:
    return field.queue(callback_enabled=True, callback_caller_id="74950000001", **columns)


def ask_callback(field: Field, entry: int | None, number: str) -> list[Action]:
    return field.acts("acd_callback", entry, number, Jsonb({}))


def test_callback_keeps_the_place_agent_first(field: Field) -> None:
    queue = callback_queue(field)
    agent = field.agent("a", queue, login=False)
    first = field.enter(queue, "700").entry_id
    field.enter(queue, "701")
    assert kinds(ask_callback(field, first, "79161234567")) == ["ended"]
    field.call("acd_login", agent)
    [command] = orders(field)
    assert (command.kind, command.entry_id, command.data["first"], command.data["number"]) == (
        "offer_agent",
        first,
        "agent",
        "79161234567",
    )
    [dial] = field.answer(command.offer_id)
    assert (dial.kind, dial.data["caller_id"], field.state(agent)) == ("dial", "74950000001", "busy")
    assert kinds(field.acts("acd_dialled", first, "reached")) == ["join"]
    assert field.entry(first)["state"] == "talking"
    field.acts("acd_finish", command.offer_id, "caller")
    assert field.entry(first)["end_reason"] == "served"


def test_callback_caller_first_and_an_agent_who_does_not_answer(field: Field) -> None:
    queue = callback_queue(field, callback_first="caller")
    a = field.agent("a", queue)
    entry = field.value("SELECT acd_callback_add(%s, %s, '79161234567', '{}', 'boss')", field.tenant, queue)
    [dial] = orders(field)
    assert (dial.kind, dial.entry_id, field.state(a)) == ("dial", entry, "reserved")
    [ring] = field.acts("acd_dialled", entry, "reached")
    assert (ring.kind, field.state(a)) == ("offer_agent", "ringing")
    [again] = field.outcome(ring.offer_id, "no_answer")
    assert again.kind == "wait"  # he is on the line now, with music
    b = field.agent("b", queue)
    [second] = orders(field)
    assert (second.kind, second.data["agent"], second.data["first"]) == ("offer_agent", b, None)
    assert kinds(field.answer(second.offer_id)) == ["join"]


def test_callback_is_tried_again_and_given_up(field: Field) -> None:
    queue = callback_queue(field, callback_attempts=2, callback_retry_seconds=100)
    agent = field.agent("a", queue)
    entry = field.value("SELECT acd_callback_add(%s, %s, '79161234567', '{}', 'boss')", field.tenant, queue)
    for attempt in (1, 2):
        [command] = orders(field)
        field.answer(command.offer_id)
        field.acts("acd_dialled", entry, "busy", 486)
        assert field.state(agent) == "free"
        assert field.entry(entry)["dials"] == attempt
        field.conn.execute(
            "UPDATE queue_entry SET not_before = now(), due_at = now() WHERE state = 'waiting'"
        )
        field.tick()
    assert field.entry(entry)["end_reason"] == "failed"


def test_one_callback_a_number_and_it_can_be_cancelled(field: Field) -> None:
    queue = callback_queue(field)
    entry = field.enter(queue, "700").entry_id
    ask_callback(field, entry, "79161234567")
    second = field.enter(queue, "700").entry_id
    ask_callback(field, second, "79161234567")
    assert field.entry(second)["end_reason"] == "callback"
    field.acts("acd_eject", entry, None, None, "boss")
    assert field.entry(entry)["end_reason"] == "cancelled"
    refused = ask_callback(field, field.enter(field.queue("none"), "7").entry_id, "79161234567")
    assert refused[0].data["reason"] == "refused"


def test_callback_waits_for_a_host_and_expires(field: Field) -> None:
    queue = callback_queue(field)
    field.agent("a", queue)
    field.conn.execute("UPDATE node SET heartbeat_at = NULL")
    entry = field.value("SELECT acd_callback_add(%s, %s, '79161234567', '{}', 'boss')", field.tenant, queue)
    assert field.entry(entry)["state"] == "waiting"
    field.host()
    field.conn.execute("UPDATE queue_entry SET not_before = now(), due_at = now()")
    field.tick()
    assert kinds(orders(field)) == ["offer_agent"]
    other = field.value("SELECT acd_callback_add(%s, %s, '79161234568', '{}', 'boss')", field.tenant, queue)
    due(field, other, "expires_at")
    due(field, other)
    field.tick()
    assert field.entry(other)["end_reason"] == "expired"


# ---- transfers


def talk(field: Field, queue: int) -> Action:
    action = field.enter(queue, "700", caller_name="Ivan")
    field.answer(action.offer_id)
    return action


def test_transfer_to_a_queue_goes_on_with_the_same_call(field: Field) -> None:
    first, second = field.queue("first", wrapup_seconds=5), field.queue("second")
    a, b = field.agent("a", first), field.agent("b", second)
    action = talk(field, first)
    replies = field.acts("acd_transfer", action.entry_id, "queue", "second", "blind", "a")
    assert kinds(replies) == ["ended", "offer_agent"]
    assert (replies[1].data["agent"], replies[1].data["caller_name"]) == (b, "Ivan")
    assert replies[1].data["call"] == action.data["call"]
    assert (field.state(a), field.entry(action.entry_id)["end_reason"]) == ("wrapup", "transferred")


def test_transfer_to_an_agent_blind_and_attended(field: Field) -> None:
    queue = field.queue()
    a = field.agent("a", queue)
    b = field.agent("b")
    action = talk(field, queue)
    blind = field.acts("acd_transfer", action.entry_id, "agent", "b", "blind", "a")[-1]
    assert (blind.kind, blind.data["agent"], field.state(b)) == ("offer_agent", b, "ringing")
    field.answer(blind.offer_id)
    attended = field.acts("acd_transfer", blind.entry_id, "agent", "a", "attended", "b")[-1]
    assert (attended.kind, attended.data["agent"], field.state(a)) == ("join", a, "busy")
    assert field.state(b) == "free"


def test_leg_is_found_for_replaces(field: Field) -> None:
    queue = field.queue()
    field.agent("a", queue)
    action = field.enter(queue)
    field.answer(
        action.offer_id, legs=[{"kind": "agent", "sip_call_id": "c", "local_tag": "l", "remote_tag": "r"}]
    )
    for tag in ("l", "r"):
        found = field.row("SELECT * FROM acd_find_leg(%s, 'c', %s)", field.tenant, tag)
        assert found == {
            "entry_id": action.entry_id,
            "offer_id": action.offer_id,
            "kind": "agent",
            "holder": HOST,
        }
    field.acts("acd_end", action.entry_id, "abandoned")
    assert field.conn.execute("SELECT * FROM leg").fetchall() == []


# ---- dialogs and registrations


def test_any_dialog_of_the_account_makes_him_busy(field: Field) -> None:
    queue = field.queue()
    agent = field.agent("101", queue, number=None)
    account = field.value("SELECT account_id FROM agent")
    field.conn.execute(
        "INSERT INTO kamailio.location (ruid, username, domain) VALUES ('r', '101', 'acme.example')"
    )
    field.value("SELECT acd_check_registrations()")
    assert field.state(agent) == "free"
    for call in ("one", "two"):
        field.call("acd_leg_start", account, PROXY, call, "in")
    waiting = field.enter(queue)
    assert (waiting.kind, field.state(agent)) == ("wait", "busy")
    field.call("acd_leg_end", account, PROXY, "one")
    assert field.state(agent) == "busy"
    field.call("acd_leg_end", account, PROXY, "two")
    assert field.state(agent) == "reserved"
    [command] = orders(field)
    assert (command.data["to_kind"], command.data["to"], command.data["domain"]) == (
        "account",
        "101",
        "acme.example",
    )


def test_lost_registration_takes_the_agent_out_after_a_moment(field: Field) -> None:
    agent = field.agent("101", number=None)
    assert field.state(agent) == "offline"
    field.conn.execute(
        "INSERT INTO kamailio.location (ruid, username, domain) VALUES ('r', '101', 'acme.example')"
    )
    field.value("SELECT acd_check_registrations()")
    field.conn.execute("DELETE FROM kamailio.location")
    field.value("SELECT acd_check_registrations()")
    assert field.state(agent) == "free"
    field.past("agent_live", "unseen_since", agent, 4)
    field.value("SELECT acd_check_registrations()")
    row = field.row("SELECT state, state_reason FROM agent_live")
    assert (row["state"], row["state_reason"]) == ("offline", "unregistered")


def sync(field: Field, known: list[str], *legs: dict[str, Any]) -> int:
    return int(field.value("SELECT acd_legs_sync(%s, %s, %s)", PROXY, Jsonb(list(legs)), known))


def test_dialogs_are_compared_with_the_proxy(field: Field) -> None:
    agent = field.agent("101", number=None)
    account = field.value("SELECT account_id FROM agent")
    field.conn.execute("UPDATE agent_live SET registered = true, event = 'register'")
    field.call("acd_leg_start", account, PROXY, "gone", "in")
    field.conn.execute("UPDATE agent_leg SET started_at = started_at - interval '3 s'")
    assert sync(field, []) == 0
    assert sync(field, ["gone"]) == 0
    assert field.value("SELECT missing_since FROM agent_leg") is None
    assert sync(field, []) == 0
    field.conn.execute("UPDATE agent_leg SET missing_since = missing_since - interval '2 s'")
    assert (sync(field, []), field.state(agent)) == (1, "free")
    leg = {"tenant": field.tenant, "account": account, "sip_call_id": "new", "direction": "out", "peer": "7"}
    assert (sync(field, ["new"], {**leg, "confirmed": True}), field.state(agent)) == (1, "busy")
    field.conn.execute("UPDATE agent_leg SET started_at = started_at - interval '9 s'")
    assert (field.value("SELECT acd_check_proxies()"), field.state(agent)) == (1, "free")
    assert [event["what"] for event in field.events("repair")] == ["leg", "leg", "leg"]


def test_direct_call_that_the_proxy_does_not_know_ends(field: Field) -> None:
    queue = field.queue()
    agent = field.agent("a", queue)
    action = field.enter(queue, "700", holder=PROXY, anchored=False)
    field.answer(action.offer_id, legs=[{"kind": "agent", "sip_call_id": "c"}])
    field.past("offer", "answered_at", action.offer_id, 3)
    assert (sync(field, ["c"]), sync(field, [])) == (0, 0)
    field.past("offer", "missing_since", action.offer_id, 2)
    assert (sync(field, []), field.state(agent)) == (1, "free")


# ---- outage


def test_lines_of_an_outage_count_once_with_their_times(field: Field) -> None:
    queue = field.queue()
    call = uuid.uuid4()
    start = datetime.now(UTC) - timedelta(minutes=5)
    base = {"tenant": field.tenant, "queue": queue, "call": str(call), "holder": HOST}
    lines = [
        {**base, "event_id": str(uuid.uuid4()), "kind": "enter", "at": start.isoformat(), "caller": "700"},
        {
            **base,
            "event_id": str(uuid.uuid4()),
            "kind": "end",
            "at": (start + timedelta(seconds=40)).isoformat(),
            "reason": "abandoned",
        },
    ]
    assert [field.value("SELECT acd_replay(%s)", Jsonb(lines)) for _ in range(2)] == [2, 0]
    row = field.row("SELECT since, ended_at, waited_ms, end_reason::text FROM queue_entry")
    assert (row["since"], row["waited_ms"], row["end_reason"]) == (start, 40_000, "abandoned")


def test_entry_made_late_has_its_original_time(field: Field) -> None:
    queue = field.queue()
    early = datetime.now(UTC) - timedelta(seconds=90)
    field.enter(queue, "701")
    late = field.enter(queue, "700", since=early.isoformat())
    assert (late.data["position"], field.entry(late.entry_id)["since"]) == (1, early)


def test_events_move_from_the_default_partition(field: Field) -> None:
    field.agent("a")
    before = field.value("SELECT count(*) FROM acd_event")
    for _ in range(2):
        field.conn.execute("SELECT acd_ensure_partition(current_date)")
    assert field.value("SELECT count(*) FROM acd_event") == before > 0
    assert field.value("SELECT count(*) FROM acd_event_default") == 0
