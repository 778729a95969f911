"""ksctl fingerprint: recordings of networks that ks-ears recognises, and early media that nobody knows yet."""

from __future__ import annotations

from pathlib import Path

import click

from callcore.ears_verdict import HangupReason
from kalibri.services import early_media
from kalibri.services import fingerprint as fingerprints
from tools.ksctl.app import App, pass_app
from tools.ksctl.commands.recording import me
from tools.ksctl.options import Command, local_file, owner_option, tenant_filter_option
from tools.ksctl.output import Column, output_option, say, show, show_one

REASONS = click.Choice([reason.value for reason in HangupReason])
SECONDS = Column("seconds", value=lambda row: f"{row.duration_ms / 1000:.1f}")
COLUMNS = ("tenant", "name", "reason", SECONDS, "clustered_calls", "note", "created_at", "created_by")
CLUSTER_COLUMNS = (
    "tenant",
    Column("cluster", value=lambda row: row.cluster_id),
    "calls",
    SECONDS,
    Column("codes", value=lambda row: " ".join(map(str, row.codes or ()))),
    "label",
    "reason",
    "first_at",
    "last_at",
)
CALL_COLUMNS = ("heard_at", "number", "code", SECONDS, "call_id")
VERDICT_COLUMNS = ("at_seconds", "since_seconds", "heard", "name", "reason", "final", "doubtful", "likeness")
AUDIO = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)


@click.group("fingerprint")
def cli() -> None:
    """Fingerprints: recordings of networks that mean something; those of the system are known to everybody."""


def reason_option(command: Command) -> Command:
    """Add --reason, which must be given."""
    return click.option(
        "-r", "--reason", type=REASONS, required=True, help="What a call ends of that hears it."
    )(command)


@cli.command("list")
@tenant_filter_option
@click.option("-r", "--reason", type=REASONS, help="Only this reason.")
@output_option
@pass_app
def list_(app: App, tenant: str | None, reason: str | None, output: str) -> None:
    """List known recordings."""
    chosen = None if reason is None else HangupReason(reason)
    found = fingerprints.list_fingerprints(app.conn, tenant_id=app.optional_tenant_id(tenant), reason=chosen)
    show(found, COLUMNS, output)


@cli.command("add")
@click.argument("name")
@click.argument("file", type=AUDIO)
@owner_option
@reason_option
@click.option("--note", default="", help="For people.")
@pass_app
def add(app: App, name: str, file: Path, tenant: str, reason: str, note: str) -> None:
    """Enrol a recording from FILE, in any format that ffmpeg reads; tones and pauses in it do not count."""
    with local_file(file) as path:
        added = fingerprints.add(
            app.conn,
            app.config,
            tenant_id=app.tenant_id(tenant),
            name=name,
            reason=HangupReason(reason),
            file=path,
            note=note,
            by=me(),
        )
    say(f"fingerprint {added.name}: {added.reason}, {added.duration_ms / 1000:.1f} s")


@cli.command("test")
@click.argument("file", type=AUDIO)
@owner_option
@click.option("--tones", help="Country of the tones (default: as configured).")
@click.option("--answered", is_flag=True, help="As if heard after the answer: human or machine, too.")
@output_option
@pass_app
def test(app: App, file: Path, tenant: str, tones: str | None, answered: bool, output: str) -> None:
    """Say what ks-ears would say of FILE, on a call of the tenant."""
    with local_file(file) as path:
        trial = fingerprints.try_audio(
            app.conn,
            app.config,
            tenant_id=app.tenant_id(tenant),
            file=path,
            tones=tones,
            answered=answered,
        )
    show(trial.verdicts, VERDICT_COLUMNS, output)
    near = trial.nearest
    nearest = "nothing comes near" if near is None else f"nearest {near.name} ({near.likeness:.2f})"
    say(f"{trial.seconds:.1f} s heard, {nearest}")


@cli.command("rm")
@click.argument("name")
@owner_option
@pass_app
def rm(app: App, name: str, tenant: str) -> None:
    """Forget a recording; clusters that it labelled are unlabelled again."""
    fingerprints.remove(app.conn, tenant_id=app.tenant_id(tenant), name=name)
    say(f"fingerprint {name} removed")


@cli.command("cluster")
@click.argument("cluster_id", metavar="[CLUSTER]", type=int, required=False)
@tenant_filter_option
@click.option("--all", "labelled", is_flag=True, help="Also those that have a label.")
@click.option("--calls", is_flag=True, help="The calls of CLUSTER.")
@click.option(
    "--to", "target", type=click.Path(dir_okay=False, path_type=Path), help="Write its sample as WAV."
)
@output_option
@pass_app
def cluster(
    app: App,
    cluster_id: int | None,
    tenant: str | None,
    labelled: bool,
    calls: bool,
    target: Path | None,
    output: str,
) -> None:
    """List early media of failed calls that nobody knows, by sound; or one CLUSTER, its calls, its sample."""
    if cluster_id is None:
        if calls or target:
            raise click.UsageError("--calls and --to are for one CLUSTER")
        found = early_media.list_clusters(
            app.conn, tenant_id=app.optional_tenant_id(tenant), labelled=labelled
        )
        show(found, CLUSTER_COLUMNS, output)
        return
    if target is not None:
        target.write_bytes(early_media.cluster_wav(app.conn, cluster_id=cluster_id))
        say(f"cluster {cluster_id} written to {target}")
        return
    heard = early_media.cluster_calls(app.conn, cluster_id=cluster_id)
    if calls:
        show(heard, CALL_COLUMNS, output)
    else:
        show_one(early_media.list_clusters(app.conn, cluster_id=cluster_id)[0], output)


@cli.command("label")
@click.argument("cluster_id", metavar="CLUSTER", type=int)
@click.argument("name")
@reason_option
@click.option("--note", default="", help="For people.")
@pass_app
def label(app: App, cluster_id: int, name: str, reason: str, note: str) -> None:
    """Say what a CLUSTER is: from now on its sound is the known recording NAME."""
    made = early_media.label(
        app.conn,
        app.config,
        cluster_id=cluster_id,
        name=name,
        reason=HangupReason(reason),
        note=note,
        by=me(),
    )
    say(f"fingerprint {made.name}: {made.reason}, covers {made.clustered_calls} calls")
