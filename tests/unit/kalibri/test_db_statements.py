"""Files of named statements: well formed, each statement described and used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kalibri.config import PROJECT_ROOT
from kalibri.db import QUERIES, QueryFileError, parse_statements, where

GOOD = """-- Statements on things.

-- name: one_thing
-- A thing by its id.
SELECT 1;

-- name: other
-- Description of
-- two lines.
SELECT %(x)s;
"""

FILES = sorted(QUERIES.glob("*.sql"))


def test_statements_are_found_by_name() -> None:
    assert parse_statements(GOOD, "x.sql") == {"one_thing": "SELECT 1;", "other": "SELECT %(x)s;"}


@pytest.mark.parametrize(
    "text",
    [
        "-- name: a\nSELECT 1;",
        "-- name: a\n-- Described.\n",
        "-- name: A\n-- Described.\nSELECT 1;",
        "-- name: a\n-- Described.\nSELECT 1;\n-- name: a\n-- Described.\nSELECT 1;",
    ],
    ids=["no description", "no statement", "bad name", "twice"],
)
def test_malformed_file_is_refused(text: str) -> None:
    with pytest.raises(QueryFileError):
        parse_statements(text, "x.sql")


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_every_statement_is_well_formed_and_used(path: Path) -> None:
    files = [
        file
        for package in ("api", "kalibri", "kemi", "rtpproxy_ctl", "sems_apps", "tools")
        for file in (PROJECT_ROOT / package).rglob("*.py")
    ]
    source = "\n".join(file.read_text(encoding="utf-8") for file in files)
    for name in parse_statements(path.read_text(encoding="utf-8"), path.name):
        assert re.search(rf"[\"']{name}[\"']", source), f"{path}: nobody uses {name}"


def test_place_of_a_database_is_told_without_its_password() -> None:
    assert where("host=h dbname=d user=u password=secret") == "host=h dbname=d user=u"
