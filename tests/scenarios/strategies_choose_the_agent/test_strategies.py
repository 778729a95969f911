"""Which agent a strategy chooses, with real calls one after the other."""

from __future__ import annotations

import pytest

from tests.support.call_centre import Agent, CallCentre, Queue
from tests.support.sip_plan import Plan


def chosen(centre: CallCentre, sales: Queue, agents: list[Agent], calls: int) -> list[int]:
    """Place calls, each after the end of the one before; return the place of the agent who got each."""
    order = []
    for number in range(calls):
        call = centre.caller().call(sales.uri)
        sales.wait_entry("talking", number=number + 1)
        busy = [place for place, agent in enumerate(agents) if agent.state == "busy"]
        assert len(busy) == 1
        order += busy
        call.hang_up()
        agents[busy[0]].wait("free")
    return order


@pytest.mark.parametrize(
    ("strategy", "order"),
    [
        ("linear", [0, 0, 0]),
        ("round_robin", [0, 1, 2, 0, 1]),
        ("longest_idle", [0, 1, 2, 0, 1]),
        ("fewest_calls", None),
        ("least_talk", None),
        ("random", None),
    ],
)
def test_one_call_after_the_other(live_centre: CallCentre, strategy: str, order: list[int] | None) -> None:
    agents = [live_centre.agent() for _ in range(3)]
    sales = live_centre.queue(agents, strategy=strategy, wrapup_seconds=0)
    got = chosen(live_centre, sales, agents, 6 if order is None else len(order))
    if order is not None:
        assert got == order
    elif strategy == "fewest_calls":
        assert sorted(got) == [0, 0, 1, 1, 2, 2]
    elif strategy == "least_talk":
        assert sorted(got[:3]) == [0, 1, 2]
    assert {offer["strategy"] for offer in sales.offers} == {strategy}


def test_ring_all_the_first_answer_wins(live_centre: CallCentre) -> None:
    agents = [live_centre.agent() for _ in range(3)]
    sales = live_centre.queue(agents, strategy="ring_all", wrapup_seconds=0)
    for agent in agents:
        agent.phone.plan = Plan.by_test()
    call = live_centre.caller().invite(sales.uri)
    for agent in agents:
        agent.call().ring()
    agents[1].call().answer()
    call.wait_answered()
    for loser in (agents[0], agents[2]):
        assert loser.call().wait_ended().cancelled
        loser.wait("free")
    agents[1].wait("busy")
    call.hang_up()
    agents[1].wait("free")
    assert sorted(sales.outcomes) == ["answered", "cancelled", "cancelled"]


def test_skills_decide_and_are_relaxed_with_time(live_centre: CallCentre) -> None:
    eve, adam = live_centre.agent(), live_centre.agent()
    switch = live_centre.switch
    skill = switch.insert("skill", tenant_id=switch.tenant_id, name=f"chinese-{eve.name}")["skill_id"]
    sales = live_centre.queue([], strategy="skill", wrapup_seconds=0)
    for agent, level in ((eve, 3), (adam, 8)):
        switch.insert(
            "agent_skill", tenant_id=switch.tenant_id, agent_id=agent.agent_id, skill_id=skill, level=level
        )
    for after, level in ((0, 5), (2, 2)):
        switch.insert(
            "queue_skill",
            tenant_id=switch.tenant_id,
            queue_id=sales.queue_id,
            skill_id=skill,
            after_seconds=after,
            level=level,
        )
    switch.rows("SELECT acd_queue_changed(%s, %s)", [switch.tenant_id, sales.queue_id])
    sales.add(eve)
    sales.add(adam)
    first = live_centre.caller("100").call(sales.uri)
    adam.wait("busy")
    # Nobody else is good enough, until the second step asks for less.
    second = live_centre.caller("101").call(sales.uri)
    assert eve.phone.calls == []
    eve.call().wait_answered()
    (_, later) = sales.offers
    assert later["waited_ms"] >= 2000
    first.hang_up()
    second.hang_up()
