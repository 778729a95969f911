"""A day so small that every figure was computed by hand; the computation stands beside what is expected.

Moscow, 10 March 2026; sales: in time is 20 s, short is below 5 s.

    C1  10:00:00 sales, Eve at :08 (8 s); talks until 10:02:08, 20 s on hold; she hangs up; work until :38; mark 5
    C2  10:01:00 sales, Eve at 10:02:45 (105 s); until 10:03:45; caller hangs up; work until :55
    C3  10:05:00 sales, gone at :03 (3 s: short)
    C4  10:06:00 sales, Eve rings until :20 for nothing; gone at :40 (40 s)
    C5  10:16:00 sales, after 60 s to support; Bob at 10:17:10 (10 s); hands over at 10:20:10 to sales:
    C5b 10:20:10 sales, Eve at :15 (5 s); until 10:21:15, ended by the system
    C6  10:20:00 sales, wants a callback at :30 (30 s); Eve at 10:25:00, reached at :10; until 10:26:00
    C7  23:59:50 sales, Eve at 00:00:08 (18 s); until 00:01:08; she hangs up
    C8  12:00:00 sales, closed
Eve: 09:00 to 00:30, lunch from 10:10 to 10:15.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from callcore.errors import NotFound
from callcore.kpi import LevelVariant
from callcore.report_period import Step
from kalibri.db import Conn
from kalibri.services import report, report_calls, report_facts
from tests.support.builders import make_tenant
from tests.support.report_day import Day

MOSCOW = ZoneInfo("Europe/Moscow")
DAY = date(2026, 3, 10)
NEXT = DAY + timedelta(days=1)


@pytest.fixture
def tenant(db: Conn) -> int:
    """A tenant in Moscow, with the small day."""
    tenant = make_tenant(db, "acme")
    db.execute("UPDATE tenant SET time_zone = 'Europe/Moscow' WHERE tenant_id = %s", [tenant])
    day = Day(db, tenant, MOSCOW, DAY)
    live(day)
    report_facts.catch_up(db)
    return tenant


def live(day: Day) -> None:
    eve, bob = day.agent("eve", "09:00"), day.agent("bob", "09:00")
    c1 = day.enter("10:00:00", "sales", "+7001")
    ring = day.offer("10:00:00", c1, eve)
    day.join("10:00:08", ring)
    c2 = day.enter("10:01:00", "sales", "+7002")
    day.finish("10:02:08", ring, by="agent", hold=20, wrapup="10:02:38")
    day.survey("10:02:20", c1, 5)
    ring = day.offer("10:02:38", c2, eve)
    day.join("10:02:45", ring)
    day.finish("10:03:45", ring, by="caller", wrapup="10:03:55")
    day.end("10:05:03", day.enter("10:05:00", "sales", "+7003"), "abandoned")
    c4 = day.enter("10:06:00", "sales", "+7004")
    day.fail("10:06:20", day.offer("10:06:00", c4, eve), "no_answer")
    day.end("10:06:40", c4, "abandoned")
    day.state("10:10", eve, "paused", "lunch")
    day.state("10:15", eve, "free")
    c5 = day.enter("10:16:00", "sales", "+7005")
    day.move("10:17:00", c5, "support")
    ring = day.offer("10:17:00", c5, bob)
    day.join("10:17:10", ring)
    c6 = day.enter("10:20:00", "sales", "+7006")
    day.finish("10:20:10", ring, by="agent", end="transferred", cause="transferred")
    c5b = day.enter("10:20:10", "sales", "+7005", call=c5.call)
    ring = day.offer("10:20:10", c5b, eve)
    day.join("10:20:15", ring)
    day.ask_callback("10:20:30", c6)
    day.finish("10:21:15", ring, by="system")
    ring = day.offer("10:25:00", c6, eve)
    day.dialled("10:25:10", ring, "reached")
    day.join("10:25:10", ring)
    day.finish("10:26:00", ring, by="caller")
    day.end("12:00:00", day.enter("12:00:00", "sales", "+7008"), "closed", "system")
    c7 = day.enter("23:59:50", "sales", "+7007")
    ring = day.offer("23:59:50", c7, eve)
    midnight = datetime(2026, 3, 11, tzinfo=MOSCOW)
    day.join(midnight + timedelta(seconds=8), ring)
    day.finish(midnight + timedelta(seconds=68), ring, by="agent")
    day.state(midnight + timedelta(minutes=30), eve, "offline")
    day.state(midnight + timedelta(minutes=30), bob, "offline")
    day.write()


SALES = {
    "queue": "sales",
    "offered": 9,  # C1 C2 C3 C4 C5 C5b C6 C7 C8
    "answered": 4,  # C1 C2 C5b C7
    "answered_in_time": 3,  # 8, 5, 18 s; not 105 s
    "abandoned": 2,  # C3 C4
    "abandoned_short": 1,  # C3
    "left": 3,  # C5 moved, C6 callback, C8 closed
    "left_moved": 1,
    "left_callback": 1,
    "left_closed": 1,
    "left_timeout": 0,
    "failed": 0,
    "open": 0,
    "service_level_percent": 60.0,  # 3 / (4 + 2 - 1)
    "answered_percent": 44.4,  # 4 / 9
    "abandoned_percent": 22.2,  # 2 / 9
    "abandoned_long_percent": 12.5,  # (2 - 1) / (9 - 1)
    "average_answer_seconds": 34.0,  # (8 + 105 + 5 + 18) / 4
    "average_wait_seconds": 29.9,  # (136 + 3 + 40 + 60 + 30 + 0) / 9
    "longest_wait_seconds": 105.0,
    "average_abandon_seconds": 21.5,  # (3 + 40) / 2
    "average_talk_seconds": 70.0,  # (100 + 60 + 60 + 60) / 4
    "longest_talk_seconds": 100.0,
    "average_hold_seconds": 5.0,  # 20 / 4
    "average_wrapup_seconds": 10.0,  # (30 + 10) / 4
    "average_handle_seconds": 85.0,  # (280 + 20 + 40) / 4
    "hung_up_agent_percent": 50.0,  # C1 C7 of C1 C2 C5b C7
    "hung_up_caller_percent": 25.0,  # C2
    "transferred": 0,
    "surveys": 1,
    "survey_average": 5.0,
    "offers": 5,  # C1 C2 C4 C5b C7
}
SUPPORT = {
    "queue": "support",
    "offered": 1,
    "answered": 1,
    "service_level_percent": 100.0,
    "average_answer_seconds": 10.0,
    "average_talk_seconds": 180.0,
    "transferred": 1,
    "transferred_percent": 100.0,
    "hung_up_agent_percent": None,  # he handed over: nobody hung up
    "survey_average": None,
}
EVE = {
    "agent": "eve",
    "logged_in_seconds": 54_000.0,  # 09:00 to 24:00
    "ringing_seconds": 60.0,  # 8 + 7 + 20 + 5 + 10, and 10 before midnight
    "queue_calls_seconds": 290.0,  # 120 + 60 + 60 + 50
    "wrapup_seconds": 40.0,
    "paused_seconds": 300.0,
    "paused_unpaid_seconds": 300.0,
    "free_seconds": 53_310.0,  # the rest
    "occupancy_percent": 0.6,  # 330 / (330 + 53,310)
    "utilisation_percent": 0.6,  # 330 / 54,000
    "pauses": {"lunch": 300.0},
    "offers": 6,  # C1 C2 C4 C5b C6 C7
    "answered": 5,
    "no_answer": 1,
    "missed_percent": 16.7,  # 1 / 6
    "average_talk_seconds": 66.0,  # (100 + 60 + 60 + 50 + 60) / 5
    "average_handle_seconds": 78.0,  # (330 + 20 + 40) / 5
    "average_ring_seconds": 11.3,  # (8 + 7 + 20 + 5 + 10 + 18) / 6
    "hung_up_agent_percent": 40.0,  # C1 C7 of 5
}


def part(row: dict[str, Any], like: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in like}


def test_queues(db: Conn, tenant: int) -> None:
    sales, support = report.queue(db, tenant_id=tenant, from_day=DAY).rows
    assert part(sales, SALES) == SALES
    assert part(support, SUPPORT) == SUPPORT


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (LevelVariant.WITHOUT_SHORT, 60.0),
        (LevelVariant.ANY_IN_TIME, 66.7),  # (3 + 1) / 6
        (LevelVariant.OF_ANSWERED, 75.0),  # 3 / 4
        (LevelVariant.WITH_SHORT, 50.0),  # 3 / 6
        (LevelVariant.OF_OFFERED, 33.3),  # 3 / 9
    ],
)
def test_variants_of_the_service_level_are_named(
    db: Conn, tenant: int, level: LevelVariant, expected: float
) -> None:
    made = report.queue(db, tenant_id=tenant, from_day=DAY, queues=["sales"], level=level)
    assert [row["service_level_percent"] for row in made.rows] == [expected]
    assert any(level in note for note in made.notes)


def test_other_thresholds_are_counted_from_the_facts(db: Conn, tenant: int) -> None:
    made = report.queue(
        db, tenant_id=tenant, from_day=DAY, queues=["sales"], level_seconds=7, short_seconds=60
    )
    [row] = made.rows
    assert (row["answered_in_time"], row["abandoned_short"]) == (1, 2)  # C5b; C3 C4
    assert row["service_level_percent"] == 25.0  # 1 / (4 + 2 - 2)
    same = report.queue(
        db, tenant_id=tenant, from_day=DAY, queues=["sales"], level_seconds=20, short_seconds=5
    )
    assert part(same.rows[0], SALES) == SALES


def test_a_later_change_of_the_target_rewrites_nothing(db: Conn, tenant: int) -> None:
    db.execute("UPDATE queue SET service_level_seconds = 200, short_abandon_seconds = 0")
    report_facts.rebuild(db)
    [sales, _] = report.queue(db, tenant_id=tenant, from_day=DAY).rows
    assert part(sales, SALES) == SALES


def test_a_call_belongs_to_the_quarter_in_which_it_came(db: Conn, tenant: int) -> None:
    made = report.interval(db, tenant_id=tenant, from_day=DAY, step=Step.QUARTER)
    assert len(made.rows) == 96
    offered = {f"{row['period']:%H:%M}": row["offered"] for row in made.rows if row["offered"]}
    assert offered == {"10:00": 4, "10:15": 4, "12:00": 1, "23:45": 1}  # C5 in support at 10:17, too
    by_clock = {f"{row['period']:%H:%M}": row for row in made.rows}
    assert by_clock["10:00"]["agents"] == 2.0
    # Eve: 120 + 60 in calls and 40 after; Bob is free. Free: 900 - 180 - 40 - 35 ringing - 300 lunch, and 900.
    assert by_clock["10:00"]["occupancy_percent"] == 15.0  # 220 / (220 + 345 + 900)
    assert report.queue(db, tenant_id=tenant, from_day=NEXT).rows == []


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (Step.TOTAL, [5]),
        (
            Step.WEEK,
            [(date(2026, 3, 10), 2), (date(2026, 3, 16), 2), (date(2026, 3, 23), 0), (date(2026, 3, 30), 1)],
        ),
        (Step.MONTH, [(date(2026, 3, 10), 4), (date(2026, 4, 1), 1)]),
    ],
)
def test_weeks_and_months(db: Conn, step: Step, expected: list[object]) -> None:
    tenant = make_tenant(db, "acme")
    db.execute("UPDATE tenant SET time_zone = 'Europe/Moscow' WHERE tenant_id = %s", [tenant])
    weeks = Day(db, tenant, MOSCOW, DAY)
    # Tuesday; Sunday, just before the week ends; Monday, just after it began; a later week; another month.
    moments = (
        "2026-03-10T10:00",
        "2026-03-15T23:59",
        "2026-03-16T00:00",
        "2026-03-17T10:00",
        "2026-04-01T00:00",
    )
    for moment in moments:
        weeks.enter(datetime.fromisoformat(moment).replace(tzinfo=MOSCOW), "sales")
    weeks.write()
    report_facts.catch_up(db)
    rows = report.queue(db, tenant_id=tenant, from_day=DAY, to_day=date(2026, 4, 2), step=step).rows
    told = [(row["period"].date(), row["offered"]) if "period" in row else row["offered"] for row in rows]
    assert told == expected


def test_agents(db: Conn, tenant: int) -> None:
    db.execute("INSERT INTO pause_reason (tenant_id, name, paid) VALUES (%s, 'lunch', false)", [tenant])
    bob, eve = report.agent(db, tenant_id=tenant, from_day=DAY).rows
    assert part(eve, EVE) == EVE
    assert (bob["offers"], bob["queue_calls_seconds"], bob["logged_in_seconds"]) == (1, 180.0, 54_000.0)
    [eve] = report.agent(db, tenant_id=tenant, from_day=NEXT, agents=["eve"]).rows
    # Midnight cuts the time, not the offer: 8 s ringing, 60 s call, then free until 00:30.
    assert (eve["ringing_seconds"], eve["queue_calls_seconds"], eve["free_seconds"]) == (8.0, 60.0, 1732.0)
    assert eve["offers"] == 0


def test_agents_by_queue(db: Conn, tenant: int) -> None:
    made = report.agent(db, tenant_id=tenant, from_day=DAY, by_queue=True)
    assert [(row["agent"], row["queue"], row["offers"], row["answered"]) for row in made.rows] == [
        ("bob", "support", 1, 1),
        ("eve", "sales", 6, 5),
    ]


def test_pauses(db: Conn, tenant: int) -> None:
    [row] = report.pauses(db, tenant_id=tenant, from_day=DAY).rows
    assert (row["agent"], row["reason"], row["times"], row["seconds"]) == ("eve", "lunch", 1, 300.0)


def test_callbacks_are_counted_apart(db: Conn, tenant: int) -> None:
    [row] = report.callbacks(db, tenant_id=tenant, from_day=DAY).rows
    expected = {"queue": "sales", "requested": 1, "dialled": 1, "reached": 1, "joined": 1, "dials": 1}
    expected |= {"cancelled": 0, "joined_percent": 100.0, "average_talk_seconds": 50.0}
    # 10:20:30 to 10:25:10
    expected |= {"average_dial_wait_seconds": 280.0, "average_join_wait_seconds": 280.0}
    assert part(row, expected) == expected


def test_attempts_states_and_missed(db: Conn, tenant: int) -> None:
    attempts = report_calls.attempts(db, tenant_id=tenant, from_day=DAY, queues=["sales"]).rows
    assert [row["outcome"] for row in attempts].count("no_answer") == 1
    first = attempts[0]
    assert (first["caller"], first["agent"], first["wait_seconds"], first["ring_seconds"]) == (
        "+7001",
        "eve",
        0,
        8,
    )
    assert (first["talk_seconds"], first["hold_seconds"], first["wrapup_seconds"]) == (100, 20, 30)
    states = report_calls.states(db, tenant_id=tenant, from_day=DAY, agents=["eve"]).rows
    assert sum(float(str(row["seconds"])) for row in states if row["state"] == "paused") == 300
    missed = report_calls.missed(db, tenant_id=tenant, from_day=DAY).rows
    assert [(row["caller"], row["reason"]) for row in missed] == [
        ("+7003", "abandoned"),
        ("+7004", "abandoned"),
        ("+7008", "closed"),
    ]


def test_part_of_the_day_and_unknown_names(db: Conn, tenant: int) -> None:
    [row] = report.queue(
        db, tenant_id=tenant, from_day=DAY, queues=["sales"], hours="10:00-10:15", weekdays="tue"
    ).rows
    assert row["offered"] == 4  # C1 C2 C3 C4
    assert report.queue(db, tenant_id=tenant, from_day=DAY, weekdays="mon").rows == []
    with pytest.raises(NotFound):
        report.queue(db, tenant_id=tenant, from_day=DAY, queues=["nobody"])


def test_what_still_lasts_counts_up_to_now(db: Conn) -> None:
    tenant = make_tenant(db, "acme")
    day = Day(db, tenant, UTC, DAY)
    day.agent("eve", "09:00")
    day.enter("09:30", "sales")
    day.write()
    report_facts.catch_up(db)
    noon = datetime(2026, 3, 10, 12, 7, tzinfo=UTC)
    [row] = report.agent(db, tenant_id=tenant, from_day=DAY, clock=lambda: noon).rows
    assert row["free_seconds"] == (3 * 60 + 7) * 60
    [row] = report.queue(db, tenant_id=tenant, from_day=DAY).rows
    assert (row["offered"], row["open"], row["average_wait_seconds"]) == (1, 1, None)


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 10, 25), 25), (date(2026, 3, 29), 23)])
def test_days_of_23_and_25_hours(db: Conn, day: date, hours: int) -> None:
    """Berlin: in autumn the hour from two to three comes twice, in spring it is left out."""
    berlin = ZoneInfo("Europe/Berlin")
    tenant = make_tenant(db, "acme")
    db.execute("UPDATE tenant SET time_zone = 'Europe/Berlin' WHERE tenant_id = %s", [tenant])
    events = Day(db, tenant, berlin, day)
    before, after = day - timedelta(days=1), day + timedelta(days=1)
    events.agent("eve", datetime(before.year, before.month, before.day, 12, tzinfo=berlin))
    first = datetime(day.year, day.month, day.day, tzinfo=berlin).astimezone(UTC)
    for hour in range(hours):
        events.enter(first + timedelta(hours=hour, minutes=30), "sales")
    events.write()
    report_facts.catch_up(db)
    made = report.interval(db, tenant_id=tenant, from_day=day, step=Step.HOUR)
    assert [row["offered"] for row in made.rows] == [1] * hours
    assert [f"{row['period']:%H}" for row in made.rows].count("02") == hours - 23
    [row] = report.queue(db, tenant_id=tenant, from_day=before, to_day=after, step=Step.DAY).rows[1:2]
    assert row["offered"] == hours
    later = datetime(after.year, after.month, after.day, 12, tzinfo=berlin)
    [row] = report.agent(db, tenant_id=tenant, from_day=day, clock=lambda: later).rows
    assert row["logged_in_seconds"] == hours * 3600
