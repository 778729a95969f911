"""ksctl ivr: what an operator types and sees; scenarios, hosts, tables, the terminal, drawings."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fix_ksctl import Ksctl

ROOT = Path(__file__).resolve().parents[2]
MENU = """language: en
nodes:
  hello: {kind: play, say: important, next: main}
  main: {kind: menu, say: callback-menu, keys: {1: bye}, tries: 1, on_failure: late}
  late: {kind: play, say: closed, next: bye}
  bye: {kind: hangup, say: goodbye}
"""


@pytest.fixture(autouse=True)
def acme(ksctl: Ksctl) -> None:
    ksctl.ok("tenant add acme --time-zone Europe/Moscow")


@pytest.fixture
def menu(ksctl: Ksctl) -> None:
    ksctl.ok("ivr", "add", "menu", "-", "-t", "acme", stdin=MENU)


def test_a_scenario_from_birth_to_removal(ksctl: Ksctl, menu: None, tmp_path: Path) -> None:
    changed = MENU.replace("important", "thanks")
    assert "version 2" in ksctl.ok("ivr", "add", "menu", "-", "-t", "acme", stdin=changed).stderr
    [row] = ksctl.ok("ivr list -t acme -o csv").csv
    assert (row["name"], row["version"]) == ("menu", "2")
    assert len(ksctl.ok("ivr list --all -o json").json) == 2
    assert ksctl.ok("ivr show menu -t acme -o json").json["version"] == 2
    assert ksctl.ok("ivr export menu -t acme --version 1").stdout == MENU
    file = tmp_path / "out.yaml"
    ksctl.ok(f"ivr export menu -t acme --to {file}")
    assert file.read_text() == changed
    ksctl.ok("ivr rm menu -t acme")
    assert ksctl.fails(3, "ivr export menu -t acme")


def test_mistakes_are_told_with_file_and_line_and_nothing_is_stored(ksctl: Ksctl, tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(MENU.replace("next: main", "next: nowhere").replace("goodbye", "no-such-prompt"))
    outcome = ksctl(f"ivr check {file} -t acme")
    assert outcome.exit_code == 4
    assert f'{file}:3: hello: next: there is no node "nowhere"' in outcome.stdout
    file.write_text(MENU.replace("goodbye", "no-such-prompt"))
    assert (
        'bad.yaml:6: bye: there is no prompt "no-such-prompt" in en'
        in ksctl(f"ivr check {file} -t acme").stdout
    )
    assert ksctl.ok(f"ivr check {file}").stderr == "no mistakes\n"  # of the file alone
    assert "1 mistakes, nothing was stored" in ksctl.fails(1, f"ivr add menu {file} -t acme")
    assert ksctl.ok("ivr list -o json").json == []


#: Makes a mistake at first, and mends it when it is asked again.
EDITOR = """#!/bin/sh
if grep -q nowhere "$1"; then sed -i 's/nowhere/main/; s/important/thanks/' "$1"
else sed -i 's/next: main/next: nowhere/' "$1"; fi
"""


def test_a_scenario_is_changed_in_an_editor(
    ksctl: Ksctl, menu: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "editor"
    script.write_text(EDITOR)
    script.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(script))
    told = ksctl.ok("ivr", "edit", "menu", "-t", "acme", stdin="y\n").stderr
    assert ':3: hello: next: there is no node "nowhere"' in told
    assert "scenario menu version 2" in told
    assert ksctl.ok("ivr export menu -t acme").stdout == MENU.replace("important", "thanks")
    assert ksctl.ok("ivr check --name menu -t acme").stderr == "no mistakes\n"
    monkeypatch.setenv("VISUAL", "true")
    assert ksctl.ok("ivr edit menu -t acme").stderr == "nothing changed\n"
    monkeypatch.setenv("VISUAL", str(script))
    assert "nowhere" in ksctl.fails(1, "ivr", "edit", "menu", "-t", "acme", stdin="n\n")
    assert ksctl.ok("ivr list -t acme -o json").json[0]["version"] == 2


def test_what_leads_to_a_scenario_keeps_it(ksctl: Ksctl, menu: None) -> None:
    other = "nodes: {a: {kind: scenario, scenario: menu, next: b, on_failure: b}, b: {kind: hangup}}"
    ksctl.ok("ivr", "add", "outer", "-", "-t", "acme", stdin=other)
    assert "used by outer" in ksctl.fails(4, "ivr rm menu -t acme")
    ksctl.ok("ivr rm outer -t acme")
    ksctl.ok("number add 74951112233")
    ksctl.ok("number assign 74951112233 -t acme --to ivr:menu")
    assert "number 74951112233 still lead to ivr" in ksctl.fails(4, "ivr rm menu -t acme")


def test_the_terminal_tells_what_would_be_heard(ksctl: Ksctl, menu: None) -> None:
    said = ksctl.ok("ivr", "test", "menu", "-t", "acme", "--keys", "1", "--at", "2026-12-31 20:00").stdout
    assert [line[9:] for line in said.splitlines()] == [
        "— menu/hello: play (by start)",
        "♪ important",
        "— menu/main: menu (by next)",
        "♪ callback-menu",
        "⌨ 1",
        "— menu/bye: hangup (by 1)",
        "♪ goodbye",
        "■ the call ends: hang up",
    ]
    assert said.startswith("20:00:00 ")
    silent = ksctl.ok("ivr", "test", "menu", "-t", "acme", "--keys", "-").stdout
    assert "♪ closed" in silent
    assert "caller hung up" in ksctl.ok("ivr", "test", "menu", "-t", "acme", "--keys", "!").stdout


def test_the_shipped_scenarios_are_imported_and_run(ksctl: Ksctl, tmp_path: Path) -> None:
    for name in ("sales", "support"):
        ksctl.ok(f"queue add {name} -t acme")
    ksctl.ok("domain add acme.example -t acme")
    (tmp_path / "password").write_text("secret password 1\n")
    ksctl.ok(f"account add 100 -t acme --password-file {tmp_path / 'password'}")
    for host in ("billing.example.org", "weather.example.org"):
        ksctl.ok(f"ivr host add {host} -t acme")
    ksctl.ok(
        "ivr", "table", "import", "debts", "-", "-t", "acme", stdin="phone,sum,until\n7495,5.50,2026-12-24\n"
    )
    folder = ROOT / "conf" / "ivr"
    count = len(list(folder.glob("*.yaml")))
    assert f"{count} scenarios stored" in ksctl.ok(f"ivr import {folder} -t acme").stderr
    assert f"0 scenarios stored, {count} unchanged" in ksctl.ok(f"ivr import {folder} -t acme").stderr
    said = ksctl.ok("ivr test debt -t acme --keys 1 --caller 7495").stdout
    assert "♪ ivr-debt number-5 ruble-many number-50 kopeck-many ivr-pay-until" in said
    answer = '--answer=ask={"temperature": 21, "sky": "clear"}'
    said = ksctl.ok("ivr", "test", "weather", "-t", "acme", "--at", "2026-05-02 10:00", answer).stdout
    assert "♪ ivr-weather ordinal-2-n month-5 number-20 number-1 degree-one ivr-sky-clear" in said
    assert "♪ ivr-no-data" in ksctl.ok("ivr", "test", "weather", "-t", "acme", "--answer", "ask=fail").stdout
    closed = ksctl.ok("ivr", "test", "hours", "-t", "acme", "--at", "2026-11-22 12:00").stdout
    assert "♪ closed ivr-opening-hours" in closed
    waits = ksctl.ok("ivr", "test", "hours", "-t", "acme", "--at", "2026-11-24 12:00", "--keys", "15").stdout
    assert "… waits in the queue sales" in waits


def test_hosts_and_tables(ksctl: Ksctl) -> None:
    ksctl.ok("ivr host add CRM.example.org -t acme --port 8443 --private")
    [host] = ksctl.ok("ivr host list -t acme -o json").json
    assert (host["host"], host["port"], host["private"]) == ("crm.example.org", 8443, True)
    assert "is no host name" in ksctl.fails(1, "ivr host add https://x -t acme")
    ksctl.ok("ivr host rm crm.example.org -t acme --port 8443")
    assert ksctl.fails(3, "ivr host rm crm.example.org -t acme --port 8443")
    ksctl.ok("ivr", "table", "import", "t", "-", "-t", "acme", stdin="key;a\n1;x\n2;y\n")
    assert ksctl.ok("ivr table export t -t acme").stdout == "key,a\n1,x\n2,y\n"
    ksctl.ok("ivr", "table", "import", "t", "-", "-t", "acme", stdin="key,b\n3,z\n")
    assert ksctl.ok("ivr table list -t acme -o json").json[0]["columns"] == ["key", "b"]
    wrong = ksctl.fails(1, "ivr", "table", "import", "t", "-", "-t", "acme", stdin="key,b\n3,z\n3,w\n,v\n4\n")
    for line in ("line 3: the key", "line 4: a key has", "line 5: 1 fields"):
        assert line in wrong
    assert ksctl.ok("ivr table export t -t acme").stdout == "key,b\n3,z\n"
    ksctl.ok("ivr table rm t -t acme")


@pytest.mark.parametrize(("suffix", "begin"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("dot", b"digraph")])
def test_a_drawing(ksctl: Ksctl, menu: None, tmp_path: Path, suffix: str, begin: bytes) -> None:
    file = tmp_path / f"menu.{suffix}"
    ksctl.ok(f"ivr show menu -t acme --graph {file}")
    assert file.read_bytes().startswith(begin)
    assert "ends with .svg" in ksctl.fails(1, f"ivr show menu -t acme --graph {tmp_path / 'menu.gif'}")
