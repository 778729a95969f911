"""ksctl prompt: what callers are told; uploaded, or spoken from text."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import click

from callcore.errors import NotFound
from kalibri.prompt_files import PromptFolder
from kalibri.services import prompt as prompts
from kalibri.services.prompt import Prompt
from tools.ksctl.app import App, pass_app
from tools.ksctl.commands.recording import me, plays
from tools.ksctl.options import Command, local_file, owner_option, tenant_filter_option
from tools.ksctl.output import Column, output_option, say, show, show_one

COLUMNS = (
    "tenant",
    "name",
    "language",
    "version",
    "current",
    Column("seconds", value=lambda prompt: f"{prompt.duration_ms / 1000:.1f}"),
    Column("from", value=lambda prompt: prompt.text or prompt.source),
    "created_at",
    "created_by",
)


@click.group("prompt")
def cli() -> None:
    """Prompts: what callers are told. A tenant's own hides the system's of the same name."""


def language_option(command: Command) -> Command:
    """Add --language with its default."""
    return click.option(
        "-l",
        "--language",
        default="any",
        show_default=True,
        help="ISO 639 code, as ru; any: in every language.",
    )(command)


@cli.command("list")
@tenant_filter_option
@click.option("-l", "--language", help="Only in this language.")
@click.option("--all", "every", is_flag=True, help="Old versions, too.")
@click.option("--built-in", is_flag=True, help="The prompts that Kalibri brings along.")
@output_option
@pass_app
def list_(
    app: App, tenant: str | None, language: str | None, every: bool, built_in: bool, output: str
) -> None:
    """List prompts; --built-in: those of conf/prompts, which need no upload."""
    if built_in:
        rows = [
            {
                "name": one.key.split(":")[2],
                "language": one.key.split(":")[1],
                "seconds": one.duration_ms / 1000,
            }
            for one in PromptFolder(app.config).system()
        ]
        chosen = [row for row in rows if language in (None, row["language"])]
        show(
            sorted(chosen, key=lambda row: (row["language"], row["name"])),
            ("language", "name", "seconds"),
            output,
        )
        return
    found = prompts.list_prompts(app.conn, tenant_id=app.optional_tenant_id(tenant), language=language)
    show([one for one in found if every or one.current], COLUMNS, output)


@cli.command("show")
@click.argument("name")
@owner_option
@language_option
@output_option
@pass_app
def show_(app: App, name: str, tenant: str, language: str, output: str) -> None:
    """Show the version of a prompt that is heard."""
    show_one(_find(app, name, tenant, language), output)


def _find(app: App, name: str, tenant: str, language: str) -> Prompt:
    return prompts.find(app.conn, tenant_id=app.tenant_id(tenant), name=name, language=language)


@cli.command("add")
@click.argument("name")
@click.argument(
    "file", required=False, type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
)
@owner_option
@language_option
@click.option("--text", default="", help="Speak this with espeak-ng instead of uploading a file.")
@click.option("--voice", help="Voice of espeak-ng (default: that of the language).")
@click.option("--music", is_flag=True, help="At the loudness of music.")
@pass_app
def add(
    app: App,
    name: str,
    file: Path | None,
    tenant: str,
    language: str,
    text: str,
    voice: str | None,
    music: bool,
) -> None:
    """Add a prompt, or a new version of one: from FILE, in any format that ffmpeg reads, or from --text."""
    with contextlib.ExitStack() as stack:
        path = None if file is None else stack.enter_context(local_file(file))
        added = prompts.add(
            app.conn,
            app.config,
            tenant_id=app.tenant_id(tenant),
            name=name,
            language=language,
            file=path,
            text=text,
            voice=voice,
            music=music,
            by=me(),
        )
    say(f"prompt {name} ({added.language}) version {added.version}, {added.duration_ms / 1000:.1f} s")


@cli.command("rm")
@click.argument("name")
@owner_option
@click.option("-l", "--language", help="Only in this language.")
@click.option("--version", type=int, help="Only this version.")
@pass_app
def rm(app: App, name: str, tenant: str, language: str | None, version: int | None) -> None:
    """Remove a prompt, or one version of it: the one before is heard again."""
    removed = prompts.remove(
        app.conn, app.config, tenant_id=app.tenant_id(tenant), name=name, language=language, version=version
    )
    say(f"{removed} versions of prompt {name} removed")


@cli.command("play")
@click.argument("name")
@owner_option
@language_option
@click.option("--to", "target", type=click.Path(dir_okay=False, path_type=Path), help="Write a WAV instead.")
@pass_app
def play(app: App, name: str, tenant: str, language: str, target: Path | None) -> None:
    """Play a prompt; without a sound device the path of its compiled files is printed."""
    try:
        prompt = _find(app, name, tenant, language)
    except NotFound:
        path = prompts.path_of(app.config, tenant_id=app.tenant_id(tenant), name=name, language=language)
        click.echo(f"{path}.8")
        return
    wav = prompts.wav(app.conn, prompt_id=prompt.prompt_id)
    if target is not None:
        target.write_bytes(wav)
        return
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        file.write(wav)
        file.flush()
        if not plays(Path(file.name)):
            click.echo(app.config.prompt_directory / f"{prompt.path}.8")


@cli.command("compile")
@pass_app
def compile_(app: App) -> None:
    """Compile on this machine what is not compiled yet; ks-rec does it by itself."""
    made = prompts.compile_system(app.config)
    say(f"{made} of the system's prompts compiled")
    made = prompts.synchronise(app.conn, app.config)
    say(f"{made} prompts of the database compiled")
