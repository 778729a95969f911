"""The range file: a number finds the range that holds it, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalibri import rangefile
from kalibri.mapped_file import FileCorrupt
from kalibri.rangefile import NumberRange, RangeFile

RANGES = [
    (74950000000, 74950009999, "г. Москва", "ПАО Первый"),
    (79001000000, 79001999999, "г. Москва * Московская область", "ООО Второй"),
    (79002000000, 79002000049, "Корякский округ|Камчатский край", "ООО Второй"),
]


@pytest.fixture
def ranges(tmp_path: Path) -> RangeFile:
    assert rangefile.build(tmp_path / "r", RANGES) == 3
    return RangeFile(tmp_path / "r")


@pytest.mark.parametrize(
    ("number", "found"),
    [
        ("74950000000", ("Москва", "ПАО Первый")),
        ("74950009999", ("Москва", "ПАО Первый")),
        ("74950010000", None),
        ("79001555555", ("Москва и Московская область", "ООО Второй")),
        ("79002000049", ("Камчатский край", "ООО Второй")),
        ("79002000050", None),
        ("1", None),
        ("99999999999999999", None),
    ],
)
def test_lookup_gives_the_one_name_of_the_region(
    ranges: RangeFile, number: str, found: tuple[str, str] | None
) -> None:
    assert ranges.lookup(number) == found


@pytest.mark.parametrize(
    "number", ["", "+79001000000", "alice", "7900_1000000", " 79001000000", "٧٩", "9" * 4000]
)
def test_what_is_no_number_has_no_region(ranges: RangeFile, number: str) -> None:
    assert ranges.lookup(number) is None
    assert ranges.find(number) is None


def test_find_keeps_the_text_of_the_registry(ranges: RangeFile) -> None:
    assert ranges.find("79001000000") == NumberRange(
        first=79001000000,
        last=79001999999,
        region="Москва и Московская область",
        region_text="г. Москва * Московская область",
        operator="ООО Второй",
    )


@pytest.mark.parametrize("rows", [[(5, 4)], [(1, 5), (5, 9)], [(5, 9), (1, 2)]])
def test_overlapping_or_unordered_ranges_are_refused(tmp_path: Path, rows: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="out of order or overlaps"):
        rangefile.build(tmp_path / "r", [(first, last, "r", "o") for first, last in rows])
    assert not list(tmp_path.iterdir())


def test_no_ranges_at_all(tmp_path: Path) -> None:
    rangefile.build(tmp_path / "r", [])
    assert RangeFile(tmp_path / "r").lookup("7") is None


@settings(max_examples=100, deadline=None)
@given(bit=st.integers(0))
def test_any_flipped_bit_is_noticed(tmp_path_factory: pytest.TempPathFactory, bit: int) -> None:
    path = tmp_path_factory.mktemp("r") / "r"
    rangefile.build(path, RANGES)
    content = bytearray(path.read_bytes())
    content[bit // 8 % len(content)] ^= 1 << bit % 8
    path.write_bytes(content)
    try:
        found = [RangeFile(path).lookup(str(first)) for first, *_ in RANGES]
    except FileCorrupt:
        return
    assert found == [RangeFile(path).lookup(str(first)) for first, *_ in RANGES]
    assert 44 <= bit // 8 % len(content) < 64  # only the padding of the header
