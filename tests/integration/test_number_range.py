"""Number ranges in the database: taken whole or not at all, compared, put back, looked up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from callcore.errors import NotFound, Refused
from kalibri import db as database
from kalibri.config import Config
from kalibri.csv_table import CsvRefused
from kalibri.db import Conn
from kalibri.services import number_range
from kalibri.services.number_range import RangeDifference, RangeImport

HEADER = "АВС/ DEF;От;До;Емкость;Оператор;Регион;ИНН"
DEF_ROWS = [
    '900;0000000;0061999;62000;ООО "Т2 Мобайл";Краснодарский край;7743895280',
    "900;0062000;0062999;1000;ООО Второй;г. Москва * Московская область;7712345678",
    "900;0100000;0100049;50;ООО Второй;Корякский округ|Камчатский край;7712345678",
]
ABC_ROWS = ["495;0000000;0009999;10000;ПАО МГТС;г. Москва;7710016640"]


@pytest.fixture
def conn(pg_config: Config) -> Iterator[Conn]:
    with database.connect(pg_config, application_name="test") as connection:
        yield connection


def write(path: Path, rows: list[str], *, encoding: str = "utf-8", header: str = HEADER) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding=encoding)
    return path


def take(conn: Conn, *files: Path) -> RangeImport:
    return number_range.import_ranges(conn, files=files, country_code="7")


def told(error: CsvRefused) -> list[tuple[str, int, str]]:
    errors: Any = error.details["errors"]
    return [(Path(entry["file"]).name, entry["line"], entry["message"]) for entry in errors]


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """As the registry gives them: one file a group of codes, one in the old encoding, one with a mark."""
    return [
        write(tmp_path / "DEF-9xx.csv", DEF_ROWS, encoding="cp1251"),
        write(tmp_path / "ABC-4xx.csv", ABC_ROWS, encoding="utf-8-sig"),
    ]


def test_several_files_become_one_set(conn: Conn, files: list[Path]) -> None:
    done = take(conn, *files)
    assert (done.counts.added, done.counts.removed, done.unknown_regions) == (4, 0, {})
    (only,) = number_range.list_sets(conn)
    assert (only.set_id, only.source, only.range_count, only.current) == (
        done.set_id,
        "DEF-9xx.csv, ABC-4xx.csv",
        4,
        True,
    )


def test_lookup_gives_region_name_and_registry_text(conn: Conn, files: list[Path]) -> None:
    take(conn, *files)
    found = number_range.lookup(conn, number="79000062500")
    assert found is not None
    assert (found.first, found.last) == (79000062000, 79000062999)
    assert (found.operator, found.inn) == ("ООО Второй", "7712345678")
    assert (found.region, found.region_text) == (
        "Москва и Московская область",
        "г. Москва * Московская область",
    )
    assert number_range.lookup(conn, number="79000063000") is None
    assert number_range.lookup(conn, number="1") is None


def test_lookup_without_any_import_says_so(conn: Conn) -> None:
    with pytest.raises(NotFound):
        number_range.lookup(conn, number="79000062500")


def test_all_errors_are_reported_and_nothing_is_stored(conn: Conn, tmp_path: Path, files: list[Path]) -> None:
    take(conn, *files)
    bad = write(
        tmp_path / "bad.csv",
        [
            DEF_ROWS[0],
            "900;0062000;0062999;999;ООО Второй;Москва;7712345678",
            "",
            '900;"0070000;0070999;1000;ООО Второй;Москва;',
            "9x0;0070000;0070999;1000;ООО Второй;Москва;",
        ],
    )
    with pytest.raises(CsvRefused) as refused:
        take(conn, bad)
    assert [line for _, line, _ in told(refused.value)] == [3, 5]
    assert "line 3: capacity is '999', but 0062000-0062999 are 1000 numbers" in refused.value.message
    assert number_range.lookup(conn, number="79000062500") is not None
    assert len(number_range.list_sets(conn)) == 1


def test_overlaps_are_found_across_files_and_behind_longer_ranges(conn: Conn, tmp_path: Path) -> None:
    first = write(
        tmp_path / "a.csv",
        [
            "900;0000000;0999999;1000000;A;Москва;",
            "900;0000010;0000019;10;B;Москва;",
            "900;0500000;0500009;10;C;Москва;",
        ],
    )
    second = write(tmp_path / "b.csv", ["900;0000000;0999999;1000000;A;Москва;"])
    with pytest.raises(CsvRefused) as refused:
        take(conn, first, second)
    assert [(file, line) for file, line, _ in told(refused.value)] == [
        ("a.csv", 3),
        ("a.csv", 4),
        ("b.csv", 2),
    ]


def test_a_file_without_columns_or_rows_is_refused(conn: Conn, tmp_path: Path) -> None:
    empty, foreign = tmp_path / "empty.csv", tmp_path / "foreign.csv"
    empty.touch()
    foreign.write_text("a;b\n1;2\n3;4\n")
    with pytest.raises(CsvRefused) as refused:
        take(conn, empty, foreign)
    missing = "not a registry file: no column for code, first, last, capacity, operator, region"
    assert told(refused.value) == [("empty.csv", 1, "the file is empty"), ("foreign.csv", 1, missing)]


def test_dry_run_tells_what_would_change_and_changes_nothing(conn: Conn, files: list[Path]) -> None:
    with conn.transaction(force_rollback=True):
        assert take(conn, *files).counts.added == 4
    assert number_range.list_sets(conn) == []


def test_the_same_files_again_store_nothing(conn: Conn, files: list[Path]) -> None:
    first = take(conn, *files)
    again = take(conn, *files)
    assert again.set_id is None
    assert again.counts.nothing_new
    assert again.counts.unchanged == 4
    assert [entry.set_id for entry in number_range.list_sets(conn)] == [first.set_id]


def test_diff_names_added_removed_and_changed_ranges(conn: Conn, tmp_path: Path, files: list[Path]) -> None:
    take(conn, *files)
    newer = write(
        tmp_path / "newer.csv",
        [DEF_ROWS[0], DEF_ROWS[1].replace("Второй", "Третий"), "901;0000000;0000009;10;A;Москва;", *ABC_ROWS],
    )
    found = number_range.diff_ranges(conn, files=[newer], country_code="7")
    both_moscow = "г. Москва * Московская область"
    assert found == [
        RangeDifference(
            "changed", 79000062000, 79000062999, "ООО Второй", "ООО Третий", both_moscow, both_moscow
        ),
        RangeDifference(
            "removed", 79000100000, 79000100049, "ООО Второй", None, "Корякский округ|Камчатский край", None
        ),
        RangeDifference("added", 79010000000, 79010000009, None, "A", None, "Москва"),
    ]
    assert len(number_range.list_sets(conn)) == 1


def test_a_new_import_replaces_the_old_one_which_can_come_back(
    conn: Conn, tmp_path: Path, files: list[Path]
) -> None:
    old = take(conn, *files)
    new = take(conn, write(tmp_path / "new.csv", ["901;0000000;0000009;10;A;Москва;"]))
    assert number_range.lookup(conn, number="79000062500") is None
    assert old.set_id is not None
    assert new.set_id is not None
    number_range.use_set(conn, set_id=old.set_id)
    assert number_range.lookup(conn, number="79000062500") is not None
    with pytest.raises(Refused):
        number_range.use_set(conn, set_id=old.set_id)
    with pytest.raises(NotFound):
        number_range.use_set(conn, set_id=999)


def test_only_the_newest_imports_are_kept(conn: Conn, tmp_path: Path) -> None:
    for code in range(901, 907):
        take(conn, write(tmp_path / "f.csv", [f"{code};0000000;0000009;10;A;Москва;"]))
    sets = number_range.list_sets(conn)
    assert [entry.current for entry in sets] == [True, False, False]
    assert database.fetch_value(conn, "SELECT count(DISTINCT set_id) FROM number_range") == 3


def test_regions_are_listed_by_their_one_name_with_spellings(
    conn: Conn, tmp_path: Path, files: list[Path]
) -> None:
    more = write(
        tmp_path / "more.csv",
        [
            "901;0000000;0000009;10;A;Московская обл. и Москва;",
            "901;0000010;0000019;10;A;Тридевятое царство;",
        ],
    )
    done = take(conn, *files, more)
    assert done.unknown_regions == {"Тридевятое царство": 1}
    regions = {entry.region: entry for entry in number_range.list_regions(conn)}
    both = regions["Москва и Московская область"]
    assert (both.ranges, both.numbers, both.known) == (2, 1010, True)
    assert both.texts == ("Московская обл. и Москва", "г. Москва * Московская область")
    assert not regions["Тридевятое царство"].known


@pytest.mark.parametrize("encoding", ["utf-8", "cp1251"])
def test_progress_counts_all_bytes(conn: Conn, tmp_path: Path, encoding: str) -> None:
    file = write(tmp_path / "f.csv", DEF_ROWS, encoding=encoding)
    read: list[int] = []
    number_range.import_ranges(conn, files=[file], country_code="7", progress=read.append)
    assert sum(read) == file.stat().st_size
