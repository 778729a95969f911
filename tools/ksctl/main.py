"""ksctl, the one command line of Kalibri: `ksctl NOUN VERB`.

Finds its nouns by listing the folder commands/ (each file holds one click group or command named `cli`),
reads the configuration, and turns errors into one line on stderr and an exit code (docs/contracts.md 9). It
holds no rule and no SQL: commands parse, call a service of kalibri.services, and print.
"""

from __future__ import annotations

import os
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from callcore.errors import KalibriError
from tools.ksctl.app import App

COMMANDS = Path(__file__).parent / "commands"
DEBUG_VARIABLE = "KALIBRI_DEBUG"


class Nouns(click.Group):
    """The group of all nouns."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name a noun for each file of the folder."""
        return sorted(path.stem for path in COMMANDS.glob("[a-z]*.py"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the file of one noun only: a command starts quickly however many there are."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command = import_module(f"tools.ksctl.commands.{cmd_name}").cli
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; say in one line what went wrong."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise
        except Exception as error:
            ctx.exit(_report(error))


def _report(error: Exception) -> int:
    """Tell the user what went wrong and return the exit code."""
    code = 1
    if isinstance(error, KalibriError):
        message, code = error.message, error.exit_code
    elif isinstance(error, OSError):
        message = f"{error.filename or 'error'}: {error.strerror or error}"
    else:
        message = f"internal error: {type(error).__name__}: {error} ({DEBUG_VARIABLE}=1 shows where)"
    if os.environ.get(DEBUG_VARIABLE):
        traceback.print_exception(error)
    click.echo(f"ksctl: {message}", err=True)
    return code


@click.group(cls=Nouns, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--home", type=click.Path(path_type=Path), help="Run directory of the instance.")
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), help="Configuration file (conf/kalibri.yaml)."
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Another value for a key of the configuration.",
)
@click.pass_context
def cli(ctx: click.Context, home: Path | None, config_file: Path | None, settings: tuple[str, ...]) -> None:
    """Administer a Kalibri instance.

    Data goes to stdout, talk to stderr. Exit codes: 0 done, 1 error, 2 wrong usage, 3 not found, 4 refused
    by a rule. The shell can complete nouns, verbs and options: see `ksctl completion --help`.
    """
    overrides = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise click.UsageError(f"--set {setting}: write KEY=VALUE, as proxy.sip_port=5070")
        overrides[key] = value
    if home is not None:
        overrides["home"] = str(home)
    ctx.obj = App(config_file=config_file, overrides=overrides)
    ctx.call_on_close(ctx.obj.close)


def main() -> None:
    """Run the command line of this process."""
    try:
        cli(prog_name="ksctl")
    except BrokenPipeError:  # `| head` has seen enough
        # Python would complain again when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
