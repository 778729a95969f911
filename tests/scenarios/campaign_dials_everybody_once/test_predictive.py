"""Predictive with twenty agents over real SIP: the pacer goes from one call an agent to more, and everybody is served.

Whoever answers talks with an agent, or is counted as abandoned: nobody is left with a machine. What is checked does
not depend on how quick the machine is, but on the order of what happened.
"""

from __future__ import annotations

import random
from typing import Any

from callcore.dial import CampaignState, DialReason
from tests.scenarios.campaign_dials_everybody_once.conftest import outcomes
from tests.support.call_centre import CallCentre
from tests.support.dial_field import DialField
from tests.support.dialled_people import People
from tests.support.fix_carriers import Carriers
from tests.support.sip_plan import Plan
from tests.support.switch import Switch

AGENTS, LEADS, WARM_UP = 20, 120, 20
ANSWER_SHARE = 0.5
PATIENCE = 240.0


def plan(chance: random.Random) -> Plan:
    """Return what one person does: answers and talks a moment, is busy, or lets it ring."""
    if chance.random() < ANSWER_SHARE:
        return Plan.answer(final_after=chance.uniform(0.3, 1.5), bye_after=chance.uniform(0.5, 2.5))
    if chance.random() < 0.6:
        return Plan.reject(486, final_after=chance.uniform(0.0, 0.5))
    return Plan.ring()


def one_try(field: DialField) -> None:
    """Every outcome of a person ends the lead; what failed on our side is tried again."""
    for position, outcome, action in ((1, "untaken", "retry"), (2, "ours", "retry"), (3, "", "stop")):
        field.conn.execute(
            "INSERT INTO retry_rule (tenant_id, table_name, position, outcome, action, delay_seconds, charged)"
            " VALUES (%s, 'once', %s, %s, %s, 1, %s)",
            [field.tenant, position, outcome, action, action == "stop"],
        )


def most_open(attempts: list[dict[str, Any]]) -> int:
    """Return how many dials there were at once."""
    steps = [(attempt["ordered_at"], 1) for attempt in attempts]
    steps += [(attempt["ended_at"], -1) for attempt in attempts]
    most = now = 0
    for _, step in sorted(steps):
        now += step
        most = max(most, now)
    return most


def test_twenty_agents(
    live_switch: Switch, live_centre: CallCentre, carriers: Carriers, field: DialField
) -> None:
    people = People(live_switch, carriers, media=False)
    chance = random.Random(20)
    numbers = [people.number(serial) for serial in range(LEADS)]
    people.plans.update((number, plan(chance)) for number in numbers)
    agents = live_centre.crew(AGENTS)
    sales = live_centre.queue(agents, wrapup_seconds=0, ring_seconds=60)
    one_try(field)
    sale = field.campaign(
        f"many-{people.prefix}",
        leads=numbers,
        mode="predictive",
        prompt="",
        queue_id=sales.queue_id,
        ring_seconds=5,
        retry_table="once",
        abandon_seconds=15,
        abandon_prompt="no-agent",
        pacing={"warm_up_answers": WARM_UP},
    )
    state = "SELECT state::text FROM campaign WHERE campaign_id = %s"
    live_switch.wait(
        lambda: field.value(state, sale) == CampaignState.FINISHED, PATIENCE, "every lead is done"
    )
    field.check()
    attempts = field.attempts(sale)

    # Every lead has one outcome, and it is what the person did.
    found = {number: text.split()[-1] for number, text in outcomes(field, sale).items()}
    assert set(found) == set(numbers)
    for number in numbers:
        wish = people.plans[number]
        expected = (
            {"busy"}
            if wish.final == 486
            else {"no_answer"}
            if wish.final is None
            else {"answered", "abandoned"}
        )
        assert found[number] in expected, (number, found[number], wish)
        assert len(people.calls_of(number)) == 1, "nobody is called twice"

    # Who answered had an agent, each another one at a time; else he is counted as abandoned, and those are few.
    served = {str(offer["call_id"]) for offer in sales.offers if offer["joined_at"] is not None}
    talked = [attempt for attempt in attempts if attempt["outcome"] == "answered"]
    assert {str(attempt["call_id"]) for attempt in talked} == served
    answered = [number for number in numbers if found[number] in ("answered", "abandoned")]
    assert 0.3 * LEADS < len(answered) < 0.7 * LEADS, "the test has people who answer, and others"
    assert len(answered) - len(talked) <= 0.03 * len(answered)

    # No agent is stuck, and the work was shared.
    for agent in agents:
        agent.wait("free", seconds=60)
    assert not [offer for offer in sales.offers if offer["ended_at"] is None]
    assert len({offer["agent_id"] for offer in sales.offers}) > AGENTS // 2

    # One call for an idle agent until enough people had answered; then more dials than agents.
    answers = sorted(attempt["answered_at"] for attempt in attempts if attempt["answered_at"])
    warm_at = answers[WARM_UP - 1]
    assert most_open([attempt for attempt in attempts if attempt["ordered_at"] < warm_at]) <= AGENTS
    assert most_open(attempts) > AGENTS
    reasons = field.rows("SELECT DISTINCT reason::text FROM campaign_hold WHERE campaign_id = %s", sale)
    assert {row["reason"] for row in reasons} & {DialReason.DIALLING, DialReason.WARM_UP}
