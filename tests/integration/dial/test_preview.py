"""Preview: an agent accepts a lead, skips it, or lets the time pass. No lead is lost, and none called twice."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import pytest

from kalibri.db import Conn
from kalibri.services import preview
from kalibri.services.preview import PreviewRefused
from tests.support.acd_field import HOST
from tests.support.dial_centre import Centre

ONE, TWO = "74951110001", "74951110002"


@pytest.fixture
def centre(db: Conn) -> Centre:
    return Centre(db)


def campaign(centre: Centre, *numbers: str, **columns: Any) -> int:
    return centre.campaign(*numbers, **{"mode": "preview", **columns})


def accept(centre: Centre, name: str = "anna", offer: int | None = None) -> str:
    """Return what became of it."""
    try:
        preview.accept(centre.field.conn, tenant_id=centre.acd.tenant, name=name, offer=offer)
    except PreviewRefused as error:
        return str(error.details["state"])
    return "accepted"


def skip(centre: Centre, name: str = "anna", reason: str = "called_lately", offer: int | None = None) -> str:
    """Return what became of it."""
    try:
        preview.skip(centre.field.conn, tenant_id=centre.acd.tenant, name=name, reason=reason, offer=offer)
    except PreviewRefused as error:
        return str(error.details["state"])
    return "skipped"


def time_over(centre: Centre) -> None:
    (one,) = centre.previews()
    centre.acd.past("offer", "deadline_at", one["offer_id"], 3600)
    centre.acd.tick()


def test_who_accepts_is_rung_and_then_the_person(centre: Centre) -> None:
    anna = centre.agent()
    sale = campaign(centre, ONE)
    centre.look()
    (looked,) = centre.previews()
    assert (looked["agent_id"], looked["holder"], centre.acd.state(anna)) == (anna, None, "reserved")
    assert not centre.field.rows("SELECT FROM acd_take(%s)", HOST), "no host rings anybody before"
    told = centre.acd.events("offer.make")[-1]
    assert told["preview_seconds"] == 30
    assert accept(centre) == "accepted"
    offer = centre.offer()
    assert (offer["offer_id"], offer["data"]["number"]) == (looked["offer_id"], ONE)
    assert offer["data"]["variables"]["dial"]["reading_seconds"] == 0, "he has read"
    centre.acd.answer(offer["offer_id"])
    centre.acd.acts("acd_dialled", offer["entry_id"], "reached", 200, "[]")
    centre.acd.acts("acd_finish", offer["offer_id"], "agent")
    centre.look()
    assert centre.attempts(sale) == ["answered"]


def test_a_host_may_be_silent_of_what_an_agent_only_looks_at(centre: Centre) -> None:
    """The heartbeat of a host ends what it should know and does not; of a preview it need not know."""
    centre.agent()
    sale = campaign(centre, ONE)
    centre.look()
    for _ in range(3):
        centre.acd.report(HOST, [])
    centre.field.value("SELECT acd_lose_host(%s, 'killed')", HOST)
    assert len(centre.previews()) == 1
    assert centre.attempts(sale) == [None]


def test_who_skips_is_not_offered_the_lead_again_and_another_agent_is(centre: Centre) -> None:
    anna, bella = centre.agent("anna"), centre.agent("bella")
    sale = campaign(centre, ONE)
    centre.look()
    (looked,) = centre.previews()
    first, other = ("anna", bella) if looked["agent_id"] == anna else ("bella", anna)
    assert skip(centre, first, "called_lately") == "skipped"
    centre.look()
    assert centre.attempts(sale) == ["skipped"]
    (lead,) = centre.field.leads(sale)
    assert (lead["state"], lead["attempts"], lead["uncharged"]) == ("waiting", 0, 1)
    facts = centre.field.attempts(sale)[0]["facts"]
    assert (facts["skipped"], facts["verdict"]) == ("called_lately", "called_lately")
    centre.field.make_due(sale)
    centre.look()
    assert [row["agent_id"] for row in centre.previews()] == [other]


def test_a_lead_that_every_agent_skipped_waits_and_holds_up_no_other(centre: Centre) -> None:
    centre.agent()
    sale = campaign(centre, ONE)
    centre.look()
    assert skip(centre) == "skipped"
    centre.look()
    centre.field.make_due(sale)
    centre.look()
    assert centre.previews() == []
    (lead,) = centre.field.leads(sale)
    until = centre.field.value("SELECT until FROM lead_skip")
    assert (lead["state"], lead["due_at"]) == ("waiting", until)
    centre.field.lead(sale, TWO)
    centre.look()
    (looked,) = centre.previews()
    assert looked["caller"] == TWO


def test_a_lead_whose_last_agent_left_goes_back_and_the_others_go_on(centre: Centre) -> None:
    """Anna skipped it, and it waits for Bella: when she goes home it must not stand in Anna's way."""
    centre.agent("anna")
    sale = campaign(centre, ONE)
    centre.look()
    skip(centre, "anna")
    centre.look()
    bella = centre.agent("bella")
    first = centre.acd.enter(centre.queue)
    centre.field.make_due(sale)
    centre.look()
    centre.acd.answer(first.offer_id)
    centre.acd.call("acd_logout", bella)
    centre.field.lead(sale, TWO)
    centre.acd.acts("acd_finish", first.offer_id, "caller")
    centre.look(6)
    assert [row["caller"] for row in centre.previews()] == [TWO]


def test_the_rules_may_end_a_lead_by_the_reason_of_a_skip(centre: Centre) -> None:
    centre.agent()
    centre.field.conn.execute(
        "INSERT INTO retry_rule (tenant_id, table_name, position, outcome, verdict, action)"
        " VALUES (%s, 'mine', 1, 'skipped', 'wrong_person', 'stop')",
        [centre.acd.tenant],
    )
    sale = campaign(centre, ONE, retry_table="mine")
    centre.look()
    assert skip(centre, reason="wrong_person") == "skipped"
    centre.look()
    assert centre.field.leads(sale)[0]["state"] == "done"


def test_time_that_passes_skips(centre: Centre) -> None:
    anna = centre.agent()
    sale = campaign(centre, ONE)
    centre.look()
    time_over(centre)
    centre.look()
    assert centre.attempts(sale) == ["skipped"]
    assert centre.field.attempts(sale)[0]["facts"]["skipped"] == "timeout"
    assert centre.field.value("SELECT no_answers FROM agent_live WHERE agent_id = %s", anna) == 1


def test_time_that_passes_dials_where_the_campaign_wants_that(centre: Centre) -> None:
    centre.agent()
    sale = campaign(centre, ONE, preview_action="dial")
    centre.look()
    time_over(centre)
    assert centre.offer()["data"]["number"] == ONE
    assert centre.attempts(sale) == [None]


def test_two_clicks_are_one(centre: Centre) -> None:
    centre.agent()
    campaign(centre, ONE, TWO)
    centre.look()
    offer = centre.previews()[0]["offer_id"]
    assert [skip(centre, offer=offer) for _ in range(2)] == ["skipped", "skipped"]
    centre.look()
    second = centre.previews()[0]["offer_id"]
    assert second != offer
    assert skip(centre, offer=offer) == "skipped", "a late click says what was, and skips no further lead"
    assert [accept(centre, offer=second) for _ in range(2)] == ["accepted", "accepted"]
    assert len(centre.field.rows("SELECT FROM acd_take(%s) WHERE kind = 'offer_agent'", HOST)) == 1
    assert skip(centre, offer=second) == "accepted"
    assert skip(centre) == "none"


def test_clicks_at_once_make_one_call_or_none(centre: Centre, pg_dsn: str) -> None:
    anna = centre.agent()
    sale = campaign(centre, ONE)
    centre.look()
    offer = centre.previews()[0]["offer_id"]
    said: dict[str, str] = {}
    gate = threading.Barrier(2)

    def click(word: str, statement: str) -> None:
        with psycopg.connect(pg_dsn, autocommit=True) as conn:
            gate.wait()
            row = conn.execute(statement.encode(), [centre.acd.tenant, anna, offer]).fetchone()
            said[word] = "" if row is None else row[0]

    threads = [
        threading.Thread(target=click, args=("accept", "SELECT dial_preview_accept(%s, %s, %s, 'a')")),
        threading.Thread(target=click, args=("skip", "SELECT dial_preview_skip(%s, %s, %s, 'why', 'a')")),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(said.values())) == 1, said
    called = centre.field.rows("SELECT FROM acd_take(%s) WHERE kind = 'offer_agent'", HOST)
    assert len(called) == (1 if said["skip"] == "accepted" else 0)
    centre.look()
    assert centre.attempts(sale) == [None if called else "skipped"]


@pytest.mark.parametrize("leaves", ["acd_logout", "acd_pause"])
def test_an_agent_who_leaves_gives_the_lead_to_the_next(centre: Centre, leaves: str) -> None:
    anna = centre.agent()
    sale = campaign(centre, ONE)
    centre.look()
    arguments = ["break"] if leaves == "acd_pause" else []
    centre.acd.call(leaves, anna, *arguments)  # type: ignore[arg-type]
    assert centre.acd.state(anna) == ("paused" if arguments else "offline")
    assert centre.previews() == []
    assert accept(centre) == "none"
    bella = centre.agent("bella")
    centre.field.conn.execute("UPDATE queue_entry SET not_before = NULL")
    centre.look()
    assert [row["agent_id"] for row in centre.previews()] == [bella]
    assert centre.attempts(sale) == [None], "it is the same attempt: nothing was consumed"


def test_an_agent_in_a_call_of_his_own_cannot_accept(centre: Centre) -> None:
    anna = centre.agent()
    campaign(centre, ONE)
    centre.look()
    centre.field.conn.execute("UPDATE agent_live SET legs = 1 WHERE agent_id = %s", [anna])
    assert accept(centre) == "unavailable"
    centre.field.conn.execute("UPDATE agent_live SET legs = 0 WHERE agent_id = %s", [anna])
    assert accept(centre) == "accepted"


def test_without_a_media_host_nothing_is_lost(centre: Centre) -> None:
    centre.agent()
    campaign(centre, ONE)
    centre.look()
    centre.field.conn.execute("UPDATE node SET heartbeat_at = now() - interval '1 hour'")
    assert accept(centre) == "no_host"
    centre.field.conn.execute("UPDATE node SET heartbeat_at = now() + interval '1 hour'")
    assert accept(centre) == "accepted"


def test_a_host_that_does_not_take_the_call_loses_the_attempt_not_the_lead(centre: Centre) -> None:
    anna = centre.agent()
    sale = campaign(centre, ONE)
    centre.look()
    (looked,) = centre.previews()
    accept(centre)
    centre.acd.past("offer", "deadline_at", looked["offer_id"], 60)
    centre.acd.tick()
    centre.look()
    (attempt,) = centre.field.attempts(sale)
    assert attempt["state"] == "settled"
    assert centre.acd.state(anna) == "free"
    (lead,) = centre.field.leads(sale)
    assert (lead["state"], lead["attempts"]) == ("waiting", 0)
    assert not centre.field.rows("SELECT FROM acd_take(%s) WHERE kind = 'offer_agent'", HOST), (
        "not rung later"
    )


def test_who_opts_out_while_an_agent_looks_is_not_called(centre: Centre) -> None:
    anna = centre.agent()
    sale = campaign(centre, ONE)
    centre.look()
    centre.field.value("SELECT do_not_call_add(%s, NULL, %s, 'test')", centre.acd.tenant, ONE)
    assert accept(centre) == "withdrawn"
    centre.look()
    assert centre.attempts(sale) == ["refused"]
    assert centre.acd.state(anna) == "free"


def test_a_stopped_campaign_takes_previews_back(centre: Centre) -> None:
    anna = centre.agent()
    sale = campaign(centre, ONE)
    centre.look()
    offer = centre.previews()[0]["offer_id"]
    centre.field.value("SELECT campaign_step(%s, %s, 'stop', 'test')::text", centre.acd.tenant, sale)
    centre.look()
    assert centre.previews() == []
    assert accept(centre, offer=offer) == "over"
    assert centre.acd.state(anna) == "free"
    assert centre.field.leads(sale)[0]["state"] == "waiting"


def test_two_agents_look_at_two_leads(centre: Centre) -> None:
    centre.agent("anna")
    centre.agent("bella")
    admission = "UPDATE campaign_admission SET max_queue_percent = 1000 WHERE campaign_id = %s"
    sale = campaign(centre, ONE, TWO)
    centre.field.conn.execute(admission, [sale])
    centre.look(8)
    assert {row["caller"] for row in centre.previews()} == {ONE, TWO}


def test_a_skip_is_no_call_of_its_caller_id(centre: Centre) -> None:
    centre.agent()
    sale = campaign(centre)
    centre.field.conn.execute(
        "INSERT INTO campaign_caller_id (tenant_id, campaign_id, number, daily_cap) VALUES (%s, %s, '74950000001', 1)",
        [centre.acd.tenant, sale],
    )
    centre.field.lead(sale, ONE)
    centre.field.lead(sale, TWO)
    centre.look()
    used = "SELECT calls FROM caller_id_use WHERE number = '74950000001'"
    assert centre.field.value(used) == 1
    skip(centre)
    centre.look()
    (looked,) = centre.previews()
    assert looked["caller"] == TWO, "the call of the day is still to be had"
    assert centre.field.value(used) == 1


def test_a_lead_is_looked_at_by_one_agent_even_where_all_of_them_ring(centre: Centre) -> None:
    centre.acd.change(centre.queue, strategy="ring_all", anchor="always")
    centre.agent("anna")
    centre.agent("bella")
    sale = campaign(centre, ONE)
    centre.look(6)
    assert len(centre.previews()) == 1
    assert len(centre.field.attempts(sale)) == 1
