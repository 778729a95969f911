"""The hash file: what was written is found, what was not is not, and damage never looks like an answer."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalibri import hashfile
from kalibri.hashfile import HashFile
from kalibri.mapped_file import FileCorrupt


def build(path: Path, entries: dict[bytes, bytes]) -> HashFile:
    hashfile.build(path, entries.items())
    return HashFile(path)


def test_every_written_key_is_found_and_no_other(tmp_path: Path) -> None:
    entries = {f"a:{i % 7}:{i}".encode(): f'{{"n": {i}}}'.encode() for i in range(5000)}
    file = build(tmp_path / "f", entries)
    assert len(file) == 5000
    assert all(file.get(key) == value for key, value in entries.items())
    assert file.get(b"a:7:0") is None
    assert dict(file.items()) == entries


def test_empty_file_finds_nothing(tmp_path: Path) -> None:
    file = build(tmp_path / "f", {})
    assert len(file) == 0
    assert file.get(b"") is None


def test_equal_hashes_are_told_apart_by_key(tmp_path: Path) -> None:
    first, second = colliding_keys()
    assert zlib.crc32(first) == zlib.crc32(second)
    file = build(tmp_path / "f", {first: b"1", second: b"2"})
    assert (file.get(first), file.get(second)) == (b"1", b"2")


def colliding_keys() -> tuple[bytes, bytes]:
    """CRC-32 is linear: equal-length messages that differ by a multiple of its polynomial collide."""
    return b"plumless", b"buckeroo"


def test_repeated_key_is_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "f"
    build(path, {b"old": b"1"})
    with pytest.raises(ValueError, match="b'k' twice"):
        hashfile.build(path, [(b"k", b"1"), (b"k", b"2")])
    assert HashFile(path).get(b"old") == b"1"
    assert os.listdir(tmp_path) == ["f"]


def test_source_that_fails_half_way_leaves_the_old_file(tmp_path: Path) -> None:
    def entries():  # type: ignore[no-untyped-def]
        yield b"k", b"v"
        raise RuntimeError("the database went away")

    path = tmp_path / "f"
    build(path, {b"old": b"1"})
    with pytest.raises(RuntimeError):
        hashfile.build(path, entries())
    assert HashFile(path).get(b"old") == b"1"


@settings(max_examples=60, deadline=None)
@given(
    entries=st.dictionaries(st.binary(max_size=40), st.binary(max_size=200), max_size=60),
    probe=st.binary(max_size=40),
)
def test_behaves_as_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, entries: dict[bytes, bytes], probe: bytes
) -> None:
    file = build(tmp_path_factory.mktemp("h") / "f", entries)
    assert dict(file.items()) == entries
    assert file.get(probe) == entries.get(probe)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_flipped_bit_is_never_taken_for_an_answer(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("h") / "f"
    entries = {f"key{i}".encode(): f"value {i}".encode() * 3 for i in range(20)}
    hashfile.build(path, entries.items())
    content = bytearray(path.read_bytes())
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    try:
        damaged = HashFile(path)
        answers = {key: damaged.get(key) for key in entries}
    except FileCorrupt:
        return
    assert answers == entries  # the bit was padding


@pytest.mark.parametrize("keep", [0, 7, 20, 63, 64, -1])
def test_a_cut_file_is_refused(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "f"
    build(path, {b"k": b"v"})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FileCorrupt):
        HashFile(path)


def test_an_open_file_outlives_its_replacement(tmp_path: Path) -> None:
    path = tmp_path / "f"
    old = build(path, {b"k": b"old"})
    new = build(path, {b"k": b"new"})
    assert (old.get(b"k"), new.get(b"k")) == (b"old", b"new")
