"""./ksctl from a checkout: the environment of that checkout, wherever the caller stands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kalibri.config import PROJECT_ROOT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of which only the launcher is real."""
    top = tmp_path / "check out"
    make_program(top, "ours")
    shutil.copy(PROJECT_ROOT / "ksctl", top)
    shutil.copy(PROJECT_ROOT / "tools" / "launch.sh", top / "tools")
    return top


def make_program(top: Path, says: str) -> None:
    (top / "tools" / "ksctl").mkdir(parents=True)
    (top / "tools" / "ksctl" / "main.py").write_text(
        f"import os, sys; print({says!r}, sys.argv[1:], os.environ.get('KALIBRI_HOME'))"
    )


def run(checkout: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"]}
    return subprocess.run(
        [checkout / "ksctl", "two words"],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_missing_environment_is_told_with_what_to_do(checkout: Path, tmp_path: Path) -> None:
    outcome = run(checkout, tmp_path)
    assert outcome.returncode == 1
    assert "First: make -C" in outcome.stderr


def test_program_of_the_checkout_runs_wherever_the_caller_stands(checkout: Path, tmp_path: Path) -> None:
    """And no KALIBRI_HOME is made up: it would beat the home of a configuration file."""
    (checkout / ".venv" / "bin").mkdir(parents=True)
    (checkout / ".venv" / "bin" / "python").symlink_to(sys.executable)
    other = tmp_path / "other checkout"
    make_program(other, "theirs")
    for cwd in (checkout, other, tmp_path):
        assert run(checkout, cwd).stdout == "ours ['two words'] None\n"


def test_link_to_the_launcher_works_too(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    link = tmp_path / "bin" / "ksctl"
    link.symlink_to(checkout / "ksctl")
    assert "make -C" in subprocess.run([link], capture_output=True, text=True, check=False).stderr
