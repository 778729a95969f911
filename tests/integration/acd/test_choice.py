"""Who gets whom: strategies, tiers, skills, sticky agents, order of callers; and why."""

from __future__ import annotations

import math
import uuid
from collections import Counter
from collections.abc import Sequence

import pytest

from tests.support.acd_field import HOST, Field


def chosen(field: Field, queue: int, caller: str = "") -> int | None:
    """Let a call come; return the agent who is rung for it."""
    action = field.enter(queue, caller)
    return action.data.get("agent") if action.kind == "offer_agent" else None


def serve(field: Field, queue: int, caller: str = "") -> int:
    """Let a call come, be answered and end; return its agent."""
    action = field.enter(queue, caller)
    assert action.kind == "offer_agent"
    field.answer(action.offer_id)
    field.acts("acd_finish", action.offer_id, "caller")
    return int(action.data["agent"])


def agents(field: Field, queue: int, names: Sequence[str] = "abc") -> list[int]:
    return [field.agent(name, queue) for name in names]


def test_longest_idle(field: Field) -> None:
    queue = field.queue()
    a, b, c = agents(field, queue)
    assert [serve(field, queue) for _ in range(6)] == [a, b, c, a, b, c]


def test_fewest_calls(field: Field) -> None:
    queue = field.queue(strategy="fewest_calls")
    a, b, _ = agents(field, queue)
    field.conn.execute("UPDATE agent_live SET calls = 10 WHERE agent_id IN (%s, %s)", [a, b])
    field.changed(queue)
    assert len({serve(field, queue) for _ in range(10)} & {a, b}) == 0


def test_least_talk(field: Field) -> None:
    queue = field.queue(strategy="least_talk")
    a, b, c = agents(field, queue)
    field.conn.execute("UPDATE agent_live SET talk_seconds = 100 * agent_id")
    field.changed(queue)
    assert [chosen(field, queue) for _ in range(3)] == [a, b, c]


def test_round_robin_remembers_where_it_was(field: Field) -> None:
    queue = field.queue(strategy="round_robin")
    a, b, c = agents(field, queue)
    assert [serve(field, queue) for _ in range(2)] == [a, b]
    field.call("acd_logout", a)
    field.call("acd_login", a)
    assert [serve(field, queue) for _ in range(4)] == [c, a, b, c]


def test_linear_takes_the_first_position_that_is_free(field: Field) -> None:
    queue = field.queue(strategy="linear")
    a, b = field.agent("a"), field.agent("b")
    field.member(queue, a, position=2)
    field.member(queue, b, position=1)
    assert [serve(field, queue), serve(field, queue), chosen(field, queue), chosen(field, queue)] == [
        b,
        b,
        b,
        a,
    ]


def test_random_is_even_and_explained(field: Field) -> None:
    queue = field.queue(strategy="random")
    names = agents(field, queue, "abcd")
    count = Counter(serve(field, queue) for _ in range(200))
    assert set(count) == set(names)
    assert min(count.values()) > 20
    for drawn, among, ready, agent in field.conn.execute(
        "SELECT (candidates ->> 'drawn')::float8, (candidates ->> 'among')::int, candidates -> 'ready', agent_id"
        " FROM offer"
    ):
        assert among == 4
        assert ready[math.floor(drawn * among)]["agent"] == agent


def test_random_is_even_among_very_many(field: Field) -> None:
    """A window of the row is looked at; nobody stands outside of all windows, nobody in all of them."""
    queue = field.queue(strategy="random")
    names = agents(field, queue, [f"a{number}" for number in range(150)])
    count = Counter(serve(field, queue) for _ in range(450))
    assert set(count) <= set(names)
    assert len(count) > 125  # 142 are to be expected
    assert max(count.values()) <= 12  # 3 on average
    told = field.conn.execute("SELECT candidates FROM offer").fetchall()
    assert all(row[0]["among"] == 64 and 0 <= row[0]["from"] < 1 for row in told)
    assert len({math.floor(row[0]["drawn"] * 8) for row in told}) == 8


def test_tiers_open_after_a_wait_and_penalties_come_last(field: Field) -> None:
    queue = field.queue(tier_waits=[0, 30])
    first, second, third = (field.agent(name) for name in "abc")
    field.member(queue, second, penalty=5)
    field.member(queue, first)
    field.member(queue, third, tier=2)
    assert chosen(field, queue) == first
    assert chosen(field, queue) == second
    waiting = field.enter(queue)
    assert waiting.kind == "wait"
    due = field.entry(waiting.entry_id)
    assert (due["due_at"] - due["since"]).total_seconds() == 30
    field.past("queue_entry", "since", waiting.entry_id, 30)
    field.past("queue_entry", "due_at", waiting.entry_id, 30)
    field.tick()
    assert field.row("SELECT agent_id FROM offer WHERE entry_id = %s", waiting.entry_id) == {
        "agent_id": third
    }


def skill(field: Field, name: str) -> int:
    return int(
        field.value(
            "INSERT INTO skill (tenant_id, name) VALUES (%s, %s) RETURNING skill_id", field.tenant, name
        )
    )


def ask(field: Field, queue: int, skill_id: int, *steps: tuple[int, int]) -> None:
    for after, level in steps:
        field.conn.execute(
            "INSERT INTO queue_skill (tenant_id, queue_id, skill_id, after_seconds, level) VALUES (%s, %s, %s, %s, %s)",
            [field.tenant, queue, skill_id, after, level],
        )
    field.changed(queue)


def teach(field: Field, agent: int, skill_id: int, level: int) -> None:
    field.conn.execute(
        "INSERT INTO agent_skill VALUES (%s, %s, %s, %s)", [field.tenant, agent, skill_id, level]
    )
    field.call("acd_agent_changed", agent)


def test_skills_are_required_and_relax_with_time(field: Field) -> None:
    queue = field.queue()
    english = skill(field, "english")
    ask(field, queue, english, (0, 8), (20, 3), (60, 0))
    good, fair, none = agents(field, queue)
    teach(field, good, english, 9)
    teach(field, fair, english, 5)
    assert chosen(field, queue) == good
    entry = field.enter(queue).entry_id
    for waited, agent in ((19, None), (21, fair)):
        field.conn.execute(
            "UPDATE queue_entry SET since = clock_timestamp() - make_interval(secs => %s), due_at = now()"
            " WHERE entry_id = %s",
            [waited, entry],
        )
        field.tick()
        assert field.entry(entry)["state"] == ("waiting" if agent is None else "offered")
    field.outcome(field.value("SELECT offer_id FROM offer WHERE entry_id = %s", entry), "busy")
    field.conn.execute("UPDATE queue_entry SET since = now() - interval '61 s', due_at = now()")
    field.tick()
    assert field.row("SELECT agent_id FROM offer WHERE entry_id = %s AND state <> 'ended'", entry) == {
        "agent_id": none
    }


def test_strategy_skill_takes_the_best(field: Field) -> None:
    queue = field.queue(strategy="skill")
    english, cars = skill(field, "english"), skill(field, "cars")
    ask(field, queue, english, (0, 1))
    ask(field, queue, cars, (0, 1))
    a, b, c = agents(field, queue)
    for agent, levels in ((a, (3, 3)), (b, (9, 2)), (c, (5, 5))):
        teach(field, agent, english, levels[0])
        teach(field, agent, cars, levels[1])
    assert [chosen(field, queue) for _ in range(3)] == [b, c, a]


def test_sticky_caller_waits_for_his_last_agent_then_takes_any(field: Field) -> None:
    queue = field.queue(sticky_seconds=30)
    a, b = agents(field, queue, "ab")
    assert serve(field, queue, "700") == a
    assert chosen(field, queue, "701") == b
    assert chosen(field, queue, "702") == a
    entry = field.enter(queue, "700").entry_id
    field.acts("acd_end", field.value("SELECT entry_id FROM queue_entry WHERE caller = '701'"), "abandoned")
    assert field.state(b) == "free"
    assert field.entry(entry)["state"] == "waiting"
    field.past("queue_entry", "sticky_until", entry, 31)
    field.past("queue_entry", "due_at", entry, 31)
    field.tick()
    assert field.row("SELECT agent_id FROM offer WHERE entry_id = %s", entry) == {"agent_id": b}


def order(field: Field) -> list[str]:
    """Let the one agent serve everybody who waits; return the callers in that order."""
    callers = []
    while rows := field.conn.execute("SELECT offer_id, caller FROM offer WHERE state <> 'ended'").fetchall():
        callers += [caller for _, caller in rows]
        for offer, _ in rows:
            field.answer(offer)
            field.acts("acd_finish", offer, "caller")
            field.take()
    return callers


def test_priority_then_wait_over_all_queues_of_an_agent(field: Field) -> None:
    gold, silver = field.queue("gold", priority=10), field.queue("silver")
    agent = field.agent("a", gold, silver, login=False)
    for queue, caller, priority in (
        (silver, "1", 0),
        (silver, "2", 0),
        (gold, "3", 0),
        (silver, "4", 20),
        (gold, "5", -10),
    ):
        field.enter(queue, caller, priority=priority)
    field.call("acd_login", agent)
    assert order(field) == ["4", "3", "1", "2", "5"]


def test_ageing_lets_patience_win(field: Field) -> None:
    queue = field.queue(ageing_seconds=60)
    agent = field.agent("a", queue, login=False)
    old = field.enter(queue, "old").entry_id
    field.conn.execute("UPDATE queue_entry SET since = since - interval '130 s' WHERE entry_id = %s", [old])
    field.changed(queue)
    for caller, priority in (("one", 1), ("three", 3)):
        field.enter(queue, caller, priority=priority)
    field.call("acd_login", agent)
    assert order(field) == ["three", "old", "one"]


def test_newcomer_waits_because_an_older_caller_gets_the_agent(field: Field) -> None:
    """The older caller's skill step has come, but nobody has looked at it yet: the newcomer's arrival does."""
    queue = field.queue()
    english = skill(field, "english")
    ask(field, queue, english, (0, 5), (30, 0))
    field.agent("a", queue)
    old = field.enter(queue, "old").entry_id
    field.conn.execute(
        "UPDATE queue_entry SET since = since - interval '31 s', order_at = order_at - interval '31 s'"
    )
    other = field.queue("other", members=(field.value("SELECT agent_id FROM agent"),))
    actions = field.acts("acd_enter", other, uuid.uuid4(), HOST, True, "new")
    assert [(action.kind, action.entry_id == old) for action in actions] == [
        ("offer_agent", True),
        ("wait", False),
    ]
    assert field.entry(old)["state"] == "offered"


def test_offer_says_who_was_left_out_and_why(field: Field) -> None:
    queue = field.queue(tier_waits=[0, 30], no_answer_delay_seconds=60)
    ready, paused, late, away, rung = (field.agent(name) for name in ("a", "b", "c", "d", "e"))
    for agent in (ready, paused, away, rung):
        field.member(queue, agent)
    field.member(queue, late, tier=2)
    field.call("acd_pause", paused, "lunch")
    field.call("acd_logout", away)
    field.call("acd_pause", ready, "x")
    field.outcome(field.enter(queue).offer_id, "no_answer")
    field.call("acd_resume", ready)
    offer = field.row("SELECT agent_id, candidates FROM offer WHERE state <> 'ended'")
    assert offer["agent_id"] == ready
    told = offer["candidates"]
    assert [(row["agent"], row.get("out")) for row in told["ready"]] == [(ready, None), (late, "opens")]
    assert {row["agent"]: (row["state"], row["reason"]) for row in told["out"]} == {
        paused: ("paused", "lunch"),
        away: ("offline", ""),
        rung: ("free", "penalty"),
    }


@pytest.mark.parametrize("strategy", ["longest_idle", "random", "fewest_calls"])
def test_every_agent_gets_work(field: Field, strategy: str) -> None:
    queue = field.queue(strategy=strategy)
    names = agents(field, queue)
    assert {chosen(field, queue) for _ in range(3)} == set(names)
    assert field.enter(queue).kind == "wait"
