"""The folder of compiled prompts on one machine, and the system's own prompts in it.

Makes the system's prompts out of conf/prompts/*.yaml and callcore/synthesis.py, needing no database; what has
not changed is not made again. Writes the index (prompt_index.py) last, by rename. One process at a time.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml

from callcore import synthesis
from callcore.errors import BadInput
from kalibri.config import PROJECT_ROOT, Config
from kalibri.files import write_replacing
from kalibri.prompt_audio import Samples, encode, encode_gsm, master, speak
from kalibri.prompt_index import ANY, INDEX, SYSTEM_TENANT, index_key

TEXTS: Final = PROJECT_ROOT / "conf" / "prompts"
#: What of the system's prompts is made, and from which source.
SYSTEM_STATE: Final = "system.json"
#: Changed whenever the same source gives other files.
COMPILER_VERSION: Final = 1
#: So many of the system's prompts are made at a time.
BATCH: Final = 50
#: A call may still be playing a version that is not in the index any more, or be about to.
KEEP_SECONDS: Final = 24 * 3600


@dataclass(frozen=True, slots=True)
class Compiled:
    """A prompt as files."""

    key: str
    #: Below the folder of prompts, without suffix.
    path: str
    duration_ms: int


@dataclass(frozen=True, slots=True)
class _Source:
    """One of the system's prompts, before it is made."""

    language: str
    name: str
    text: str = ""
    voice: str = ""
    words_per_minute: int = 0

    def digest(self, config: Config) -> str:
        """Return what changes whenever the files would."""
        settings = [COMPILER_VERSION, synthesis.VERSION, config.prompt.speech_dbfs, config.prompt.music_dbfs]
        facts = [*settings, self.language, self.name, self.text, self.voice, self.words_per_minute]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]

    def make(self, config: Config) -> Samples:
        if self.text:
            signal = speak(self.text, voice=self.voice, words_per_minute=self.words_per_minute)
            return master(signal, config.prompt.speech_dbfs)
        if self.name in synthesis.MUSIC:
            return master(synthesis.MUSIC[self.name](), config.prompt.music_dbfs)
        return master(synthesis.TONES[self.name](), config.prompt.music_dbfs)


class PromptFolder:
    """The folder; hold it with `locked` while changing it."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.directory = config.prompt_directory

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out."""
        self.directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def has(self, path: str) -> bool:
        """Tell whether a version is compiled; its last file is written last."""
        return self._file(path, 3).exists()

    def write(self, path: str, samples: Samples, gsm: bytes) -> None:
        """Write the files of one version."""
        self._file(path, 0).parent.mkdir(parents=True, exist_ok=True)
        for payload_type, frames in encode(samples).items():
            _write(self._file(path, payload_type), frames)
        _write(self._file(path, 3), gsm)

    def _file(self, path: str, payload_type: int) -> Path:
        return self.directory / f"{path}.{payload_type}"

    # ---------------------------------------------------------------------------------------------- system

    def build_system(self) -> int:
        """Make what has changed of the system's prompts; return how many. Raises BadInput, Unavailable, OSError."""
        state = self._state()
        wanted = {f"{source.language}:{source.name}": source for source in system_sources()}
        new = [name for name, source in wanted.items() if not self._is_made(state.get(name), source)]
        for first in range(0, len(new), BATCH):
            # What is made is noted by and by: who is stopped in between does not begin anew.
            state |= self._make([(name, wanted[name]) for name in new[first : first + BATCH]])
            self._note(state)
        if state.keys() != wanted.keys():
            self._note({name: state[name] for name in wanted})
        return len(new)

    def _make(self, sources: Sequence[tuple[str, _Source]]) -> dict[str, Any]:
        """Make some of the system's prompts; GSM for all of them at once."""
        masters = [source.make(self._config) for _, source in sources]
        made = {}
        for (name, source), samples, gsm in zip(sources, masters, encode_gsm(masters), strict=True):
            digest = source.digest(self._config)
            path = f"{SYSTEM_TENANT}/{source.name}/{source.language}-{digest}"
            self.write(path, samples, gsm)
            length = duration_ms(samples)
            made[name] = {"digest": digest, "path": path, "duration_ms": length, "bytes": len(gsm)}
        return made

    def _note(self, state: Mapping[str, Any]) -> None:
        write_replacing(self.directory / SYSTEM_STATE, json.dumps(state, indent=0).encode())

    def _is_made(self, made: Mapping[str, Any] | None, source: _Source) -> bool:
        if made is None or made["digest"] != source.digest(self._config):
            return False
        try:  # after a power cut files may be there without what was written into them
            return bool(self._file(made["path"], 3).stat().st_size == made["bytes"])
        except OSError:
            return False

    def _state(self) -> dict[str, Any]:
        try:
            state = json.loads((self.directory / SYSTEM_STATE).read_bytes())
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}

    def system(self) -> list[Compiled]:
        """Return the system's prompts that are made."""
        made = ([*name.split(":", 1), entry] for name, entry in self._state().items())
        return [
            Compiled(index_key(SYSTEM_TENANT, language, name), entry["path"], entry["duration_ms"])
            for language, name, entry in made
        ]

    # ----------------------------------------------------------------------------------------------- index

    def write_index(
        self, own: Iterable[Compiled] | None, music: Mapping[str, list[str]] | None, *, seen: str = ""
    ) -> None:
        """Write the index: the system's prompts, and over them those of the database.

        None: the database is away; what the index had of it stays. seen: the database's state, for `seen_state`.
        """
        before = self._index()
        if own is None or music is None:
            keys = before.get("own", [])
            kept = [
                Compiled(key, before["prompts"][key], before["durations_ms"].get(key, 0))
                for key in keys
                if key in before.get("prompts", {})
            ]
            own, music, seen = kept, before.get("music", {}), before.get("seen", "")
        own = list(own)
        every = [*self.system(), *own]
        index = {
            "prompts": {one.key: one.path for one in every},
            "durations_ms": {one.key: one.duration_ms for one in every},
            "music": music,
            "own": [one.key for one in own],
            "seen": seen,
        }
        if index != before:
            write_replacing(self.directory / INDEX, json.dumps(index, sort_keys=True).encode())
        self._sweep({one.path for one in every})

    def seen_state(self) -> str:
        """Return which state of the database the index shows; empty: none."""
        return str(self._index().get("seen", ""))

    def _index(self) -> dict[str, Any]:
        try:
            index = json.loads((self.directory / INDEX).read_bytes())
        except (OSError, ValueError):
            return {}
        return index if isinstance(index, dict) else {}

    def _sweep(self, used: set[str]) -> None:
        """Delete versions that have been out of the index for long."""
        old = time.time() - KEEP_SECONDS
        for file in self.directory.glob("[0-9]*/*/*"):
            path = str(file.relative_to(self.directory).with_suffix(""))
            if path not in used and file.stat().st_mtime < old:
                file.unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> None:
    """Write a file that can be made again: it appears whole, but is not forced to the disk."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(content)
    temporary.rename(path)


def system_sources() -> list[_Source]:
    """Return all prompts of the system: texts of conf/prompts, tones and music. Raises BadInput."""
    sources = [_Source(ANY, name) for name in (*synthesis.TONES, *synthesis.MUSIC)]
    for path in sorted(TEXTS.glob("*.yaml")):
        sources += _texts(path)
    return sources


def _texts(path: Path) -> list[_Source]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        language, voice = str(content["language"]), str(content["voice"])
        speed = int(content["words_per_minute"])
        return [
            _Source(language, str(name), str(text), voice, speed) for name, text in content["prompts"].items()
        ]
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(f"{path}: {' '.join(str(error).split())}") from error


def duration_ms(samples: Samples) -> int:
    """Return how long a master is."""
    return int(np.size(samples)) * 1000 // synthesis.WIDE
