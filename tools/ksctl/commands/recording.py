"""ksctl recording: what is recorded, playing, exporting, deleting, keeping; and recording a call that goes on."""

from __future__ import annotations

import dataclasses
import getpass
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from callcore.errors import BadInput, KalibriError
from callcore.recording import RecordingState
from kalibri.files import copy_replacing
from kalibri.services import call as calls
from kalibri.services import recording as recordings
from kalibri.services import recording_archive as archives
from kalibri.services import recording_control as control
from kalibri.services.recording import Recording, RecordingFile
from kalibri.services.recording_control import Ordered
from tools.ksctl.app import App, pass_app
from tools.ksctl.moments import Days, Moment
from tools.ksctl.options import (
    SYSTEM,
    Command,
    Nullable,
    dry_run_option,
    given,
    owner_option,
    tenant_filter_option,
)
from tools.ksctl.output import Column, as_json, output_option, printable, say, show, show_one

STATES = click.Choice([state.value for state in RecordingState])
DAYS_OR_NONE = Nullable(Days())


def _length(recording: Recording) -> str | None:
    """Say how long it is: 1:02:03."""
    if recording.duration_ms is None:
        return None
    minutes, seconds = divmod(round(recording.duration_ms / 1000), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def _where(recording: Recording) -> str:
    places = [word for word, there in (("here", recording.local), ("archive", recording.archived)) if there]
    return "+".join(places) or "-"


COLUMNS = (
    "started_at",
    "recording_id",
    "tenant",
    Column("a", value=lambda recording: recording.a_number),
    Column("b", value=lambda recording: recording.b_number),
    Column("length", value=_length),
    "reason",
    "state",
    Column("where", value=_where),
    Column("hold", value=lambda recording: recording.legal_hold),
)


def me() -> str:
    """Say who uses ksctl, for the audit."""
    return f"ksctl {os.environ.get('SUDO_USER') or getpass.getuser()}"


@click.group("recording")
def cli() -> None:
    """Recordings: list, play, export, delete, keep; and record a call that goes on."""


def selecting(command: Command) -> Command:
    """Add the ways to say which recordings are meant: ids, or filters, called `chosen`."""
    options = [
        click.argument("ids", nargs=-1, metavar="[ID]..."),
        tenant_filter_option,
        click.option(
            "--since", type=Moment(), help="Began then or later: 2026-11-22T10:30 (UTC), or 2h ago."
        ),
        click.option("--until", type=Moment(), help="Began before."),
        click.option("--number", help="Either number begins so."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def select(app: App, ids: Sequence[str], tenant: str | None, **filters: Any) -> list[Recording]:
    """Return the recordings that are meant; removed ones only by id. Raises NotFound, BadInput."""
    if ids:
        if tenant or any(filters.values()):
            raise click.UsageError("give either ids or filters")
        found = [recordings.find_id(app.conn, text=text) for text in ids]
        return recordings.list_recordings(app.conn, recording_ids=found)
    if not tenant and not any(filters.values()):
        raise click.UsageError("which recordings? give ids, or --tenant, --since, --until, --number")
    living = [state for state in RecordingState if state is not RecordingState.REMOVED]
    tenant_id = app.optional_tenant_id(tenant)
    return recordings.list_recordings(app.conn, tenant_id=tenant_id, states=living, **filters)


def do_each(chosen: Sequence[Recording], deed: Callable[[UUID], object], done: str, dry_run: bool) -> None:
    """Do it with each recording; what cannot be done is told, and the worst of it is the exit code."""
    failures: list[KalibriError | OSError] = []
    for recording in chosen:
        if dry_run:
            click.echo(f"{recording.recording_id} {recording.started_at.isoformat(' ', 'seconds')}")
            continue
        try:
            deed(recording.recording_id)
        except (KalibriError, OSError) as error:
            failures.append(error)
            say(f"{recording.recording_id}: {error}")
    said = f"dry run, nothing was done: {len(chosen)}" if dry_run else f"{len(chosen) - len(failures)}"
    say(f"{said} of {len(chosen)} recordings {done}" if not dry_run else f"{said} recordings would be {done}")
    if failures:
        codes = [error.exit_code if isinstance(error, KalibriError) else 1 for error in failures]
        raise click.exceptions.Exit(max(codes))


# ------------------------------------------------------------------------------------------------- looking


@cli.command("list")
@tenant_filter_option
@click.option(
    "--since", type=Moment(), help="Began then or later: 2026-11-22T10:30 (UTC), or 2h for 2 hours ago."
)
@click.option("--until", type=Moment(), help="Began before.")
@click.option("--number", help="Either number begins so.")
@click.option("--call", "call_text", help="Of this call.")
@click.option(
    "--state", "states", type=STATES, multiple=True, help="Only in this state (repeat for several)."
)
@click.option("--hold/--no-hold", "legal_hold", default=None, help="Only under a legal hold, or only others.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many.")
@output_option
@pass_app
def list_(
    app: App,
    tenant: str | None,
    call_text: str | None,
    states: tuple[str, ...],
    limit: int,
    output: str,
    **filters: Any,
) -> None:
    """List recordings, the latest first; removed ones with --state removed."""
    wanted = [RecordingState(state) for state in states]
    wanted = wanted or [state for state in RecordingState if state is not RecordingState.REMOVED]
    found = recordings.list_recordings(
        app.conn,
        tenant_id=app.optional_tenant_id(tenant),
        call_id=None if call_text is None else calls.find_id(app.conn, text=call_text),
        states=wanted,
        limit=limit,
        **filters,
    )
    show(found, COLUMNS, output)
    if len(found) == limit:
        say(f"the latest {limit} recordings; --limit shows more")


@cli.command("show")
@click.argument("text", metavar="ID")
@output_option
@pass_app
def show_(app: App, text: str, output: str) -> None:
    """Show a recording with its files, marks and audit; the first digits of its id, or its call's, will do."""
    recording_id = recordings.find_id(app.conn, text=text)
    recording = recordings.find(app.conn, recording_id=recording_id)
    files = recordings.files(app.conn, recording_ids=[recording_id])
    events = recordings.events(app.conn, recording_id=recording_id)
    if output == "json":
        show_one({**as_json(recording), "files": as_json(files), "events": as_json(events)}, output)
        return
    show_one(recording, output)
    if output == "table":
        for line in [*map(_file_line, files), *map(_event_line, events)]:
            click.echo(printable(line))


def _file_line(file: RecordingFile) -> str:
    where = " and ".join(filter(None, ["here" if file.local else "", file.archive or ""])) or "erased"
    return f"file {file.name}: {file.bytes} bytes, {file.path}, {where}, SHA-256 {file.sha256}"


def _event_line(event: recordings.AuditEvent) -> str:
    told = ", ".join(f"{name} {value}" for name, value in event.data.items() if value not in ("", [], None))
    return f"{event.at.isoformat(' ', 'seconds')} {event.kind} by {event.by}{': ' if told else ''}{told}"


@cli.command("play")
@click.argument("text", metavar="ID")
@click.option("--path", "only_path", is_flag=True, help="Only print where the file lies.")
@pass_app
def play(app: App, text: str, only_path: bool) -> None:
    """Play a recording: the caller left, the callee right. Without a sound device its path is printed."""
    path = _audio(app, text, "mp3", "play")
    if only_path or not plays(path):
        click.echo(path)


def plays(path: Path) -> bool:
    """Play a file; False if this machine cannot."""
    if shutil.which("ffplay") is None or not Path("/dev/snd").is_dir():
        return False
    command = ["ffplay", "-v", "error", "-nodisp", "-autoexit", str(path)]
    return subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode == 0


def _audio(app: App, text: str, name: str, use: str) -> Path:
    recording_id = recordings.find_id(app.conn, text=text)
    return recordings.audio(app.conn, app.config, recording_id=recording_id, name=name, by=me(), use=use)


@cli.command("export")
@selecting
@click.option(
    "--to", "folder", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder."
)
@click.option(
    "--format", "name", default="mp3", show_default=True, help="mp3, wav or pcap-1, as far as kept."
)
@dry_run_option
@pass_app
def export(app: App, folder: Path, name: str, dry_run: bool, **chosen: Any) -> None:
    """Copy recordings into a folder, with a list of them and their checksums in index.json."""
    found = select(app, **chosen)
    exported: list[UUID] = []

    def copy(recording_id: UUID) -> None:
        path = recordings.audio(
            app.conn, app.config, recording_id=recording_id, name=name, by=me(), use="export"
        )
        copy_replacing(path, folder / path.name)
        exported.append(recording_id)

    if not dry_run:
        folder.mkdir(parents=True, exist_ok=True)
    try:
        do_each(found, copy, "exported", dry_run)
    finally:
        if exported:
            _write_index(app, folder, exported, name)


def _write_index(app: App, folder: Path, exported: list[UUID], name: str) -> None:
    rows = recordings.list_recordings(app.conn, recording_ids=exported)
    sums = {
        file.recording_id: file
        for file in recordings.files(app.conn, recording_ids=exported)
        if file.name == name
    }
    index = [
        {
            **as_json(row),
            "file": Path(sums[row.recording_id].path).name,
            "sha256": sums[row.recording_id].sha256,
        }
        for row in rows
    ]
    (folder / "index.json").write_text(json.dumps(index, ensure_ascii=False, indent=2), encoding="utf-8")


@cli.command("verify")
@selecting
@click.option("--archive", is_flag=True, help="Read the copies in the archive, too.")
@output_option
@pass_app
def verify(app: App, archive: bool, output: str, **chosen: Any) -> None:
    """Compare files with their checksums; exit code 1 if one is not what was stored."""
    verdicts = [
        verdict
        for recording in select(app, **chosen)
        for verdict in recordings.verify(
            app.conn, app.config, recording_id=recording.recording_id, by=me(), archive=archive
        )
    ]
    show(verdicts, ("recording_id", "name", "where", "ok", "detail"), output)
    bad = [verdict for verdict in verdicts if not verdict.ok]
    say(f"{len(verdicts)} files checked, {len(bad)} bad")
    if bad:
        raise click.exceptions.Exit(1)


# ------------------------------------------------------------------------------------------------- keeping


@cli.command("rm")
@selecting
@click.option("--why", default="", help="Reason, for the audit.")
@dry_run_option
@pass_app
def rm(app: App, why: str, dry_run: bool, **chosen: Any) -> None:
    """Delete recordings; a tombstone that says who and when stays. A legal hold refuses."""

    def deed(recording_id: UUID) -> None:
        recordings.remove(app.conn, recording_id=recording_id, by=me(), why=why)
        try:
            recordings.erase(app.conn, app.config, recording_id=recording_id)
        except (KalibriError, OSError) as error:
            say(f"{recording_id}: removed; ks-rec will erase its files ({error})")

    do_each(select(app, **chosen), deed, "removed", dry_run)


@cli.command("hold")
@selecting
@click.option("--why", default="", help="Reason, for the audit.")
@dry_run_option
@pass_app
def hold(app: App, why: str, dry_run: bool, **chosen: Any) -> None:
    """Put recordings under a legal hold: neither retention nor a person deletes them."""
    deed = partial(_hold, app, why, True)
    do_each(select(app, **chosen), deed, "under a legal hold", dry_run)


@cli.command("release")
@selecting
@click.option("--why", default="", help="Reason, for the audit.")
@dry_run_option
@pass_app
def release(app: App, why: str, dry_run: bool, **chosen: Any) -> None:
    """End the legal hold of recordings."""
    deed = partial(_hold, app, why, False)
    do_each(select(app, **chosen), deed, "released", dry_run)


def _hold(app: App, why: str, legal_hold: bool, recording_id: UUID) -> None:
    recordings.set_hold(app.conn, recording_id=recording_id, legal_hold=legal_hold, by=me(), why=why)


@cli.command("archive")
@selecting
@click.option("--keep/--no-keep", default=True, show_default=True, help="Keep the copies at hand.")
@dry_run_option
@pass_app
def archive(app: App, keep: bool, dry_run: bool, **chosen: Any) -> None:
    """Copy recordings into the archive now, whatever their tenant's policy says."""

    def deed(recording_id: UUID) -> None:
        archives.archive(app.conn, app.config, recording_id=recording_id, by=me())
        if not keep:
            archives.thin_out(app.conn, app.config, recording_id=recording_id, by=me())

    do_each(select(app, **chosen), deed, "archived", dry_run)


@cli.command("restore")
@selecting
@dry_run_option
@pass_app
def restore(app: App, dry_run: bool, **chosen: Any) -> None:
    """Fetch recordings back from the archive."""

    def deed(recording_id: UUID) -> None:
        archives.restore(app.conn, app.config, recording_id=recording_id, by=me())

    do_each(select(app, **chosen), deed, "restored", dry_run)


@cli.command("policy")
@owner_option
@click.option(
    "--record/--no-record", "record_calls", default=None, help="Record calls that nobody decides about."
)
@click.option("--keep-wav/--no-keep-wav", default=None, help="Keep the WAV beside the MP3.")
@click.option("--keep-original/--no-keep-original", default=None, help="Keep what the node wrote (pcap).")
@click.option(
    "--retention", "retention_days", type=DAYS_OR_NONE, help="Deleted after: 30d, 6m, 5y, or none: never."
)
@click.option(
    "--archive-after", "archive_after_days", type=DAYS_OR_NONE, help="Archived after: 30d, or none: never."
)
@click.option(
    "--archive-keeps-local/--archive-moves",
    default=None,
    help="Keep the copy at hand, or only the archive's.",
)
@click.option("--restored", "restored_days", type=Days(), help="What was restored stays at hand: 7d.")
@click.option("--default", "default", is_flag=True, help="Have the system's policy again.")
@output_option
@pass_app
def policy(app: App, tenant: str, default: bool, output: str, **changes: Any) -> None:
    """Show or change what a tenant wants of its recordings; of system: all tenants that say nothing."""
    tenant_id = app.tenant_id(tenant)
    wanted = given(changes)
    if default and wanted:
        raise click.UsageError("--default stands alone")
    if default and tenant == SYSTEM:
        raise BadInput("the system's policy is what the others have by default")
    if default:
        held = recordings.drop_policy(app.conn, tenant_id=tenant_id)
    elif wanted:
        held = recordings.set_policy(app.conn, tenant_id=tenant_id, **wanted)
    else:
        held = recordings.policy(app.conn, tenant_id=tenant_id)
    show_one({"tenant": tenant, "own": held.own, **dataclasses.asdict(held.policy)}, output)


# --------------------------------------------------------------------------------------- calls that go on


def _control(app: App, order: Callable[..., Ordered], call: str, **facts: Any) -> None:
    """Ask the RTP controllers; the database is not needed for it."""
    order(app.config, call=str(_call_id(app, call)), by="demand", **facts)


def _call_id(app: App, text: str) -> UUID:
    """Return a call by its whole id, which needs no database, or by its first digits."""
    try:
        return UUID(text)
    except ValueError:
        return calls.find_id(app.conn, text=text)


def _parties(app: App, text: str) -> dict[str, Any]:
    """Return whose call it is, for the recording's row; nothing while the database does not know it."""
    try:
        found = calls.story(app.conn, call_id=_call_id(app, text)).call
    except KalibriError:
        return {}
    return {"tenant": found.tenant_id, "a": found.a_number, "b": found.b_number}


@cli.command("start")
@click.argument("call")
@pass_app
def start(app: App, call: str) -> None:
    """Begin to record a call that goes on."""
    _control(app, control.start, call, **_parties(app, call))
    say(f"call {call} is being recorded")


@cli.command("stop")
@click.argument("call")
@pass_app
def stop(app: App, call: str) -> None:
    """Stop recording a call; what was recorded is kept."""
    _control(app, control.stop, call)
    say(f"call {call} is not recorded any more")


@cli.command("pause")
@click.argument("call")
@pass_app
def pause(app: App, call: str) -> None:
    """Pause a recording, as while a card number is said: nothing is written, the gap is marked."""
    _control(app, control.pause, call)
    say(f"the recording of call {call} pauses")


@cli.command("resume")
@click.argument("call")
@pass_app
def resume(app: App, call: str) -> None:
    """Go on with a paused recording."""
    _control(app, control.resume, call)
    say(f"the recording of call {call} goes on")
