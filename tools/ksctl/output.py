"""How ksctl shows rows: a table for people, JSON and CSV for programs.

On a terminal a table has lines and colours; into a pipe it is plain aligned text, never cut. JSON holds every
field of a row, CSV and table the columns of the listing. What callers and phones wrote cannot play with the
terminal: characters that do not print are escaped in tables.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kalibri.csv_table import write_table

FORMATS = ("table", "json", "csv")
Command = TypeVar("Command", bound=Callable[..., Any])


@dataclasses.dataclass(frozen=True)
class Column:
    """One column of a listing."""

    #: Field of the row.
    name: str
    #: Heading; empty: the name with spaces.
    title: str = ""
    #: Computes the value from the row; None: the field.
    value: Callable[[Any], Any] | None = None

    def of(self, row: Any) -> Any:
        """Return the value of this column in a row."""
        if self.value is not None:
            return self.value(row)
        return row[self.name] if isinstance(row, Mapping) else getattr(row, self.name)


def output_option(command: Command) -> Command:
    """Add -o table|json|csv to a listing; the parameter is called `output`."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(FORMATS),
        default="table",
        show_default=True,
        help="Form of the output.",
    )(command)


def show(rows: Iterable[Any], columns: Sequence[Column | str], output: str) -> None:
    """Print rows (dataclasses or mappings) in the form that was asked for."""
    chosen = [Column(column) if isinstance(column, str) else column for column in columns]
    if output == "json":
        click.echo(json.dumps([as_json(row) for row in rows], ensure_ascii=False, indent=2))
    elif output == "csv":
        _print_csv(
            [column.name for column in chosen], ([column.of(row) for column in chosen] for row in rows)
        )
    else:
        titles = [column.title or column.name.replace("_", " ") for column in chosen]
        print_table(titles, [[cell(column.of(row)) for column in chosen] for row in rows])


def show_one(row: Any, output: str) -> None:
    """Print one object with all its fields, one a line in the table form."""
    fields = as_mapping(row)
    if output == "json":
        click.echo(json.dumps(as_json(row), ensure_ascii=False, indent=2))
    elif output == "csv":
        _print_csv(list(fields), [list(fields.values())])
    else:
        print_table([], [[name.replace("_", " "), cell(value)] for name, value in fields.items()])


def say(message: str) -> None:
    """Tell the user something that is not data: on stderr."""
    click.echo(message, err=True)


def as_mapping(row: Any) -> Mapping[str, Any]:
    """Return the fields of a dataclass, not those of its parts."""
    if isinstance(row, Mapping):
        return row
    return {item.name: getattr(row, item.name) for item in dataclasses.fields(row)}


def as_json(value: Any) -> Any:
    """Return what the json module can write: money and times become text, without loss."""
    if dataclasses.is_dataclass(value) or isinstance(value, Mapping):
        return {str(name): as_json(part) for name, part in as_mapping(value).items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [as_json(part) for part in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return plain(value)


def plain(value: Any) -> str:
    """Return a value as text for a program: empty for None, ISO 8601 for times, spaces between parts."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime.datetime | datetime.date):
        return value.isoformat()
    if isinstance(value, enum.Enum):
        return str(value.value)
    if isinstance(value, list | tuple):
        return " ".join(plain(part) for part in value)
    return str(value)


def cell(value: Any) -> str:
    """Return a value as text for a person, in one line and without control characters."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ", "seconds")
    return printable(plain(value))


def printable(text: str) -> str:
    """Escape what does not print: line ends, terminal sequences, changes of writing direction."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _print_csv(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    sys.stdout.writelines(write_table(names, ([plain(value) for value in row] for row in rows)))


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print cells under titles (none: no heading)."""
    if sys.stdout.isatty():
        _print_rich(titles, rows)
    else:
        for line in plain_lines(titles, rows):
            click.echo(line)


def _print_rich(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(box=SIMPLE_HEAD, show_header=bool(titles), pad_edge=False)
    for title in titles or ("", ""):
        table.add_column(title, overflow="fold")
    for row in rows:
        # Text, not str: square brackets in data are no markup.
        table.add_row(*(Text(value) for value in row))
    Console().print(table)


def plain_lines(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Align cells by spaces; nothing is cut."""
    lines = [[title.upper() for title in titles], *rows] if titles else list(rows)
    widths = [max(len(value) for value in column) for column in zip(*lines, strict=True)] if lines else []
    return [
        "  ".join(value.ljust(width) for value, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
