"""ksctl report: what happened in queues, to agents, calls and gateways."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click

from callcore.kpi import LevelVariant
from callcore.report_period import Step, span_before
from callcore.schedule import time_zone
from kalibri.services import report, report_calls, report_facts, report_file
from kalibri.services import tenant as tenants
from kalibri.services.report_calls import CallGroup
from kalibri.services.report_frame import MOST_ROWS, Report
from tools.ksctl.app import App, pass_app
from tools.ksctl.options import tenant_option
from tools.ksctl.output import cell, print_table, say
from tools.ksctl.report_schedule import schedule

Command = TypeVar("Command", bound=Callable[..., Any])


@click.group("report")
def cli() -> None:
    """Reports: figures of queues, agents, calls and gateways, by period, as table, file or plot."""


cli.add_command(schedule)


# ---------------------------------------------------------------------------------------------- options


class Day(click.ParamType[str]):
    """A day, or a word for it; the tenant's zone decides which day that is."""

    name = "DAY"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text, if it can be a day."""
        if value in ("today", "yesterday"):
            return str(value)
        try:
            return date.fromisoformat(value).isoformat()
        except ValueError:
            self.fail(f"{value!r} is no day: write 2026-11-22, today or yesterday", param, ctx)


def _day(text: str, today: date) -> date:
    words = {"today": today, "yesterday": today - timedelta(days=1)}
    return words[text] if text in words else date.fromisoformat(text)


def time_options(command: Command) -> Command:
    """Add what a report covers, and what becomes of it."""
    options = (
        click.option("--from", "from_day", type=Day(), default="today", show_default=True, help="First day."),
        click.option("--to", "to_day", type=Day(), help="Last day, included (default: the first)."),
        click.option(
            "--last",
            type=click.Choice(["day", "week", "month"]),
            help="The last whole one, instead of --from.",
        ),
        click.option("--by", "step", type=click.Choice([s.value for s in Step]), help="Divide the time."),
        click.option("--hours", default="", metavar="09:00-18:00", help="Only this part of each day."),
        click.option("--weekdays", default="", metavar="mon-fri", help="Only these days of the week."),
        click.option(
            "-o",
            "--output",
            type=click.Choice(["table", "json", "csv", "xlsx"]),
            default="table",
            show_default=True,
            help="Form of the output; xlsx needs --file.",
        ),
        click.option("--file", type=click.Path(path_type=Path), help="Write it there, not to the screen."),
        click.option(
            "--plot", type=click.Path(path_type=Path), help="Draw it, too: a file that ends in .svg or .png."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def level_options(command: Command) -> Command:
    """Add how the service level is computed."""
    options = (
        click.option(
            "--level",
            type=click.Choice([v.value for v in LevelVariant]),
            default=LevelVariant.WITHOUT_SHORT.value,
            show_default=True,
            help="Variant of the service level.",
        ),
        click.option(
            "--level-seconds", type=click.IntRange(0, 3600), help="Another target than the queue's."
        ),
        click.option("--short-seconds", type=click.IntRange(0, 600), help="Another limit of short abandons."),
    )
    for option in reversed(options):
        command = option(command)
    return command


queue_option = click.option("--queue", "queues", multiple=True, help="Only this queue (may be repeated).")
agent_option = click.option("--agent", "agents", multiple=True, help="Only this agent (may be repeated).")
limit_option = click.option(
    "--limit", type=click.IntRange(1, MOST_ROWS), default=10_000, show_default=True, help="Rows at most."
)
tenant_or_all = click.option(
    "-t",
    "--tenant",
    envvar="KALIBRI_TENANT",
    show_envvar=True,
    help="Only this tenant (default: all, in UTC).",
)


def when_of(app: App, tenant: str | None, options: dict[str, Any]) -> dict[str, Any]:
    """Take the options of the time out of `options` and return the fields of When."""
    zone = "UTC" if tenant is None else tenants.find(app.conn, name=tenant).time_zone
    today = datetime.now(UTC).astimezone(time_zone(zone)).date()
    first = _day(options.pop("from_day"), today)
    last = options.pop("to_day")
    found: dict[str, Any] = {"from_day": first, "to_day": first if last is None else _day(last, today)}
    if every := options.pop("last"):
        found["from_day"], found["to_day"] = span_before(today, every)
    if step := options.pop("step"):
        found["step"] = Step(step)
    return {**found, "hours": options.pop("hours"), "weekdays": options.pop("weekdays")}


def deliver(made: Report, output: str, file: Path | None, plot: Path | None) -> None:
    """Print a report, or write it to a file, and draw it."""
    if plot is not None:
        plot.write_bytes(report_file.drawn(made, plot.suffix.lower()))
        say(f"drawn: {plot}")
    if output == "xlsx" and file is None:
        raise click.UsageError("-o xlsx: say with --file where to write")
    if file is not None:
        file.write_bytes(report_file.written(made, "csv" if output == "table" else output))
        say(f"written: {file}")
    elif output == "table":
        _table(made)
    else:
        click.echo(report_file.written(made, output).decode(), nl=False)


def _table(made: Report) -> None:
    days = str(made.from_day) if made.from_day == made.to_day else f"{made.from_day} to {made.to_day}"
    part = " ".join(text for text in (made.hours, made.weekdays) if text)
    say(
        f"{made.report}: {days}{' ' if part else ''}{part}, {made.zone}; built until {cell(made.built_until)}"
    )
    print_table(
        [name.replace("_", " ") for name in made.columns],
        [[_cell(row[name]) for name in made.columns] for row in made.rows],
    )
    for note in made.notes:
        say(note)


def _cell(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) and abs(value) < 1e6 else cell(value)


def _run(
    do: Callable[..., Report], app: App, tenant: str | None, options: dict[str, Any], **more: Any
) -> None:
    output, file, plot = options.pop("output"), options.pop("file"), options.pop("plot")
    when = when_of(app, tenant, options)
    tenant_id = app.optional_tenant_id(tenant)
    deliver(do(app.conn, tenant_id=tenant_id, **when, **options, **more), output, file, plot)


# --------------------------------------------------------------------------------------------- commands


@cli.command("queue")
@tenant_option
@queue_option
@level_options
@time_options
@pass_app
def queue(app: App, tenant: str, level: str, **options: Any) -> None:
    """Show offered, answered, abandoned, service level, waits and talk of each queue."""
    _run(report.queue, app, tenant, options, level=LevelVariant(level))


@cli.command("interval")
@tenant_option
@queue_option
@level_options
@time_options
@pass_app
def interval(app: App, tenant: str, level: str, **options: Any) -> None:
    """Show the queues together, period by period (30 minutes), with the agents who were there."""
    _run(report.interval, app, tenant, options, level=LevelVariant(level))


@cli.command("agent")
@tenant_option
@agent_option
@queue_option
@click.option("--by-queue", is_flag=True, help="A row for each queue of an agent: offers only.")
@time_options
@pass_app
def agent(app: App, tenant: str, **options: Any) -> None:
    """Show time in each state, pauses, occupancy, offers and handling of each agent."""
    _run(report.agent, app, tenant, options)


@cli.command("pauses")
@tenant_option
@agent_option
@time_options
@pass_app
def pauses(app: App, tenant: str, **options: Any) -> None:
    """Show pauses of each agent by reason."""
    _run(report.pauses, app, tenant, options)


@cli.command("callbacks")
@tenant_option
@queue_option
@time_options
@pass_app
def callbacks(app: App, tenant: str, **options: Any) -> None:
    """Show how far callbacks got: requested, dialled, reached, joined."""
    _run(report.callbacks, app, tenant, options)


@cli.command("calls")
@tenant_or_all
@click.option(
    "--group",
    type=click.Choice([group.value for group in CallGroup]),
    default=CallGroup.DIRECTION.value,
    show_default=True,
    help="Tell calls apart by this.",
)
@time_options
@pass_app
def calls(app: App, tenant: str | None, group: str, **options: Any) -> None:
    """Show calls: answered share, setup and talk, who hung up first."""
    _run(report_calls.calls, app, tenant, options, group=CallGroup(group))


@cli.command("gateway")
@tenant_or_all
@click.option("--gateway", "gateways", multiple=True, help="Only this gateway (may be repeated).")
@time_options
@pass_app
def gateway(app: App, tenant: str | None, **options: Any) -> None:
    """Show the use of gateways: attempts, answered share, talk, load, failures."""
    _run(report_calls.gateway, app, tenant, options)


@cli.command("attempts")
@tenant_option
@queue_option
@agent_option
@limit_option
@time_options
@pass_app
def attempts(app: App, tenant: str, **options: Any) -> None:
    """List every ringing of an agent: queue, caller, wait, talk, outcome."""
    _run(report_calls.attempts, app, tenant, options)


@cli.command("states")
@tenant_option
@agent_option
@limit_option
@time_options
@pass_app
def states(app: App, tenant: str, **options: Any) -> None:
    """List what agents did, state by state."""
    _run(report_calls.states, app, tenant, options)


@cli.command("missed")
@tenant_option
@queue_option
@limit_option
@time_options
@pass_app
def missed(app: App, tenant: str, **options: Any) -> None:
    """List callers who left a queue unserved and have not come again."""
    _run(report_calls.missed, app, tenant, options)


@cli.command("rebuild")
@click.option("-t", "--tenant", help="Only the queue facts of this tenant (default: all, and calls).")
@pass_app
def rebuild(app: App, tenant: str | None) -> None:
    """Build what reports are made of again from all events and calls that are kept."""
    app.conn.execute("SET statement_timeout = 0")
    made = report_facts.rebuild(app.conn, tenant_id=app.optional_tenant_id(tenant))
    say(f"built again from {made.events} queue events and {made.calls} calls")
