"""The three forms of output: nothing lost for programs, nothing dangerous for terminals."""

from __future__ import annotations

import csv
import datetime
import enum
import io
import json
from dataclasses import dataclass
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.ksctl.output import Column, plain_lines, printable, show, show_one


class Colour(enum.StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Part:
    size: int


@dataclass(frozen=True)
class Thing:
    name: str
    price: Decimal | None
    at: datetime.datetime
    colours: tuple[Colour, ...]
    good: bool
    part: Part


THING = Thing(
    name="größe, 1",
    price=Decimal("0.010"),
    at=datetime.datetime(2026, 11, 22, 10, 0, 0, 5, tzinfo=datetime.UTC),
    colours=(Colour.RED, Colour.RED),
    good=True,
    part=Part(3),
)


def test_table_into_a_pipe_is_aligned_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"name": "a", "size": 1}, {"name": "long name", "size": None}]
    show(rows, ["name", Column("size", "big size")], "table")
    assert capsys.readouterr().out == "NAME       BIG SIZE\na          1\nlong name  -\n"


def test_json_keeps_every_field_and_every_digit(capsys: pytest.CaptureFixture[str]) -> None:
    show([THING], ["name"], "json")
    assert json.loads(capsys.readouterr().out) == [
        {
            "name": "größe, 1",
            "price": "0.010",
            "at": "2026-11-22T10:00:00.000005+00:00",
            "colours": ["red", "red"],
            "good": True,
            "part": {"size": 3},
        }
    ]


def test_csv_has_the_columns_of_the_listing(capsys: pytest.CaptureFixture[str]) -> None:
    columns: list[Column | str] = [
        "name",
        "price",
        "good",
        "colours",
        Column("size", value=lambda thing: thing.part.size),
    ]
    show([THING], columns, "csv")
    assert capsys.readouterr().out == 'name,price,good,colours,size\n"größe, 1",0.010,true,red red,3\n'


def test_empty_listing_has_a_heading_only(capsys: pytest.CaptureFixture[str]) -> None:
    for output, expected in {"table": "NAME\n", "json": "[]\n", "csv": "name\n"}.items():
        show([], ["name"], output)
        assert capsys.readouterr().out == expected


def test_one_object_is_shown_field_by_field(capsys: pytest.CaptureFixture[str]) -> None:
    show_one({"name": "a", "max_calls": None}, "table")
    assert capsys.readouterr().out == "name       a\nmax calls  -\n"


def test_terminal_sequences_do_not_reach_the_terminal() -> None:
    assert printable("\x1b]0;title\x07 \u202eevil\n") == "\\x1b]0;title\\x07 \\u202eevil\\n"
    assert printable("Привет, [red]") == "Привет, [red]"


@given(st.lists(st.lists(st.text(), min_size=2, max_size=2)))
def test_csv_round_trip_is_identical(rows: list[list[str]]) -> None:
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", out)
        show([dict(zip("ab", row, strict=True)) for row in rows], ["a", "b"], "csv")
    assert list(csv.reader(io.StringIO(out.getvalue(), newline="")))[1:] == rows


@given(st.lists(st.lists(st.text("ab "), min_size=3, max_size=3), min_size=1))
def test_columns_of_plain_text_begin_at_the_same_place(rows: list[list[str]]) -> None:
    lines = plain_lines(["x", "y", "z"], rows)
    assert len(lines) == len(rows) + 1
    width = max(len(row[0]) for row in [["x"], *rows]) + 2
    assert all(line[width:].startswith(row[1].rstrip()) for line, row in zip(lines[1:], rows, strict=True))
