"""Schedules of tenants: what may be stored, what may go, and what a stored one says of a moment."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest

from callcore.errors import AlreadyExists, BadInput, NotFound, StillInUse
from callcore.schedule import BadSchedule
from kalibri import db as database
from kalibri.config import Config
from kalibri.db import Conn
from kalibri.services import schedule as schedules
from kalibri.services import tenant as tenants

WORK = "mon-fri 09:00-18:00"


@pytest.fixture
def conn(pg_config: Config) -> Iterator[Conn]:
    with database.connect(pg_config, application_name="test") as connection:
        yield connection


@pytest.fixture
def acme(conn: Conn) -> int:
    return tenants.add(conn, name="acme", time_zone="Asia/Omsk").tenant_id


def use_in_route(conn: Conn, schedule: schedules.Schedule, count: int = 1) -> None:
    conn.execute(
        "INSERT INTO route (tenant_id, priority, schedule_id, destination_kind)"
        " SELECT %s, n, %s, 'next' FROM generate_series(1, %s) AS n",
        (schedule.tenant_id, schedule.schedule_id, count),
    )


def test_zone_is_the_tenants_unless_told(conn: Conn, acme: int) -> None:
    made = schedules.add(conn, tenant_id=acme, name="work", hours=f"  {WORK}\n")
    assert (made.tenant, made.time_zone, made.hours, made.holidays) == ("acme", "Asia/Omsk", WORK, ())
    told = schedules.add(conn, tenant_id=acme, name="west", hours=WORK, time_zone="Europe/Moscow")
    assert told.time_zone == "Europe/Moscow"


def test_holidays_are_kept_in_order_and_once(conn: Conn, acme: int) -> None:
    days = [date(2027, 5, 9), date(2027, 1, 1), date(2027, 5, 9)]
    made = schedules.add(conn, tenant_id=acme, name="work", hours=WORK, holidays=days)
    assert made.holidays == (date(2027, 1, 1), date(2027, 5, 9))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hours": "mon 25:00-26:00"}, "position 5: expected a time"),
        ({"hours": ""}, "expected a day"),
        ({"time_zone": "Mars/Base"}, "unknown time zone 'Mars/Base'"),
        ({"on_holidays": "perhaps"}, "not one of closed, open, ignore"),
    ],
)
def test_what_cannot_be_understood_is_not_stored(
    conn: Conn, acme: int, fields: dict[str, str], message: str
) -> None:
    with pytest.raises(BadSchedule, match=message):
        schedules.add(conn, tenant_id=acme, **{"name": "work", "hours": WORK, **fields})
    schedules.add(conn, tenant_id=acme, name="work", hours=WORK)
    with pytest.raises(BadSchedule, match=message):
        schedules.change(conn, tenant_id=acme, name="work", **fields)
    assert schedules.find(conn, tenant_id=acme, name="work").hours == WORK


def test_names_are_unique_within_a_tenant(conn: Conn, acme: int) -> None:
    schedules.add(conn, tenant_id=acme, name="work", hours=WORK)
    schedules.add(conn, tenant_id=0, name="work", hours=WORK)
    with pytest.raises(AlreadyExists):
        schedules.add(conn, tenant_id=acme, name="work", hours=WORK)
    with pytest.raises(BadInput, match="name of the schedule"):
        schedules.add(conn, tenant_id=acme, name="no spaces", hours=WORK)
    assert [item.tenant for item in schedules.list_schedules(conn, tenant_id=None)] == ["system", "acme"]
    assert [item.tenant for item in schedules.list_schedules(conn, tenant_id=acme)] == ["acme"]


def test_change_touches_only_what_is_given(conn: Conn, acme: int) -> None:
    schedules.add(conn, tenant_id=acme, name="work", hours=WORK, holidays=[date(2027, 1, 1)])
    after = schedules.change(conn, tenant_id=acme, name="work", add_holidays=[date(2027, 1, 2)])
    assert (after.hours, after.holidays) == (WORK, (date(2027, 1, 1), date(2027, 1, 2)))
    after = schedules.change(
        conn, tenant_id=acme, name="work", hours="sat 10:00-14:00", remove_holidays=[date(2027, 1, 1)]
    )
    assert after == schedules.find(conn, tenant_id=acme, name="work")
    assert (after.hours, after.holidays, after.time_zone) == (
        "sat 10:00-14:00",
        (date(2027, 1, 2),),
        "Asia/Omsk",
    )
    with pytest.raises(BadInput, match="2030-01-01 is no holiday"):
        schedules.change(conn, tenant_id=acme, name="work", remove_holidays=[date(2030, 1, 1)])


def test_schedule_of_another_tenant_is_not_found(conn: Conn, acme: int) -> None:
    schedules.add(conn, tenant_id=0, name="work", hours=WORK)
    for touch in (schedules.find, schedules.change, schedules.remove):
        with pytest.raises(NotFound, match='there is no schedule "work"'):
            touch(conn, tenant_id=acme, name="work")


def test_schedule_in_use_stays_and_its_routes_are_named(conn: Conn, acme: int) -> None:
    made = schedules.add(conn, tenant_id=acme, name="work", hours=WORK)
    use_in_route(conn, made, 12)
    assert schedules.find(conn, tenant_id=acme, name="work").routes == 12
    with pytest.raises(StillInUse, match=r'12 routes use schedule "work": 1, 2, .*, 10 \.\.\.$'):
        schedules.remove(conn, tenant_id=acme, name="work")
    conn.execute("DELETE FROM route")
    schedules.remove(conn, tenant_id=acme, name="work")
    assert schedules.list_schedules(conn, tenant_id=acme) == []


def test_change_reaches_the_change_log_and_no_change_does_not(conn: Conn, acme: int) -> None:
    schedules.add(conn, tenant_id=acme, name="work", hours=WORK)
    logged = "SELECT count(*) FROM change_log WHERE noun = 'schedule'"
    schedules.change(conn, tenant_id=acme, name="work", hours=WORK)
    assert database.fetch_value(conn, logged) == 1
    schedules.change(conn, tenant_id=acme, name="work", on_holidays="ignore")
    assert database.fetch_value(conn, logged) == 2


def test_moment_is_judged_in_the_zone_of_the_schedule(conn: Conn, acme: int) -> None:
    schedules.add(conn, tenant_id=acme, name="work", hours=WORK, holidays=[date(2026, 11, 24)])
    verdict = schedules.judge(conn, tenant_id=acme, name="work", at=datetime(2026, 11, 23, 3, 30, tzinfo=UTC))
    assert (verdict.open, verdict.why) == (True, "")
    assert verdict.at.isoformat() == "2026-11-23T09:30:00+06:00"
    assert verdict.until is not None
    assert verdict.until.isoformat() == "2026-11-23T18:00:00+06:00"
    naive = schedules.judge(conn, tenant_id=acme, name="work", at=datetime(2026, 11, 24, 10))  # noqa: DTZ001
    assert not naive.open
    assert naive.why == "schedule 'work' is closed on tue 2026-11-24 10:00 Asia/Omsk, a holiday"
    assert naive.until == datetime.fromisoformat("2026-11-25T09:00+06:00")
