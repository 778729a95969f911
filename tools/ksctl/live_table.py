"""A table over the whole screen that renews itself until Ctrl-C."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from callcore.errors import Unavailable
from tools.ksctl.output import Column, cell


def table(title: str, rows: Sequence[Any], columns: Sequence[Column | str], now: datetime) -> Table:
    """Return the table of this moment."""
    chosen = [Column(column) if isinstance(column, str) else column for column in columns]
    shown = Table(title=f"{title} at {now:%H:%M:%S} UTC", box=SIMPLE_HEAD, expand=True, pad_edge=False)
    for column in chosen:
        shown.add_column(column.title or column.name.replace("_", " "), overflow="fold")
    for row in rows:
        shown.add_row(*(Text(cell(column.of(row))) for column in chosen))
    return shown


def follow(
    title: str,
    rows: Callable[[], Sequence[Any]],
    columns: Sequence[Column | str],
    *,
    every_seconds: float,
    console: Console | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Show rows again and again; while the database is away the last ones stay, with a word about it."""
    shown = table(title, (), columns, datetime.now(UTC))
    with (
        contextlib.suppress(KeyboardInterrupt),
        Live(shown, console=console or Console(), screen=True, auto_refresh=False) as screen,
    ):
        while True:
            try:
                shown = table(title, rows(), columns, datetime.now(UTC))
                shown.caption = None
            except Unavailable as error:
                shown.caption = error.message
            screen.update(shown, refresh=True)
            wait(every_seconds)
