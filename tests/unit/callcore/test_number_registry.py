"""Rows of the number-range registry: a row that adds up is a range, any other says why not."""

from __future__ import annotations

import pytest

from callcore.number_registry import BadRegistryRow, Columns, RegistryRange, parse_range, read_header

HEADER = ["АВС/ DEF", "От", "До", "Емкость", "Оператор", "Регион", "ИНН"]
ROW = ["900", "0000000", "0061999", "62000", 'ООО "Т2  Мобайл"', "Краснодарский край", "7743895280"]


@pytest.fixture
def columns() -> Columns:
    return read_header(HEADER)


def test_a_row_becomes_e164_numbers(columns: Columns) -> None:
    assert parse_range(columns, ROW, country_code="7") == RegistryRange(
        first=79000000000,
        last=79000061999,
        operator='ООО "Т2 Мобайл"',
        region="Краснодарский край",
        inn="7743895280",
    )


@pytest.mark.parametrize("heading", ["АВС/ DEF", "ABC/ DEF", "AВC/DEF", " авс/def"])
def test_the_code_column_is_found_in_whatever_letters(heading: str) -> None:
    assert read_header([heading, *HEADER[1:]]).positions["code"] == 0


def test_columns_are_found_by_heading_in_any_order() -> None:
    header = ["Регион", "Территория ГАР", "ёмкость ", "ABC/DEF", "От", "До", "Оператор"]
    columns = read_header(header)
    found = parse_range(columns, ["Москва", "г.о. Москва", "1", "495", "5", "5", "ПАО"], country_code="7")
    assert (found.first, found.region, found.inn) == (74950000005, "Москва", "")


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (["a", "b"], "no column for code, first, last"),
        (HEADER[:5], "no column for region"),
        ([*HEADER, "Регион"], "'Регион' is there twice"),
    ],
)
def test_a_wrong_header_names_the_columns(header: list[str], reason: str) -> None:
    with pytest.raises(BadRegistryRow, match=reason):
        read_header(header)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({0: "90"}, "code '90' is not three digits"),
        ({0: "٩٠٠"}, "is not three digits"),
        ({1: "12345678"}, "first number '12345678' is not up to seven digits"),
        ({2: "-1"}, "last number '-1' is not"),
        ({1: "0062000"}, "ends \\(0061999\\) before it starts"),
        ({3: "61999"}, "capacity is '61999', but 0000000-0061999 are 62000 numbers"),
        ({4: " "}, "operator or region is empty"),
        ({5: ""}, "operator or region is empty"),
        ({6: "12"}, "INN '12' is not 10 or 12 digits"),
    ],
)
def test_a_row_that_does_not_add_up_says_why(columns: Columns, change: dict[int, str], reason: str) -> None:
    row = [change.get(position, value) for position, value in enumerate(ROW)]
    with pytest.raises(BadRegistryRow, match=reason):
        parse_range(columns, row, country_code="7")


def test_a_short_row_lacks_its_last_fields(columns: Columns) -> None:
    with pytest.raises(BadRegistryRow, match="operator or region is empty"):
        parse_range(columns, ROW[:5], country_code="7")
