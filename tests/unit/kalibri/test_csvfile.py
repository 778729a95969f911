"""CSV reading: any encoding that people send, every row with its line, one bad row never hides the next."""

from __future__ import annotations

from pathlib import Path

import pytest

from kalibri.csvfile import CsvRow, RowError, detect_encoding, open_csv, read_rows

TEXT = "Оператор;Регион\nООО Связь;г. Москва\n"


@pytest.mark.parametrize(
    ("encoding", "detected"),
    [("utf-8", "utf-8"), ("utf-8-sig", "utf-8-sig"), ("cp1251", "cp1251"), ("utf-16", "utf-16")],
)
def test_encoding_is_found_out(tmp_path: Path, encoding: str, detected: str) -> None:
    path = tmp_path / "f.csv"
    path.write_text(TEXT, encoding=encoding)
    assert detect_encoding(path) == detected
    with open_csv(path) as file:
        rows = list(read_rows(file))
    assert rows == [CsvRow(1, ["Оператор", "Регион"]), CsvRow(2, ["ООО Связь", "г. Москва"])]


def test_a_letter_on_the_border_of_two_chunks_is_still_utf8(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("a" * ((1 << 20) - 1) + "я\n", encoding="utf-8")
    assert detect_encoding(path) == "utf-8"


@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
def test_delimiter_is_seen_in_the_first_line(delimiter: str) -> None:
    lines = [f"a{delimiter}b\n", f'"1{delimiter}x"{delimiter}2\n']
    assert list(read_rows(lines)) == [CsvRow(1, ["a", "b"]), CsvRow(2, [f"1{delimiter}x", "2"])]


def test_line_numbers_survive_quoted_line_ends_and_blank_lines() -> None:
    rows = list(read_rows(["a,b\n", "\n", '"1\n', '2",x\n', "3,y\r\n"]))
    assert rows == [CsvRow(1, ["a", "b"]), CsvRow(3, ["1\n2", "x"]), CsvRow(5, ["3", "y"])]


def test_a_bad_row_is_reported_and_the_next_is_read() -> None:
    rows = list(read_rows(["a,b\n", '"x"y,1\n', "2,\ufffd\n", "3,\0\n", "4,z\n"]))
    assert [type(row) for row in rows] == [CsvRow, RowError, RowError, RowError, CsvRow]
    assert [row.line for row in rows] == [1, 2, 3, 4, 5]
    assert rows[2] == RowError(3, "column 2 holds bytes that are no text")


def test_an_empty_file_has_no_rows() -> None:
    assert list(read_rows([])) == []
