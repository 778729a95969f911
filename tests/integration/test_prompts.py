"""Prompts with real PostgreSQL, ffmpeg and espeak-ng: uploaded, versioned, compiled, found without the database."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from callcore import synthesis
from callcore.errors import BadInput, NotFound
from kalibri import prompt_files
from kalibri.config import Config
from kalibri.prompt_audio import master, to_wav
from kalibri.prompt_index import PromptIndex
from kalibri.services import prompt as prompts
from tests.support.fix_ksctl import Ksctl

FEW_TEXTS = """
language: ru
voice: ru
words_per_minute: 150
prompts:
  hello: Здравствуйте
  number-5: пять
"""


@pytest.fixture
def few_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two texts instead of four hundred."""
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "ru.yaml").write_text(FEW_TEXTS, encoding="utf-8")
    monkeypatch.setattr(prompt_files, "TEXTS", folder)
    return folder


@pytest.fixture
def beep(tmp_path: Path) -> Path:
    """An audio file to upload."""
    file = tmp_path / "beep.wav"
    file.write_bytes(to_wav(master(synthesis.tone(0.5, 1000), -12)))
    return file


def test_the_systems_prompts_are_made_once_and_found_without_database(
    few_texts: Path, pg_config: Config
) -> None:
    assert prompts.compile_system(pg_config) == 2 + len(synthesis.TONES) + len(synthesis.MUSIC)
    index = PromptIndex(pg_config.prompt_directory)
    found = index.find(7, "number-5", "ru")
    assert found is not None
    for payload_type, frame in ((0, 160), (8, 160), (9, 160), (3, 33)):
        size = Path(f"{found.path}.{payload_type}").stat().st_size
        assert (size % frame, size // frame * 20) == (0, found.duration_ms)
    assert [one.path.parent.name for one in index.music(7, "nothing of this name")] == ["music-default"]
    assert index.path_of(7, "beep", "ru") is not None
    assert index.path_of(7, "unknown", "ru") is None
    assert prompts.compile_system(pg_config) == 0


def test_only_what_changed_is_made_anew(few_texts: Path, pg_config: Config) -> None:
    prompts.compile_system(pg_config)
    before = prompts.path_of(pg_config, tenant_id=0, name="hello", language="ru")
    (few_texts / "ru.yaml").write_text(FEW_TEXTS.replace("Здравствуйте", "Добрый день"), encoding="utf-8")
    assert prompts.compile_system(pg_config) == 1
    after = prompts.path_of(pg_config, tenant_id=0, name="hello", language="ru")
    assert before != after
    assert Path(f"{before}.8").exists()  # a call may be playing it


def test_a_file_cut_by_a_power_cut_is_made_anew(few_texts: Path, pg_config: Config) -> None:
    prompts.compile_system(pg_config)
    path = prompts.path_of(pg_config, tenant_id=0, name="hello", language="ru")
    Path(f"{path}.3").write_bytes(b"")
    assert prompts.compile_system(pg_config) == 1


def test_a_tenants_prompt_hides_the_systems_until_it_is_removed(
    few_texts: Path, pg_config: Config, ksctl: Ksctl, beep: Path, db: psycopg.Connection
) -> None:
    ksctl.ok("tenant add t1")
    prompts.compile_system(pg_config)
    said = ksctl.ok("prompt", "add", "hello", str(beep), "-t", "t1", "-l", "ru").stderr
    assert said == "prompt hello (ru) version 1, 0.5 s\n"
    ksctl.ok("prompt", "add", "hello", "--text", "Алло", "-t", "t1", "-l", "ru")
    (row,) = ksctl.ok("prompt list -t t1 -o json").json
    assert (row["version"], row["text"], row["current"]) == (2, "Алло", True)
    assert len(ksctl.ok("prompt list -t t1 --all -o json").json) == 2
    tenant = int(row["tenant_id"])
    index = PromptIndex(pg_config.prompt_directory)
    assert index.path_of(tenant, "hello", "ru") == pg_config.prompt_directory / f"{tenant}/hello/ru-2"
    assert index.path_of(0, "hello", "ru") != index.path_of(tenant, "hello", "ru")
    ksctl.ok("prompt rm hello -t t1 --version 2")
    assert index.path_of(tenant, "hello", "ru") == pg_config.prompt_directory / f"{tenant}/hello/ru-1"
    ksctl.ok("prompt rm hello -t t1")
    assert index.path_of(tenant, "hello", "ru") == index.path_of(0, "hello", "ru")
    assert "there is no prompt" in ksctl.fails(3, "prompt rm hello -t t1")


def test_music_of_a_tenant_and_of_its_queue(
    few_texts: Path, pg_config: Config, ksctl: Ksctl, beep: Path
) -> None:
    ksctl.ok("tenant add t1")
    prompts.compile_system(pg_config)
    ksctl.ok("prompt", "add", "jingle", str(beep), "-t", "t1", "--music")
    ksctl.ok("music set sales jingle beep -t t1")
    tenant = ksctl.ok("tenant show t1 -o json").json["tenant_id"]
    index = PromptIndex(pg_config.prompt_directory)
    assert [one.path.parent.name for one in index.music(tenant, "sales")] == ["jingle", "beep"]
    assert [one.path.parent.name for one in index.music(0, "sales")] == ["music-default"]
    assert "there is no prompt" in ksctl.fails(3, "music set sales nothing -t t1")
    ksctl.ok("music rm sales -t t1")
    assert [one.path.parent.name for one in index.music(tenant, "sales")] == ["music-default"]


def test_another_machine_compiles_its_own_files_from_the_database(
    pg_config: Config, db: psycopg.Connection, beep: Path, tmp_path: Path
) -> None:
    prompts.add(db, pg_config, tenant_id=0, name="jingle", file=beep)
    other = Config(home=tmp_path / "other", database=pg_config.database)
    assert not prompts.is_synchronised(db, other)
    assert prompts.synchronise(db, other) == 1
    assert prompts.is_synchronised(db, other)
    ours, theirs = (
        prompts.path_of(config, tenant_id=3, name="jingle", language="en") for config in (pg_config, other)
    )
    for payload_type in (0, 3, 8, 9):
        assert Path(f"{ours}.{payload_type}").read_bytes() == Path(f"{theirs}.{payload_type}").read_bytes()


def test_refusals(pg_config: Config, db: psycopg.Connection, beep: Path) -> None:
    with pytest.raises(BadInput, match="language"):
        prompts.add(db, pg_config, tenant_id=0, name="a", text="hello")
    with pytest.raises(BadInput, match="either"):
        prompts.add(db, pg_config, tenant_id=0, name="a", text="hello", language="en", file=beep)
    with pytest.raises(BadInput, match="name of the prompt"):
        prompts.add(db, pg_config, tenant_id=0, name="../a", file=beep)
    with pytest.raises(NotFound):
        prompts.add(db, pg_config, tenant_id=99, name="a", file=beep)
