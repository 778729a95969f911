"""ksctl route: the ordered rules that decide where a call goes."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from callcore.errors import BadInput, Unavailable
from kalibri.services import route as routes
from kalibri.services import route_check, route_explain, route_live
from kalibri.services.route import Route
from kalibri.services.route_draft import RouteDraft, options_from_words, parse_priority, priority_text
from kalibri.services.route_explain import Question
from kalibri.services.route_staging import SaveCounts
from kemi.directory import Directory
from kemi.ks_route.model import DestinationKind, Direction
from tools.ksctl.app import App, pass_app
from tools.ksctl.bad_rows import errors_option, written_to
from tools.ksctl.options import (
    TEXT_OR_NONE,
    Command,
    dry_run_option,
    file_argument,
    given,
    local_file,
    tenant_filter_option,
    tenant_option,
)
from tools.ksctl.output import Column, output_option, say, show, show_one
from tools.ksctl.progress import reading
from tools.ksctl.trace_text import trace_lines

#: Rows that a listing shows unless more are asked for.
SHOWN_ROUTES = 1000
DIRECTIONS = [word.value for word in Direction]


def _conditions(route: Route) -> str:
    """Say in one line what a route asks of a call."""
    parts = [" ".join(route.directions)] if route.directions else []
    names = {
        "a": route.a_pattern,
        "a-host": route.a_host_pattern,
        "b": route.b_pattern,
        "b-host": route.b_host_pattern,
    }
    names |= {"region": route.b_region, "operator": route.b_operator, "schedule": route.schedule}
    parts += [f"{name} {value}" for name, value in names.items() if value]
    return ", ".join(parts) or "any call"


def _rewriting(route: Route) -> str:
    masks = (
        ("A", route.a_mask_pattern, route.a_mask_replacement),
        ("B", route.b_mask_pattern, route.b_mask_replacement),
    )
    return ", ".join(f"{side} {pattern} -> {text}" for side, pattern, text in masks if pattern is not None)


def _destination(route: Route) -> str:
    return (
        f"{route.destination_kind}:{route.destination}" if route.destination else str(route.destination_kind)
    )


COLUMNS = (
    "route_id",
    "tenant",
    Column("priority", value=lambda route: priority_text(route.priority)),
    "enabled",
    "folder",
    "name",
    Column("conditions", value=_conditions),
    Column("rewriting", value=_rewriting),
    Column("destination", value=_destination),
)


CHECK_COLUMNS = ("route_id", "tenant", "name", "kind", "message")


class Priority(click.ParamType[Any]):
    """A number with at most four decimals."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read it exactly, not as a binary fraction."""
        try:
            return parse_priority(str(value))
        except BadInput as error:
            self.fail(error.message, param, ctx)


class Destination(click.ParamType[Any]):
    """KIND or KIND:DESTINATION."""

    name = "kind[:destination]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Split it."""
        if isinstance(value, tuple):
            return value
        kind, _, destination = str(value).partition(":")
        if kind not in tuple(DestinationKind):
            self.fail(f"{kind!r} is not one of {', '.join(DestinationKind)}", param, ctx)
        return kind, destination


def route_options(command: Command) -> Command:
    """Add the options that say what a route is; for add and edit alike."""
    options = [
        click.option("--name", help="What people call it."),
        click.option("--folder", type=TEXT_OR_NONE, help="Folder, as russia/mobile; made when it is missing."),
        click.option("--direction", "directions", multiple=True, type=click.Choice([*DIRECTIONS, "any"]),
                     help="Where the call comes from (default: anywhere); may be repeated."),
        click.option("--a", "a_pattern", type=TEXT_OR_NONE, help="Regular expression on the calling number."),
        click.option("--a-host", "a_host_pattern", type=TEXT_OR_NONE, help="... on the calling host."),
        click.option("--b", "b_pattern", type=TEXT_OR_NONE, help="... on the called number."),
        click.option("--b-host", "b_host_pattern", type=TEXT_OR_NONE, help="... on the called host."),
        click.option("--region", "b_region", type=TEXT_OR_NONE, help="Region of the called number (range regions)."),
        click.option("--operator", "b_operator", type=TEXT_OR_NONE, help="Operator of the called number."),
        click.option("--schedule", type=TEXT_OR_NONE, help="Name of a schedule: when the route applies."),
        click.option("--a-mask", nargs=2, metavar="PATTERN REPLACEMENT",
                     help=r"Rewrites the calling number; groups are \1, \2. Two empty words take it away."),
        click.option("--b-mask", nargs=2, metavar="PATTERN REPLACEMENT", help="Rewrites the called number."),
        click.option("--option", "option_words", multiple=True, metavar="KEY=VALUE",
                     help="Option, as record=true or flags.vip=yes; KEY=none takes it away. May be repeated."),
        click.option("--note", help="Remark."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def _changes(values: dict[str, Any], before: Route | None) -> dict[str, Any]:
    """Turn what was given on the command line into fields of a draft."""
    changes = given(values)
    for side in ("a", "b"):
        mask = changes.pop(f"{side}_mask", None)
        if mask is not None:
            pattern, replacement = mask
            changes[f"{side}_mask_pattern"] = pattern or None
            changes[f"{side}_mask_replacement"] = replacement if pattern else None
    if "destination" in changes:
        changes["destination_kind"], changes["destination"] = changes["destination"]
    if "directions" in changes:
        changes["directions"] = tuple(word for word in changes["directions"] if word != "any")
    if "folder" in changes:
        changes["folder"] = changes["folder"] or ""
    words = changes.pop("option_words", ())
    if words:
        changes["options"] = options_from_words(words, before.options if before else {})
    return changes


@click.group("route")
def cli() -> None:
    """Routes: ordered rules, pattern -> destination.

    A call takes the first enabled route whose conditions all fit: small priority first, then small id.
    Routes of the tenant `system` apply to every tenant.
    """


@cli.command("list")
@tenant_filter_option
@click.option("--folder", help="Only this folder and those below.")
@click.option("--enabled/--disabled", default=None, help="Only those in use, or only those out of use.")
@click.option("--find", "text", help="Only those with this text in name, patterns, destination or region.")
@click.option("--limit", type=click.IntRange(0), default=SHOWN_ROUTES, show_default=True, help="0: all.")
@output_option
@pass_app
def list_(
    app: App,
    tenant: str | None,
    folder: str | None,
    enabled: bool | None,
    text: str | None,
    limit: int,
    output: str,
) -> None:
    """List routes in matching order.

    JSON holds every field of a route; `route export` writes a file that can be imported.
    """
    rows = routes.list_routes(
        app.conn,
        tenant_id=app.optional_tenant_id(tenant),
        folder=folder,
        enabled=enabled,
        text=text,
        limit=limit + 1 if limit else routes.NO_LIMIT,
    )
    show(rows[:limit] if limit else rows, COLUMNS, output)
    if limit and len(rows) > limit:
        say(f"there are more than {limit} routes: --limit 0 shows all")


@cli.command("show")
@click.argument("route_id", type=int)
@tenant_option
@output_option
@pass_app
def show_(app: App, route_id: int, tenant: str, output: str) -> None:
    """Show one route with all its fields.

    ROUTE_ID is shown by `route list`.
    """
    show_one(routes.get(app.conn, tenant_id=app.tenant_id(tenant), route_id=route_id), output)


@cli.command("add")
@tenant_option
@click.option(
    "--priority",
    type=Priority(),
    required=True,
    help="Place in the order, small first; decimals fit between.",
)
@click.option(
    "--to", "destination", type=Destination(), required=True, help="Destination, as group:carriers or next."
)
@click.option("--disabled", is_flag=True, help="Out of use at first.")
@route_options
@pass_app
def add(app: App, tenant: str, disabled: bool, **values: Any) -> None:
    r"""Make a route.

    \b
    Destinations: uri:sip:100@host, gateway:NAME, group:NAME, account:NAME (account alone: the called number
    itself), queue:NAME, ivr:NAME, announcement:NAME, callback:NAME, campaign:NAME, reject:486,
    "reject:404 No Such Number", redirect:sip:a@host, next (rewrite, then look for a further route).
    """
    draft = RouteDraft(enabled=not disabled, **_changes(values, None))
    saved = routes.add(app.conn, tenant_id=app.tenant_id(tenant), draft=draft)
    say(f"route {saved.route_id} added: {_conditions(saved)} -> {_destination(saved)}")
    click.echo(saved.route_id)


@cli.command("edit")
@click.argument("route_id", type=int)
@tenant_option
@click.option("--priority", type=Priority(), help="Place in the order, small first.")
@click.option("--to", "destination", type=Destination(), help="Destination, as group:carriers or next.")
@route_options
@pass_app
def edit(app: App, route_id: int, tenant: str, **values: Any) -> None:
    """Change fields of a route; what is not given stays.

    The word none takes a condition away, --direction any all directions.
    """
    tenant_id = app.tenant_id(tenant)
    before = routes.get(app.conn, tenant_id=tenant_id, route_id=route_id)
    changes = _changes(values, before)
    after = routes.edit(app.conn, tenant_id=tenant_id, route_id=route_id, changes=changes)
    say(f"route {route_id} changed: {_conditions(after)} -> {_destination(after)}")


IDS = click.argument("route_ids", nargs=-1, required=True, type=int)


@cli.command("rm")
@IDS
@tenant_option
@pass_app
def remove(app: App, route_ids: tuple[int, ...], tenant: str) -> None:
    """Remove routes, all of them or none.

    `route export` before keeps them.
    """
    routes.remove(app.conn, tenant_id=app.tenant_id(tenant), route_ids=route_ids)
    say(f"{len(route_ids)} removed")


@cli.command("enable")
@IDS
@tenant_option
@pass_app
def enable(app: App, route_ids: tuple[int, ...], tenant: str) -> None:
    """Put routes into use.

    Live within a second.
    """
    changed = routes.set_enabled(app.conn, tenant_id=app.tenant_id(tenant), route_ids=route_ids, enabled=True)
    say(f"{changed} enabled")


@cli.command("disable")
@IDS
@tenant_option
@pass_app
def disable(app: App, route_ids: tuple[int, ...], tenant: str) -> None:
    """Put routes out of use without removing them.

    Live within a second; calls that go on are not touched.
    """
    changed = routes.set_enabled(
        app.conn, tenant_id=app.tenant_id(tenant), route_ids=route_ids, enabled=False
    )
    say(f"{changed} disabled")


@cli.command("move")
@click.argument("route_id", type=int)
@tenant_option
@click.option("--before", type=int, metavar="ID", help="Directly before this route.")
@click.option("--after", type=int, metavar="ID", help="Directly after this route.")
@click.option("--folder", type=TEXT_OR_NONE, help="Into this folder (none: out of its folder).")
@pass_app
def move(app: App, route_id: int, tenant: str, before: int | None, after: int | None, folder: Any) -> None:
    """Give a route another place in the order, or another folder.

    Only the moved route changes: it gets a priority between its new neighbours.
    """
    chosen = [word for word in (before, after, folder) if word is not None]
    if len(chosen) != 1:
        raise click.UsageError("give one of --before, --after, --folder")
    tenant_id = app.tenant_id(tenant)
    if folder is not None:
        path = given({"folder": folder})["folder"] or ""
        routes.move_to_folder(app.conn, tenant_id=tenant_id, route_ids=[route_id], folder=path)
        say(f"route {route_id} lies in {path or 'no folder'}")
        return
    moved = routes.move(app.conn, tenant_id=tenant_id, route_id=route_id, before=before, after=after)
    say(f"route {route_id} has priority {priority_text(moved.priority)}")


@cli.command("export")
@tenant_option
@click.option("--folder", help="Only this folder and those below.")
@click.option(
    "--to", "file", type=click.Path(dir_okay=False, path_type=Path), help="File (default: standard output)."
)
@pass_app
def export(app: App, tenant: str, folder: str | None, file: Path | None) -> None:
    """Write a tenant's routes as CSV, in matching order.

    `route import` of the file changes nothing, and a new export is the same to the byte.
    """
    lines = routes.export_csv(app.conn, tenant_id=app.tenant_id(tenant), folder=folder)
    if file is None:
        sys.stdout.reconfigure(encoding="utf-8", newline="")  # type: ignore[union-attr]
        sys.stdout.writelines(lines)
        return
    with file.open("w", encoding="utf-8", newline="") as out:
        out.writelines(lines)


@cli.command("import")
@file_argument
@tenant_option
@click.option(
    "--replace", "replace_all", is_flag=True, help="Remove the tenant's routes that are not in the file."
)
@click.option("--new-ids", is_flag=True, help="Take all rows as new routes, whatever their ids.")
@dry_run_option
@errors_option
@pass_app
def import_(
    app: App, file: Path, tenant: str, replace_all: bool, new_ids: bool, dry_run: bool, errors: Path | None
) -> None:
    """Save the routes of a CSV file, all of them or none.

    Columns as `route export` writes them, in any order; priority and destination_kind must be there. A row
    whose route_id the tenant has changes that route, any other row is a new one.
    """
    tenant_id = app.tenant_id(tenant)
    with (
        local_file(file) as path,
        reading([path], "reading") as progress,
        written_to(errors),
        app.conn.transaction(force_rollback=dry_run),
    ):
        counts = routes.import_csv(
            app.conn,
            tenant_id=tenant_id,
            file=path,
            replace_all=replace_all,
            new_ids=new_ids,
            progress=progress,
        )
    say(f"{'dry run: ' if dry_run else ''}{_counts(counts)}")


def _counts(counts: SaveCounts) -> str:
    return (
        f"{counts.added} routes added, {counts.changed} changed, {counts.removed} removed,"
        f" {counts.unchanged} as before"
    )


def _moment(_ctx: click.Context, _param: click.Parameter, text: str | None) -> datetime | None:
    """Read --at; without a zone the tenant's counts."""
    try:
        return None if text is None else datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter("write as 2026-11-22T18:30 or 2026-11-22T18:30+03:00") from None


@cli.command("test")
@click.argument("number")
@click.option(
    "-t",
    "--tenant",
    envvar="KALIBRI_TENANT",
    help="Whose call (default: the gateway's, or the number's owner).",
)
@click.option("--from", "a_number", default="anonymous", show_default=True, help="Calling number or account.")
@click.option(
    "--from-host", "a_host", help="Calling host (default: the gateway's, or the tenant's first domain)."
)
@click.option("--to-host", "b_host", help="Called host (default: the tenant's first domain).")
@click.option(
    "--direction", type=click.Choice(DIRECTIONS), help="Default: account, or gateway if one is named."
)
@click.option("--gateway", help="Name of the gateway that the call comes from.")
@click.option("--at", callback=_moment, help="When, as 2026-11-22T18:30 (default: now; zone: the tenant's).")
@click.option(
    "--call-id", default="route-test", show_default=True, help="Another text draws another weighted order."
)
@click.option(
    "-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="Form."
)
@pass_app
def test(app: App, number: str, direction: str | None, output: str, **values: Any) -> None:
    """Tell where a call would go, and why.

    Decides with the index files of the proxy, by the proxy's own code: every route that was looked at, why it
    did not match, how numbers are rewritten, every gateway with cost and health. No call is made.
    """
    question = Question(b_number=number, direction=Direction(direction) if direction else None, **values)
    states, lag = _stored_facts(app)
    told = route_explain.explain(
        Directory.open(app.config.index_directory),
        question,
        now=datetime.now(UTC),
        routing=app.config.routing,
        gateway_state=states,
    )
    if output == "json":
        click.echo(json.dumps(told.to_json(), ensure_ascii=False, indent=2))
    else:
        for line in trace_lines(told):
            click.echo(line)
    say(f"index generation {told.generation}, change {told.index_seq}{lag}")


def _stored_facts(app: App) -> tuple[route_explain.GatewayStates, str]:
    """Return the health of gateways and how far the index is behind, as the database knows them."""
    try:
        live = route_live.live_state(app.conn, index_dir=app.config.index_directory)
        states = route_explain.stored_states(app.conn)
    except Unavailable:
        return route_explain.assumed_healthy, "; the database is away, so all gateways are taken for healthy"
    return states, f"; OLDER than the database by {live.behind} changes" if live.behind else ""


@cli.command("check")
@tenant_filter_option
@output_option
@click.pass_context
def check(ctx: click.Context, tenant: str | None, output: str) -> None:
    """Find routes that cannot work, are never reached, or are slow by their shape.

    Looks at what is saved: shadowed routes, names that do not exist any more, patterns that are refused,
    loops, and hot keys for which many routes compete. Exit code 1 if anything was found.
    """
    app: App = ctx.obj
    findings = route_check.check(app.conn, tenant_id=app.optional_tenant_id(tenant))
    show(findings, CHECK_COLUMNS, output)
    say(f"{len(findings)} found" if findings else "nothing found")
    if findings:
        ctx.exit(1)


@cli.command("reload")
@click.option("--timeout", type=click.FloatRange(0), default=10.0, show_default=True, help="Seconds.")
@output_option
@pass_app
def reload(app: App, timeout: float, output: str) -> None:
    """Wait until everything that is saved is live, and show the generation.

    Changes become live by themselves; this only tells when.
    """
    state = route_live.wait_live(app.conn, index_dir=app.config.index_directory, timeout_seconds=timeout)
    show_one(state, output)
