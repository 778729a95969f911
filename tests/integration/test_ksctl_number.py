"""ksctl number: what an operator types and sees."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from tests.support.builders import make_account, make_tenant
from tests.support.fix_ksctl import Ksctl

BLOCK = "74951230000-74951230003"


@pytest.fixture(autouse=True)
def acme(ksctl: Ksctl, db: psycopg.Connection) -> None:
    make_account(db, make_tenant(db, "acme"), "alice")
    db.execute("INSERT INTO gateway (name, host) VALUES ('carrier', '192.0.2.1')")


def test_numbers_from_birth_to_removal(ksctl: Ksctl) -> None:
    assert ksctl.ok(f"number add {BLOCK} --gateway carrier --note DID").stderr == "4 numbers added\n"
    assert ksctl.ok("number reserve +74951230000 -t acme").stderr == "74951230000 reserved for acme\n"
    ksctl.ok("number assign 74951230000 74951230001 -t acme --to account:alice --note main")
    ksctl.ok("number", "port", "74951230003", "--note", "to MTS")
    assert ksctl.ok("number list -o csv").csv[0] == {
        "number": "74951230000",
        "state": "assigned",
        "tenant": "acme",
        "destination": "account:alice",
        "gateway": "carrier",
        "note": "main",
    }
    assert [row["number"] for row in ksctl.ok("number list --state assigned -t acme -o json").json] == [
        "74951230000",
        "74951230001",
    ]
    ksctl.ok("number assign 74951230001 -t acme --to none")
    ksctl.ok("number set 74951230001 --gateway none")
    shown = ksctl.ok("number", "show", "8 (495) 123-00-01", "-o", "json").json
    assert (shown["destination_kind"], shown["gateway"], shown["note"]) == (None, None, "main")
    assert ksctl.ok(f"number free {BLOCK}").stderr == "4 numbers free\n"
    assert ksctl.ok(f"number rm {BLOCK}").stderr == "4 numbers removed\n"
    assert ksctl.ok("number list -o json").json == []


def test_assign_without_a_destination_keeps_it(ksctl: Ksctl) -> None:
    ksctl.ok("number add 7495")
    ksctl.ok("number assign 7495 -t acme --to ivr:hello")
    ksctl.ok("number assign 7495 -t acme --note new")
    assert ksctl.ok("number list -o csv").csv[0]["destination"] == "ivr:hello"


def test_dry_run_changes_nothing(ksctl: Ksctl) -> None:
    said = ksctl.ok(f"number add {BLOCK} --dry-run").stderr
    assert said == "dry run, nothing was changed: 4 numbers added\n"
    assert ksctl.ok("number list -o json").json == []
    ksctl.ok(f"number add {BLOCK}")
    for words in ("assign {} -t acme", "reserve {} -t acme", "port {}", "rm {}", "set {} --note x"):
        ksctl.ok(f"number {words.format(BLOCK)} --dry-run")
    assert {(row["state"], row["note"]) for row in ksctl.ok("number list -o csv").csv} == {("free", "")}


def test_listing_is_limited_and_says_so(ksctl: Ksctl) -> None:
    ksctl.ok(f"number add {BLOCK}")
    outcome = ksctl.ok("number list --limit 3 -o csv")
    assert (len(outcome.csv), outcome.stderr) == (3, "there are more than 3 numbers: --limit 0 shows all\n")
    assert len(ksctl.ok("number list --limit 0 --prefix 7495 -o csv").csv) == 4


def test_file_goes_out_and_comes_back(ksctl: Ksctl, tmp_path: Path) -> None:
    ksctl.ok(f"number add {BLOCK} --gateway carrier")
    ksctl.ok("number assign 74951230000 -t acme --to account:alice")
    text = ksctl.ok("number export").stdout
    file = tmp_path / "numbers.csv"
    ksctl.ok("number", "export", "--to", str(file))
    assert file.read_text() == text
    assert ksctl.ok("number", "import", str(file)).stderr == "0 added, 0 changed, 4 unchanged\n"
    ksctl.ok(f"number free {BLOCK}")
    dry = ksctl.ok("number", "import", str(file), "--dry-run")
    assert dry.stdout == "change 74951230000\n"
    assert ksctl.ok("number import -", stdin=text).stderr == "0 added, 1 changed, 3 unchanged\n"
    assert ksctl.ok("number export").stdout == text


@pytest.mark.parametrize(
    ("exit_code", "words", "message"),
    [
        (2, "number add", "Missing argument"),
        (2, "number add 12", "is no E.164 number"),
        (2, "number add 74951230003-74951230000", "is no range"),
        (2, "number assign 7495", "Missing option '-t' / '--tenant'"),
        (2, "number assign 7495 -t acme --to nothing", 'a number cannot lead to "nothing"'),
        (2, "number set 7495", "give --gateway or --note"),
        (2, "number list --state gone", "'gone' is not one of 'free', 'reserved'"),
        (3, "number assign 7495 -t acme", "not in the inventory: 7495"),
        (3, "number assign 7495 -t nobody", 'there is no tenant "nobody"'),
        (3, "number show 7495", "7495 is not in the inventory"),
        (3, "number lookup 7495", "neither the inventory nor the number ranges hold 7495"),
        (3, "number add 7495 --gateway none", 'there is no gateway "none"'),
        (1, "number show nonsense", "'nonsense' is not a telephone number"),
    ],
)
def test_refusals(ksctl: Ksctl, exit_code: int, words: str, message: str) -> None:
    assert message in ksctl.fails(exit_code, words)


def test_rules_refuse_with_exit_code_4(ksctl: Ksctl) -> None:
    ksctl.ok(f"number add {BLOCK}")
    assert "already in the inventory: 74951230000" in ksctl.fails(4, f"number add {BLOCK}")
    ksctl.ok("number port 74951230000")
    assert "74951230000: the number is ported: cannot reserve it" in (
        ksctl.fails(4, f"number reserve {BLOCK} -t acme")
    )
    ksctl.ok("number assign 74951230001 -t acme")
    assert "free them first: 74951230001 (assigned)" in ksctl.fails(4, f"number rm {BLOCK}")
    said = ksctl.fails(1, "number assign 74951230001 -t acme --to account:bob")
    assert 'the tenant has no account "bob"' in said


def test_wrong_file_is_told_line_by_line(ksctl: Ksctl, tmp_path: Path) -> None:
    file = tmp_path / "errors.csv"
    text = "number,state\n" + "x,free\n" * 30
    said = ksctl.fails(1, "number", "import", "-", "--errors", str(file), stdin=text)
    assert "30 wrong rows, nothing was changed\n  line 2:" in said
    assert "and 10 more" in said
    assert len(file.read_text().splitlines()) == 31
