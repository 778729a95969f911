"""ksctl as a whole: exit codes, what goes to stdout and to stderr, configuration, completion."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kalibri.config import PROJECT_ROOT
from kalibri.remembered import remembered_file, to_text
from tests.support.fix_ksctl import Ksctl
from tools.ksctl.main import COMMANDS


def test_help_lists_a_noun_for_each_file(ksctl: Ksctl) -> None:
    text = ksctl.ok("--help").stdout
    for noun in (path.stem for path in COMMANDS.glob("[a-z]*.py")):
        assert f"\n  {noun} " in text


def test_every_command_has_help(ksctl: Ksctl) -> None:
    from tools.ksctl.main import cli

    for noun in cli.list_commands(None):  # type: ignore[arg-type]
        command = cli.get_command(None, noun)  # type: ignore[arg-type]
        assert command is not None
        verbs = getattr(command, "commands", {})
        for words in [[noun], *([noun, verb] for verb in verbs)]:
            outcome = ksctl(*words, "--help")
            assert outcome.exit_code == 0
            assert len(outcome.stdout.split("\n\n")) >= 3, f"{words} does not say what it does"


@pytest.mark.parametrize(
    ("exit_code", "words", "message"),
    [
        (2, "nonsense", "No such command 'nonsense'"),
        (2, "tenant add", "Missing argument 'NAME'"),
        (2, "--set x tenant list", "write KEY=VALUE"),
        (1, "--set proxy.sip_port=x tenant list", "ksctl: command line: proxy.sip_port is 'x'"),
        (1, "--config /nowhere tenant list", "ksctl: /nowhere: cannot be read"),
        (3, "tenant show nobody", 'ksctl: there is no tenant "nobody"'),
        (4, "tenant rm system", "ksctl: the system itself cannot be removed"),
        (4, "tenant add system", "ksctl: a tenant of this name exists already"),
        (1, "tenant add UPPER", "ksctl: name of the tenant: 1 to 63 lower-case"),
        (1, "tenant add a --time-zone Mars/Base", 'ksctl: there is no time zone "Mars/Base"'),
    ],
)
def test_refusals(ksctl: Ksctl, exit_code: int, words: str, message: str) -> None:
    assert message in ksctl.fails(exit_code, words)


def test_database_that_is_away_is_an_error_in_one_line() -> None:
    stderr = Ksctl({"KALIBRI_HOME": "/nowhere"}).fails(1, "tenant list")
    assert stderr.startswith("ksctl: PostgreSQL cannot be reached (host=/nowhere/pg")
    assert stderr.count("\n") == 1


def test_home_of_the_command_line_leads_to_its_database(tmp_path: Path) -> None:
    stderr = Ksctl({"KALIBRI_HOME": "/nowhere"}).fails(1, f"--home {tmp_path}/other tenant list")
    assert f"host={tmp_path}/other/pg" in stderr


def test_what_the_instance_was_told_at_its_start_counts_in_every_shell(tmp_path: Path, pg_dsn: str) -> None:
    remembered_file(tmp_path).parent.mkdir()
    remembered_file(tmp_path).write_text(to_text({"KALIBRI_DATABASE_DSN": pg_dsn}))
    later = Ksctl({"KALIBRI_HOME": str(tmp_path)})
    assert later.ok("tenant list -o json").json[0]["name"] == "system"
    # What is said now goes first.
    assert "host=/nowhere" in later.fails(1, "--set database.dsn=host=/nowhere tenant list")


def test_tenants_from_birth_to_removal(ksctl: Ksctl) -> None:
    assert ksctl.ok("tenant add acme --realm sip.acme.example --time-zone Europe/Moscow").stdout == ""
    assert ksctl.ok("tenant set acme --max-calls 30 --disable").stderr == "tenant acme changed\n"
    shown = ksctl.ok("tenant show acme -o json").json
    assert (shown["realm"], shown["max_calls"], shown["enabled"]) == ("sip.acme.example", 30, False)
    ksctl.ok("tenant set acme --max-calls none --enable")
    assert [row["max_calls"] for row in ksctl.ok("tenant list -o csv").csv] == ["", ""]
    ksctl.ok("tenant rm acme")
    assert [row["name"] for row in ksctl.ok("tenant list -o json").json] == ["system"]


def test_closed_pipe_is_no_traceback(pg_dsn: str, tmp_path: Path) -> None:
    environment = {
        "KALIBRI_DATABASE_DSN": pg_dsn,
        "PYTHONPATH": str(PROJECT_ROOT),
        "KALIBRI_HOME": str(tmp_path),
    }
    command = [sys.executable, "-m", "tools.ksctl.main", "tenant", "list"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 1


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_is_printed(ksctl: Ksctl, shell: str) -> None:
    assert "_KSCTL_COMPLETE" in ksctl.ok(f"completion {shell}").stdout


def test_verbs_are_completed(ksctl: Ksctl) -> None:
    environment = {"COMP_WORDS": "ksctl tenant l", "COMP_CWORD": "2", "_KSCTL_COMPLETE": "bash_complete"}
    command = [sys.executable, "-m", "tools.ksctl.main"]
    done = subprocess.run(
        command, cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["plain,list"]
