"""ksctl doctor: is everything as it should be, and what to do where it is not."""

from __future__ import annotations

import click

from tools.doctor.examination import examine
from tools.doctor.finding import Level
from tools.ksctl.app import App, pass_app
from tools.ksctl.output import output_option, say, show

COLUMNS = ("check", "level", "found", "todo")


@click.command("doctor")
@click.option("--problems", is_flag=True, help="Only what is not ok.")
@output_option
@click.pass_context
@pass_app
def cli(app: App, ctx: click.Context, problems: bool, output: str) -> None:
    """Look at everything that calls need, and say what to do.

    Ports, clock, disk, memory, database, processes, index, journals, time zones, certificates, limits of the
    kernel. Nothing is changed. Exit code 1 if anything fails; warnings alone are 0.
    """
    findings = examine(app.config)
    show([one for one in findings if not (problems and one.level is Level.OK)], COLUMNS, output)
    counts = {level: sum(one.level is level for one in findings) for level in Level}
    say(", ".join(f"{count} {level}" for level, count in counts.items()))
    if counts[Level.FAIL]:
        ctx.exit(1)
