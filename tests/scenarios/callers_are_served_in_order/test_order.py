"""The caller of the highest priority, then the one who has waited longest, is served first, across all queues."""

from __future__ import annotations

from tests.support.call_centre import Agent, CallCentre, Queue
from tests.support.sip_call import Call
from tests.support.sip_plan import Plan


def wait_in(centre: CallCentre, queue: Queue, *callers: str) -> list[Call]:
    """Let callers arrive one after the other."""
    calls = []
    for caller in callers:
        calls.append(centre.caller(caller).call(queue.uri))
        queue.wait_entry("waiting", number=len(queue.entries))
    return calls


def serve(centre: CallCentre, agent: Agent, number: int) -> list[str]:
    """Log the agent in; return the callers in the order in which they reached him."""
    agent.phone.plan = Plan.answer(bye_after=0.2)
    agent.phone.register()
    agent.do("login", "test")
    centre.switch.wait(lambda: len(agent.phone.calls) >= number, 30, f"{number} calls of {agent.name}")
    agent.call(number).wait_ended()
    return [call.invite.from_addr.uri.user for call in agent.phone.calls]


def test_who_came_first_is_served_first(live_centre: CallCentre) -> None:
    eve = live_centre.agent(login=False)
    sales = live_centre.queue([eve], wrapup_seconds=0)
    wait_in(live_centre, sales, "100", "101", "102", "103")
    assert serve(live_centre, eve, 4) == ["100", "101", "102", "103"]
    eve.wait("free")
    assert [entry["end_reason"] for entry in sales.entries] == ["served"] * 4


def test_priority_goes_before_waiting_and_waiting_counts_across_queues(live_centre: CallCentre) -> None:
    eve = live_centre.agent(login=False)
    plain = live_centre.queue([eve], wrapup_seconds=0)
    other = live_centre.queue([eve], wrapup_seconds=0)
    vip = live_centre.queue([eve], priority=5, wrapup_seconds=0)
    wait_in(live_centre, plain, "100")
    wait_in(live_centre, other, "101")
    wait_in(live_centre, plain, "102")
    wait_in(live_centre, vip, "103")
    assert serve(live_centre, eve, 4) == ["103", "100", "101", "102"]


def test_with_ageing_waiting_makes_up_for_priority(live_centre: CallCentre) -> None:
    eve = live_centre.agent(login=False)
    plain = live_centre.queue([eve], wrapup_seconds=0, ageing_seconds=1)
    wait_in(live_centre, plain, "100", "101")
    second = plain.entries[1]["entry_id"]
    # Three steps are worth three seconds here: more than the caller before has waited longer.
    live_centre.command("priority", second, 30)
    assert serve(live_centre, eve, 2) == ["101", "100"]


def test_a_caller_who_left_is_not_called_for(live_centre: CallCentre) -> None:
    eve = live_centre.agent(login=False)
    sales = live_centre.queue([eve], wrapup_seconds=0)
    calls = wait_in(live_centre, sales, "100", "101", "102")
    calls[1].hang_up()
    assert sales.wait_entry("ended", number=2)["end_reason"] == "abandoned"
    assert serve(live_centre, eve, 2) == ["100", "102"]
