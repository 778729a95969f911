"""The index directory: CURRENT reads back as written, numbers never repeat, old files go late."""

from __future__ import annotations

from pathlib import Path

import pytest

from kalibri.index_dir import (
    KEEP_SECONDS,
    Current,
    Sweeper,
    file_name,
    next_number,
    read_current,
    write_current,
)
from kalibri.mapped_file import FileCorrupt

FIRST = Current(
    generation=1,
    seq=7,
    routes="routes.000001.ksr",
    directory="directory.000002.ksd",
    system="system.000003.json",
    served={"routes": 9},
)


def test_current_reads_back_as_written(tmp_path: Path) -> None:
    assert read_current(tmp_path) is None
    write_current(tmp_path, FIRST)
    assert read_current(tmp_path) == FIRST
    assert FIRST.files() == {"routes.000001.ksr", "directory.000002.ksd", "system.000003.json"}


def test_following_generation_changes_only_what_is_said() -> None:
    after = FIRST.following(overlay="overlay.000004.json", seq=8)
    assert (after.generation, after.seq, after.routes) == (2, 8, FIRST.routes)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"{", b'{"generation": 1}', b"\xff\xfe"])
def test_senseless_current_is_corrupt_not_absent(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "CURRENT").write_bytes(content)
    with pytest.raises(FileCorrupt):
        read_current(tmp_path)


def test_numbers_are_never_given_twice(tmp_path: Path) -> None:
    assert next_number(tmp_path) == 1
    (tmp_path / file_name("routes", 41)).touch()
    (tmp_path / file_name("overlay", 7)).touch()
    (tmp_path / "routes.999999.txt").touch()
    assert next_number(tmp_path) == 42


def test_files_go_a_minute_after_they_went_out_of_force(tmp_path: Path) -> None:
    old, new, foreign = (
        tmp_path / file_name("routes", 1),
        tmp_path / file_name("routes", 2),
        tmp_path / "note.txt",
    )
    for path in (old, new, foreign):
        path.touch()
    sweeper = Sweeper(tmp_path)
    assert sweeper.removable({old.name, new.name}, now=0, building=False) == []
    assert sweeper.removable({new.name}, now=100, building=False) == []
    assert sweeper.removable({new.name}, now=100 + KEEP_SECONDS - 1, building=False) == []
    assert sweeper.removable({new.name}, now=100 + KEEP_SECONDS, building=False) == [old]


def test_a_file_that_comes_back_into_force_starts_its_time_anew(tmp_path: Path) -> None:
    path = tmp_path / file_name("ranges", 3)
    path.touch()
    sweeper = Sweeper(tmp_path)
    sweeper.removable(set(), now=0, building=False)
    sweeper.removable({path.name}, now=50, building=False)
    assert sweeper.removable(set(), now=KEEP_SECONDS + 1, building=False) == []


def test_unfinished_files_stay_while_something_is_being_built(tmp_path: Path) -> None:
    path = tmp_path / ".routes.000001.ksr.x1.tmp"
    path.touch()
    sweeper = Sweeper(tmp_path)
    assert sweeper.removable(set(), now=0, building=True) == []
    assert sweeper.removable(set(), now=1000, building=True) == []
    sweeper.removable(set(), now=1001, building=False)
    assert sweeper.removable(set(), now=1001 + KEEP_SECONDS, building=False) == [path]
