"""ksctl schedule: when a route applies."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import click

from kalibri.services import schedule as schedules
from tools.ksctl.app import App, pass_app
from tools.ksctl.options import given, tenant_filter_option, tenant_option
from tools.ksctl.output import Column, output_option, say, show, show_one

COLUMNS = (
    "tenant",
    "name",
    "time_zone",
    "hours",
    Column("holidays", value=lambda schedule: len(schedule.holidays)),
    "on_holidays",
    "routes",
)
#: More days in one range are a typing error.
MAX_DAYS = 366
#: Beyond lies the end of the calendar.
YEARS = range(1970, 9000)

ON_HOLIDAYS = click.Choice(("closed", "open", "ignore"))
ON_HOLIDAYS_HELP = "On holidays: closed, open all day, or ignore (an ordinary day)."
HOURS_HELP = 'As "mon-fri 09:00-18:00; sat 10:00-14:00".'


class Days(click.ParamType[Any]):
    """A day, or the first and the last of several."""

    name = "day[..day]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the days as a tuple of dates."""
        first, dots, last = str(value).partition("..")
        try:
            begin = date.fromisoformat(first)
            end = date.fromisoformat(last) if dots else begin
        except ValueError:
            self.fail(f"{value!r} is no day: write 2027-01-01, or 2027-01-01..2027-01-08", param, ctx)
        if not timedelta(0) <= end - begin < timedelta(days=MAX_DAYS):
            self.fail(f"{value!r}: at most {MAX_DAYS} days, the first one first", param, ctx)
        return tuple(begin + timedelta(days=count) for count in range((end - begin).days + 1))


class WallTime(click.ParamType[datetime]):
    """A point in time; without a zone it is meant in the schedule's."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return a time, aware only if a zone was given."""
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no time: write 2026-11-22T10:30 or 2026-11-22T10:30+03:00", param, ctx)
        if moment.year not in YEARS:
            self.fail(f"{value!r}: the year must be {YEARS[0]} to {YEARS[-1]}", param, ctx)
        return moment


def _all(runs: Iterable[tuple[date, ...]]) -> tuple[date, ...]:
    return tuple(day for run in runs for day in run)


@click.group("schedule")
def cli() -> None:
    """When a route applies: hours of the week, holidays, time zone."""


@cli.command("list")
@tenant_filter_option
@output_option
@pass_app
def list_(app: App, tenant: str | None, output: str) -> None:
    """List schedules.

    JSON names every holiday, the table only counts them.
    """
    show(schedules.list_schedules(app.conn, tenant_id=app.optional_tenant_id(tenant)), COLUMNS, output)


@cli.command("show")
@click.argument("name")
@tenant_option
@output_option
@pass_app
def show_(app: App, name: str, tenant: str, output: str) -> None:
    """Show one schedule with its holidays.

    How it judges a moment, `schedule test` tells.
    """
    show_one(schedules.find(app.conn, tenant_id=app.tenant_id(tenant), name=name), output)


@cli.command("add")
@click.argument("name")
@tenant_option
@click.option("--hours", required=True, help=HOURS_HELP)
@click.option("--time-zone", help="As Europe/Moscow (default: the tenant's).")
@click.option("--holiday", "holidays", type=Days(), multiple=True, help="May be repeated.")
@click.option("--on-holidays", type=ON_HOLIDAYS, default="closed", show_default=True, help=ON_HOLIDAYS_HELP)
@pass_app
def add(
    app: App,
    name: str,
    tenant: str,
    hours: str,
    time_zone: str | None,
    holidays: tuple[tuple[date, ...], ...],
    on_holidays: str,
) -> None:
    r"""Make a schedule.

    \b
    Hours: days and times of the week, as "mon-fri 09:00-13:00,14:00-18:00; sat 10:00-14:00".
    All day is 00:00-24:00. An end before the start (fri 22:00-06:00) runs into the next day.
    """
    made = schedules.add(
        app.conn,
        tenant_id=app.tenant_id(tenant),
        name=name,
        hours=hours,
        time_zone=time_zone,
        holidays=_all(holidays),
        on_holidays=on_holidays,
    )
    say(f"schedule {made.name} added: {made.hours} ({made.time_zone}), {len(made.holidays)} holidays")


@cli.command("set")
@click.argument("name")
@tenant_option
@click.option("--hours", help=HOURS_HELP)
@click.option("--time-zone", help="As Europe/Moscow.")
@click.option("--add-holiday", "add_holidays", type=Days(), multiple=True, help="May be repeated.")
@click.option("--rm-holiday", "remove_holidays", type=Days(), multiple=True, help="May be repeated.")
@click.option("--on-holidays", type=ON_HOLIDAYS, help=ON_HOLIDAYS_HELP)
@pass_app
def set_(
    app: App,
    name: str,
    tenant: str,
    add_holidays: tuple[tuple[date, ...], ...],
    remove_holidays: tuple[tuple[date, ...], ...],
    **changes: Any,
) -> None:
    """Change a schedule; what is not given stays.

    Live within a second, as every change.
    """
    schedules.change(
        app.conn,
        tenant_id=app.tenant_id(tenant),
        name=name,
        add_holidays=_all(add_holidays),
        remove_holidays=_all(remove_holidays),
        **given(changes),
    )
    say(f"schedule {name} changed")


@cli.command("rm")
@click.argument("name")
@tenant_option
@pass_app
def remove(app: App, name: str, tenant: str) -> None:
    """Remove a schedule that no route uses any more.

    If routes do, the first of them are named.
    """
    schedules.remove(app.conn, tenant_id=app.tenant_id(tenant), name=name)
    say(f"schedule {name} removed")


@cli.command("test")
@click.argument("name")
@tenant_option
@click.option("--at", type=WallTime(), help="When (default: now); without a zone, in that of the schedule.")
@output_option
@pass_app
def test(app: App, name: str, tenant: str, at: datetime | None, output: str) -> None:
    """Tell whether a schedule is open, until when, and why if it is not.

    The exit code is 0 either way.
    """
    moment = at or datetime.now(UTC)
    show_one(schedules.judge(app.conn, tenant_id=app.tenant_id(tenant), name=name, at=moment), output)
