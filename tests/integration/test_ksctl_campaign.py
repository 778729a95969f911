"""ksctl campaign, lead and dnc: what an operator types and sees; ks_caller beside them."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from click.testing import CliRunner

from kalibri.config import Config
from kalibri.db import connect
from tests.support import fix_dial
from tests.support.fix_ksctl import Ksctl
from tools import ks_caller


@pytest.fixture(autouse=True)
def acme(ksctl: Ksctl, pg_config: Config) -> None:
    with connect(pg_config, application_name="test") as conn:
        fix_dial.acme(conn)
        fix_dial.ready_prompt(conn)


def add_spring(ksctl: Ksctl) -> None:
    ksctl.ok(
        "campaign", "add", "spring", "-t", "acme", "--mode", "broadcast", "--prompt", "hello", "--purpose", "news",
        "--hours", "mon-sun 00:00-24:00",
    )  # fmt: skip


def test_a_campaign_from_birth_to_stop(ksctl: Ksctl, tmp_path: Path) -> None:
    add_spring(ksctl)
    said = ksctl.ok(
        "campaign edit spring -t acme --lines 30 --key 2=queue:sales --key 9=opt_out --load-limit 2"
    ).stderr
    assert said == "campaign spring: broadcast, stopped\n"
    shown = ksctl.ok("campaign show spring -t acme -o json").json
    assert (shown["lines"], shown["load_resume"]) == (30, 1.8)
    assert shown["keys"] == {"2": {"action": "queue", "queue": "sales"}, "9": {"action": "opt_out"}}
    file = tmp_path / "people.csv"
    file.write_text("id,phone,consent\n1,84951234567,form\n2,x,form\n3,84951234568,\n")
    errors = tmp_path / "errors.csv"
    words = ["lead", "import", "spring", str(file), "-t", "acme", "--errors", str(errors), "-o", "json"]
    dry = ksctl.ok(*words, "--dry-run")
    assert dry.stderr == "dry run, nothing was changed\n"
    assert dry.json == ksctl.ok(*words).json
    assert (dry.json["valid"], dry.json["bad"], dry.json["no_consent"]) == (2, 1, 1)
    assert list(csv.reader(errors.read_text().splitlines())) == [
        ["line", "kind", "message"],
        ["3", "bad", "'x' is not a telephone number"],
    ]
    assert ksctl.ok("campaign start spring -t acme").stderr == "campaign spring: broadcast, running\n"
    assert "cannot start" in ksctl("campaign start spring -t acme").stderr
    status = ksctl.ok("campaign status spring -t acme -o json").json
    assert [(row["waiting"], row["reason"]) for row in status] == [(2, "no_host")]
    assert "ks-dial" in ksctl.ok("campaign why spring -t acme").stderr
    assert [row["number"] for row in ksctl.ok("campaign leads spring -t acme -o json").json] == [
        "74951234567",
        "74951234568",
    ]
    shown = ksctl.ok("lead show spring 3 -t acme -o json").json
    assert shown["obstacles"] == ["no_consent"]
    assert "1,74951234567," in ksctl.ok("campaign export spring -t acme").stdout
    report = ksctl.ok("campaign report spring -t acme -o json").json
    assert [(row["name"], row["leads"]) for row in report["lists"]] == [("people", 2)]
    assert ksctl.ok("lead rm spring 3 -t acme").stderr == "1 leads removed\n"
    assert ksctl.ok("lead retry spring 3 -t acme").stderr == "1 leads wait again\n"
    ksctl.ok("lead add spring 84951234569 -t acme --id 4 --consent form --var city=Omsk")
    assert len(ksctl.ok("lead list spring -t acme -o json").json) == 3
    assert ksctl.ok("campaign stop spring -t acme").stderr == "campaign spring: broadcast, stopped\n"


def test_pools_admission_and_retry_tables(ksctl: Ksctl) -> None:
    add_spring(ksctl)
    ksctl.ok("campaign callerid set spring 74950000001 -t acme --daily-cap 100")
    ksctl.ok("campaign", "callerid", "set", "spring", "73810000001", "-t", "acme", "--region", "Омская обл.")
    rows = ksctl.ok("campaign callerid list spring -t acme -o json").json
    assert [(row["number"], row["region"], row["used_today"]) for row in rows] == [
        ("74950000001", "", 0),
        ("73810000001", "Омская область", 0),
    ]
    ksctl.ok("campaign callerid rm spring 74950000001 -t acme")
    ksctl.ok("campaign admission set spring low -t acme --max-queue-percent 10 --min-free-agents 2")
    rows = ksctl.ok("campaign admission list spring -t acme -o json").json
    assert [row["max_queue_percent"] for row in rows] == [10, 70, 99, 1000]
    ksctl.ok("campaign retry copy default mine -t acme")
    ksctl.ok(
        "campaign",
        "retry",
        "set",
        "mine",
        "90",
        "-t",
        "acme",
        "--delay-seconds",
        "60",
        "--hours",
        "mon 18:00-19:00",
    )
    rule = next(row for row in ksctl.ok("campaign retry list mine -o json").json if row["position"] == 90)
    assert (rule["delay_seconds"], rule["outcome"], rule["hours"]) == (60, "busy", "mon 18:00-19:00")
    ksctl.ok("campaign edit spring -t acme --retry-table mine")
    refused = ksctl("campaign retry rm mine -t acme")
    assert (refused.exit_code, "spring" in refused.stderr) == (4, True)
    ksctl.ok("campaign edit spring -t acme --retry-table default")
    ksctl.ok("campaign retry rm mine -t acme")


def test_do_not_call_lists(ksctl: Ksctl) -> None:
    add_spring(ksctl)
    ksctl.ok("dnc", "add", "8 495 123-45-67", "--until", "31.12.2030")
    ksctl.ok("dnc add 84951234568 -t acme --campaign spring --note asked")
    text = "number,expires_at\n84951234567,\n84951234569,\n"
    assert ksctl.ok("dnc import - --dry-run", stdin=text).stderr == (
        "dry run, nothing was changed: 1 added, 1 known\n"
    )
    ksctl.ok("dnc import -", stdin=text)
    rows = ksctl.ok("dnc list -o json").json
    assert [(row["number"], row["scope"], row["expires_at"]) for row in rows] == [
        ("74951234567", "global", None),
        ("74951234568", "campaign", None),
        ("74951234569", "global", None),
    ]
    refused = ksctl("lead add spring 84951234567 -t acme")
    assert (refused.exit_code, "do-not-call list (global)" in refused.stderr) == (4, True)
    assert ksctl("dnc import -", stdin="number\nnobody\n").exit_code == 1
    ksctl.ok("dnc rm 84951234567")
    ksctl.ok("lead add spring 84951234567 -t acme")


def test_the_pacing_can_be_tried_without_people(ksctl: Ksctl, tmp_path: Path) -> None:
    ksctl.ok("campaign add fast -t acme --mode predictive --queue sales --pacing warm_up_answers=10")
    words = "campaign simulate fast -t acme --agents 3 --hours 1 --seeds 1 --answer-percent 50 -o json"
    (predictive,) = ksctl.ok(words).json
    ksctl.ok("campaign edit fast -t acme --mode progressive")
    (progressive,) = ksctl.ok(words).json
    assert predictive["occupancy_pct"] > progressive["occupancy_pct"] > 0
    assert progressive["abandoned_pct"] == 0
    assert predictive["abandoned_pct"] <= 3
    drawn = tmp_path / "pacing.png"
    assert ksctl.ok(*words.split(), "--plot", str(drawn)).stderr == f"drawn to {drawn}\n"
    assert drawn.read_bytes().startswith(b"\x89PNG")
    ksctl.ok("campaign edit fast -t acme --mode preview")
    assert "has no pacing" in ksctl.fails(1, words)


@pytest.mark.parametrize(
    ("exit_code", "words", "message"),
    [
        (3, "campaign show none -t acme", 'there is no campaign "none"'),
        (1, "campaign add x -t acme --mode predictive", "only a broadcast does without a queue"),
        (1, "campaign add x -t acme --mode broadcast", "a broadcast needs a prompt"),
        (3, "campaign add x -t acme --mode preview --queue nosuch", 'no queue "nosuch"'),
        (1, "campaign add x -t acme --mode preview --queue sales --hours noon", "hours, position 1"),
        (1, "campaign add x -t acme --mode preview --queue sales --key 1=dance", "the action is one of"),
        (1, "campaign add x -t acme --mode preview --queue sales --unknown-zone Mars", "unknown time zone"),
        (3, "campaign add x -t acme --mode preview --queue sales --retry-table none", "no retry table"),
        (2, "campaign edit x -t acme", "say what to change"),
    ],
)
def test_refusals(ksctl: Ksctl, exit_code: int, words: str, message: str) -> None:
    result = ksctl(words)
    assert (result.exit_code, message in result.stderr) == (exit_code, True), result.stderr


def test_ks_caller(ksctl: Ksctl, pg_dsn: str, tmp_path: Path) -> None:
    add_spring(ksctl)
    environment = {"KALIBRI_DATABASE_DSN": pg_dsn, "KALIBRI_HOME": str(tmp_path)}

    def call(*words: str) -> tuple[int, str]:
        result = CliRunner(env=environment).invoke(ks_caller.main, words)
        return result.exit_code, result.output

    assert call("start", "spring") == (
        0,
        "campaign spring: running; 0 leads wait, 0 are being called, 0 are done (0 reached); no_leads\n",
    )
    assert call("pause", "spring")[1].startswith("campaign spring: paused;")
    assert call("stop", "spring")[0] == 0
    assert call("stop", "spring") == (4, "ks_caller: a campaign that is stopped cannot stop\n")
    assert call("start", "none")[0] == 3
