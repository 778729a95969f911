"""Agent first: a lead waits for an agent as a callback does, and its attempt follows; callers of the queue go first."""

from __future__ import annotations

import pytest

from callcore.dial import DialReason
from kalibri.db import Conn
from tests.support.acd_field import HOST
from tests.support.dial_centre import Centre

ONE, TWO = "74951110001", "74951110002"


@pytest.fixture
def centre(db: Conn) -> Centre:
    return Centre(db)


def test_the_agent_is_offered_the_lead_and_talks(centre: Centre) -> None:
    anna = centre.agent()
    sale = centre.campaign(ONE)
    centre.look()
    offer = centre.offer()
    data = offer["data"]
    assert (data["first"], data["number"], data["variables"]["dial"]["reading_seconds"]) == ("agent", ONE, 7)
    centre.acd.answer(offer["offer_id"])
    centre.acd.acts("acd_dialled", offer["entry_id"], "reached", 200, "[]")
    assert centre.acd.state(anna) == "busy"
    centre.look()
    assert centre.field.attempts(sale)[0]["state"] == "answered"
    centre.acd.acts("acd_finish", offer["offer_id"], "agent")
    centre.look()
    assert centre.attempts(sale) == ["answered"]
    assert centre.field.leads(sale)[0]["result"] == "reached"


def test_who_is_not_reached_is_tried_by_the_rules_and_the_agent_is_free(centre: Centre) -> None:
    anna = centre.agent()
    sale = centre.campaign(ONE)
    centre.look()
    offer = centre.offer()
    centre.acd.answer(offer["offer_id"])
    centre.acd.acts("acd_dialled", offer["entry_id"], "busy", 486, "[]")
    centre.look()
    assert centre.attempts(sale) == ["busy"]
    (lead,) = centre.field.leads(sale)
    assert (lead["state"], lead["attempts"]) == ("waiting", 1)
    assert centre.acd.state(anna) == "free"


def test_what_early_media_said_is_the_outcome(centre: Centre) -> None:
    anna = centre.agent()
    sale = centre.campaign(ONE)
    centre.look()
    offer = centre.offer()
    centre.acd.answer(offer["offer_id"])
    centre.acd.acts("acd_dialled", offer["entry_id"], "failed", 487, "[]", "not_existing")
    centre.look()
    assert centre.attempts(sale) == ["invalid"]
    assert centre.field.leads(sale)[0]["result"] == "no_number"
    assert centre.acd.state(anna) == "free"


def test_an_agent_who_does_not_answer_consumes_no_lead(centre: Centre) -> None:
    centre.agent()
    sale = centre.campaign(ONE)
    centre.look()
    offer = centre.offer()
    centre.acd.outcome(offer["offer_id"], "no_answer")
    bella = centre.agent("bella")
    centre.look()
    assert centre.attempts(sale) == [None]
    assert centre.acd.state(bella) in ("reserved", "ringing")
    assert centre.field.leads(sale)[0]["attempts"] == 0


def test_an_agent_who_does_not_answer_is_paused_at_once(centre: Centre) -> None:
    anna = centre.agent()
    centre.campaign(ONE)
    centre.look()
    centre.acd.outcome(centre.offer()["offer_id"], "no_answer")
    assert centre.acd.state(anna) == "paused"
    entered = centre.acd.enter(centre.queue)
    assert entered.kind == "wait", "nobody rings a desk that does not answer"


def test_agents_who_ring_already_hold_back_no_further_task(centre: Centre) -> None:
    for name in ("anna", "bella", "carla", "diana"):
        centre.agent(name)
    sale = centre.campaign(ONE, TWO, "74951110003", "74951110004")
    admission = "UPDATE campaign_admission SET max_queue_percent = 1000 WHERE campaign_id = %s"
    centre.field.conn.execute(admission, [sale])
    centre.look(8)
    assert len(centre.field.attempts(sale)) == 4
    assert not centre.field.rows("SELECT FROM agent_live WHERE state = 'free'")


def test_who_opts_out_while_his_lead_waits_for_an_agent_is_not_called(centre: Centre) -> None:
    anna = centre.agent()
    sale = centre.campaign()
    first = centre.acd.enter(centre.queue)
    centre.acd.answer(first.offer_id)
    centre.field.lead(sale, ONE, priority="urgent", rank=3)
    centre.look()
    assert centre.attempts(sale) == [None]
    centre.field.value("SELECT do_not_call_add(%s, NULL, %s, 'test')", centre.acd.tenant, ONE)
    centre.acd.acts("acd_finish", first.offer_id, "caller")
    assert centre.acd.state(anna) == "free", "the last look is before the agent is called"
    centre.look()
    assert centre.attempts(sale) == ["refused"]
    centre.field.make_due(sale)
    centre.look()
    assert centre.field.leads(sale)[0]["result"] == "do_not_call"


def test_who_opts_out_while_the_agent_reads_is_not_called(centre: Centre) -> None:
    anna = centre.agent()
    sale = centre.campaign(ONE)
    centre.look()
    offer = centre.offer()
    centre.acd.answer(offer["offer_id"])
    centre.field.value("SELECT do_not_call_add(%s, NULL, %s, 'test')", centre.acd.tenant, ONE)
    centre.look()
    told = centre.field.rows("SELECT * FROM acd_take(%s)", HOST)
    assert [(row["kind"], row["offer_id"]) for row in told] == [("cancel_offer", offer["offer_id"])]
    assert centre.attempts(sale) == ["refused"]
    assert centre.acd.state(anna) == "free"


def test_a_task_does_not_wait_for_an_agent_past_the_hours_of_its_person(centre: Centre) -> None:
    centre.agent()
    sale = centre.campaign()
    first = centre.acd.enter(centre.queue)
    centre.acd.answer(first.offer_id)
    centre.field.lead(sale, ONE, priority="urgent", rank=3)
    centre.look()
    assert centre.attempts(sale) == [None]
    centre.field.conn.execute("UPDATE campaign SET hours = 'mon 00:00-00:01' WHERE campaign_id = %s", [sale])
    centre.look(8)
    (lead,) = centre.field.leads(sale)
    assert centre.attempts(sale) == ["no_agent"]
    assert (lead["state"], lead["attempts"]) == ("waiting", 0)
    assert not centre.field.rows("SELECT FROM queue_entry WHERE state = 'waiting'")


def test_callers_of_the_queue_go_first(centre: Centre) -> None:
    sale = centre.campaign(ONE)
    centre.acd.enter(centre.queue)
    anna = centre.agent()
    centre.look()
    assert centre.acd.state(anna) in ("reserved", "ringing")
    assert not centre.field.attempts(sale)
    reason = "SELECT reason::text FROM campaign_hold WHERE campaign_id = %s ORDER BY since DESC"
    assert centre.field.value(reason, sale) == DialReason.AGENTS_BUSY


def test_an_urgent_lead_goes_before_callers_who_wait(centre: Centre) -> None:
    sale = centre.campaign()
    anna = centre.agent()
    first = centre.acd.enter(centre.queue)
    centre.acd.answer(first.offer_id)
    centre.acd.enter(centre.queue)
    centre.field.lead(sale, ONE, priority="urgent", rank=3)
    centre.look()
    assert centre.attempts(sale) == [None]
    centre.acd.acts("acd_finish", first.offer_id, "caller")
    (offer,) = centre.field.rows("SELECT * FROM offer WHERE state <> 'ended'")
    assert (offer["agent_id"], offer["entry_id"]) == (anna, centre.field.attempts(sale)[0]["entry_id"])


def test_no_more_tasks_than_agents(centre: Centre) -> None:
    centre.agent("anna")
    centre.agent("bella")
    sale = centre.campaign(ONE, TWO, "74951110003", "74951110004")
    centre.look(5)
    assert len(centre.field.attempts(sale)) <= 2


def test_a_stopped_campaign_takes_its_tasks_out_of_the_queue(centre: Centre) -> None:
    anna = centre.agent()
    first = centre.acd.enter(centre.queue)
    centre.acd.answer(first.offer_id)
    sale = centre.campaign()
    centre.field.lead(sale, ONE, priority="urgent", rank=3)
    centre.look()
    assert centre.attempts(sale) == [None]
    centre.field.value("SELECT campaign_step(%s, %s, 'stop', 'test')::text", centre.acd.tenant, sale)
    centre.look()
    assert centre.attempts(sale) == ["no_agent"]
    assert centre.field.leads(sale)[0]["state"] == "waiting"
    centre.acd.acts("acd_finish", first.offer_id, "caller")
    assert centre.acd.state(anna) == "free"


def test_a_host_that_dies_while_the_person_may_ring_rings_nobody_twice(centre: Centre) -> None:
    anna = centre.agent()
    sale = centre.campaign(ONE)
    centre.look()
    offer = centre.offer()
    centre.acd.answer(offer["offer_id"])
    centre.field.value("SELECT acd_lose_host(%s, 'killed')", HOST)
    centre.look()
    assert centre.attempts(sale) == ["lost"]
    (lead,) = centre.field.leads(sale)
    assert (lead["state"], lead["attempts"], lead["uncharged"]) == ("waiting", 0, 1)
    assert centre.acd.entry(offer["entry_id"])["state"] == "ended"
    assert centre.acd.state(anna) == "free"


def test_the_provider_of_a_task_is_that_of_its_call(centre: Centre) -> None:
    centre.agent()
    sale = centre.campaign(gateway="cheap")
    centre.field.lead(sale, ONE, gateway="dear")
    centre.look()
    assert centre.offer()["data"]["variables"]["dial"]["gateway"] == "dear"


def test_wrap_up_is_that_of_the_campaign(centre: Centre) -> None:
    anna = centre.agent()
    centre.campaign(ONE, wrapup_seconds=300)
    centre.look()
    offer = centre.offer()
    centre.acd.answer(offer["offer_id"])
    centre.acd.acts("acd_dialled", offer["entry_id"], "reached", 200, "[]")
    centre.acd.acts("acd_finish", offer["offer_id"], "agent")
    assert centre.acd.state(anna) == "wrapup"
    left = "SELECT extract(epoch FROM wrapup_until - clock_timestamp()) FROM agent_live WHERE agent_id = %s"
    assert 200 < centre.field.value(left, anna) <= 300


def test_an_agent_may_ring_and_read_as_long_as_the_campaign_says(centre: Centre) -> None:
    """Longer than the queue lets its agents ring, and than callbacks usually take."""
    centre.agent()
    centre.campaign(ONE, agent_ring_seconds=100, reading_seconds=500, ring_seconds=90)
    centre.look()
    offer = centre.offer()
    left = "SELECT extract(epoch FROM deadline_at - clock_timestamp()) FROM offer WHERE offer_id = %s"
    assert centre.field.value(left, offer["offer_id"]) > 100
    centre.acd.answer(offer["offer_id"])
    assert centre.field.value(left, offer["offer_id"]) > 590
