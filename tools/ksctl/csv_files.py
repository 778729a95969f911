"""Where an export goes: to standard output, or into a file that is there only when it is whole."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import click

from tools.ksctl.options import Command


def export_option(command: Command) -> Command:
    """Add --to FILE, called `file`, None for standard output."""
    return click.option(
        "--to",
        "file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="File (default: standard output).",
    )(command)


def write_lines(lines: Iterable[str], file: Path | None) -> None:
    """Write the lines of an export as UTF-8."""
    if file is None:
        sys.stdout.reconfigure(encoding="utf-8", newline="")  # type: ignore[union-attr]
        sys.stdout.writelines(lines)
    elif file.exists() and not file.is_file():  # a device or a pipe
        _write(lines, file)
    else:
        whole = file.resolve()
        part = whole.with_name(f".{whole.name}.part")
        _write(lines, part)
        part.replace(whole)


def _write(lines: Iterable[str], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as out:
        out.writelines(lines)
