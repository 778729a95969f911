"""ksctl call: which calls there were, the story of each, which there are now."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from callcore.story import StoryLine
from callcore.story_media import media_text
from kalibri.rpc import KamailioRpc
from kalibri.services import call as calls
from kalibri.services import park as parking
from kalibri.services.call import Call, CallStory
from tools.ksctl.app import App, pass_app
from tools.ksctl.call_orders import COMMANDS as ORDERS
from tools.ksctl.moments import Moment
from tools.ksctl.options import tenant_filter_option
from tools.ksctl.output import Column, output_option, printable, say, show, show_one


def _seconds(ms: int | None) -> str | None:
    return None if ms is None else f"{ms / 1000:.1f}"


def _gateway(call: Call) -> str | int | None:
    """Where the call went, else where it came from; the id of a gateway that is gone."""
    return call.gateway_out or call.gateway_out_id or call.gateway_in or call.gateway_in_id


LIST_COLUMNS = (
    "started_at",
    "call_id",
    "tenant",
    Column("a", value=lambda call: call.a_number),
    Column("b", value=lambda call: call.b_number),
    Column("b_sent"),
    Column("gateway", value=_gateway),
    Column("code", value=lambda call: call.final_code),
    "cause",
    Column("ring_seconds", "ring s", value=lambda call: _seconds(call.ring_ms)),
    Column("talk_seconds", "talk s", value=lambda call: _seconds(call.talk_ms)),
    "hung_up_by",
)
STORY_COLUMNS = ("at_ms", "arrow", "kind", "text", "process")


@click.group("call")
def cli() -> None:
    """Calls: which there were, the story of each, which there are now."""


for order in ORDERS:
    cli.add_command(order)


@cli.command("list")
@tenant_filter_option
@click.option(
    "--since", type=Moment(), help="Began then or later: 2026-11-22T10:30 (UTC), or 2h for 2 hours ago."
)
@click.option("--until", type=Moment(), help="Began before.")
@click.option("--number", help="Either number begins so, dialled or sent.")
@click.option("--a", help="The calling number begins so.")
@click.option("--b", help="The called number begins so.")
@click.option("--gateway", help="Came from this gateway, or was tried there.")
@click.option("--code", type=click.IntRange(100, 699), help="Final SIP code.")
@click.option("--answered/--unanswered", default=None, help="Only answered calls, or only the others.")
@click.option("--min-talk", "min_talk_seconds", type=float, help="Talked at least so many seconds.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many.")
@output_option
@pass_app
def list_(app: App, tenant: str | None, limit: int, output: str, **filters: Any) -> None:
    """List calls, the latest first."""
    tenant_id = app.optional_tenant_id(tenant)
    found = calls.list_calls(app.conn, tenant_id=tenant_id, limit=limit, **filters)
    show(found, LIST_COLUMNS, output)
    if len(found) == limit:
        say(f"the latest {limit} calls; --limit shows more")


PARKED_COLUMNS = ("tenant", "slot", "caller", "caller_name", "parker", "parked_at", "call_id", "host")


@cli.command("parked")
@tenant_filter_option
@output_option
@pass_app
def parked_(app: App, tenant: str | None, output: str) -> None:
    """List the calls that wait at park slots."""
    show(parking.list_parked(app.conn, tenant_id=app.optional_tenant_id(tenant)), PARKED_COLUMNS, output)


@cli.command("show")
@click.argument("call_id", metavar="ID")
@output_option
@pass_app
def show_(app: App, call_id: str, output: str) -> None:
    """Tell the story of a call; the first digits of its id will do if no other call's begins so."""
    story = calls.story(app.conn, call_id=calls.find_id(app.conn, text=call_id))
    if output == "json":
        show_one(story, output)
    elif output == "csv":
        show(story.lines, STORY_COLUMNS, output)
    else:
        click.echo("\n".join(_told(story)))


def _told(story: CallStory) -> list[str]:
    call = story.call
    return [
        f"call {call.call_id}",
        printable(_headline(call)),
        "",
        *(printable(f"{_relative(line)}  {line.arrow} {line.text}") for line in story.lines),
        "",
        printable(story.summary),
        *([printable(f"RTP: {media_text(call.media)}")] if call.media else []),
    ]


def _headline(call: Call) -> str:
    began = call.started_at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    whose = f"tenant {call.tenant or call.tenant_id}" if call.tenant_id is not None else "no tenant"
    return f"{began} UTC, {whose}, node {call.node or '?'}, SIP Call-ID {call.sip_call_id or '?'}"


def _relative(line: StoryLine) -> str:
    return f"{line.at_ms / 1000:+11.3f} s"


@cli.command("live")
@tenant_filter_option
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="Calls on a page.")
@click.option("--page", type=click.IntRange(1), default=1, show_default=True, help="Which page.")
@output_option
@pass_app
def live(app: App, tenant: str | None, limit: int, page: int, output: str) -> None:
    """List the calls that the proxy holds now, the longest first."""
    wanted = None if tenant is None else str(app.tenant_id(tenant))
    with KamailioRpc(app.config.kamailio_rpc_socket) as rpc:
        found = calls.live_calls(rpc, now=datetime.now(UTC), tenant=wanted)
    shown = found[(page - 1) * limit : page * limit]
    names = {str(key): name for key, name in app.tenant_names().items()} if shown else {}
    tenant_column = Column("tenant", value=lambda call: names.get(call.tenant, call.tenant))
    columns = ("started_at", "call_id", tenant_column, "a", "b", "state", "seconds", "sip_call_id")
    show(shown, columns, output)
    if len(found) > len(shown):
        say(f"page {page} of {-(-len(found) // limit)}, {len(found)} calls")
