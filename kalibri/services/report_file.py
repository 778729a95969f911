"""A report as a file: CSV, JSON, XLSX, and drawn as SVG or PNG.

Decides the form only. Text that a caller chose can play no tricks in a spreadsheet: XLSX cells are typed, and in CSV a
text that a spreadsheet would take for a formula gets an apostrophe before it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from callcore.errors import BadInput
from kalibri.csv_table import write_table
from kalibri.services.report_frame import Report, Row

if TYPE_CHECKING:
    from openpyxl.worksheet.worksheet import Worksheet

#: What makes a spreadsheet calculate.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
PIXELS_PER_INCH = 120
WIDTH_INCHES, HEIGHT_INCHES = 10.0, 5.0


def written(report: Report, form: str) -> bytes:
    """Return a report as "csv", "json" or "xlsx"; raises BadInput."""
    if form not in _WRITERS:
        raise BadInput(f"{form!r} is no form of a report: {', '.join(_WRITERS)}")
    return _WRITERS[form](report)


def columns_of(report: Report) -> list[str]:
    """Return all columns: those for people first."""
    more = [name for row in report.rows[:1] for name in row if name not in report.columns]
    return [*report.columns, *more]


def title_of(report: Report) -> str:
    """Return a heading."""
    days = (
        str(report.from_day) if report.from_day == report.to_day else f"{report.from_day} – {report.to_day}"
    )
    return f"{report.report} {days} ({report.zone})"


# ------------------------------------------------------------------------------------------------ text


def _csv(report: Report) -> bytes:
    names = columns_of(report)
    rows = ([_text(row.get(name)) for name in names] for row in report.rows)
    return "".join(write_table(names, rows)).encode()


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) and not _is_number(value) else value
    if isinstance(value, Mapping):
        return " ".join(f"{key}={part:g}" for key, part in value.items())
    return value.isoformat() if isinstance(value, datetime | date) else str(value)


def _is_number(text: str) -> bool:
    """Tell whether a text is a phone number: those begin with + and calculate nothing."""
    return text[1:].isascii() and text[1:].isdigit()


def _json(report: Report) -> bytes:
    head = {name: getattr(report, name) for name in ("report", "zone", "from_day", "to_day", "step")}
    told = {**head, "hours": report.hours, "weekdays": report.weekdays, "built_until": report.built_until}
    told |= {"notes": report.notes, "columns": columns_of(report), "rows": report.rows}
    return (json.dumps(told, default=_plain, ensure_ascii=False, indent=1) + "\n").encode()


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime | date) else str(value)


# ------------------------------------------------------------------------------------------------ xlsx


def _xlsx(report: Report) -> bytes:
    """Two sheets: the rows under a heading that stays in sight, and what the report is."""
    from openpyxl import Workbook
    from openpyxl.styles import Font
    from openpyxl.utils import get_column_letter

    book = Workbook()
    sheet: Worksheet = book.active  # type: ignore[assignment]
    sheet.title = report.report
    names = columns_of(report)
    sheet.append([name.replace("_", " ") for name in names])
    for cell in sheet[1]:
        cell.font = Font(bold=True)
    for row in report.rows:
        _append(sheet, [row.get(name) for name in names])
    sheet.freeze_panes = "A2"
    for number, name in enumerate(names, 1):
        sheet.column_dimensions[get_column_letter(number)].width = max(10, len(name) + 2)
    about = book.create_sheet("about")
    for line in _about(report):
        _append(about, line)
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def _append(sheet: Worksheet, values: Iterable[object]) -> None:
    sheet.append([_cell_value(value) for value in values])
    for cell in sheet[sheet.max_row]:
        if cell.data_type == "f":  # a text that begins with = is a text
            cell.data_type = "s"


def _cell_value(value: object) -> Any:
    if isinstance(value, datetime):  # a sheet knows no zones: the clock of the tenant
        return value.replace(tzinfo=None)
    if value is None or isinstance(value, bool | int | float | date):
        return value
    if isinstance(value, str):
        return "".join(char for char in value if char.isprintable())
    return str(value) if isinstance(value, UUID) else _text(value)


def _about(report: Report) -> list[tuple[object, ...]]:
    lines: list[tuple[object, ...]] = [
        ("report", report.report),
        ("from", report.from_day),
        ("to", report.to_day),
        ("time zone", report.zone),
        ("by", report.step.value),
        ("built until", report.built_until),
    ]
    lines += [("hours", report.hours)] if report.hours else []
    lines += [("weekdays", report.weekdays)] if report.weekdays else []
    return [*lines, *(("note", note) for note in report.notes)]


_WRITERS: Mapping[str, Callable[[Report], bytes]] = {"csv": _csv, "json": _json, "xlsx": _xlsx}


# ------------------------------------------------------------------------------------------------ plot

#: Report → what is drawn: bars (counts, seconds), and a line in percent on the right.
_DRAWN: Mapping[str, tuple[tuple[str, ...], str | None]] = {
    "queue": (("answered", "abandoned", "left"), "service_level_percent"),
    "interval": (("answered", "abandoned", "left"), "service_level_percent"),
    "agent": (
        ("queue_calls_seconds", "wrapup_seconds", "free_seconds", "paused_seconds"),
        "occupancy_percent",
    ),
    "pauses": (("seconds",), None),
    "callbacks": (("requested", "dialled", "reached", "joined"), "joined_percent"),
    "calls": (("calls", "answered"), "answered_percent"),
    "gateway": (("calls", "answered"), "answered_percent"),
}


def drawn(report: Report, suffix: str) -> bytes:
    """Return a plot, ".svg" or ".png"; raises BadInput for another suffix, or a report that is a listing."""
    if suffix not in (".svg", ".png"):
        raise BadInput(f"a plot is .svg or .png, not {suffix or 'a name without suffix'}")
    if report.report not in _DRAWN:
        raise BadInput(f"{report.report} is a listing: it cannot be drawn")
    # Half a second, which only who draws has to wait for. Without pyplot nothing of it is global.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES), dpi=PIXELS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    bars, line = _DRAWN[report.report]
    names = [_label(report, row) for row in report.rows]
    axes = figure.add_subplot()
    bottom = [0.0] * len(names)
    stacked = report.report in ("queue", "interval", "agent")
    for number, bar in enumerate(bars):
        values = [_number(row.get(bar)) for row in report.rows]
        shift = 0.0 if stacked else (number - (len(bars) - 1) / 2) * 0.8 / len(bars)
        places = [place + shift for place in range(len(names))]
        width = 0.8 if stacked else 0.8 / len(bars)
        axes.bar(places, values, width, bottom=bottom if stacked else None, label=bar.replace("_", " "))
        bottom = [below + value for below, value in zip(bottom, values, strict=True)]
    if line is not None:
        right = axes.twinx()
        shares = [_share(row.get(line)) for row in report.rows]
        right.plot(range(len(names)), shares, "k.-", label=line.replace("_", " "))
        right.set_ylim(0, 105)
        right.legend(loc="upper right")
    every = max(1, len(names) // 24)
    axes.set_xticks(range(0, len(names), every), names[::every], rotation=45, ha="right", fontsize=8)
    axes.set_title(title_of(report))
    axes.legend(loc="upper left")
    target = io.BytesIO()
    figure.savefig(target, format=suffix[1:], metadata={"Date": None} if suffix == ".svg" else None)
    return target.getvalue()


def _label(report: Report, row: Row) -> str:
    """Name a row: its period, as short as it can be, and whom it is about."""
    moment = row.get("period")
    text = [_clock(report, moment)] if isinstance(moment, datetime) else []
    text += [str(row[key]) for key in _ABOUT_ROW if key in row]
    # A $ would begin a formula.
    return " ".join(text).replace("$", r"\$")[:40]


#: What tells rows of a period apart.
_ABOUT_ROW = ("agent", "queue", "gateway", "way", "reason", "direction", "cause")


def _clock(report: Report, moment: datetime) -> str:
    if report.from_day == report.to_day:
        return f"{moment:%H:%M}"
    return f"{moment:%m-%d}" if moment.hour == 0 and moment.minute == 0 else f"{moment:%m-%d %H:%M}"


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _share(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")
