"""ksctl range: the registry from files to answers, as an operator types it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fix_ksctl import Ksctl

HEADER = "АВС/ DEF;От;До;Емкость;Оператор;Регион;ИНН"
ROWS = [
    "900;0000000;0061999;62000;ООО Первый;Краснодарский край;7743895280",
    "495;0000000;0009999;10000;ПАО МГТС;г. Москва * Московская область;7710016640",
]


def registry(path: Path, *rows: str) -> str:
    path.write_text("\n".join([HEADER, *rows]) + "\n", encoding="cp1251")
    return str(path)


@pytest.fixture
def file(tmp_path: Path) -> str:
    return registry(tmp_path / "DEF-9xx.csv", *ROWS)


def test_import_look_up_and_compare(ksctl: Ksctl, tmp_path: Path, file: str) -> None:
    assert "dry run: 2 ranges added" in ksctl.ok("range", "import", "--dry-run", file).stderr
    assert ksctl.ok("range list -o json").json == []
    assert "2 ranges added" in ksctl.ok("range", "import", file).stderr
    assert "nothing new" in ksctl.ok("range", "import", file).stderr
    (entry,) = ksctl.ok("range list -o json").json
    assert (entry["source"], entry["range_count"], entry["current"]) == ("DEF-9xx.csv", 2, True)
    newer = registry(tmp_path / "newer.csv", ROWS[0].replace("Первый", "Второй"))
    kinds = [(row["kind"], row["first"]) for row in ksctl.ok("range", "diff", newer, "-o", "csv").csv]
    assert kinds == [("removed", "74950000000"), ("changed", "79000000000")]


@pytest.mark.parametrize("number", ["84950001234", "+7 495 000-12-34", "4950001234", "74950001234"])
def test_a_number_may_be_written_as_people_do(ksctl: Ksctl, file: str, number: str) -> None:
    ksctl.ok("range", "import", file)
    found = ksctl.ok("range", "lookup", number, "-o", "json").json
    assert (found["number"], found["region"]) == ("74950001234", "Москва и Московская область")
    assert found["region_text"] == "г. Москва * Московская область"


def test_what_cannot_be_looked_up_says_why(ksctl: Ksctl, file: str) -> None:
    assert "No number ranges were imported" in ksctl.fails(3, "range lookup 74950001234")
    ksctl.ok("range", "import", file)
    assert "no range holds 74990001234" in ksctl.fails(3, "range lookup 74990001234")
    assert "'alice' is not a telephone number" in ksctl.fails(1, "range lookup alice")


def test_a_bad_file_names_its_rows_and_can_write_them_all(ksctl: Ksctl, tmp_path: Path) -> None:
    rows = [f"900;{n:07};{n:07};2;A;Москва;" for n in range(30)]
    bad, errors = registry(tmp_path / "bad.csv", *rows), tmp_path / "errors.csv"
    said = ksctl.fails(1, "range", "import", bad, "--errors", str(errors))
    assert f"{bad}, line 2: capacity is '2', but 0000000-0000000 are 1 numbers" in said
    assert "30 wrong rows, nothing was changed" in said
    assert len(errors.read_text().splitlines()) == 31
    assert ksctl.ok("range list -o json").json == []


def test_regions_are_listed_with_spellings_and_unknown_ones(ksctl: Ksctl, tmp_path: Path, file: str) -> None:
    more = registry(tmp_path / "more.csv", "901;0000000;0000009;10;A;Тридевятое царство;")
    said = ksctl.ok("range", "import", file, more).stderr
    assert 'unknown region "Тридевятое царство" (1 ranges)' in said
    assert [row["region"] for row in ksctl.ok("range regions -o csv").csv] == [
        "Краснодарский край",
        "Москва и Московская область",
        "Тридевятое царство",
    ]
    assert [row["region"] for row in ksctl.ok("range regions --unknown -o csv").csv] == ["Тридевятое царство"]


def test_an_earlier_import_can_be_put_back(ksctl: Ksctl, tmp_path: Path, file: str) -> None:
    ksctl.ok("range", "import", file)
    ksctl.ok("range", "import", registry(tmp_path / "new.csv", "901;0000000;0000009;10;A;Москва;"))
    first = ksctl.ok("range list -o json").json[-1]["set_id"]
    ksctl.ok("range", "use", str(first))
    assert ksctl.ok("range lookup 74950001234 -o json").json["operator"] == "ПАО МГТС"
    assert "in force already" in ksctl.fails(4, "range", "use", str(first))
