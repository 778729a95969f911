"""ksctl queue: waiting lines, their rules and agents, and how they stand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import click

from kalibri.services import entry as entries
from kalibri.services import queue as queues
from kalibri.services import queue_live
from tools.ksctl.app import App, pass_app
from tools.ksctl.commands.agent import duration
from tools.ksctl.commands.entry import COLUMNS as ENTRY_COLUMNS
from tools.ksctl.live_table import follow
from tools.ksctl.moments import Moment
from tools.ksctl.options import tenant_filter_option, tenant_option
from tools.ksctl.output import Column, output_option, say, show, show_one
from tools.ksctl.queue_options import rule_options, rules_given

COLUMNS = (
    "tenant",
    "name",
    "enabled",
    Column("open", value=lambda queue: queue.is_open),
    "strategy",
    "anchor",
    "priority",
    "members",
    "ready",
    "waiting",
    "ring_seconds",
    "wrapup_seconds",
)
MEMBER_COLUMNS = (
    "agent",
    "display_name",
    "tier",
    "penalty",
    "position",
    "state",
    Column("state_reason", "reason"),
    Column("for", value=lambda member: duration(member.state_seconds)),
    "ready",
)
LIVE_COLUMNS = (
    "tenant",
    "queue",
    "open",
    "waiting",
    Column("longest", value=lambda row: duration(row.longest_wait_seconds)),
    Column("expected", value=lambda row: duration(row.ewt_seconds)),
    "offered",
    "talking",
    "callbacks",
    "free",
    "ringing",
    "busy",
    "wrapup",
    "paused",
    "logged_in",
    "answered",
    "abandoned",
    Column(
        "service_level", "SL %", lambda row: None if row.service_level is None else round(row.service_level)
    ),
)
ATTEMPT_COLUMNS = (
    "at",
    "offer_id",
    "queue",
    "caller",
    "agent",
    Column("wait_seconds", "wait s"),
    Column("ring_seconds", "ring s"),
    Column("talk_seconds", "talk s"),
    "answered",
    "success",
    "outcome",
    "hung_up_by",
)


@click.group("queue")
def cli() -> None:
    """Queues: their rules and agents, who waits, why an agent was chosen."""


@cli.command("list")
@tenant_filter_option
@output_option
@pass_app
def list_(app: App, tenant: str | None, output: str) -> None:
    """List queues."""
    show(queues.list_queues(app.conn, tenant_id=app.optional_tenant_id(tenant)), COLUMNS, output)


@cli.command("show")
@tenant_option
@click.argument("name")
@output_option
@pass_app
def show_(app: App, tenant: str, name: str, output: str) -> None:
    """Show all rules of a queue."""
    show_one(queues.find(app.conn, tenant_id=app.tenant_id(tenant), name=name), output)


@cli.command("add")
@tenant_option
@click.argument("name")
@rule_options
@pass_app
def add(app: App, tenant: str, name: str, **options: Any) -> None:
    """Make a queue; rules that are not given are the usual ones (ksctl queue show)."""
    queues.add(app.conn, tenant_id=app.tenant_id(tenant), name=name, **rules_given(options))
    say(f"queue {name} added")


@cli.command("edit")
@tenant_option
@click.argument("name")
@rule_options
@pass_app
def edit(app: App, tenant: str, name: str, **options: Any) -> None:
    """Change rules of a queue; waiting calls follow at once."""
    queues.change(app.conn, tenant_id=app.tenant_id(tenant), name=name, **rules_given(options))
    say(f"queue {name} changed")


@cli.command("rm")
@tenant_option
@click.argument("name")
@pass_app
def remove(app: App, tenant: str, name: str) -> None:
    """Remove a queue that nobody is in and nothing leads to."""
    queues.remove(app.conn, tenant_id=app.tenant_id(tenant), name=name)
    say(f"queue {name} removed")


# ------------------------------------------------------------------------------------------------- live


@cli.command("live")
@tenant_filter_option
@click.option("--queue", help="Only this queue.")
@click.option("--since", type=Moment(), help="Figures of calls that came then or later (default: 24h).")
@click.option("--every", "seconds", type=click.FloatRange(0.2, 60), default=1.0, show_default=True)
@click.option("--once", is_flag=True, help="Print the table once.")
@output_option
@pass_app
def live(
    app: App,
    tenant: str | None,
    queue: str | None,
    since: datetime | None,
    seconds: float,
    once: bool,
    output: str,
) -> None:
    """Show how queues stand: a table over the whole screen that is renewed until Ctrl-C."""
    tenant_id = app.optional_tenant_id(tenant)
    if queue is not None and tenant_id is not None:
        queues.find(app.conn, tenant_id=tenant_id, name=queue)

    def rows() -> list[queue_live.LiveQueue]:
        begin = since or datetime.now(UTC) - timedelta(days=1)
        return queue_live.live(app.conn, tenant_id=tenant_id, since=begin, queue=queue)

    if once or output != "table":
        show(rows(), LIVE_COLUMNS, output)
    else:
        follow("queues", rows, LIVE_COLUMNS, every_seconds=seconds)


@cli.command("waiting")
@tenant_option
@click.argument("name")
@output_option
@pass_app
def waiting(app: App, tenant: str, name: str, output: str) -> None:
    """List who waits in a queue, in the order of service."""
    tenant_id = app.tenant_id(tenant)
    queues.find(app.conn, tenant_id=tenant_id, name=name)
    rows = entries.list_entries(app.conn, tenant_id=tenant_id, queue=name, waiting=True)
    show(rows, ENTRY_COLUMNS, output)


@cli.command("explain")
@tenant_option
@click.argument("offer", type=int)
@output_option
@pass_app
def explain(app: App, tenant: str, offer: int, output: str) -> None:
    """Say why an agent was rung for a caller: who was looked at, who was left out and why."""
    told = queue_live.explain(app.conn, tenant_id=app.tenant_id(tenant), offer_id=offer)
    if output == "json":
        show_one(told, output)
        return
    if output == "table":
        say(f"offer {told.offer_id}: {told.agent} for {told.caller or 'a caller'} in queue {told.queue}")
        say(
            f"{told.made_at:%Y-%m-%d %H:%M:%S}, waited {told.waited_seconds:.1f} s, {told.strategy}: {told.reason}"
        )
        if told.others:
            say("not named: " + ", ".join(f"{count} {state}" for state, count in sorted(told.others.items())))
    show(told.candidates, ("agent", "chosen", "tier", "penalty", "rank", "left_out"), output)


@cli.command("attempts")
@tenant_option
@click.option("--queue", help="Only of this queue.")
@click.option("--agent", help="Only of this agent.")
@click.option("--since", type=Moment(), help="Made then or later (default: 24h).")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True)
@output_option
@pass_app
def attempts(
    app: App,
    tenant: str,
    queue: str | None,
    agent: str | None,
    since: datetime | None,
    limit: int,
    output: str,
) -> None:
    """List each ringing of an agent: queue, caller, agent, time, wait, talk, outcome."""
    begin = since or datetime.now(UTC) - timedelta(days=1)
    tenant_id = app.tenant_id(tenant)
    rows = queue_live.attempts(
        app.conn, tenant_id=tenant_id, since=begin, queue=queue, agent=agent, limit=limit
    )
    show(rows, ATTEMPT_COLUMNS, output)


# ---------------------------------------------------------------------------------------------- members


@cli.group("member")
def member() -> None:
    """Agents of a queue, with tier and penalty."""


@member.command("list")
@tenant_option
@click.argument("queue")
@output_option
@pass_app
def list_members(app: App, tenant: str, queue: str, output: str) -> None:
    """List the agents of a queue."""
    rows = queues.members(app.conn, tenant_id=app.tenant_id(tenant), name=queue)
    show(rows, MEMBER_COLUMNS, output)


def _member_command(verb: str, help_text: str) -> None:
    @member.command(verb, help=help_text)
    @tenant_option
    @click.argument("queue")
    @click.argument("agents", metavar="AGENT...", nargs=-1, required=True)
    @click.option("--tier", type=int, default=1, show_default=True, help="Opens after the tier's wait.")
    @click.option("--penalty", type=int, default=0, show_default=True, help="Smaller goes first.")
    @click.option("--position", type=int, default=0, show_default=True, help="Strategy linear: the order.")
    @pass_app
    def command(app: App, tenant: str, queue: str, agents: tuple[str, ...], **place: int) -> None:
        tenant_id = app.tenant_id(tenant)
        with app.conn.transaction():
            for agent in agents:
                queues.set_member(app.conn, tenant_id=tenant_id, name=queue, agent=agent, **place)
        say(f"queue {queue}: {', '.join(agents)} with tier {place['tier']}, penalty {place['penalty']}")


_member_command("add", "Put agents into a queue.")
_member_command("set", "Change the place of agents in a queue.")


@member.command("rm")
@tenant_option
@click.argument("queue")
@click.argument("agent")
@pass_app
def remove_member(app: App, tenant: str, queue: str, agent: str) -> None:
    """Take an agent out of a queue; a call that he has goes on."""
    queues.remove_member(app.conn, tenant_id=app.tenant_id(tenant), name=queue, agent=agent)
    say(f"agent {agent} is no longer in queue {queue}")


# ----------------------------------------------------------------------------------------------- skills


@cli.group("skill")
def skill_() -> None:
    """Skills that a queue asks for, relaxed step by step."""


@skill_.command("list")
@tenant_option
@click.argument("queue")
@output_option
@pass_app
def list_skills(app: App, tenant: str, queue: str, output: str) -> None:
    """List what a queue asks for."""
    rows = queues.skill_steps(app.conn, tenant_id=app.tenant_id(tenant), name=queue)
    show(rows, ("skill", "after_seconds", "level"), output)


@skill_.command("set")
@tenant_option
@click.argument("queue")
@click.argument("skill")
@click.argument("level", type=int)
@click.option("--after", "after_seconds", type=int, default=0, show_default=True, help="From this wait on.")
@pass_app
def set_skill(app: App, tenant: str, queue: str, skill: str, level: int, after_seconds: int) -> None:
    """Ask for LEVEL (0: none any more) of a skill for callers who have waited so long."""
    params = {"skill": skill, "level": level, "after_seconds": after_seconds}
    queues.set_skill(app.conn, tenant_id=app.tenant_id(tenant), name=queue, **params)  # type: ignore[arg-type]
    say(f"queue {queue} asks for {skill} {level} after {after_seconds} s")


@skill_.command("rm")
@tenant_option
@click.argument("queue")
@click.argument("skill")
@click.option("--after", "after_seconds", type=int, help="Only the step at this wait.")
@pass_app
def remove_skill(app: App, tenant: str, queue: str, skill: str, after_seconds: int | None) -> None:
    """Ask for a skill no more."""
    tenant_id = app.tenant_id(tenant)
    queues.remove_skill(app.conn, tenant_id=tenant_id, name=queue, skill=skill, after_seconds=after_seconds)
    say(f"queue {queue} asks for {skill} no more")
