"""ksctl number: the public numbers of the system, their state, and what each leads to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from callcore.errors import KalibriError
from callcore.inventory import NumberState, parse_numbers
from kalibri.services import number as numbers
from kalibri.services import number_csv, number_range
from kalibri.services.destination import Destination, parse_destination
from kalibri.services.number import Number
from tools.ksctl.app import App, pass_app
from tools.ksctl.bad_rows import errors_option, written_to
from tools.ksctl.csv_files import export_option, write_lines
from tools.ksctl.options import (
    NOTHING,
    TEXT_OR_NONE,
    Nullable,
    dry_run_option,
    file_argument,
    given,
    local_file,
    tell_import,
    tenant_filter_option,
    tenant_option,
)
from tools.ksctl.output import Column, output_option, say, show, show_one
from tools.ksctl.progress import reading

#: Rows that a listing shows unless more are asked for.
SHOWN_NUMBERS = 1000


def _destination(row: Number) -> str | None:
    return f"{row.destination_kind}:{row.destination}" if row.destination_kind else None


COLUMNS = (
    "number",
    "state",
    "tenant",
    Column("destination", value=_destination),
    "gateway",
    "note",
)


class Numbers(click.ParamType[Any]):
    """A number, or the first and the last of a range."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Check it; the words are put together later."""
        try:
            parse_numbers([value])
        except KalibriError as error:
            self.fail(error.message, param, ctx)
        return value


class DestinationType(click.ParamType[Any]):
    """KIND:DESTINATION."""

    name = "kind:destination"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return a Destination."""
        if isinstance(value, Destination):
            return value
        kind, _, name = str(value).partition(":")
        try:
            return parse_destination(kind, name)
        except KalibriError as error:
            self.fail(error.message, param, ctx)


NUMBERS = click.argument("words", metavar="NUMBER|FIRST-LAST...", nargs=-1, required=True, type=Numbers())
NOTE = click.option("--note", help="Remark.")
GATEWAY_HELP = "Where their calls come in: a gateway of the system, or tenant/gateway."


def _do(app: App, dry_run: bool, words: Iterable[str], done: str, step: Callable[[list[str]], None]) -> None:
    """Do something with all numbers or none, and say so."""
    chosen = parse_numbers(words)
    with app.conn.transaction(force_rollback=dry_run):
        step(chosen)
    what = chosen[0] if len(chosen) == 1 else f"{len(chosen)} numbers"
    say(f"{'dry run, nothing was changed: ' if dry_run else ''}{what} {done}")


@click.group("number")
def cli() -> None:
    """Public numbers: free, reserved, assigned to a tenant, or ported away.

    Numbers are written in E.164 form, with or without +; several at once as FIRST-LAST. A call to an assigned
    number goes where the number leads, unless a route says otherwise.
    """


@cli.command("list")
@tenant_filter_option
@click.option(
    "--state", type=click.Choice([state.value for state in NumberState]), help="Only numbers in this state."
)
@click.option("--prefix", default="", help="Only numbers that begin with these digits.")
@click.option("--limit", type=click.IntRange(0), default=SHOWN_NUMBERS, show_default=True, help="0: all.")
@output_option
@pass_app
def list_(app: App, tenant: str | None, state: str | None, prefix: str, limit: int, output: str) -> None:
    """List numbers in order.

    `number export` writes a file that can be imported.
    """
    rows = numbers.list_numbers(
        app.conn,
        tenant_id=app.optional_tenant_id(tenant),
        state=NumberState(state) if state else None,
        prefix=prefix,
        limit=limit + 1 if limit else None,
    )
    show(rows[:limit] if limit else rows, COLUMNS, output)
    if limit and len(rows) > limit:
        say(f"there are more than {limit} numbers: --limit 0 shows all")


@cli.command("show")
@click.argument("number")
@output_option
@pass_app
def show_(app: App, number: str, output: str) -> None:
    """Show one number of the inventory.

    Whose a foreign number is, `number lookup` tells.
    """
    show_one(numbers.find(app.conn, number=_e164(app, number)), output)


@cli.command("lookup")
@click.argument("number")
@output_option
@pass_app
def lookup(app: App, number: str, output: str) -> None:
    """Show what the inventory and the number ranges know of a number.

    Any number: ours or not, written as 84951234567, 4951234567 or +7 495 123-45-67.
    """
    show_one(numbers.lookup(app.conn, number=_e164(app, number)), output)


def _e164(app: App, number: str) -> str:
    return number_range.to_e164(number, country_code=app.config.routing.home_country_code)


@cli.command("add")
@NUMBERS
@click.option("--gateway", help=GATEWAY_HELP)
@click.option("--note", default="", help="Remark.")
@dry_run_option
@pass_app
def add(app: App, words: tuple[str, ...], gateway: str | None, note: str, dry_run: bool) -> None:
    """Take numbers into the inventory, free.

    All of them or none: one that is there already is named.
    """
    _do(
        app, dry_run, words, "added",
        lambda chosen: numbers.add(app.conn, numbers=chosen, gateway=gateway, note=note),
    )  # fmt: skip


@cli.command("set")
@NUMBERS
@click.option("--gateway", type=TEXT_OR_NONE, help=f"{GATEWAY_HELP} none: anywhere.")
@NOTE
@dry_run_option
@pass_app
def set_(app: App, words: tuple[str, ...], gateway: Any, note: str | None, dry_run: bool) -> None:
    """Change gateway or note of numbers, whatever their state.

    State, tenant and destination are changed by assign, reserve, free and port.
    """
    if gateway is None and note is None:
        raise click.UsageError("give --gateway or --note")
    name = given({"gateway": gateway}).get("gateway")
    _do(
        app, dry_run, words, "changed",
        lambda chosen: numbers.change(
            app.conn, numbers=chosen, gateway=name, keep_gateway=gateway is None, note=note
        ),
    )  # fmt: skip


@cli.command("assign")
@NUMBERS
@tenant_option
@click.option(
    "--to",
    "destination",
    type=Nullable(DestinationType()),
    help="What they lead to, or none for only what routes say (default: as before).",
)
@NOTE
@dry_run_option
@pass_app
def assign(
    app: App, words: tuple[str, ...], tenant: str, destination: Any, note: str | None, dry_run: bool
) -> None:
    r"""Put numbers to use by a tenant, or change what its numbers lead to.

    \b
    Destinations: account:NAME, group:NAME, gateway:NAME, uri:sip:100@host, queue:NAME, ivr:NAME,
    announcement:NAME, callback:NAME, campaign:NAME, reject:486, redirect:sip:a@host.
    """
    tenant_id = app.tenant_id(tenant)
    chosen_destination = None if destination is NOTHING else destination
    _do(
        app, dry_run, words, f"assigned to {tenant}",
        lambda chosen: numbers.assign(
            app.conn,
            numbers=chosen,
            tenant_id=tenant_id,
            destination=chosen_destination,
            keep_destination=destination is None,
            note=note,
        ),
    )  # fmt: skip


@cli.command("reserve")
@NUMBERS
@tenant_option
@NOTE
@dry_run_option
@pass_app
def reserve(app: App, words: tuple[str, ...], tenant: str, note: str | None, dry_run: bool) -> None:
    """Promise free numbers to a tenant.

    They lead nowhere until they are assigned.
    """
    tenant_id = app.tenant_id(tenant)
    _do(
        app, dry_run, words, f"reserved for {tenant}",
        lambda chosen: numbers.reserve(app.conn, numbers=chosen, tenant_id=tenant_id, note=note),
    )  # fmt: skip


@cli.command("free")
@NUMBERS
@NOTE
@dry_run_option
@pass_app
def free(app: App, words: tuple[str, ...], note: str | None, dry_run: bool) -> None:
    """Take numbers back from their tenant, or home from another operator.

    What they led to is forgotten.
    """
    _do(app, dry_run, words, "free", lambda chosen: numbers.free(app.conn, numbers=chosen, note=note))


@cli.command("port")
@NUMBERS
@NOTE
@dry_run_option
@pass_app
def port(app: App, words: tuple[str, ...], note: str | None, dry_run: bool) -> None:
    """Note that numbers left to another operator.

    A ported number belongs to nobody here; `number free` takes it home.
    """
    _do(app, dry_run, words, "ported", lambda chosen: numbers.port(app.conn, numbers=chosen, note=note))


@cli.command("rm")
@NUMBERS
@dry_run_option
@pass_app
def remove(app: App, words: tuple[str, ...], dry_run: bool) -> None:
    """Take numbers out of the inventory: free or ported ones.

    Reserved and assigned numbers must be freed before.
    """
    _do(app, dry_run, words, "removed", lambda chosen: numbers.remove(app.conn, numbers=chosen))


@cli.command("export")
@tenant_filter_option
@export_option
@pass_app
def export(app: App, tenant: str | None, file: Path | None) -> None:
    """Write numbers as CSV.

    `number import` of the file changes nothing, and a new export is the same to the byte.
    """
    write_lines(number_csv.export(app.conn, tenant_id=app.optional_tenant_id(tenant)), file)


@cli.command("import")
@file_argument
@dry_run_option
@errors_option
@pass_app
def import_(app: App, file: Path, dry_run: bool, errors: Path | None) -> None:
    """Add and change numbers from a CSV, all or none; none is removed.

    Columns: number and any of state, tenant, destination_kind, destination, gateway, note. A column that the
    file has not stays as it is. The file may be UTF-8 or cp1251, with commas or semicolons.
    """
    with local_file(file) as path, written_to(errors), reading([path], "reading") as progress:
        result = number_csv.import_(app.conn, file=path, dry_run=dry_run, progress=progress)
    tell_import(result, dry_run)
