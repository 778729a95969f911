"""ksctl ivr: scenarios that callers go through."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from callcore.errors import BadInput, Refused, Unavailable
from callcore.ivr_check import check
from callcore.ivr_scenario import parse
from kalibri.services import ivr, ivr_report, ivr_table
from tools.ksctl.app import App, pass_app
from tools.ksctl.commands.recording import me
from tools.ksctl.csv_files import export_option, write_lines
from tools.ksctl.ivr_terminal import Terminal
from tools.ksctl.moments import Moment
from tools.ksctl.options import Command, file_argument, local_file, tenant_filter_option, tenant_option
from tools.ksctl.output import Column, output_option, say, show, show_one

COLUMNS = ("tenant", "name", "version", "current", "uses", "created_at", "created_by")
DRAWINGS = (".svg", ".png", ".dot")
DOT_SECONDS = 30


@click.group("ivr")
def cli() -> None:
    """IVR scenarios: menus, announcements, look-ups, messages (docs/ivr.md)."""


def version_option(command: Command) -> Command:
    """Add --version, None for the newest."""
    return click.option("--version", type=int, help="This version (default: the newest).")(command)


@cli.command("list")
@tenant_filter_option
@click.option("--all", "every", is_flag=True, help="Old versions, too.")
@output_option
@pass_app
def list_(app: App, tenant: str | None, every: bool, output: str) -> None:
    """List scenarios."""
    found = ivr.list_scenarios(app.conn, tenant_id=app.optional_tenant_id(tenant))
    show([one for one in found if every or one.current], COLUMNS, output)


@cli.command("show")
@click.argument("name")
@tenant_option
@version_option
@click.option(
    "--graph", type=click.Path(dir_okay=False, path_type=Path), help="Draw it into a file: .svg, .png, .dot."
)
@output_option
@pass_app
def show_(app: App, name: str, tenant: str, version: int | None, graph: Path | None, output: str) -> None:
    """Show a scenario, or draw it (needs Graphviz for .svg and .png)."""
    tenant_id = app.tenant_id(tenant)
    if graph is not None:
        _draw(ivr.graph(app.conn, tenant_id=tenant_id, name=name, version=version), graph)
        say(f"{graph} written")
        return
    show_one(ivr.find(app.conn, tenant_id=tenant_id, name=name), output)


def _draw(text: str, file: Path) -> None:
    if file.suffix not in DRAWINGS:
        raise BadInput(f"the name of a drawing ends with {', '.join(DRAWINGS)}")
    if file.suffix == ".dot":
        file.write_text(text, encoding="utf-8")
        return
    command = ["dot", f"-T{file.suffix[1:]}", "-o", str(file)]
    try:
        subprocess.run(command, input=text, text=True, check=True, capture_output=True, timeout=DOT_SECONDS)
    except FileNotFoundError as error:
        raise Unavailable(
            "the program dot is missing: install the package graphviz, or draw a .dot"
        ) from error
    except subprocess.SubprocessError as error:
        raise Unavailable(f"dot could not draw it: {getattr(error, 'stderr', '') or error}") from error


@cli.command("add")
@click.argument("name")
@file_argument
@tenant_option
@pass_app
def add(app: App, name: str, file: Path, tenant: str) -> None:
    """Store a scenario, or a new version of it, unless it has mistakes."""
    _store(app, name, tenant, _read(file))


def _read(file: Path) -> str:
    with local_file(file) as path:
        try:
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise BadInput(f"{file} is not UTF-8") from error


def _store(app: App, name: str, tenant: str, source: str) -> None:
    added = ivr.add(app.conn, app.config, tenant_id=app.tenant_id(tenant), name=name, source=source, by=me())
    say(f"scenario {name} version {added.version}")


@cli.command("edit")
@click.argument("name")
@tenant_option
@pass_app
def edit(app: App, name: str, tenant: str) -> None:
    """Change a scenario in $EDITOR; with mistakes it is told and opened again."""
    before = ivr.export(app.conn, tenant_id=app.tenant_id(tenant), name=name)
    text = before
    while True:
        edited = click.edit(text, extension=".yaml")
        if edited is None or edited == before:
            say("nothing changed")
            return
        try:
            _store(app, name, tenant, edited)
            return
        except BadInput as error:
            say(error.message)
            if not click.confirm("edit again?", default=True, err=True):
                raise
            text = edited


@cli.command("check")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-t", "--tenant", help="Check also against what this tenant has (prompts, queues ...).")
@click.option("--name", help="Check a scenario that is stored.")
@pass_app
def check_(app: App, file: Path | None, tenant: str | None, name: str | None) -> None:
    """Name every mistake of a scenario with file and line; exit code 4 if there is one."""
    if (file is None) == (name is None) or (name is not None and tenant is None):
        raise click.UsageError("give a FILE, or --name with --tenant")
    if tenant is None:
        assert file is not None
        parsed = parse(_read(file))
        problems = (*parsed.problems, *(check(parsed.scenario) if parsed.scenario is not None else ()))
    else:
        tenant_id = app.tenant_id(tenant)
        source = (
            _read(file) if file is not None else ivr.export(app.conn, tenant_id=tenant_id, name=name or "")
        )
        problems = ivr.problems_of(
            app.conn, app.config, tenant_id=tenant_id, source=source, itself=name or ""
        )
    for problem in sorted(set(problems)):
        click.echo(problem.text(str(file or name)))
    if problems:
        raise Refused(f"{len(set(problems))} mistakes")
    say("no mistakes")


@cli.command("test")
@click.argument("name")
@tenant_option
@click.option(
    "--at", "at", help='Clock of the call, as "2026-12-31 20:00" in the tenant\'s zone (default: now).'
)
@click.option(
    "--keys", help="Keys that the caller types; - is silence, ! hangs up. Without: they are asked for."
)
@click.option("--caller", default="", help="Number of the caller.")
@click.option("--called", default="", help="Number that was called.")
@click.option(
    "--answer", "answers", multiple=True, metavar="NODE=JSON", help="What a web server says; fail: nothing."
)
@click.option("--live", is_flag=True, help="Really ask web servers.")
@pass_app
def test(
    app: App,
    name: str,
    tenant: str,
    at: str | None,
    keys: str | None,
    caller: str,
    called: str,
    answers: tuple[str, ...],
    live: bool,
) -> None:
    """Go through a scenario in the terminal, without telephony; prints what would be heard."""
    tenant_id = app.tenant_id(tenant)
    loaded = ivr.load(app.conn, tenant_id=tenant_id, name=name)
    given = {"caller": caller, "called": called, "caller_name": ""}
    moment = _clock(at, loaded.bundle.zone)
    Terminal(
        app.conn,
        loaded,
        tenant_id=tenant_id,
        name=name,
        given=given,
        at=moment,
        keys=keys,
        answers=dict(_answer(text) for text in answers),
        live=live,
    ).call()


def _clock(text: str | None, zone: Any) -> datetime:
    if text is None:
        return datetime.now(UTC).astimezone(zone)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInput(f'"{text}" is no time: write 2026-12-31 20:00') from error
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def _answer(text: str) -> tuple[str, Any]:
    node, equals, value = text.partition("=")
    if not equals:
        raise BadInput(f'--answer {text}: write NODE=JSON, as balance={{"sum": 5}}')
    if value == "fail":
        return node, None
    try:
        return node, json.loads(value)
    except ValueError as error:
        raise BadInput(f"--answer {node}: {error}") from error


@cli.command("export")
@click.argument("name")
@tenant_option
@version_option
@export_option
@pass_app
def export(app: App, name: str, tenant: str, version: int | None, file: Path | None) -> None:
    """Write the YAML of a scenario."""
    write_lines([ivr.export(app.conn, tenant_id=app.tenant_id(tenant), name=name, version=version)], file)


@cli.command("import")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@tenant_option
@pass_app
def import_(app: App, directory: Path, tenant: str) -> None:
    """Store every *.yaml of a directory as the scenario of its name, all or none."""
    files = sorted(directory.glob("*.yaml"))
    sources = {file.stem: _read(file) for file in files}
    added = ivr.import_(app.conn, app.config, tenant_id=app.tenant_id(tenant), sources=sources, by=me())
    say(f"{len(added)} scenarios stored, {len(sources) - len(added)} unchanged")


@cli.command("rm")
@click.argument("name")
@tenant_option
@pass_app
def rm(app: App, name: str, tenant: str) -> None:
    """Remove a scenario with all its versions, unless something leads to it."""
    ivr.remove(app.conn, tenant_id=app.tenant_id(tenant), name=name)
    say(f"scenario {name} removed")


@cli.command("report")
@click.argument("name")
@tenant_option
@version_option
@click.option("--since", type=Moment(), help="From this time on (default: a day).")
@click.option("--until", type=Moment(), help="Before this time.")
@click.option(
    "--paths", "by_path", is_flag=True, help="The most common ways through it instead of its nodes."
)
@output_option
@pass_app
def report(
    app: App,
    name: str,
    tenant: str,
    version: int | None,
    since: datetime | None,
    until: datetime | None,
    by_path: bool,
    output: str,
) -> None:
    """Tell what callers do in a scenario, and where they leave it."""
    tenant_id = app.tenant_id(tenant)
    if by_path:
        paths = ivr_report.paths(
            app.conn, tenant_id=tenant_id, name=name, since=since, until=until, version=version
        )
        show(paths, ("calls", "outcome", "path"), output)
        return
    visits = ivr_report.visits(
        app.conn, tenant_id=tenant_id, name=name, since=since, until=until, version=version
    )
    show(visits, ("node", "calls", "visits", "failures", "hung_up", "ended"), output)


# --------------------------------------------------------------------------------------------------- hosts


@cli.group("host")
def host() -> None:
    """Web servers that a tenant's scenarios may ask."""


@host.command("list")
@tenant_filter_option
@output_option
@pass_app
def host_list(app: App, tenant: str | None, output: str) -> None:
    """List web servers that may be asked."""
    ports = Column("port", value=lambda one: one.port or "80, 443")
    found = ivr.list_hosts(app.conn, tenant_id=app.optional_tenant_id(tenant))
    show(found, ("tenant", "host", ports, "private"), output)


@host.command("add")
@click.argument("name")
@tenant_option
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Only this port (default: 80 and 443)."
)
@click.option("--private", is_flag=True, help="It may have an address of a private network.")
@pass_app
def host_add(app: App, name: str, tenant: str, port: int, private: bool) -> None:
    """Let scenarios ask a web server: crm.example.org, *.example.org, or an address."""
    ivr.allow_host(app.conn, tenant_id=app.tenant_id(tenant), host=name, port=port, private=private)
    say(f"{name} may be asked")


@host.command("rm")
@click.argument("name")
@tenant_option
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The entry of this port.")
@pass_app
def host_rm(app: App, name: str, tenant: str, port: int) -> None:
    """Let a web server be asked no more."""
    ivr.forbid_host(app.conn, tenant_id=app.tenant_id(tenant), host=name, port=port)
    say(f"{name} is asked no more")


# -------------------------------------------------------------------------------------------------- tables


@cli.group("table")
def table() -> None:
    """Tables that scenarios look things up in."""


@table.command("list")
@tenant_filter_option
@output_option
@pass_app
def table_list(app: App, tenant: str | None, output: str) -> None:
    """List tables."""
    found = ivr_table.list_tables(app.conn, tenant_id=app.optional_tenant_id(tenant))
    show(found, ("tenant", "name", "columns", "rows", "imported_at", "imported_by"), output)


@table.command("import")
@click.argument("name")
@file_argument
@tenant_option
@pass_app
def table_import(app: App, name: str, file: Path, tenant: str) -> None:
    """Put a CSV in the place of a table; its first column is the key."""
    with local_file(file) as path:
        found = ivr_table.import_(app.conn, tenant_id=app.tenant_id(tenant), name=name, file=path, by=me())
    say(f"table {name}: {found.rows} rows")


@table.command("export")
@click.argument("name")
@tenant_option
@export_option
@pass_app
def table_export(app: App, name: str, tenant: str, file: Path | None) -> None:
    """Write a table as CSV."""
    write_lines(ivr_table.export(app.conn, tenant_id=app.tenant_id(tenant), name=name), file)


@table.command("rm")
@click.argument("name")
@tenant_option
@pass_app
def table_rm(app: App, name: str, tenant: str) -> None:
    """Remove a table."""
    ivr_table.remove(app.conn, tenant_id=app.tenant_id(tenant), name=name)
    say(f"table {name} removed")
