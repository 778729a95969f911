"""Campaigns with agents: the agent first, or the person first and the agent at once; phones, proxy and hosts real."""

from __future__ import annotations

from tests.scenarios.campaign_dials_everybody_once.conftest import outcomes, wait_for
from tests.support.call_centre import CallCentre
from tests.support.dial_field import DialField
from tests.support.dialled_people import People
from tests.support.fix_carriers import Carriers
from tests.support.sip_plan import Plan
from tests.support.switch import Switch

AGENT_FIRST = {"mode": "agent_first", "prompt": "", "reading_seconds": 1, "agent_ring_seconds": 20}


def test_the_agent_first_then_the_person(
    live_switch: Switch, live_centre: CallCentre, carriers: Carriers, field: DialField
) -> None:
    people = People(live_switch, carriers)
    eve = live_centre.agent()
    sales = live_centre.queue([eve], wrapup_seconds=0)
    number = people.number(1)
    sale = field.campaign(f"first-{people.prefix}", leads=[number], queue_id=sales.queue_id, **AGENT_FIRST)
    eve.call().wait_answered()
    assert not people.calls_of(number), "the person is called when the agent has read"
    call = people.wait_call(number).wait_answered()
    eve.wait("busy")
    call.hang_up()
    eve.wait("free")
    wait_for(live_switch, lambda: outcomes(field, sale) == {number: "answered"}, "settled")
    assert len(people.calls_of(number)) == 1
    field.check()


def test_an_agent_who_hangs_up_while_he_reads_consumes_no_lead(
    live_switch: Switch, live_centre: CallCentre, carriers: Carriers, field: DialField
) -> None:
    people = People(live_switch, carriers)
    eve = live_centre.agent()
    sales = live_centre.queue([eve], wrapup_seconds=0)
    number = people.number(1)
    values = AGENT_FIRST | {"reading_seconds": 600, "queue_id": sales.queue_id}
    sale = field.campaign(f"read-{people.prefix}", leads=[number], **values)
    eve.call().wait_answered().hang_up()
    wait_for(live_switch, lambda: sales.outcomes[:1] == ["rejected"], "the offer is given back")
    assert not people.calls_of(number)
    assert [attempt["outcome"] for attempt in field.attempts(sale)] == [None]
    assert field.leads(sale)[0]["attempts"] == 0


def test_an_agent_who_does_not_answer_is_paused_and_the_next_one_has_the_task(
    live_switch: Switch, live_centre: CallCentre, carriers: Carriers, field: DialField
) -> None:
    people = People(live_switch, carriers)
    eve, adam = live_centre.agent(), live_centre.agent(login=False)
    eve.phone.plan = Plan.ring()
    sales = live_centre.queue([eve, adam], wrapup_seconds=0)
    number = people.number(1)
    values = AGENT_FIRST | {"agent_ring_seconds": 2, "queue_id": sales.queue_id}
    sale = field.campaign(f"away-{people.prefix}", leads=[number], **values)
    eve.wait("paused", seconds=30)
    assert not people.calls_of(number)
    assert field.leads(sale)[0]["attempts"] == 0
    field.rows("UPDATE campaign SET agent_ring_seconds = 20 WHERE campaign_id = %s RETURNING name", sale)
    adam.phone.register()
    adam.do("login", "test")
    adam.call().wait_answered()
    people.wait_call(number).wait_answered().hang_up()
    wait_for(live_switch, lambda: outcomes(field, sale) == {number: "answered"}, "settled")
    assert len(field.attempts(sale)) == 1, "it was the same task"
    assert (len(eve.phone.calls), eve.state) == (1, "paused")
    field.check()


def test_an_agent_who_hangs_up_while_the_person_is_rung_consumes_no_lead(
    live_switch: Switch, live_centre: CallCentre, carriers: Carriers, field: DialField
) -> None:
    people = People(live_switch, carriers)
    eve = live_centre.agent()
    sales = live_centre.queue([eve], wrapup_seconds=0)
    number = people.number(1)
    people.plans[number] = Plan.ring()
    values = AGENT_FIRST | {"ring_seconds": 60, "queue_id": sales.queue_id}
    sale = field.campaign(f"left-{people.prefix}", leads=[number], **values)
    desk = eve.call().wait_answered()
    ringing = people.wait_call(number)
    eve.do("pause", "away", "test")
    desk.hang_up()
    ringing.wait_ended(30)
    assert people.carrier.requests("CANCEL")
    wait_for(live_switch, lambda: eve.state == "paused", "the agent is let go")
    assert [attempt["outcome"] for attempt in field.attempts(sale)] == [None], "the task waits for an agent"
    assert field.leads(sale)[0]["attempts"] == 0
    field.check()


def test_a_person_who_is_busy_frees_the_agent(
    live_switch: Switch, live_centre: CallCentre, carriers: Carriers, field: DialField
) -> None:
    people = People(live_switch, carriers)
    eve = live_centre.agent()
    sales = live_centre.queue([eve], wrapup_seconds=0)
    number = people.number(1)
    people.plans[number] = Plan.reject(486)
    sale = field.campaign(f"busy-{people.prefix}", leads=[number], queue_id=sales.queue_id, **AGENT_FIRST)
    call = eve.call().wait_answered()
    call.wait_ended(30)
    eve.wait("free")
    wait_for(live_switch, lambda: outcomes(field, sale) == {number: "busy"}, "settled")
    assert field.leads(sale)[0]["attempts"] == 1


def test_progressive_leads_who_answers_to_the_agent(
    live_switch: Switch, live_centre: CallCentre, carriers: Carriers, field: DialField
) -> None:
    people = People(live_switch, carriers)
    eve = live_centre.agent()
    sales = live_centre.queue([eve], wrapup_seconds=0)
    one, two = people.number(1), people.number(2)
    sale = field.campaign(
        f"one-{people.prefix}", leads=[one, two], mode="progressive", prompt="", queue_id=sales.queue_id
    )
    call = people.wait_call(one).wait_answered()
    eve.call().wait_answered()
    eve.wait("busy")
    assert not people.calls_of(two), "one call for one agent"
    call.hang_up()
    second = people.wait_call(two).wait_answered()
    eve.call(2).wait_answered()
    second.hang_up()
    wait_for(live_switch, lambda: outcomes(field, sale) == {one: "answered", two: "answered"}, "settled")
    field.check()


def test_who_answers_and_finds_no_agent_is_let_go_and_goes_first_next_time(
    live_switch: Switch, live_centre: CallCentre, carriers: Carriers, field: DialField
) -> None:
    people = People(live_switch, carriers)
    eve = live_centre.agent()
    sales = live_centre.queue([eve], wrapup_seconds=0)
    number = people.number(1)
    people.plans[number] = Plan(final=200, manual=True)
    values = {"mode": "progressive", "prompt": "", "abandon_seconds": 1, "abandon_prompt": "no-agent"}
    sale = field.campaign(f"none-{people.prefix}", leads=[number], queue_id=sales.queue_id, **values)
    call = people.wait_call(number)
    eve.do("logout", "test")
    call.answer()
    call.wait_ended(30)
    wait_for(live_switch, lambda: outcomes(field, sale) == {number: "abandoned"}, "settled")
    (lead,) = field.leads(sale)
    assert (lead["rank"], lead["attempts"]) == (4, 0)


def test_an_agent_accepts_a_lead_and_talks_with_the_person(
    live_switch: Switch, live_centre: CallCentre, carriers: Carriers, field: DialField
) -> None:
    people = People(live_switch, carriers)
    eve = live_centre.agent()
    sales = live_centre.queue([eve], wrapup_seconds=0)
    one, two = people.number(1), people.number(2)
    values = {"mode": "preview", "prompt": "", "preview_seconds": 3000, "agent_ring_seconds": 20}
    sale = field.campaign(f"look-{people.prefix}", leads=[one, two], queue_id=sales.queue_id, **values)
    eve.wait("reserved", seconds=30)
    field.rows("SELECT dial_preview_skip(%s, %s, NULL, 'called_lately', 'eve')", field.tenant, eve.agent_id)
    looks = "SELECT caller FROM offer WHERE queue_id = %s AND preview_until IS NOT NULL"
    wait_for(live_switch, lambda: field.value(looks, sales.queue_id) == two, "the next lead")
    assert not eve.phone.calls, "he is not rung before he has accepted"
    for _ in range(2):
        said = field.value("SELECT dial_preview_accept(%s, %s, NULL, 'eve')", field.tenant, eve.agent_id)
        assert said in ("accepted", "none"), "the second click means no further lead"
    eve.call().wait_answered()
    call = people.wait_call(two).wait_answered()
    eve.wait("busy")
    call.hang_up()
    eve.wait("free")
    wait_for(live_switch, lambda: outcomes(field, sale) == {one: "skipped", two: "answered"}, "settled")
    assert (len(people.calls_of(one)), len(people.calls_of(two))) == (0, 1)
    field.check()
