"""How a password gets into ksctl: a prompt, a file or standard input, or made by ksctl; never an argument.

Arguments are seen by everybody on the machine (ps) and stay in the history of the shell.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from kalibri.services.account import generate_password
from tools.ksctl.output import say

Command = TypeVar("Command", bound=Callable[..., Any])


def password_options(command: Command) -> Command:
    """Add --password-file and --generate, called `password_file` and `generate`."""
    generate = click.option("--generate", is_flag=True, help="Make a random password and print it, once.")
    return carrier_password_option(generate(command))


def carrier_password_option(command: Command) -> Command:
    """Add --password-file alone: a password that somebody else chose."""
    return click.option(
        "--password-file",
        type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
        help="Read the password from the first line of a file; - is standard input.",
    )(command)


def read_password(password_file: Path | None, generate: bool = False, *, what: str = "Password") -> str:
    """Return the password that the options ask for; with none of them ask for it. Raises UsageError.

    what: how it is called when it is asked for.
    """
    if generate and password_file:
        raise click.UsageError("--generate and --password-file exclude each other")
    if generate:
        return generate_password()
    if password_file is not None:
        with click.open_file(str(password_file), encoding="utf-8") as file:
            return str(file.readline()).rstrip("\r\n")
    if not sys.stdin.isatty():
        option = f"--{what.lower()}-file"
        raise click.UsageError(f"no terminal to ask for the {what.lower()}: give {option}")
    return str(click.prompt(what, hide_input=True, confirmation_prompt=True, err=True))


def tell_generated(password: str, generate: bool) -> None:
    """Print a password that ksctl made: to standard output, where a program may take it."""
    if generate:
        say("the password, shown this once:")
        click.echo(password)
