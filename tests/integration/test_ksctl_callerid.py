"""ksctl callerid: what an operator types and sees."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fix_ksctl import Ksctl


@pytest.fixture(autouse=True)
def acme(ksctl: Ksctl) -> None:
    ksctl.ok("tenant add acme")


def test_sets_from_birth_to_removal(ksctl: Ksctl) -> None:
    said = ksctl.ok("callerid add city 88001234567 -t acme").stderr
    assert said == "city shows 88001234567 towards every other region\n"
    said = ksctl.ok("callerid", "add", "city", "+74951234567", "-t", "acme", "--region", "г. Москва").stderr
    assert said == "city shows +74951234567 towards Москва\n"
    assert 'no region of the registry is called "Nowhere"' in (
        ksctl.ok("callerid add city 1 -t acme --region Nowhere").stderr
    )
    ksctl.ok("callerid set city 2 -t acme --region Nowhere")
    assert [row["number"] for row in ksctl.ok("callerid list -t acme --set city -o csv").csv] == [
        "88001234567",
        "2",
        "+74951234567",
    ]
    assert ksctl.ok("callerid rm city -t acme --region Nowhere").stderr == "1 numbers removed\n"
    assert ksctl.ok("callerid rm city -t acme --default").stderr == "1 numbers removed\n"
    assert ksctl.ok("callerid rm city -t acme").stderr == "1 numbers removed\n"
    assert ksctl.ok("callerid list -o json").json == []


def test_file_goes_out_and_comes_back(ksctl: Ksctl, tmp_path: Path) -> None:
    text = "set_name,region,number\ncity,,1\ncity,Москва,2\n"
    dry = ksctl.ok("callerid import - -t acme --dry-run", stdin=text)
    assert dry.stdout == "add city\nadd city towards Москва\n"
    assert ksctl.ok("callerid list -o json").json == []
    ksctl.ok("callerid", "import", "-", "-t", "acme", stdin=text)
    file = tmp_path / "sets.csv"
    ksctl.ok("callerid", "export", "-t", "acme", "--to", str(file))
    assert file.read_text(encoding="utf-8") == text
    assert ksctl.ok("callerid export -t acme").stdout == text
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    said = ksctl.ok("callerid", "import", str(file), "-t", "acme").stderr
    assert said == "0 added, 0 changed, 2 unchanged\n"


def test_export_into_a_device_leaves_the_device(ksctl: Ksctl) -> None:
    ksctl.ok("callerid export -t acme --to /dev/null")
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize(
    ("exit_code", "words", "message"),
    [
        (1, "callerid add city x -t acme", "number: up to 20 digits"),
        (2, "callerid add city -t acme", "Missing argument 'NUMBER'"),
        (2, "callerid rm city -t acme --default --region x", "not both"),
        (3, "callerid set city 1 -t acme", 'there is no caller id "city"'),
        (3, "callerid rm city -t acme", 'the tenant has no caller id "city"'),
        (3, "callerid export -t nobody", 'there is no tenant "nobody"'),
    ],
)
def test_refusals(ksctl: Ksctl, exit_code: int, words: str, message: str) -> None:
    assert message in ksctl.fails(exit_code, words)


def test_taken_region_and_wrong_file_are_refused(ksctl: Ksctl, tmp_path: Path) -> None:
    ksctl.ok("callerid add city 1 -t acme")
    assert "a number for this region already" in ksctl.fails(4, "callerid add city 1 -t acme")
    wrong, told = "set_name,region,number\na b,,x\n", tmp_path / "told.csv"
    said = ksctl.fails(1, "callerid", "import", "-", "-t", "acme", "--errors", str(told), stdin=wrong)
    assert '2 wrong rows, nothing was changed\n  line 2: "a b": name of the set' in said
    assert len(told.read_text().splitlines()) == 3
