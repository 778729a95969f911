"""What an instance was told at its start is found by later commands."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callcore.errors import BadInput
from kalibri import remembered


def remember(home: Path, environ: dict[str, str]) -> None:
    path = remembered.remembered_file(home)
    path.parent.mkdir(exist_ok=True)
    path.write_text(remembered.to_text(environ), encoding="utf-8")


def test_settings_are_found_again_and_the_home_is_where_the_file_lies(tmp_path: Path) -> None:
    remember(tmp_path, {"KALIBRI_PROXY_SIP_PORT": "7060", "KALIBRI_HOME": "/elsewhere", "PATH": "/bin"})
    assert remembered.recall(tmp_path, {"TERM": "x"}) == {
        "KALIBRI_PROXY_SIP_PORT": "7060",
        "KALIBRI_HOME": str(tmp_path),
        "TERM": "x",
    }


def test_what_is_said_now_counts_first(tmp_path: Path) -> None:
    remember(tmp_path, {"KALIBRI_PROXY_SIP_PORT": "7060"})
    found = remembered.recall(tmp_path, {"KALIBRI_PROXY_SIP_PORT": "8060"})
    assert found["KALIBRI_PROXY_SIP_PORT"] == "8060"


def test_an_instance_that_never_ran_remembers_nothing(tmp_path: Path) -> None:
    assert remembered.recall(tmp_path, {}) == {"KALIBRI_HOME": str(tmp_path)}


def test_a_value_of_two_lines_is_refused() -> None:
    with pytest.raises(BadInput, match="KALIBRI_DATABASE_DSN"):
        remembered.to_text({"KALIBRI_DATABASE_DSN": "host=a\nKALIBRI_LOG_LEVEL=debug"})


@given(st.text(st.characters(blacklist_characters="\n\r\0", blacklist_categories=["Cs", "Cc", "Zl", "Zp"])))
def test_any_value_of_one_line_survives(tmp_path_factory: pytest.TempPathFactory, value: str) -> None:
    home = tmp_path_factory.mktemp("home")
    remember(home, {"KALIBRI_DATABASE_DSN": value})
    assert remembered.recall(home, {})["KALIBRI_DATABASE_DSN"] == value


def test_a_shell_reads_the_file_too(tmp_path: Path) -> None:
    remember(tmp_path, {"KALIBRI_DATABASE_DSN": 'host="db 1" user=$HOME`id`\\'})
    script = f'. {remembered.remembered_file(tmp_path)}; printf %s "$KALIBRI_DATABASE_DSN"'
    assert subprocess.check_output(["sh", "-c", script], text=True) == 'host="db 1" user=$HOME`id`\\'
