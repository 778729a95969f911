"""ksctl audit: who changed what."""

from __future__ import annotations

import json
from datetime import datetime

import click

from kalibri.services import audit
from kalibri.services.audit import AuditEntry
from tools.ksctl.app import App, pass_app
from tools.ksctl.moments import Moment
from tools.ksctl.options import tenant_filter_option
from tools.ksctl.output import Column, output_option, say, show


def _changes(entry: AuditEntry) -> str:
    """Say in one line what became different."""
    before, after = entry.before or {}, entry.after or {}
    if entry.operation != "update":
        return ""
    return ", ".join(f"{name}: {_short(before.get(name))} -> {_short(after.get(name))}" for name in after)


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


COLUMNS = (
    "audit_id",
    "at",
    "tenant",
    "actor",
    "origin",
    "operation",
    "noun",
    Column("key", value=lambda entry: " ".join(f"{name}={value}" for name, value in entry.key.items())),
    Column("changes", value=_changes),
)


@click.group("audit")
def cli() -> None:
    """Who changed what, by ksctl, the API or otherwise; the log only grows."""


@cli.command("list")
@tenant_filter_option
@click.option("--noun", help="Only this table, as route or account.")
@click.option("--actor", help="Only who has this in the name.")
@click.option("--since", type=Moment(), help="Then or later: 2026-11-22T10:30 (UTC), or 2h for 2 hours ago.")
@click.option("--until", type=Moment(), help="Before.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many.")
@output_option
@pass_app
def list_(
    app: App,
    tenant: str | None,
    noun: str | None,
    actor: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    output: str,
) -> None:
    """List changes, the latest first; JSON holds each object before and after."""
    found = audit.list_entries(
        app.conn,
        tenant_id=app.optional_tenant_id(tenant),
        noun=noun,
        actor=actor,
        since=since,
        until=until,
        limit=limit,
    )
    show(found, COLUMNS, output)
    if len(found) == limit:
        say(f"the latest {limit} changes; --limit shows more")
