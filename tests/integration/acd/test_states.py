"""The state machines of the database are those of callcore, and the database refuses anything else."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import psycopg
import pytest

from callcore.agent import TRANSITIONS, AgentEvent, AgentFacts, AgentState, IllegalTransition, state_of, step
from callcore.call_queue import ENTRY_TRANSITIONS, OFFER_TRANSITIONS, OfferState, caller_order, expected_wait
from kalibri.db import Conn
from tests.support.acd_field import HOST, Field


def test_tables_of_the_machines_are_equal(db: Conn) -> None:
    rows = db.execute("SELECT machine, state, event, next_state FROM acd_transition").fetchall()
    agent = {
        ("agent", state, event, after) for (state, event), follow in TRANSITIONS.items() for after in follow
    }
    others = {
        (machine, state, event, after)
        for machine, table in (("entry", ENTRY_TRANSITIONS), ("offer", OFFER_TRANSITIONS))
        for state, row in table.items()
        for event, after in row.items()
    }
    assert set(rows) == {tuple(map(str, row)) for row in agent | others}


def facts() -> Iterator[AgentFacts]:
    offers = (None, OfferState.RESERVED, OfferState.RINGING, OfferState.ANSWERED)
    flags = (False, True)
    for enabled, logged_in, registered, offer, legs, wrap, pause in itertools.product(
        flags, flags, flags, offers, (0, 2), flags, (None, "lunch")
    ):
        yield AgentFacts(
            enabled=enabled,
            logged_in=logged_in,
            registered=registered,
            offer=offer,
            legs=legs,
            wrapping_up=wrap,
            pause_reason=pause,
        )


def test_state_follows_from_facts_as_callcore_says(field: Field) -> None:
    agent = field.agent("anna", login=False)
    field.conn.execute("ALTER TABLE agent_live DISABLE TRIGGER agent_live_tell")
    for fact in facts():
        field.conn.execute(
            "UPDATE agent_live SET enabled = %s, logged_in = %s, registered = %s, offer_id = %s, offer_state = %s,"
            " legs = %s, wrapup_until = CASE WHEN %s THEN now() END, pause_reason = %s WHERE agent_id = %s",
            [
                fact.enabled,
                fact.logged_in,
                fact.registered,
                None if fact.offer is None else 1,
                fact.offer,
                fact.legs,
                fact.wrapping_up,
                fact.pause_reason,
                agent,
            ],
        )
        assert field.state(agent) == state_of(fact), fact


def test_an_impossible_change_is_refused_by_both(field: Field) -> None:
    agent = field.agent("anna")
    busy = AgentFacts(logged_in=True, registered=True, offer=OfferState.ANSWERED)
    with pytest.raises(IllegalTransition):
        step(AgentState.FREE, AgentEvent.ANSWER, busy)
    with pytest.raises(psycopg.errors.RaiseException, match="free cannot become busy by answer"):
        field.conn.execute(
            "UPDATE agent_live SET offer_id = 1, offer_state = 'answered', event = 'answer' WHERE agent_id = %s",
            [agent],
        )
    assert field.state(agent) == "free"


def test_an_entry_that_ended_stays_ended(field: Field) -> None:
    queue = field.queue()
    entry = field.enter(queue).entry_id
    field.acts("acd_end", entry, "abandoned")
    with pytest.raises(psycopg.errors.RaiseException, match="ended cannot become waiting"):
        field.conn.execute(
            "UPDATE queue_entry SET state = 'waiting', ended_at = NULL, end_reason = NULL WHERE entry_id = %s",
            [entry],
        )


def test_what_a_login_and_a_day_do(field: Field) -> None:
    queue = field.queue(wrapup_seconds=30)
    agent = field.agent("anna", queue, login=False)
    assert field.state(agent) == "offline"
    assert field.call("acd_login", agent, "anna") == "free"
    assert field.call("acd_pause", agent, "lunch", "anna") == "paused"
    assert field.call("acd_resume", agent) == "free"
    offer = field.enter(queue, "700").offer_id
    assert field.state(agent) == "ringing"
    field.answer(offer)
    assert field.call("acd_pause", agent, "meeting") == "busy"
    field.acts("acd_finish", offer, "caller")
    assert field.state(agent) == "wrapup"
    assert field.call("acd_wrapup", agent, 60) == "wrapup"
    assert field.tick() == 0
    field.past("agent_live", "wrapup_until", agent, 61)
    assert field.tick() == 1
    assert field.state(agent) == "paused"  # what was asked for during the call
    assert field.call("acd_free", agent, "boss") == "free"
    assert field.call("acd_logout", agent) == "offline"
    states = [(event["from"], event["to"]) for event in field.events("agent.state")]
    assert states[:4] == [("offline", "free"), ("free", "paused"), ("paused", "free"), ("free", "ringing")]
    assert all(before[1] == after[0] for before, after in itertools.pairwise(states))
    assert all(event["seconds"] >= 0 for event in field.events("agent.state"))


def test_changing_the_pause_reason_begins_a_new_interval(field: Field) -> None:
    agent = field.agent("anna")
    field.call("acd_pause", agent, "lunch")
    field.call("acd_pause", agent, "meeting")
    last = field.events("agent.state")[-1]
    assert (last["from"], last["was"], last["to"], last["reason"]) == ("paused", "lunch", "paused", "meeting")


def test_order_of_callers_is_the_one_of_callcore(field: Field) -> None:
    strict = field.queue("strict", priority=5)
    ageing = field.queue("ageing", priority=5, ageing_seconds=60)
    for queue, seconds in ((strict, None), (ageing, 60)):
        for priority in (-3, 0, 7):
            row = field.entry(field.enter(queue, priority=priority).entry_id)
            order = caller_order(
                entry_id=row["entry_id"],
                since=row["since"],
                queue_priority=5,
                priority=priority,
                ageing_seconds=seconds,
            )
            assert (-row["order_class"], row["order_at"]) == (order.rank, order.at)


def test_expected_wait_is_position_times_handle_time_by_agents(field: Field) -> None:
    queue = field.queue()
    assert field.enter(queue).kind == "wait"
    field.enter(queue)
    positions = "SELECT position, waiting, ewt_seconds, ewt_low_seconds FROM acd_positions(%s)"
    assert field.row(positions, HOST) == {
        "position": 1,
        "waiting": 2,
        "ewt_seconds": None,
        "ewt_low_seconds": None,
    }
    for name in ("a", "b"):
        field.call("acd_wrapup", field.agent(name), 100)
    field.conn.execute("INSERT INTO queue_member SELECT tenant_id, %s, agent_id FROM agent", [queue])
    field.conn.execute("UPDATE queue_live SET handle_seconds = 90")
    rows = field.conn.execute("SELECT ewt_seconds, ewt_low_seconds FROM acd_positions(%s)", [HOST]).fetchall()
    for place, row in enumerate(rows, 1):
        wait = expected_wait(place, 90, 2)
        assert wait is not None
        assert row == (wait.seconds, wait.low)
    assert expected_wait(3, 90, 0) is None
