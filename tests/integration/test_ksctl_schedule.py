"""ksctl schedule: what an operator types and sees."""

from __future__ import annotations

import pytest

from tests.support.fix_ksctl import Ksctl

ADD = ("schedule", "add", "work", "-t", "acme", "--hours", "mon-fri 09:00-18:00")


@pytest.fixture(autouse=True)
def acme(ksctl: Ksctl) -> None:
    ksctl.ok("tenant add acme --time-zone Europe/Moscow")


def test_schedule_from_birth_to_removal(ksctl: Ksctl) -> None:
    days = ("--holiday", "2027-01-01..2027-01-08", "--holiday", "2027-05-09")
    done = ksctl.ok(*ADD, *days, "--on-holidays", "open")
    assert done.stderr == "schedule work added: mon-fri 09:00-18:00 (Europe/Moscow), 9 holidays\n"
    [row] = ksctl.ok("schedule list -o csv").csv
    assert row == {
        "tenant": "acme",
        "name": "work",
        "time_zone": "Europe/Moscow",
        "hours": "mon-fri 09:00-18:00",
        "holidays": "9",
        "on_holidays": "open",
        "routes": "0",
    }
    ksctl.ok("schedule set work -t acme --rm-holiday 2027-01-02..2027-01-08 --time-zone Asia/Omsk")
    shown = ksctl.ok("schedule show work -t acme -o json").json
    assert (shown["holidays"], shown["time_zone"]) == (["2027-01-01", "2027-05-09"], "Asia/Omsk")
    assert "2027-01-01 2027-05-09" in ksctl.ok("schedule show work -t acme").stdout
    ksctl.ok("schedule rm work -t acme")
    assert ksctl.ok("schedule list -t acme -o json").json == []


def test_test_tells_open_or_closed_and_until_when(ksctl: Ksctl) -> None:
    ksctl.ok(*ADD)
    told = ksctl.ok("schedule test work -t acme --at 2026-11-23T10:00 -o json").json
    assert (told["open"], told["at"], told["until"], told["why"]) == (
        True,
        "2026-11-23T10:00:00+03:00",
        "2026-11-23T18:00:00+03:00",
        "",
    )
    lines = ksctl.ok("schedule test work -t acme --at 2026-11-23T17:00+00:00").stdout.splitlines()
    shown = {" ".join(line.split()) for line in lines}
    assert "open no" in shown
    assert "until 2026-11-24 09:00:00+03:00" in shown
    assert "why schedule 'work' is closed on mon 2026-11-23 20:00 Europe/Moscow" in shown
    now = ksctl.ok("schedule test work -t acme -o json").json
    assert now["until"] > now["at"]


@pytest.mark.parametrize(
    ("exit_code", "words", "message"),
    [
        (1, "schedule add x -t acme --hours nonsense", "hours, position 1: expected a day"),
        (1, "schedule set work -t acme --hours mon", "expected a time"),
        (2, "schedule add x -t acme", "Missing option '--hours'"),
        (2, "schedule add x --hours x", "Missing option '-t' / '--tenant'"),
        (2, "schedule set work -t acme --add-holiday 1.1.2027", "is no day: write 2027-01-01"),
        (2, "schedule set work -t acme --add-holiday 2027-01-02..2027-01-01", "the first one first"),
        (2, "schedule set work -t acme --add-holiday 2027-01-01..2037-01-01", "at most 366 days"),
        (2, "schedule test work -t acme --at noon", "is no time: write 2026-11-22T10:30"),
        (2, "schedule test work -t acme --at 0001-01-01", "the year must be 1970 to 8999"),
        (3, "schedule test nothing -t acme", 'there is no schedule "nothing"'),
        (3, "schedule list -t nobody", 'there is no tenant "nobody"'),
    ],
)
def test_refusals(ksctl: Ksctl, exit_code: int, words: str, message: str) -> None:
    ksctl.ok(*ADD)
    assert message in ksctl.fails(exit_code, words)


def test_name_that_is_taken_is_refused(ksctl: Ksctl) -> None:
    ksctl.ok(*ADD)
    assert "the tenant has a schedule of this name already" in ksctl.fails(4, *ADD)
