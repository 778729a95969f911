"""ksctl report schedule: reports that are sent by e-mail."""

from __future__ import annotations

import json
from datetime import UTC, datetime, time
from typing import Any

import click

from callcore.states import ReportEvery
from kalibri.services import report_schedule
from tools.ksctl.app import App, pass_app
from tools.ksctl.options import enabled_option, given, tenant_filter_option, tenant_option
from tools.ksctl.output import output_option, say, show

COLUMNS = (
    "tenant",
    "name",
    "report",
    "options",
    "every",
    "at",
    "format",
    "recipients",
    "enabled",
    "sent_until",
    "sent_at",
    "attempts",
    "last_error",
)
NAME = click.argument("name")


class Clock(click.ParamType[time]):
    """A time of the day."""

    name = "HH:MM"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> time:
        """Return the time."""
        try:
            return value if isinstance(value, time) else time.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time of the day: write 06:30", param, ctx)


class Option(click.ParamType[tuple[str, Any]]):
    """One option of a report: KEY=VALUE."""

    name = "KEY=VALUE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Any]:
        """Return key and value: JSON if it is, names by commas where names belong, else text."""
        if isinstance(value, tuple):
            return value
        key, equals, text = value.partition("=")
        if not equals:
            self.fail(f"{value!r}: write KEY=VALUE, as step=hour or queues=sales,support", param, ctx)
        try:
            return key, json.loads(text)
        except ValueError:
            return key, text.split(",") if key in ("queues", "agents", "gateways") else text


EVERY = click.Choice([every.value for every in ReportEvery])
FORMAT = click.option(
    "--format", "format", type=click.Choice(report_schedule.FORMATS), help="Of the file (xlsx)."
)
AT = click.option("--at", type=Clock(), help="Not before this time of the tenant's day (06:00).")
OPTIONS = click.option(
    "--option",
    "options",
    type=Option(),
    multiple=True,
    help="Of the report: step=hour, queues=sales,support, level=of_answered, plot=true … (repeat).",
)


@click.group("schedule")
def schedule() -> None:
    """Reports that are sent by e-mail when a day, week or month is over."""


@schedule.command("list")
@tenant_filter_option
@output_option
@pass_app
def list_(app: App, tenant: str | None, output: str) -> None:
    """List scheduled reports, when each was sent last, and what went wrong."""
    show(report_schedule.list_scheduled(app.conn, tenant_id=app.optional_tenant_id(tenant)), COLUMNS, output)


@schedule.command("add")
@tenant_option
@NAME
@click.argument("report", type=click.Choice(list(report_schedule.REPORTS)))
@click.option("--every", type=EVERY, required=True, help="What it tells: the last whole one.")
@click.option("--to", "recipients", multiple=True, required=True, help="E-mail address (repeat for several).")
@AT
@FORMAT
@OPTIONS
@pass_app
def add(app: App, tenant: str, name: str, report: str, every: str, **more: Any) -> None:
    """Send REPORT by e-mail from now on, under a NAME."""
    settings = given(more)
    settings["options"] = dict(settings.get("options", ()))
    made = report_schedule.add(
        app.conn,
        tenant_id=app.tenant_id(tenant),
        name=name,
        report=report,
        every=ReportEvery(every),
        **settings,
    )
    say(f"{name}: {report} of each {made.every.value}, from {made.at:%H:%M} {made.time_zone} on")
    if app.config.mail.host is None:
        say("no mail server is configured yet (mail.host)")


@schedule.command("edit")
@tenant_option
@NAME
@click.option("--every", type=EVERY, help="What it tells: the last whole one.")
@click.option("--to", "recipients", multiple=True, help="E-mail address, instead of those before (repeat).")
@AT
@FORMAT
@OPTIONS
@enabled_option
@pass_app
def edit(app: App, tenant: str, name: str, every: str | None, **more: Any) -> None:
    """Change a scheduled report; options take the place of those before."""
    changes = given(more)
    if every is not None:
        changes["every"] = ReportEvery(every)
    if "options" in changes:
        changes["options"] = dict(changes["options"])
    report_schedule.change(app.conn, tenant_id=app.tenant_id(tenant), name=name, **changes)


@schedule.command("rm")
@tenant_option
@NAME
@pass_app
def remove(app: App, tenant: str, name: str) -> None:
    """Send a report no longer."""
    report_schedule.remove(app.conn, tenant_id=app.tenant_id(tenant), name=name)


@schedule.command("send")
@tenant_option
@NAME
@pass_app
def send(app: App, tenant: str, name: str) -> None:
    """Send the last whole period now, whether it was sent or not."""
    tenant_id = app.tenant_id(tenant)
    sent = report_schedule.send_now(
        app.conn, app.config, tenant_id=tenant_id, name=name, now=datetime.now(UTC)
    )
    say(f"sent to {', '.join(sent.recipients)}")
    if sent.last_error:
        say(sent.last_error)
