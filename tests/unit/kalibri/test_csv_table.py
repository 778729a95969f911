"""CSV with a heading: columns found by name, wrong rows told by line, every text survives a round trip."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kalibri.csv_table import Complaints, CsvRefused, Line, read_table, write_table


def read(tmp_path: Path, data: bytes, *, optional: tuple[str, ...] = ("note",)) -> list[Line]:
    path = tmp_path / "table.csv"
    path.write_bytes(data)
    complaints = Complaints()
    lines = list(read_table(path, required=("name",), optional=optional, complaints=complaints))
    complaints.raise_if_any()
    return lines


def test_columns_are_found_by_name_in_any_order_and_case(tmp_path: Path) -> None:
    assert read(tmp_path, b"Note; NAME \n n1 ;a\n\n;b\n") == [
        Line(2, {"note": "n1", "name": "a"}),
        Line(4, {"note": "", "name": "b"}),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1251"])
def test_encodings_of_spreadsheets_are_tolerated(tmp_path: Path, encoding: str) -> None:
    assert read(tmp_path, "name\nИван\n".encode(encoding)) == [Line(2, {"name": "Иван"})]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file has no heading"),
        (b"nmae\nx\n", r'line 1: unknown column "nmae" \(did you mean name\?\)'),
        (b"note\nx\n", 'line 1: the column "name" is missing'),
        (b"name,NAME\nx,y\n", 'line 1: the column "name" is there twice'),
    ],
)
def test_wrong_heading_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(CsvRefused, match=message):
        read(tmp_path, data)


def test_wrong_rows_are_told_together_by_the_line_they_begin_on(tmp_path: Path) -> None:
    with pytest.raises(CsvRefused) as caught:
        read(tmp_path, b'name,note\na,"two\nlines"\nb\nc,d,e\n')
    assert caught.value.message == (
        "2 wrong rows, nothing was changed\n"
        "  line 4: 1 fields, but the heading has 2\n"
        "  line 5: 3 fields, but the heading has 2"
    )
    assert [error["line"] for error in caught.value.details["errors"]] == [4, 5]  # type: ignore[attr-defined]


def test_a_hundred_wrong_rows_do_not_flood_the_screen(tmp_path: Path) -> None:
    with pytest.raises(CsvRefused) as caught:
        read(tmp_path, b"name,note\n" + b"a\n" * 100)
    assert caught.value.message.splitlines()[-1] == "  and 80 more"
    assert len(caught.value.message.splitlines()) == 22


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufffd")), min_size=1))
def test_what_is_written_is_read_again(tmp_path: Path, values: list[str]) -> None:
    text = "".join(write_table(["name", "note"], [["x", value] for value in values]))
    lines = read(tmp_path, text.encode())
    assert [line.fields["note"] for line in lines] == [value.strip(" \t") for value in values]
