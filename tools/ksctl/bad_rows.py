"""All bad rows of a refused file as CSV: a screen shows only the first ones."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from kalibri.csv_table import CsvRefused
from tools.ksctl.output import say

Command = TypeVar("Command", bound=Callable[..., Any])


def errors_option(command: Command) -> Command:
    """Add --errors FILE, called `errors`."""
    return click.option(
        "--errors",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Write every bad row to this CSV file.",
    )(command)


@contextmanager
def written_to(file: Path | None) -> Iterator[None]:
    """Write what a CsvRefused complains of to a file, then let it go on."""
    try:
        yield
    except CsvRefused as refused:
        if file is not None:
            errors: Any = refused.details.get("errors", [])
            with file.open("w", encoding="utf-8", newline="") as out:
                writer = csv.DictWriter(out, ["file", "line", "message"], lineterminator="\n")
                writer.writeheader()
                writer.writerows(errors)
            say(f"all bad rows are in {file}")
        raise
