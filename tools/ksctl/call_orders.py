"""Verbs of `ksctl call` that steer a queue call: listen, whisper, barge, hangup, transfer, reassign.

They order it of the media host that has the call and wait a moment for its word.
"""

from __future__ import annotations

import time
import uuid

import click

from callcore.errors import Refused
from kalibri.db import Conn
from kalibri.services import entry as entries
from kalibri.services.queue_target import parse_target
from tools.ksctl.app import App, pass_app
from tools.ksctl.options import tenant_option
from tools.ksctl.output import say

#: How long an order may take until its host tells how it went.
PATIENCE_SECONDS = 3.0
LOOK_SECONDS = 0.1


def _entry(conn: Conn, tenant_id: int, call: str) -> int:
    """Return the entry that somebody means by the id of the entry or of the call."""
    if call.isdigit():
        return int(call)
    try:
        call_id = uuid.UUID(call)
    except ValueError:
        raise click.UsageError(f'"{call}" is no id of a call or of an entry') from None
    return entries.of_call(conn, tenant_id=tenant_id, call_id=call_id)


def _order(app: App, tenant: str, call: str, kind: str, **data: object) -> None:
    tenant_id = app.tenant_id(tenant)
    entry_id = _entry(app.conn, tenant_id, call)
    command_id = entries.command(app.conn, tenant_id=tenant_id, entry_id=entry_id, kind=kind, **data)
    _wait(app.conn, tenant_id, command_id)


def _wait(conn: Conn, tenant_id: int, command_id: int) -> None:
    """Wait a moment for the word of the media host."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        result = entries.command_result(conn, tenant_id=tenant_id, command_id=command_id)
        if result.error:
            raise Refused(f"the media host could not: {result.error}")
        if result.done_at is not None:
            say(f"order {command_id} done")
            return
        time.sleep(LOOK_SECONDS)
    say(f"order {command_id} {'is with the media host' if result.taken_at else 'waits for the media host'}")


def _target(app: App, tenant: str, text: str) -> dict[str, str]:
    return parse_target(app.conn, tenant_id=app.tenant_id(tenant), text=text, default="account")


def _supervision(mode: str, help_text: str) -> click.Command:
    @click.command(mode, help=help_text)
    @tenant_option
    @click.argument("call", metavar="CALL|ENTRY")
    @click.option(
        "--to", required=True, metavar="PHONE", help="Your phone: an account, or number:74951234567."
    )
    @pass_app
    def command(app: App, tenant: str, call: str, to: str) -> None:
        _order(app, tenant, call, "supervise", mode=mode, **_target(app, tenant, to))

    return command


@click.command("hangup")
@tenant_option
@click.argument("call", metavar="CALL|ENTRY")
@click.option("--side", type=click.Choice(["caller", "agent", "both"]), default="both", show_default=True)
@pass_app
def hangup(app: App, tenant: str, call: str, side: str) -> None:
    """End a queue call, or one side of it."""
    _order(app, tenant, call, "hangup", side=side, reason="supervisor")


@click.command("transfer")
@tenant_option
@click.argument("call", metavar="CALL|ENTRY")
@click.argument("to", metavar="KIND:VALUE")
@pass_app
def transfer(app: App, tenant: str, call: str, to: str) -> None:
    """Hand the caller on: queue:NAME, agent:NAME, number:DIGITS, account:USER, uri:SIP-URI."""
    _order(app, tenant, call, "transfer", **_target(app, tenant, to))


@click.command("reassign")
@tenant_option
@click.argument("call", metavar="CALL|ENTRY")
@click.argument("agent")
@pass_app
def reassign(app: App, tenant: str, call: str, agent: str) -> None:
    """Give the caller to another agent, whether he waits or talks with somebody."""
    tenant_id = app.tenant_id(tenant)
    entry_id = _entry(app.conn, tenant_id, call)
    done = entries.reassign(app.conn, tenant_id=tenant_id, entry_id=entry_id, agent=agent)
    if done.command is not None:
        _wait(app.conn, tenant_id, done.command)
    else:
        say(f"{agent} {'is rung' if done.how == 'now' else 'is in a call and gets the caller next'}")


COMMANDS = (
    reassign,
    _supervision("listen", "Hear both sides of a queue call."),
    _supervision("whisper", "Hear both sides, and be heard by the agent."),
    _supervision("barge", "Hear both sides, and be heard by both."),
    hangup,
    transfer,
)
