"""ksctl worker: the jobs of ks-worker."""

from __future__ import annotations

import click

from kalibri.services import worker
from tools.ksctl.app import App, pass_app
from tools.ksctl.output import output_option, say, show

COLUMNS = ("job", "what", "wanted", "running", "started_at", "outcome", "seconds", "node", "detail")


@click.group("worker")
def cli() -> None:
    """Jobs that ks-worker does by itself: partitions, archive, clean-up, backup."""


@cli.command("status")
@output_option
@pass_app
def status(app: App, output: str) -> None:
    """Show every job with its last run."""
    show(worker.status(app.conn, app.config), COLUMNS, output)


@cli.command("run")
@click.argument("job")
@pass_app
def run(app: App, job: str) -> None:
    """Run a job now, whether it is due or not; refused while it runs already."""
    say(f"{job}: {worker.run(app.conn, app.config, job=job)}")
