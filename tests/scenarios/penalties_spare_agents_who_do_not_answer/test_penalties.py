"""Each way of not answering has its delay, and its count before the agent is paused with a reason."""

from __future__ import annotations

import pytest

from tests.support.call_centre import CallCentre
from tests.support.sip_plan import Plan

OUTCOMES = [
    ("no_answer", "no_answer", Plan.ring()),
    ("rejected", "reject", Plan.reject(603, ring_code=180)),
    ("busy", "busy", Plan.reject(486)),
    ("unreachable", "unreachable", Plan.silence()),
]


@pytest.mark.parametrize(("outcome", "column", "plan"), OUTCOMES, ids=[row[0] for row in OUTCOMES])
def test_the_agent_is_left_alone_and_then_paused(
    live_centre: CallCentre, outcome: str, column: str, plan: Plan
) -> None:
    eve = live_centre.agent()
    columns = {f"{column}_delay_seconds": 1, f"{column}_limit": 2, "reject_exclusion_seconds": 0}
    sales = live_centre.queue([eve], ring_seconds=1, **columns)
    eve.phone.plan = plan
    call = live_centre.caller().call(sales.uri, timeout=20)
    eve.wait("paused", seconds=30)
    assert sales.outcomes == [outcome, outcome]
    assert eve.facts["pause_reason"] == outcome
    first, second = sales.offers
    assert (second["made_at"] - first["ended_at"]).total_seconds() >= 1
    call.hang_up()


def test_a_caller_is_not_offered_again_to_who_rejected_him(live_centre: CallCentre) -> None:
    eve = live_centre.agent()
    sales = live_centre.queue([eve], reject_delay_seconds=0, reject_exclusion_seconds=300, wrapup_seconds=0)
    eve.phone.plan = Plan.reject(603)
    first = live_centre.caller("100").call(sales.uri)
    eve.wait("free")
    eve.phone.plan = Plan.answer()
    # Another caller is served by him, though he came later.
    second = live_centre.caller("101").call(sales.uri)
    eve.call(2).wait_answered()
    assert [call.invite.from_addr.uri.user for call in eve.phone.calls] == ["100", "101"]
    second.hang_up()
    eve.wait("free")
    assert sales.outcomes == ["rejected", "answered"]
    first.hang_up()


@pytest.mark.parametrize("anchor", ["never", "always"])
@pytest.mark.parametrize("gone", ["silent", "unregistered"])
def test_a_phone_that_is_not_there_is_no_fault_of_the_agent(
    live_centre: CallCentre, anchor: str, gone: str
) -> None:
    """Whoever rings him, and however long the queue would let him ring."""
    eve = live_centre.agent()
    sales = live_centre.queue([eve], anchor=anchor, ring_seconds=20, unreachable_delay_seconds=600)
    if gone == "silent":
        eve.phone.plan = Plan.silence()
    else:
        eve.phone.unregister()
    call = live_centre.caller().call(sales.uri, timeout=20)
    live_centre.switch.wait(lambda: sales.offers and sales.outcomes[0], 30, "the offer is over")
    assert sales.outcomes == ["unreachable"]
    call.hang_up()
