"""Points in time and lengths of time, as people type them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
DAYS = {"d": 1, "w": 7, "m": 30, "y": 365}


class Moment(click.ParamType[datetime]):
    """A point in time: ISO 8601 (UTC unless it says otherwise), or how long ago."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return an aware time."""
        if isinstance(value, datetime):
            return value
        ago = re.fullmatch(r"([0-9]{1,6})([smhdw])", value)
        if ago:
            return datetime.now(UTC) - timedelta(**{UNITS[ago[2]]: int(ago[1])})
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time: write 2026-11-22T10:30, or 90m, 2h, 3d ago", param, ctx)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Days(click.ParamType[int]):
    """A length of time in whole days: 30d, 4w, 6m, 5y."""

    name = "DAYS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return days; a month has 30, a year 365."""
        if isinstance(value, int):
            return value
        length = re.fullmatch(r"([0-9]{1,5})([dwmy]?)", str(value))
        if not length:
            self.fail(f"{value!r} is no number of days: write 30d, 4w, 6m or 5y", param, ctx)
        return int(length[1]) * DAYS[length[2] or "d"]
