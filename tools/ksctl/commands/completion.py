"""ksctl completion: the script that teaches a shell the nouns, verbs and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def cli(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    For bash, put into ~/.bashrc:  eval "$(ksctl completion bash)"
    """
    completion = get_completion_class(shell)
    assert completion is not None
    click.echo(completion(ctx.find_root().command, {}, "ksctl", "_KSCTL_COMPLETE").source())
