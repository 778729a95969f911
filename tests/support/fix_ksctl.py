"""ksctl in tests: the real command line in this process, on the test's fresh database."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tools.ksctl.main import cli


@dataclass(frozen=True)
class Outcome:
    """What a run of ksctl left behind."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Standard output, read as JSON."""
        return json.loads(self.stdout)

    @property
    def csv(self) -> list[dict[str, str]]:
        """Standard output, read as CSV."""
        return list(csv.DictReader(io.StringIO(self.stdout)))


class Ksctl:
    """Runs ksctl: `ksctl("tenant list -o json")`, or with the arguments one by one."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment

    def __call__(self, *arguments: str, stdin: str | bytes | None = None) -> Outcome:
        """Run it; one argument is split at spaces."""
        words = arguments[0].split() if len(arguments) == 1 else list(arguments)
        result = CliRunner(env=self._environment).invoke(cli, words, input=stdin, prog_name="ksctl")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Outcome(result.exit_code, result.stdout, result.stderr)

    def ok(self, *arguments: str, stdin: str | bytes | None = None) -> Outcome:
        """Run it and insist on success."""
        outcome = self(*arguments, stdin=stdin)
        assert outcome.exit_code == 0, outcome.stderr
        return outcome

    def fails(self, exit_code: int, *arguments: str, stdin: str | bytes | None = None) -> str:
        """Run it, insist on this exit code and on an empty stdout; return what it said."""
        outcome = self(*arguments, stdin=stdin)
        assert (outcome.exit_code, outcome.stdout) == (exit_code, ""), outcome
        return outcome.stderr


@pytest.fixture
def ksctl(pg_dsn: str, tmp_path: Path) -> Ksctl:
    """ksctl on a fresh database."""
    return Ksctl({"KALIBRI_DATABASE_DSN": pg_dsn, "KALIBRI_HOME": str(tmp_path)})
