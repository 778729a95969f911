"""Finds compiled prompts, says numbers, and joins several files into one so that they are heard without a gap.

RTPProxy plays headerless frames from `<path>.<payload type>`, one file at a time, and tells nobody when it is done:
the length is computed from the size. Joined files are kept by the checksum of what is in them. Everything that
touches a disk is done by a worker; the loop only looks into a dictionary.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from callcore import speech
from kalibri.prompt_index import PromptIndex
from sems_apps.host.ports import Clip
from sems_apps.sounds import Sound, SoundKind

log = logging.getLogger("media")

#: Octets of a second by payload type (RFC 3551): G.711, G.722, GSM, G.729.
BYTES_PER_SECOND = {0: 8000, 8: 8000, 9: 8000, 3: 1650, 18: 1000}
JOINED = "joined"

#: (work, done): do it elsewhere and tell the result on the loop; done(None) when it raised.
Submit = Callable[[Callable[[], Any], Callable[[Any], None]], None]
_Key = tuple[int, tuple[Sound, ...], str, int]


class PromptFiles:
    """The prompts of one instance."""

    def __init__(self, folder: Path, submit: Submit) -> None:
        self._joined = folder / JOINED
        self._index = PromptIndex(folder)
        self._lock = threading.Lock()  # workers share the index
        self._submit = submit
        self._clips: dict[_Key, Clip | None] = {}

    def find(
        self,
        tenant: int,
        sounds: tuple[Sound, ...],
        language: str,
        payload_type: int,
        done: Callable[[Clip | None], None],
    ) -> None:
        """Tell the file of these sounds; parts that do not exist are left out, None: not one exists."""
        key = (tenant, sounds, language, payload_type)
        if any(sound.kind is SoundKind.FILE for sound in sounds):  # one call's own: nobody hears it again
            self._submit(lambda: self._resolve(*key), done)
            return
        if key in self._clips:
            done(self._clips[key])
            return

        def keep(clip: Any) -> None:
            self._clips[key] = clip
            done(clip)

        self._submit(lambda: self._resolve(*key), keep)

    def forget(self) -> None:
        """Look at every file anew: prompts may have been changed."""
        self._clips.clear()

    # ---- by a worker

    def _resolve(
        self, tenant: int, sounds: tuple[Sound, ...], language: str, payload_type: int
    ) -> Clip | None:
        with self._lock:
            paths = [path for sound in sounds for path in self._paths(tenant, sound, language)]
        rate = BYTES_PER_SECOND[payload_type]
        if not paths:
            return None
        if len(paths) == 1:
            return Clip(paths[0], os.stat(f"{paths[0]}.{payload_type}").st_size / rate)
        return self._join(paths, payload_type, rate)

    def _paths(self, tenant: int, sound: Sound, language: str) -> list[str]:
        if sound.kind is SoundKind.FILE:
            return [sound.text]
        if sound.kind is SoundKind.MUSIC:
            return [str(found.path) for found in self._index.music(tenant, sound.text, language)]
        found = [self._index.path_of(tenant, name, language) for name in spoken(sound, language)]
        return [str(path) for path in found if path is not None]

    def _join(self, paths: list[str], payload_type: int, rate: int) -> Clip:
        whole = b"".join(Path(f"{path}.{payload_type}").read_bytes() for path in paths)
        target = self._joined / hashlib.sha256(whole).hexdigest()[:32]
        file = Path(f"{target}.{payload_type}")
        if not file.exists():
            self._joined.mkdir(parents=True, exist_ok=True)
            temporary = file.with_name(f"{file.name}.{os.getpid()}.{threading.get_ident()}")
            temporary.write_bytes(whole)
            temporary.rename(file)
        return Clip(str(target), len(whole) / rate)


def spoken(sound: Sound, language: str) -> tuple[str, ...]:
    """Return the prompts that say a sound; what cannot be said is left out."""
    tongue = language if language in speech.LANGUAGES else "en"
    try:
        match sound.kind:
            case SoundKind.POSITION:
                return speech.position(sound.number, tongue)
            case SoundKind.WAIT:
                return speech.wait(sound.number, sound.upper, tongue)
            case SoundKind.DIGITS:
                return speech.digits(sound.text, tongue)
    except speech.BadSpeech as error:
        log.warning("cannot say %s: %s", sound, error.message)
        return ()
    return (sound.text,)
