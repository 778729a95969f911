"""Prompts and music on hold: upload, versions, removal, and the compiled files on this machine.

The database holds the master of each prompt; every machine compiles its own files from it (`synchronise`, which
ks-rec repeats), so a media host needs nothing but its disk. A tenant's prompt hides the system's of the same
name. Never plays anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from callcore.errors import BadInput, NotFound, Unavailable
from kalibri import db
from kalibri.config import Config
from kalibri.db import Conn
from kalibri.prompt_audio import decode, encode_gsm, from_wav, master, speak, to_wav
from kalibri.prompt_files import Compiled, PromptFolder, duration_ms
from kalibri.prompt_index import ANY, PromptIndex, index_key

SQL = db.statements("prompt")

#: Language → voice of espeak-ng, when none is given.
VOICES = {"en": "en-gb", "zh": "cmn", "no": "nb"}


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One version of a prompt, as it is listed."""

    tenant_id: int
    tenant: str
    prompt_id: int
    name: str
    #: ISO 639 code, or any.
    language: str
    version: int
    #: What was spoken; empty: it was uploaded.
    text: str
    voice: str
    source: str
    duration_ms: int
    created_at: datetime
    created_by: str
    #: This version is heard.
    current: bool

    @property
    def path(self) -> str:
        """Where it is compiled to, below the folder of prompts and without suffix."""
        return f"{self.tenant_id}/{self.name}/{self.language}-{self.version}"


@dataclass(frozen=True, kw_only=True)
class MusicClass:
    """Music on hold by name."""

    tenant_id: int
    tenant: str
    name: str
    prompts: tuple[str, ...]


def list_prompts(
    conn: Conn, *, tenant_id: int | None = None, name: str | None = None, language: str | None = None
) -> list[Prompt]:
    """Return prompts, each version, the newest first; None: whatever it is."""
    return db.fetch_all(conn, Prompt, SQL["list_prompts"], tenant_id=tenant_id, name=name, language=language)


def find(conn: Conn, *, tenant_id: int, name: str, language: str, version: int | None = None) -> Prompt:
    """Return a version of a prompt, None: the current one; raises NotFound."""
    found = list_prompts(conn, tenant_id=tenant_id, name=name, language=language)
    chosen = [one for one in found if (one.current if version is None else one.version == version)]
    return db.require(chosen[0] if chosen else None, "prompt", f"{name} ({language})")


def add(
    conn: Conn,
    config: Config,
    *,
    tenant_id: int,
    name: str,
    language: str = ANY,
    file: Path | None = None,
    text: str = "",
    voice: str | None = None,
    music: bool = False,
    by: str = "",
) -> Prompt:
    """Make a new version of a prompt from an audio file or from text, and compile it on this machine.

    voice: of espeak-ng; None: that of the language. music: at the loudness of music. Raises BadInput, NotFound,
    Unavailable.
    """
    added = store(
        conn,
        config,
        tenant_id=tenant_id,
        name=name,
        language=language,
        file=file,
        text=text,
        voice=voice,
        music=music,
        by=by,
    )
    synchronise(conn, config)
    return added


def store(
    conn: Conn,
    config: Config,
    *,
    tenant_id: int,
    name: str,
    language: str = ANY,
    file: Path | None = None,
    text: str = "",
    voice: str | None = None,
    music: bool = False,
    by: str = "",
) -> Prompt:
    """Do what `add` does without compiling: for who makes more in one transaction, and then calls `synchronise`."""
    if (file is None) == (not text):
        raise BadInput("give either an audio file or a text")
    if text and language == ANY:
        raise BadInput("text is spoken in a language: give it")
    spoken = voice or VOICES.get(language, language)
    signal = speak(text, voice=spoken) if file is None else decode(file)
    samples = master(signal, config.prompt.music_dbfs if music else config.prompt.speech_dbfs)
    with conn.transaction():
        db.execute(conn, SQL["lock_names"], tenant_id=tenant_id)
        db.fetch_value(
            conn,
            SQL["add_prompt"],
            tenant_id=tenant_id,
            name=name,
            language=language,
            text=text,
            voice=spoken if text else "",
            source="" if file is None else file.name,
            duration_ms=duration_ms(samples),
            master=to_wav(samples),
            by=by,
        )
        return find(conn, tenant_id=tenant_id, name=name, language=language)


def remove(
    conn: Conn,
    config: Config,
    *,
    tenant_id: int,
    name: str,
    language: str | None = None,
    version: int | None = None,
) -> int:
    """Remove versions of a prompt (None: all languages, all versions); return how many. Raises NotFound."""
    removed = drop(conn, tenant_id=tenant_id, name=name, language=language, version=version)
    synchronise(conn, config)
    return removed


def drop(
    conn: Conn, *, tenant_id: int, name: str, language: str | None = None, version: int | None = None
) -> int:
    """Do what `remove` does, and leave the files to `synchronise`; raises NotFound."""
    with conn.transaction():
        removed = db.execute(
            conn, SQL["remove_prompts"], tenant_id=tenant_id, name=name, language=language, version=version
        )
        if not removed:
            raise NotFound(f'there is no prompt "{name}"')
    return removed


def wav(conn: Conn, *, prompt_id: int) -> bytes:
    """Return the master of a prompt as WAV; raises NotFound."""
    found = db.fetch_value(conn, SQL["master"], prompt_id=prompt_id)
    return bytes(db.require(found, "prompt", prompt_id))


# --------------------------------------------------------------------------------------------------- music


def list_music(conn: Conn, *, tenant_id: int | None = None, name: str | None = None) -> list[MusicClass]:
    """Return music classes; None: whatever it is."""
    return db.fetch_all(conn, MusicClass, SQL["list_music"], tenant_id=tenant_id, name=name)


def set_music(conn: Conn, config: Config, *, tenant_id: int, name: str, prompts: Sequence[str]) -> MusicClass:
    """Say which prompts a music class plays; raises BadInput, NotFound for one that does not exist."""
    with conn.transaction():
        own = {one.name for owner in (tenant_id, 0) for one in list_prompts(conn, tenant_id=owner)}
        built_in = {one.key.rpartition(":")[2] for one in PromptFolder(config).system()}
        for prompt in prompts:
            if prompt not in own | built_in:
                raise NotFound(f'there is no prompt "{prompt}"')
        db.execute(conn, SQL["set_music"], tenant_id=tenant_id, name=name, prompts=list(prompts))
        found = list_music(conn, tenant_id=tenant_id, name=name)[0]
    synchronise(conn, config)
    return found


def remove_music(conn: Conn, config: Config, *, tenant_id: int, name: str) -> None:
    """Remove a music class; raises NotFound."""
    with conn.transaction():
        if not db.execute(conn, SQL["remove_music"], tenant_id=tenant_id, name=name):
            raise NotFound(f'there is no music "{name}"')
    synchronise(conn, config)


# --------------------------------------------------------------------------------------------------- files


def compile_system(config: Config) -> int:
    """Make the system's prompts that have changed, without the database; return how many.

    Raises BadInput, Unavailable, OSError.
    """
    folder = PromptFolder(config)
    with folder.locked():
        made = folder.build_system()
        folder.write_index(None, None)
    return made


def synchronise(conn: Conn, config: Config) -> int:
    """Compile what the database has and this machine lacks, and write the index; return how many.

    Raises Unavailable, OSError.
    """
    folder = PromptFolder(config)
    with folder.locked():
        seen = state(conn)
        current = [prompt for prompt in list_prompts(conn) if prompt.current]
        missing = [prompt for prompt in current if not folder.has(prompt.path)]
        for prompt in missing:
            samples = from_wav(wav(conn, prompt_id=prompt.prompt_id))
            folder.write(prompt.path, samples, encode_gsm([samples])[0])
        own = [
            Compiled(index_key(one.tenant_id, one.language, one.name), one.path, one.duration_ms)
            for one in current
        ]
        music = {f"{one.tenant_id}:{one.name}": list(one.prompts) for one in list_music(conn)}
        folder.write_index(own, music, seen=seen)
    return len(missing)


def state(conn: Conn) -> str:
    """Return what changes whenever prompts or music change."""
    return str(db.fetch_value(conn, SQL["fingerprint"]))


def is_synchronised(conn: Conn, config: Config) -> bool:
    """Tell whether the index of this machine shows what the database has."""
    return PromptFolder(config).seen_state() == state(conn)


def path_of(config: Config, *, tenant_id: int, name: str, language: str) -> Path:
    """Return where a prompt lies, without the suffix of the payload type; needs no database.

    The tenant's own, else the system's. Raises NotFound, Unavailable (nothing is compiled yet).
    """
    index = PromptIndex(config.prompt_directory)
    found = index.path_of(tenant_id, name, language)
    if found is None and not (config.prompt_directory / "index.json").exists():
        raise Unavailable("no prompts are compiled yet: ksctl prompt compile")
    return db.require(found, "prompt", f"{name} ({language})")
