"""What becomes of offers: outcomes and their penalties, ring-all, late answers, direct calls."""

from __future__ import annotations

import uuid

import pytest

from tests.support.acd_field import HOST, OTHER_HOST, PROXY, Field


@pytest.mark.parametrize("outcome", ["no_answer", "rejected", "busy", "unreachable"])
def test_each_outcome_has_its_delay_and_its_count(field: Field, outcome: str) -> None:
    word = {"rejected": "reject"}.get(outcome, outcome)
    columns = {f"{word}_delay_seconds": 7, f"{word}_limit": 2}
    queue = field.queue(reject_exclusion_seconds=0, **columns)
    agent = field.agent("anna", queue)
    first = field.enter(queue, "700")
    assert [action.kind for action in field.outcome(first.offer_id, outcome, 480)] == ["wait"]
    live = field.row("SELECT state, ready, not_before - event_at AS delay FROM agent_live")
    assert (live["state"], live["ready"], live["delay"].total_seconds()) == ("free", False, 7)
    field.past("agent_live", "not_before", agent, 8)
    field.past("agent_live", "due_at", agent, 8)
    field.tick()
    [again] = field.take()
    assert (again.kind, again.entry_id) == ("offer_agent", first.entry_id)
    field.outcome(again.offer_id, outcome)
    live = field.row("SELECT state, state_reason FROM agent_live")
    assert (live["state"], live["state_reason"]) == ("paused", outcome)


def test_an_answer_forgets_earlier_failures(field: Field) -> None:
    queue = field.queue(no_answer_delay_seconds=0, no_answer_limit=2)
    field.agent("anna", queue)
    [again] = field.outcome(field.enter(queue).offer_id, "no_answer")
    field.answer(again.offer_id)
    assert field.row("SELECT no_answers, state FROM agent_live") == {"no_answers": 0, "state": "busy"}


def test_a_fault_of_ours_costs_the_agent_nothing_but_the_caller_goes_on(field: Field) -> None:
    queue = field.queue()
    a, b = field.agent("a", queue), field.agent("b", queue)
    [action] = field.outcome(field.enter(queue).offer_id, "failed", 488)
    assert (action.kind, action.data["agent"]) == ("offer_agent", b)
    assert field.row("SELECT ready FROM agent_live WHERE agent_id = %s", a) == {"ready": True}


def test_who_rejected_a_caller_does_not_get_him_again_for_a_while(field: Field) -> None:
    queue = field.queue(reject_delay_seconds=0, reject_exclusion_seconds=100)
    agent = field.agent("anna", queue)
    first = field.enter(queue, "700")
    assert field.outcome(first.offer_id, "rejected")[0].kind == "wait"
    assert field.state(agent) == "free"
    other = field.enter(queue, "701")
    assert other.kind == "offer_agent"
    field.acts("acd_end", other.entry_id, "abandoned")
    assert field.entry(first.entry_id)["state"] == "waiting"
    field.acts("acd_end", first.entry_id, "abandoned")
    again = field.enter(queue, "700")
    assert again.kind == "wait"  # known by his number when he redials
    field.conn.execute("UPDATE rejection SET until = now()")
    field.tick()
    assert field.entry(again.entry_id)["state"] == "offered"


def test_retry_time_lies_between_two_agents(field: Field) -> None:
    queue = field.queue(retry_seconds=5)
    field.agent("a", queue)
    field.agent("b", queue)
    first = field.enter(queue)
    assert field.outcome(first.offer_id, "no_answer")[0].kind == "wait"
    row = field.entry(first.entry_id)
    assert (row["due_at"] - row["state_at"]).total_seconds() == 5
    field.conn.execute("UPDATE queue_entry SET not_before = now(), due_at = now()")
    field.tick()
    assert field.entry(first.entry_id)["state"] == "offered"


def test_ring_all_first_answer_wins(field: Field) -> None:
    queue = field.queue(strategy="ring_all", ring_all_limit=3)
    agents = [field.agent(name, queue) for name in "abcd"]
    rung = field.acts("acd_enter", queue, uuid.uuid4(), HOST, True, "700")
    assert [action.kind for action in rung] == ["offer_agent"] * 3
    assert all(action.data["ring_all"] for action in rung)
    assert [action.kind for action in field.outcome(rung[0].offer_id, "busy")] == ["none"]
    replies = field.answer(rung[2].offer_id)
    assert [action.kind for action in replies] == ["cancel_offer", "join"]
    assert replies[0].offer_id == rung[1].offer_id
    [late] = field.answer(rung[1].offer_id)
    assert (late.kind, late.data["reason"]) == ("too_late", "cancelled")
    assert [field.state(agent) for agent in agents] == ["free", "free", "busy", "free"]


def test_ring_all_that_nobody_answers_waits_again(field: Field) -> None:
    queue = field.queue(strategy="ring_all")
    for name in "ab":
        field.agent(name, queue)
    rung = field.acts("acd_enter", queue, uuid.uuid4(), HOST, True, "700")
    assert [action.kind for action in field.outcome(rung[0].offer_id, "no_answer")] == ["none"]
    assert [action.kind for action in field.outcome(rung[1].offer_id, "rejected")] == ["wait"]


def test_answer_after_the_caller_left_is_too_late(field: Field) -> None:
    queue = field.queue()
    agent = field.agent("anna", queue)
    action = field.enter(queue)
    left = field.acts("acd_end", action.entry_id, "abandoned")
    assert [reply.kind for reply in left] == ["cancel_offer", "ended"]
    assert field.answer(action.offer_id)[0].kind == "too_late"
    assert field.state(agent) == "free"
    assert field.acts("acd_end", action.entry_id, "abandoned")[0].kind == "none"


def test_answer_is_idempotent(field: Field) -> None:
    queue = field.queue()
    field.agent("anna", queue)
    action = field.enter(queue)
    assert [field.answer(action.offer_id)[0].kind for _ in range(2)] == ["join", "join"]


def test_whisper_joins_later_and_an_agent_may_leave_before(field: Field) -> None:
    queue = field.queue()
    a, b = field.agent("a", queue), field.agent("b", queue)
    action = field.enter(queue)
    assert field.answer(action.offer_id, joined=False)[0].kind == "join"
    assert (field.entry(action.entry_id)["state"], field.state(a)) == ("offered", "busy")
    [again] = field.outcome(action.offer_id, "rejected", 200)
    assert (again.kind, again.data["agent"]) == ("offer_agent", b)
    field.answer(again.offer_id, joined=False)
    assert field.acts("acd_joined", again.offer_id)[0].kind == "join"
    assert field.entry(action.entry_id)["state"] == "talking"


def test_direct_call_of_a_proxy(field: Field) -> None:
    queue = field.queue(wrapup_seconds=10)
    a, b = field.agent("a", queue), field.agent("b", queue)
    call = uuid.uuid4()
    action = field.enter(queue, "700", holder=PROXY, anchored=False, call=call)
    assert (action.kind, action.data["agent"], action.data["to"]) == ("offer_agent", a, "100")
    again = field.enter(queue, "700", holder=PROXY, anchored=False, call=call)
    assert again.offer_id == action.offer_id  # a lost reply is asked for again
    [following] = field.outcome(action.offer_id, "no_answer")
    assert (following.kind, following.data["agent"]) == ("offer_agent", b)
    field.answer(following.offer_id, legs=[{"kind": "agent", "sip_call_id": "x@y"}])
    assert field.acts("acd_finish", following.offer_id, "agent")[0].kind == "ended"
    row = field.entry(action.entry_id)
    assert (row["end_reason"], row["ended_by"], field.state(b)) == ("served", "agent", "wrapup")


def test_proxy_brings_a_caller_to_a_host_who_keeps_his_place(field: Field) -> None:
    queue = field.queue()
    agent = field.agent("a", queue)
    field.call("acd_pause", agent, "x")
    first = uuid.uuid4()
    action = field.enter(queue, "700", holder=PROXY, anchored=False, call=first)
    assert (action.kind, action.data["hosts"]) == (
        "wait",
        [{"name": HOST, "address": "udp:127.0.0.1:5090"}],
    )
    later = field.enter(queue, "701")
    assert field.entry(action.entry_id)["state"] == "arriving"
    adopted = field.enter(queue, "700", call=first)
    assert (adopted.kind, adopted.entry_id, adopted.data["position"]) == ("wait", action.entry_id, 1)
    field.call("acd_resume", agent)
    assert [command.entry_id for command in field.take()] == [action.entry_id]
    assert field.entry(later.entry_id)["state"] == "waiting"


def test_queue_that_needs_a_host_gives_a_proxy_no_agent(field: Field) -> None:
    for number, columns in enumerate(
        ({"anchor": "always"}, {"strategy": "ring_all"}, {"media": {"whisper": "x"}}, {"transferable": True})
    ):
        queue = field.queue(f"q{number}", **columns)
        field.agent(f"a{number}", queue)
        call = uuid.uuid4()
        assert field.enter(queue, holder=PROXY, anchored=False, call=call).kind == "wait"
        assert field.enter(queue, call=call).kind == "offer_agent"


def test_another_host_takes_over(field: Field) -> None:
    field.host(OTHER_HOST)
    queue = field.queue()
    agent = field.agent("a", queue)
    call = uuid.uuid4()
    action = field.enter(queue, "700", call=call)
    adopted = field.enter(queue, "700", call=call, holder=OTHER_HOST)
    assert (adopted.kind, adopted.entry_id) == ("offer_agent", action.entry_id)
    assert [command.kind for command in field.take(HOST)] == ["cancel_offer"]
    assert field.state(agent) == "ringing"


def test_caller_can_wait_again_after_the_agent(field: Field) -> None:
    queue = field.queue(wrapup_seconds=30)
    field.agent("a", queue)
    action = field.enter(queue)
    field.answer(action.offer_id)
    assert [reply.kind for reply in field.acts("acd_finish", action.offer_id, "agent", "", "queue")] == [
        "wait"
    ]
    assert field.entry(action.entry_id)["state"] == "waiting"


def test_hold_and_survey_are_kept(field: Field) -> None:
    queue = field.queue()
    field.agent("a", queue)
    action = field.enter(queue)
    field.answer(action.offer_id)
    for on in (True, False, True):
        field.acts("acd_hold", action.offer_id, "agent", on)
    field.acts("acd_finish", action.offer_id, "caller")
    field.acts("acd_survey", action.entry_id, 5)
    assert field.entry(action.entry_id)["survey"] == 5
    assert len(field.events("call.hold")) == 2
    attempt = field.row("SELECT answered, success, outcome::text, hung_up_by FROM acd_attempt")
    assert attempt == {"answered": True, "success": True, "outcome": "answered", "hung_up_by": "caller"}
