"""ksctl agent: who takes calls, and what he is doing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import click

from callcore.agent import AgentState
from kalibri.services import agent as agents
from kalibri.services import preview
from kalibri.services import queue as queues
from tools.ksctl.app import App, pass_app, person
from tools.ksctl.moments import Moment
from tools.ksctl.options import TEXT_OR_NONE, enabled_option, given, tenant_filter_option, tenant_option
from tools.ksctl.output import Column, output_option, say, show, show_one


def _phone(agent: agents.Agent) -> str | None:
    return agent.account or agent.number


def duration(seconds: float | None) -> str | None:
    """Return seconds as people read them: 0:07, 12:30, 1:02:03."""
    if seconds is None:
        return None
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


LIST_COLUMNS = (
    "tenant",
    "name",
    "display_name",
    Column("phone", value=_phone),
    "state",
    Column("state_reason", "reason"),
    Column("for", value=lambda agent: duration(agent.state_seconds)),
    "registered",
    "caller",
    "queues",
    "calls",
)
HISTORY_COLUMNS = ("since", "until", "state", "reason", "paid", "seconds", "ended_by_event", "by")


@click.group("agent")
def cli() -> None:
    """Agents: who takes calls, on which phone, in which state."""


@cli.command("list")
@tenant_filter_option
@click.option("--state", type=click.Choice([state.value for state in AgentState]), help="Only in this state.")
@click.option("--queue", help="Only of this queue (needs --tenant).")
@output_option
@pass_app
def list_(app: App, tenant: str | None, state: str | None, queue: str | None, output: str) -> None:
    """List agents with their states."""
    tenant_id = app.optional_tenant_id(tenant)
    queue_id = None
    if queue is not None:
        if tenant_id is None:
            raise click.UsageError("--queue needs --tenant")
        queue_id = queues.find(app.conn, tenant_id=tenant_id, name=queue).queue_id
    wanted = None if state is None else AgentState(state)
    rows = agents.list_agents(app.conn, tenant_id=tenant_id, state=wanted, queue_id=queue_id)
    show(rows, LIST_COLUMNS, output)


@cli.command("state")
@tenant_option
@click.argument("name")
@output_option
@pass_app
def state_(app: App, tenant: str, name: str, output: str) -> None:
    """Show everything about one agent."""
    show_one(agents.find(app.conn, tenant_id=app.tenant_id(tenant), name=name), output)


@cli.command("add")
@tenant_option
@click.argument("name")
@click.option("--account", help="His phone: user name of an account.")
@click.option("--number", help="His phone: an external number.")
@click.option("--display-name", default="", help="For people.")
@click.option("--queue", "queue_names", multiple=True, help="Put him into this queue; may be repeated.")
@pass_app
def add(
    app: App,
    tenant: str,
    name: str,
    account: str | None,
    number: str | None,
    display_name: str,
    queue_names: tuple[str, ...],
) -> None:
    """Make an agent; he is offline until he logs in."""
    tenant_id = app.tenant_id(tenant)
    phone = {"account": account, "number": number}
    with app.conn.transaction():
        agents.add(app.conn, tenant_id=tenant_id, name=name, display_name=display_name, **phone)
        for queue in queue_names:
            queues.set_member(app.conn, tenant_id=tenant_id, name=queue, agent=name)
    say(f"agent {name} added")


@cli.command("edit")
@tenant_option
@click.argument("name")
@click.option("--account", type=TEXT_OR_NONE, help="His phone: user name of an account.")
@click.option("--number", type=TEXT_OR_NONE, help="His phone: an external number.")
@click.option("--display-name", help="For people.")
@enabled_option
@pass_app
def edit(app: App, tenant: str, name: str, **options: Any) -> None:
    """Change an agent's phone or name, or put him out of use."""
    agents.change(app.conn, tenant_id=app.tenant_id(tenant), name=name, **given(options))
    say(f"agent {name} changed")


@cli.command("rm")
@tenant_option
@click.argument("name")
@pass_app
def remove(app: App, tenant: str, name: str) -> None:
    """Remove an agent who has no call; his history stays."""
    agents.remove(app.conn, tenant_id=app.tenant_id(tenant), name=name)
    say(f"agent {name} removed")


def _tell(name: str, state: AgentState) -> None:
    say(f"agent {name} is {state.value}")


def _simple(verb: str, do: Callable[..., AgentState], help_text: str) -> None:
    """Add a verb that needs nothing but the agent."""

    @cli.command(verb, help=help_text)
    @tenant_option
    @click.argument("name")
    @pass_app
    def command(app: App, tenant: str, name: str) -> None:
        _tell(name, do(app.conn, tenant_id=app.tenant_id(tenant), name=name))


_simple("login", agents.login, "Begin a shift; the agent gets calls.")
_simple("logout", agents.logout, "End a shift; a call that goes on is finished first.")
_simple("resume", agents.resume, "End a pause.")
_simple("free", agents.free, "End wrap-up, pause and penalties.")
_simple("release", agents.release, "Take from an agent whatever holds him wrongly; it is written down.")


@cli.command("pause")
@tenant_option
@click.argument("name")
@click.argument("reason")
@pass_app
def pause(app: App, tenant: str, name: str, reason: str) -> None:
    """Pause for a REASON (ksctl pausereason), at once or after the call."""
    _tell(name, agents.pause(app.conn, tenant_id=app.tenant_id(tenant), name=name, reason=reason))


@cli.command("wrapup")
@tenant_option
@click.argument("name")
@click.argument("seconds", type=int)
@pass_app
def wrapup(app: App, tenant: str, name: str, seconds: int) -> None:
    """Let wrap-up last SECONDS from now; 0 ends it."""
    _tell(name, agents.wrapup(app.conn, tenant_id=app.tenant_id(tenant), name=name, seconds=seconds))


@cli.command("skills")
@tenant_option
@click.argument("name")
@click.argument("levels", nargs=-1, metavar="[SKILL=LEVEL]...")
@output_option
@pass_app
def skills_(app: App, tenant: str, name: str, levels: tuple[str, ...], output: str) -> None:
    """List the skills of an agent, or give him some: english=8; level 0 takes one away."""
    tenant_id = app.tenant_id(tenant)
    with app.conn.transaction():
        for text in levels:
            skill, _, level = text.partition("=")
            if not level.isdigit():
                raise click.UsageError(f"{text}: write SKILL=LEVEL, as english=8")
            agents.set_skill(app.conn, tenant_id=tenant_id, name=name, skill_name=skill, level=int(level))
    show(agents.skills(app.conn, tenant_id=tenant_id, name=name), ("skill", "level"), output)


@cli.group("preview")
def preview_() -> None:
    """The lead that an agent looks at (campaigns of mode preview)."""


OFFER = click.option("--offer", type=click.IntRange(1), help="Only this preview, as its card names it.")


@preview_.command("accept")
@tenant_option
@click.argument("name")
@OFFER
@pass_app
def accept(app: App, tenant: str, name: str, offer: int | None) -> None:
    """Call the lead: the agent's phone rings, then the person's."""
    preview.accept(app.conn, tenant_id=app.tenant_id(tenant), name=name, offer=offer, by=person())
    say("accepted")


@preview_.command("skip")
@tenant_option
@click.argument("name")
@click.argument("reason")
@OFFER
@pass_app
def skip(app: App, tenant: str, name: str, reason: str, offer: int | None) -> None:
    """Do not call the lead, for a REASON; the retry rules of the campaign say what follows."""
    preview.skip(
        app.conn, tenant_id=app.tenant_id(tenant), name=name, reason=reason, offer=offer, by=person()
    )
    say("skipped")


@cli.command("history")
@tenant_option
@click.argument("name")
@click.option("--since", type=Moment(), help="Ended then or later: 2026-11-22T10:30 (UTC), or 2h ago.")
@click.option("--limit", type=click.IntRange(1), default=agents.HISTORY_ROWS, show_default=True)
@output_option
@pass_app
def history(app: App, tenant: str, name: str, since: datetime | None, limit: int, output: str) -> None:
    """List the states that an agent was in, newest first."""
    rows = agents.history(app.conn, tenant_id=app.tenant_id(tenant), name=name, since=since, limit=limit)
    show(rows, HISTORY_COLUMNS, output)
