"""ksctl form: forms that agents fill in for calls, and the sheets that they filled in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from callcore.errors import BadInput
from kalibri.form_file import read_form
from kalibri.services import form as forms
from tools.ksctl.app import App, pass_app
from tools.ksctl.moments import Moment
from tools.ksctl.options import enabled_option, file_argument, given, tenant_filter_option, tenant_option
from tools.ksctl.output import Column, output_option, say, show, show_one

COLUMNS = ("tenant", "name", "version", "enabled", "sheets", "changed_at", "changed_by")
SHEET_COLUMNS = (
    "saved_at",
    "sheet_id",
    "form",
    "version",
    "agent",
    "queue",
    "caller",
    "disposition",
    Column("finished", value=lambda sheet: sheet.finished_at is not None),
    "call_id",
    Column("answers", value=lambda sheet: json.dumps(sheet.answers, ensure_ascii=False)),
)


def _read(file: Path) -> str:
    with click.open_file(str(file), encoding="utf-8") as text:
        try:
            return str(text.read())
        except UnicodeDecodeError as error:
            raise BadInput(f"{file} is no text in UTF-8") from error


@click.group("form")
def cli() -> None:
    """Forms that agents fill in at and after a call (YAML; docs/screenpop.md)."""


@cli.command("list")
@tenant_filter_option
@output_option
@pass_app
def list_(app: App, tenant: str | None, output: str) -> None:
    """List forms."""
    show(forms.list_forms(app.conn, tenant_id=app.optional_tenant_id(tenant)), COLUMNS, output)


@cli.command("show")
@tenant_option
@click.argument("name")
@click.option("--version", type=click.IntRange(1), help="This one, not the newest.")
@pass_app
def show_(app: App, tenant: str, name: str, version: int | None) -> None:
    """Print the text of a form."""
    found = forms.find(app.conn, tenant_id=app.tenant_id(tenant), name=name, version=version)
    click.echo(found.source, nl=not found.source.endswith("\n"))


@cli.command("versions")
@tenant_option
@click.argument("name")
@output_option
@pass_app
def versions(app: App, tenant: str, name: str, output: str) -> None:
    """List the versions of a form."""
    found = forms.versions(app.conn, tenant_id=app.tenant_id(tenant), name=name)
    show(found, ("version", "created_at", "created_by", "sheets"), output)


@cli.command("check")
@file_argument
def check(file: Path) -> None:
    """Check a form without saving it; every error is told with its line."""
    form = read_form(_read(file))
    say(f'the form "{form.title}" with {len(form.fields)} fields has no errors')


@cli.command("add")
@tenant_option
@click.argument("name")
@file_argument
@pass_app
def add(app: App, tenant: str, name: str, file: Path) -> None:
    """Make a form."""
    forms.add(app.conn, tenant_id=app.tenant_id(tenant), name=name, source=_read(file))
    say(f"form {name} added")


@cli.command("set")
@tenant_option
@click.argument("name")
@click.argument(
    "file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path), required=False
)
@enabled_option
@pass_app
def set_(app: App, tenant: str, name: str, file: Path | None, enabled: bool | None) -> None:
    """Give a form another text: a new version, for calls from now on."""
    source = None if file is None else _read(file)
    form = forms.change(app.conn, tenant_id=app.tenant_id(tenant), name=name, source=source, enabled=enabled)
    say(f"form {name} is version {form.version}{'' if form.enabled else ', out of use'}")


@cli.command("rm")
@tenant_option
@click.argument("name")
@pass_app
def remove(app: App, tenant: str, name: str) -> None:
    """Remove a form that was never filled in; put the others out of use (form set --disable)."""
    forms.remove(app.conn, tenant_id=app.tenant_id(tenant), name=name)
    say(f"form {name} removed")


@cli.group("sheet")
def sheet() -> None:
    """Forms as they were filled in."""


@sheet.command("list")
@tenant_filter_option
@click.option("--form", help="Only this form.")
@click.option("--agent", help="Only this agent's.")
@click.option("--queue", help="Only calls of this queue.")
@click.option("--call", "call_id", type=click.UUID, help="Only those of this call.")
@click.option("--disposition", help="Only with this disposition.")
@click.option("--since", type=Moment(), help="Saved then or later: 2026-11-22T10:30 (UTC), or 2h ago.")
@click.option("--until", type=Moment(), help="Saved before.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True)
@output_option
@pass_app
def list_sheets(app: App, tenant: str | None, output: str, limit: int, **filters: Any) -> None:
    """List sheets, the latest first."""
    tenant_id = app.optional_tenant_id(tenant)
    found = forms.list_sheets(app.conn, tenant_id=tenant_id, limit=limit, **given(filters))
    show(found, SHEET_COLUMNS, output)


@sheet.command("show")
@tenant_filter_option
@click.argument("sheet_id", metavar="SHEET", type=click.IntRange(1))
@output_option
@pass_app
def show_sheet(app: App, tenant: str | None, sheet_id: int, output: str) -> None:
    """Show one sheet."""
    tenant_id = app.optional_tenant_id(tenant)
    show_one(forms.find_sheet(app.conn, tenant_id=tenant_id, sheet_id=sheet_id), output)


@sheet.command("save")
@tenant_option
@click.argument("offer", type=click.IntRange(1))
@click.argument("answers")
@click.option("--finished", is_flag=True, help="Required fields must be answered; wrap-up may end.")
@pass_app
def save_sheet(app: App, tenant: str, offer: int, answers: str, finished: bool) -> None:
    """Save ANSWERS, an object of JSON, for the call of an offer."""
    try:
        told = json.loads(answers)
    except ValueError as error:
        raise click.UsageError(f"ANSWERS is no JSON: {error}") from None
    if not isinstance(told, dict):
        raise click.UsageError('ANSWERS: write {"field": "answer"}')
    saved = forms.save_sheet(
        app.conn, tenant_id=app.tenant_id(tenant), offer_id=offer, answers=told, finished=finished
    )
    say(f"sheet {saved.sheet_id} saved")
