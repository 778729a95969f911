"""Leads on their way: taken in order, only where they may be called, counted, tried again, finished; never twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from callcore.dial import (
    CAMPAIGN_TRANSITIONS,
    CampaignState,
    DialReason,
    LeadPriority,
    LeadResult,
    LeadState,
    Obstacle,
)
from callcore.dial_retry import AttemptFacts
from callcore.errors import AlreadyExists, NotFound, Refused
from kalibri import db as database
from kalibri.config import Config
from kalibri.db import Conn
from kalibri.services import campaign as campaigns
from kalibri.services import campaign_hours, campaign_report, do_not_call, lead_outcome
from kalibri.services import lead as leads
from tests.support import fix_dial
from tests.support.fix_dial import NOW, lead_rows, make_campaign, take_list

MOSCOW = "8495123450"


@pytest.fixture
def conn(pg_config: Config) -> Iterator[Conn]:
    with database.connect(pg_config, application_name="test") as connection:
        yield connection


@pytest.fixture
def acme(conn: Conn) -> int:
    tenant_id = fix_dial.acme(conn)
    make_campaign(conn, tenant_id)
    fix_dial.ready_prompt(conn)
    return tenant_id


def run(conn: Conn, tenant_id: int) -> None:
    campaigns.start(conn, tenant_id=tenant_id, name="spring")


def take(conn: Conn, tenant_id: int, most: int = 10, at: Any = NOW) -> list[str]:
    """Take leads as the engine does; return their external ids in order."""
    campaign = campaigns.find(conn, tenant_id=tenant_id, name="spring")
    sets = campaign_hours.open_sets(conn, campaign, at)
    rows = conn.execute(
        "SELECT external_id FROM lead_take(%s, %s, %s, %s, %s)",
        [tenant_id, campaign.campaign_id, sets, most, at],
    ).fetchall()
    return [row[0] for row in rows]


def add(conn: Conn, tenant_id: int, *numbers: str, **options: Any) -> int:
    options = {"campaign": "spring", "now": NOW, "country_code": "7"} | options
    return leads.add(conn, tenant_id=tenant_id, numbers=numbers, **options)


def settle(conn: Conn, tenant_id: int, lead_id: int, position: int = 1, **facts: Any) -> lead_outcome.Settled:
    attempt = AttemptFacts(**facts)
    return lead_outcome.settle(
        conn, tenant_id=tenant_id, lead_id=lead_id, position=position, attempt=attempt, now=NOW
    )


def test_leads_are_taken_by_rank_and_age_and_only_while_the_campaign_runs(conn: Conn, acme: int) -> None:
    add(conn, acme, MOSCOW + "1", external_id="old", now=NOW - timedelta(hours=2))
    add(conn, acme, MOSCOW + "2", external_id="new")
    add(conn, acme, MOSCOW + "3", external_id="urgent", priority=LeadPriority.URGENT)
    add(conn, acme, MOSCOW + "4", external_id="low", priority=LeadPriority.LOW, now=NOW - timedelta(days=1))
    add(conn, acme, MOSCOW + "5", external_id="later", due_at=NOW + timedelta(seconds=1))
    assert take(conn, acme) == []
    run(conn, acme)
    assert take(conn, acme, most=3) == ["urgent", "old", "new"]
    assert take(conn, acme) == ["low"]
    assert take(conn, acme) == []
    assert take(conn, acme, at=NOW + timedelta(seconds=1)) == ["later"]
    campaigns.pause(conn, tenant_id=acme, name="spring")
    conn.execute("SELECT lead_turn(tenant_id, lead_id, 1, due_at, NULL) FROM lead")
    assert take(conn, acme) == []


def test_nobody_is_called_outside_his_hours(conn: Conn, acme: int) -> None:
    """13:00 in Moscow, 22:00 in Kamchatka; a number of all of Russia may be there; nobody knows New York."""
    add(conn, acme, MOSCOW + "1", external_id="moscow")
    add(conn, acme, "84151234567", external_id="kamchatka")
    add(conn, acme, "88001234567", external_id="russia")
    add(conn, acme, "+12125550100", external_id="unknown")
    run(conn, acme)
    assert take(conn, acme) == ["moscow"]
    assert take(conn, acme, at=NOW.replace(hour=8) + timedelta(days=1)) == ["kamchatka", "russia"]
    campaigns.change(conn, tenant_id=acme, name="spring", unknown_zones=("America/New_York",))
    assert take(conn, acme) == []
    assert take(conn, acme, at=NOW.replace(hour=15)) == ["unknown"]


def test_do_not_call_counts_when_a_lead_is_taken(conn: Conn, acme: int) -> None:
    add(conn, acme, MOSCOW + "1", MOSCOW + "2", external_id="second number")
    add(conn, acme, MOSCOW + "3", external_id="none left")
    add(conn, acme, MOSCOW + "4", external_id="free")
    run(conn, acme)
    do_not_call.add(conn, tenant_id=acme, country_code="7", numbers=[MOSCOW + "1", MOSCOW + "3"])
    assert take(conn, acme, most=2) == ["second number", "free"]
    assert lead_rows(conn, "external_id", "state", "result", "position") == [
        ("second number", "dialling", None, 2),
        ("none left", "done", "do_not_call", 1),
        ("free", "dialling", None, 1),
    ]


def test_consent_and_expiry_count_when_a_lead_is_taken(conn: Conn, acme: int) -> None:
    campaigns.change(conn, tenant_id=acme, name="spring", consent_exemption="", purpose="news")
    add(conn, acme, MOSCOW + "1", external_id="silent")
    add(conn, acme, MOSCOW + "2", external_id="over", consent_basis="form", expires_at=NOW)
    add(conn, acme, MOSCOW + "3", external_id="agreed", consent_basis="form")
    run(conn, acme)
    assert take(conn, acme) == ["agreed"]
    assert lead_rows(conn, "result") == [("no_consent",), ("expired",), (None,)]


def test_two_engines_never_take_the_same_lead(
    pg_config: Config, conn: Conn, acme: int, tmp_path: Path
) -> None:
    numbers = "".join(f"8495{n:07}\n" for n in range(300))
    take_list(conn, acme, tmp_path / "a.csv", "phone\n" + numbers)
    run(conn, acme)

    def engine(_number: int) -> list[str]:
        taken: list[str] = []
        with database.connect(pg_config, application_name="engine") as own:
            while some := take(own, acme, most=7):
                taken += some
        return taken

    with ThreadPoolExecutor(4) as pool:
        found = [lead for part in pool.map(engine, range(4)) for lead in part]
    assert len(found) == len(set(found)) == 300


def test_an_attempt_that_is_rolled_back_leaves_the_lead_waiting(conn: Conn, acme: int) -> None:
    add(conn, acme, MOSCOW + "1", external_id="x")
    run(conn, acme)
    with conn.transaction(force_rollback=True):
        assert take(conn, acme) == ["x"]
    assert take(conn, acme) == ["x"]


def test_outcomes_decide_what_follows(conn: Conn, acme: int) -> None:
    lead = add(conn, acme, MOSCOW + "1", MOSCOW + "2", external_id="x")
    run(conn, acme)
    take(conn, acme)
    done = settle(conn, acme, lead, outcome="busy", code=486)
    assert (done.rule.position, done.state) == (90, LeadState.WAITING)
    assert done.step.due_at == NOW + timedelta(minutes=15)
    settle(conn, acme, lead, outcome="ours")
    settle(conn, acme, lead, outcome="no_answer", code=487)
    assert lead_rows(conn, "position", "attempts", "uncharged", "rule_counts", "last_outcome") == [
        (2, 2, 1, {"90": 1, "54": 1, "91": 1}, "no_answer")
    ]
    settle(conn, acme, lead, 2, outcome="abandoned")
    assert lead_rows(conn, "rank", "state") == [(4, "waiting")]
    settle(conn, acme, lead, 2, outcome="invalid", verdict="not_existing")
    assert lead_rows(conn, "position", "rank") == [(1, 4)]
    done = settle(conn, acme, lead, 1, outcome="answered", code=200)
    assert done.step.result is LeadResult.REACHED
    assert lead_rows(conn, "state", "result") == [("done", "reached")]


def test_whoever_opts_out_is_on_the_list_at_once(conn: Conn, acme: int) -> None:
    lead = add(conn, acme, MOSCOW + "1", external_id="x")
    run(conn, acme)
    take(conn, acme)
    settle(conn, acme, lead, outcome="opted_out")
    assert lead_rows(conn, "state", "result") == [("done", "do_not_call")]
    listed = do_not_call.list_numbers(conn, tenant_id=acme, now=NOW)
    assert [(row.number, row.scope, row.source) for row in listed] == [("74951234501", "tenant", "opt_out")]
    with pytest.raises(AlreadyExists):
        add(conn, acme, MOSCOW + "1", external_id="y")
    make_campaign(conn, acme, "other")
    with pytest.raises(Refused, match="do-not-call"):
        add(conn, acme, MOSCOW + "1", external_id="y", campaign="other")


def test_a_lead_says_what_stands_against_it(conn: Conn, acme: int) -> None:
    add(conn, acme, "84151234567", external_id="k", due_at=NOW + timedelta(hours=1))
    shown = leads.show(conn, tenant_id=acme, campaign="spring", lead="74151234567", now=NOW)
    assert shown.obstacles == (Obstacle.NOT_DUE, Obstacle.HOURS)
    assert [(row.number, row.zones) for row in shown.numbers] == [("74151234567", ("Asia/Kamchatka",))]
    with pytest.raises(NotFound):
        leads.show(conn, tenant_id=acme, campaign="spring", lead="nobody", now=NOW)


def test_finished_leads_can_be_tried_again(conn: Conn, acme: int) -> None:
    add(conn, acme, MOSCOW + "1", external_id="given up")
    add(conn, acme, MOSCOW + "2", external_id="reached")
    add(conn, acme, MOSCOW + "3", external_id="dead")
    conn.execute("UPDATE lead SET attempts = 4, rule_counts = '{\"1\": 3}'")
    conn.execute("SELECT lead_end(tenant_id, lead_id, 'exhausted') FROM lead WHERE external_id = 'given up'")
    conn.execute("SELECT lead_end(tenant_id, lead_id, 'reached') FROM lead WHERE external_id = 'reached'")
    conn.execute(
        "SELECT lead_drop_number(tenant_id, lead_id, 1, 'dead', now()) FROM lead WHERE external_id = 'dead'"
    )
    assert leads.retry(conn, tenant_id=acme, campaign="spring", now=NOW) == 2
    assert lead_rows(conn, "external_id", "state", "attempts", "rule_counts") == [
        ("given up", "waiting", 0, {}),
        ("reached", "done", 4, {"1": 3}),
        ("dead", "waiting", 0, {}),
    ]
    assert leads.retry(conn, tenant_id=acme, campaign="spring", now=NOW, leads=["reached"]) == 1
    assert lead_rows(conn, "state") == [("waiting",)] * 3
    assert leads.remove(conn, tenant_id=acme, campaign="spring", leads=["reached", "dead"], now=NOW) == 2
    run(conn, acme)
    assert take(conn, acme) == ["given up"]
    leads.remove(conn, tenant_id=acme, campaign="spring", leads=["given up"], now=NOW)
    assert lead_rows(conn, "state", "result")[0] == ("dialling", None)


def test_an_export_comes_back_unchanged(conn: Conn, acme: int, tmp_path: Path) -> None:
    add(conn, acme, MOSCOW + "1", external_id="x", name="Иван", priority=LeadPriority.HIGH)
    lines = list(leads.export(conn, tenant_id=acme, campaign="spring"))
    assert lines[1].startswith(
        "x,74951234501,Иван,high,,single,waiting,,Москва,Europe/Moscow,0,0,,,2026-11-22T10:00"
    )
    mapping = dict.fromkeys(["list", "state", "result", "region", "zones", "attempts"], "skip")
    mapping |= dict.fromkeys(["uncharged", "last_outcome", "last_attempt_at", "due_at", "caller_id"], "skip")
    result, _ = take_list(conn, acme, tmp_path / "x.csv", "".join(lines), mapping=mapping)
    assert (result.added, result.changed, result.unchanged) == (0, 0, 1)


def test_why_tells_each_second(conn: Conn, acme: int) -> None:
    def why() -> campaign_report.Why:
        return campaign_report.why(conn, tenant_id=acme, name="spring", now=NOW)

    assert why().reason is DialReason.NOT_RUNNING
    run(conn, acme)
    assert why().reason is DialReason.NO_LEADS
    add(conn, acme, "+12125550100", external_id="unknown")
    assert why().reason is DialReason.NO_ZONE
    campaigns.change(conn, tenant_id=acme, name="spring", unknown_zones=("Asia/Kamchatka",))
    told = why()
    assert (told.reason, told.opens_at) == (DialReason.HOURS, NOW.replace(hour=21))
    campaigns.change(conn, tenant_id=acme, name="spring", unknown_zones=())
    add(conn, acme, "84151234567", external_id="kamchatka")
    told = why()
    assert told.reason is DialReason.HOURS
    assert told.opens_at == NOW.replace(hour=21)
    assert [(row.zones, row.due, row.open) for row in told.zones] == [
        ((), 1, False),
        (("Asia/Kamchatka",), 1, False),
    ]
    add(conn, acme, MOSCOW + "1", external_id="moscow")
    assert not why().engine
    campaign = campaigns.find(conn, tenant_id=acme, name="spring")
    ids = {"tenant_id": acme, "campaign_id": campaign.campaign_id}
    for second, reason in enumerate(["lines"] * 5 + ["load_average"] * 3 + ["lines"] * 2):
        at = NOW - timedelta(seconds=10 - second)
        database.execute(conn, campaigns.SQL["note"], **ids, at=at, reason=reason, detail="10 of 10")
    told = why()
    assert told.engine
    assert told.reason is DialReason.LINES
    assert [(row.reason, row.seconds) for row in told.holds] == [
        (DialReason.LINES, 7.0),
        (DialReason.LOAD_AVERAGE, 3.0),
    ]
    rows = campaign_report.holds(
        conn, tenant_id=acme, name="spring", since=NOW - timedelta(hours=1), until=NOW
    )
    assert [(row.reason, row.seconds) for row in rows] == [
        ("lines", 2.0),
        ("load_average", 3.0),
        ("lines", 5.0),
    ]


def test_attempts_are_reported(conn: Conn, acme: int) -> None:
    lead = add(conn, acme, MOSCOW + "1", external_id="x")
    run(conn, acme)
    campaign = campaigns.find(conn, tenant_id=acme, name="spring")
    order = json.dumps(
        [{"lead_id": lead, "position": 1, "number": "74951234501", "caller_id": "74950000001"}]
    )
    with conn.transaction():
        take(conn, acme)
        conn.execute("SELECT dial_order(%s, %s, %s)", [acme, campaign.campaign_id, order])
    conn.execute(
        "UPDATE attempt SET state = 'ended', outcome = 'busy', taken_at = ordered_at, ended_at = ordered_at + '7 s',"
        """ facts = '{"code": 486}'"""
    )
    now = datetime.now(UTC)
    told = campaign_report.report(conn, tenant_id=acme, name="spring", now=now)
    (count,) = told.attempts
    assert (count.outcome, count.attempts, count.answered, count.ring_seconds) == ("busy", 1, 0, 7.0)
    (attempt,) = campaign_report.attempts(conn, tenant_id=acme, name="spring", lead_id=lead)
    assert (attempt.lead, attempt.code, attempt.caller_id) == ("x", 486, "74950000001")
    lines = list(campaign_report.export_attempts(conn, tenant_id=acme, name="spring"))
    assert len(lines) == 2
    assert ",x,1,74951234501,74950000001,ended,busy," in lines[1]
    later = campaign_report.report(
        conn, tenant_id=acme, name="spring", now=now, since=now + timedelta(days=1)
    )
    assert later.attempts == ()


def test_sql_and_python_agree_on_the_steps_of_a_campaign(conn: Conn) -> None:
    for step, moves in CAMPAIGN_TRANSITIONS.items():
        for state in CampaignState:
            row = conn.execute("SELECT campaign_next(%s, %s)", [state, step]).fetchone()
            assert row == (moves.get(state),)
