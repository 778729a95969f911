"""Prompts: found by the index, spoken as words, joined without a gap, looked at again after a change."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from kalibri.prompt_index import ANY, INDEX, index_key
from sems_apps.host.ports import Clip
from sems_apps.host.prompts import PromptFiles, spoken
from sems_apps.sounds import Sound, digits, music, position, prompt, wait


class Shelf:
    """A folder of prompts and the clips that were found."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = PromptFiles(folder, lambda work, done: done(work()))
        self.prompts: dict[str, str] = {}
        self.music: dict[str, list[str]] = {}

    def put(self, name: str, frames: bytes, *, tenant: int = 0, language: str = ANY) -> None:
        path = f"{tenant}-{language}-{name}"
        (self.folder / f"{path}.8").write_bytes(frames)
        self.prompts[index_key(tenant, language, name)] = path
        index = {"prompts": self.prompts, "durations_ms": {}, "music": self.music}
        (self.folder / INDEX).write_text(json.dumps(index))

    def find(self, *sounds: Sound, tenant: int = 1, language: str = "ru") -> Clip | None:
        found: list[Clip | None] = []
        self.files.find(tenant, sounds, language, 8, found.append)
        [clip] = found
        return clip


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def frames_of(clip: Clip | None) -> bytes:
    assert clip is not None
    return Path(f"{clip.path}.8").read_bytes()


def test_one_prompt_is_played_from_where_it_lies(shelf: Shelf) -> None:
    shelf.put("welcome", b"w" * 1600)
    assert shelf.find(prompt("welcome")) == Clip(str(shelf.folder / "0-any-welcome"), 0.2)


def test_several_are_joined_in_order_and_kept(shelf: Shelf) -> None:
    shelf.put("callback-your-number", b"a" * 160)
    for number in "12":
        shelf.put(f"number-{number}", number.encode() * 160, language="ru")
    first = shelf.find(prompt("callback-your-number"), digits("121"))
    assert frames_of(first) == b"a" * 160 + b"1" * 160 + b"2" * 160 + b"1" * 160
    assert first == shelf.find(prompt("callback-your-number"), digits("121"))


def test_tenant_and_language_come_first(shelf: Shelf) -> None:
    shelf.put("welcome", b"s" * 160)
    shelf.put("welcome", b"t" * 160, tenant=1, language="ru")
    assert frames_of(shelf.find(prompt("welcome"))) == b"t" * 160
    assert frames_of(shelf.find(prompt("welcome"), language="en")) == b"s" * 160
    assert frames_of(shelf.find(prompt("welcome"), tenant=2)) == b"s" * 160


def test_music_of_several_pieces_is_one_loop(shelf: Shelf) -> None:
    shelf.music = {"1:jazz": ["one", "two"]}
    shelf.put("one", b"1" * 160)
    shelf.put("two", b"2" * 160)
    assert frames_of(shelf.find(music("jazz"))) == b"1" * 160 + b"2" * 160


def test_what_is_missing_is_left_out(shelf: Shelf) -> None:
    shelf.put("welcome", b"w" * 160)
    assert frames_of(shelf.find(prompt("nowhere"), prompt("welcome"))) == b"w" * 160
    assert shelf.find(prompt("nowhere")) is None


def test_change_is_seen_when_told(shelf: Shelf) -> None:
    assert shelf.find(prompt("late")) is None
    shelf.put("late", b"l" * 160)
    assert shelf.find(prompt("late")) is None
    shelf.files.forget()
    assert frames_of(shelf.find(prompt("late"))) == b"l" * 160


@pytest.mark.parametrize("language", ["ru", "en"])
def test_position_and_wait_are_words(language: str) -> None:
    assert spoken(position(3), language)[1] == "ordinal-3"
    assert spoken(wait(0, 0), language) == ("wait-less-than-minute",)
    assert spoken(wait(5, 10), language)[0] == "wait-from"
    assert spoken(wait(60, 75), language) == ("wait-more-than-hour",)


def test_what_cannot_be_said_is_left_out() -> None:
    assert spoken(position(0), "ru") == ()
    assert spoken(digits("12a"), "ru") == ()
    assert spoken(prompt("x"), "fr") == ("x",)


def test_joined_files_go_when_nobody_has_used_them_for_a_day(shelf: Shelf, tmp_path: Path) -> None:
    for number in "12":
        shelf.put(f"number-{number}", number.encode() * 160, language="ru")
    paths = [Path(f"{clip.path}.8") for clip in (shelf.find(digits("12")), shelf.find(digits("21"))) if clip]
    for path in paths:
        os.utime(path, (time.time() - 25 * 3600,) * 2)
    later = Shelf(tmp_path)  # a host that has just begun
    later.prompts = shelf.prompts
    assert later.find(digits("12"))
    assert [path.exists() for path in paths] == [True, False]
