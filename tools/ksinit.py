"""ksinit: bring all processes of an instance up, see that they are ready, take them down.

Reads the command line and prints; what happens is in tools/instance/. Data goes to stdout, talk to stderr.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

import click
from rich.console import Console

from callcore.errors import KalibriError, NotFound
from kalibri import remembered
from kalibri.config import Config, load_config
from tools.instance import database, lifecycle
from tools.instance.lifecycle import Ready
from tools.ksctl.output import output_option, show

#: Variables that hold a path: what is remembered must be right in every folder.
PATHS = {"KALIBRI_HOME", "KALIBRI_CONFIG", "KALIBRI_BASE"}
COLUMNS = ("process", "state", "pid", "uptime_seconds", "ready", "detail")

talk = Console(stderr=True, highlight=False)


class Instance:
    """Which instance is meant: what was said on the command line and by the environment."""

    def __init__(self, home: str | None, config_file: str | None, assignments: tuple[str, ...]) -> None:
        environ = dict(os.environ)
        if home is not None:
            environ["KALIBRI_HOME"] = home
        if config_file is not None:
            environ["KALIBRI_CONFIG"] = config_file
        for name in PATHS & environ.keys():
            environ[name] = _absolute(environ[name])
        for assignment in assignments:
            key, equals, value = assignment.partition("=")
            if not equals:
                raise click.UsageError(f"--set {assignment}: write SECTION.KEY=VALUE")
            environ[remembered.setting_name(key)] = value
        self.environ = environ

    def told_now(self) -> Config:
        """Return the configuration as it is said now: for `up`."""
        return load_config(environ=self.environ)

    def as_started(self) -> Config:
        """Return the configuration with which the instance was started: for everything else."""
        home = load_config(environ=self.environ).home
        return load_config(environ=remembered.recall(home, self.environ))


def _absolute(path: str) -> str:
    """A path starts where the person is, although the program runs in a copy elsewhere."""
    return str(Path(os.environ.get("KALIBRI_CALLED_FROM", "."), path).absolute())


class Commands(click.Group):
    """Turns domain errors into a line for people and the exit code of docs/contracts.md."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except KalibriError as error:
            talk.print(f"ksinit: {error.message}", markup=False, soft_wrap=True)
            sys.exit(error.exit_code)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--home", help="Run directory of the instance.  [env: KALIBRI_HOME]")
@click.option("--config", "config_file", help="Configuration file.  [env: KALIBRI_CONFIG]")
@click.option(
    "--set", "assignments", multiple=True, metavar="SECTION.KEY=VALUE", help="One configuration value."
)
@click.pass_context
def main(ctx: click.Context, home: str | None, config_file: str | None, assignments: tuple[str, ...]) -> None:
    """Start, watch and stop all processes of a Kalibri instance.

    `up` remembers what it is told in the home; the other commands find it there.
    """
    ctx.obj = Instance(home, config_file, assignments)


@main.command()
@click.pass_obj
def up(instance: Instance) -> None:
    """Start whatever does not run, and return when every process answers."""
    config = instance.told_now()
    _show_progress(lifecycle.bring_up(config, instance.environ), lifecycle.names_of(config))
    talk.print(
        f"up: SIP {config.proxy.listen_address}:{config.proxy.sip_port}, home {config.home}", soft_wrap=True
    )


@main.command()
@click.pass_obj
def down(instance: Instance) -> None:
    """Stop every process of the instance; none is left."""
    config = instance.as_started()
    with talk.status("stopping"):
        left_behind = lifecycle.bring_down(config)
    if left_behind:
        talk.print(f"ended processes that nobody looked after: {', '.join(map(str, left_behind))}")
    talk.print("down")


@main.command()
@output_option
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.pass_obj
def status(instance: Instance, output: str, names: tuple[str, ...]) -> None:
    """Show every process: does it run, and does it answer? Exit code 0 only if all do."""
    config = instance.as_started()
    _check_names(config, names)
    rows = [row for row in lifecycle.statuses(config) if not names or row.process in names]
    show(rows, COLUMNS, output)
    if not all(row.ready for row in rows):
        sys.exit(1)


@main.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.pass_obj
def restart(instance: Instance, names: tuple[str, ...]) -> None:
    """Stop and start processes, one after the other; `all` means all of them."""
    config = instance.as_started()
    chosen = lifecycle.names_of(config) if names == ("all",) else list(names)
    _show_progress(lifecycle.restart(config, chosen), chosen)


@main.command()
@click.argument("name")
@click.option("-n", "--lines", default=50, show_default=True, help="How many lines from the end.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes.")
@click.pass_obj
def logs(instance: Instance, name: str, lines: int, follow: bool) -> None:
    """Show the log of a process (or of `supervisord`)."""
    config = instance.as_started()
    if name != "supervisord":
        _check_names(config, (name,))
    path = lifecycle.existing_log(config, name)
    options = ["-F"] if follow else []
    os.execvp("tail", ["tail", "-n", str(lines), *options, str(path)])


@main.command(hidden=True)
@click.argument("name")
@click.pass_obj
def wait(instance: Instance, name: str) -> None:
    """Return when a process is ready, for PostgreSQL when the schema is there too: for the systemd units."""
    config = instance.as_started()
    for _ in lifecycle.become_ready(config, [name]):
        if name == "postgres":
            database.make_ready(config)


def _check_names(config: Config, names: Iterable[str]) -> None:
    known = lifecycle.names_of(config)
    for name in names:
        if name not in known:
            raise NotFound(f"no process {name}; there are {', '.join(known)}")


def _show_progress(steps: Iterable[Ready], names: list[str]) -> None:
    """Print a line for each process that becomes ready; on a terminal also what is still awaited."""
    waiting = list(names)
    with talk.status(_awaiting(waiting)) as line:
        for step in steps:
            waiting.remove(step.name)
            line.update(_awaiting(waiting))
            talk.print(f"{step.name:<10} ready after {step.seconds:5.1f} s  {step.detail}", markup=False)


def _awaiting(names: list[str]) -> str:
    return f"waiting for {', '.join(names)}"


if __name__ == "__main__":
    main(prog_name="ksinit")
