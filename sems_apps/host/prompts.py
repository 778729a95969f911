"""Finds compiled prompts, and joins several into one file so that they are heard without a gap.

RTPProxy plays headerless frames from `<path>.<payload type>`, one file at a time, and tells nobody when it is done:
the length is computed from the size. Joined files are kept by the checksum of what is in them. Files are read and
written by a worker, never on the loop.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sems_apps.host.ports import Clip
from sems_apps.sounds import Sound

log = logging.getLogger("media")

#: Octets of a second by payload type (RFC 3551): G.711, G.722, GSM, G.729.
BYTES_PER_SECOND = {0: 8000, 8: 8000, 9: 8000, 3: 1650, 18: 1000}
JOINED = "joined"

#: (work, done): do it elsewhere and tell the result on the loop; done(None) when it raised.
Submit = Callable[[Callable[[], Any], Callable[[Any], None]], None]
#: Names of the prompts that say a sound in a language.
Speak = Callable[[Sound, str], list[str]]
#: Path of a prompt without the payload type: (tenant, name, language); None: there is none.
Locate = Callable[[int, str, str], str | None]


class PromptFiles:
    """The prompts of one instance."""

    def __init__(self, folder: Path, locate: Locate, speak: Speak, submit: Submit) -> None:
        self._joined = folder / JOINED
        self._locate, self._speak, self._submit = locate, speak, submit
        #: What was looked at already, by paths and payload type.
        self._clips: dict[tuple[tuple[str, ...], int], Clip] = {}

    def find(
        self,
        tenant: int,
        sounds: tuple[Sound, ...],
        language: str,
        payload_type: int,
        done: Callable[[Clip | None], None],
    ) -> None:
        """Tell the file of these sounds; parts that do not exist are left out, None: not one exists."""
        names = [name for sound in sounds for name in self._speak(sound, language)]
        found = [self._locate(tenant, name, language) for name in names]
        paths = tuple(path for path in found if path is not None)
        if not paths:
            done(None)
            return
        clip = self._clips.get((paths, payload_type))
        if clip is not None:
            done(clip)
            return

        def keep(made: Any) -> None:
            if made is not None:
                self._clips[paths, payload_type] = made
            done(made)

        self._submit(lambda: self._make(paths, payload_type), keep)

    def forget(self) -> None:
        """Look at every file anew: prompts were changed."""
        self._clips.clear()

    def _make(self, paths: tuple[str, ...], payload_type: int) -> Clip:
        """Measure one file, or join several; in a worker. Raises OSError."""
        rate = BYTES_PER_SECOND[payload_type]
        if len(paths) == 1:
            return Clip(paths[0], os.stat(f"{paths[0]}.{payload_type}").st_size / rate)
        parts = [Path(f"{path}.{payload_type}").read_bytes() for path in paths]
        whole = b"".join(parts)
        target = self._joined / hashlib.sha256(whole).hexdigest()[:32]
        file = Path(f"{target}.{payload_type}")
        if not file.exists():
            self._joined.mkdir(parents=True, exist_ok=True)
            temporary = file.with_name(f"{file.name}.{os.getpid()}")
            temporary.write_bytes(whole)
            temporary.rename(file)
        return Clip(str(target), len(whole) / rate)


class PromptIndex:
    """The directory of prompts, `index.json`: read again when it was replaced."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "index.json"
        self._folder = folder
        self._stamp: tuple[int, int] | None = None
        self._prompts: dict[tuple[int, str, str], str] = {}

    def locate(self, tenant: int, name: str, language: str) -> str | None:
        """Return the path of a prompt: the tenant's own, else the system's; in this language, else in none."""
        for owner in (tenant, 0):
            for spoken in (language, ""):
                path = self._prompts.get((owner, name, spoken))
                if path is not None:
                    return path
        return None

    def refresh(self) -> bool:
        """Read the directory if it was replaced; tell whether it was. Called about once a second, by a worker."""
        try:
            status = self._file.stat()
            stamp = (status.st_ino, status.st_mtime_ns)
            if stamp == self._stamp:
                return False
            content = json.loads(self._file.read_text(encoding="utf-8"))
            self._prompts = {
                (int(item["tenant"]), item["name"], item["language"]): str(self._folder / item["path"])
                for item in content["prompts"]
            }
        except FileNotFoundError:
            return False
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.error("the directory of prompts cannot be read: %s", error)
            return False
        self._stamp = stamp
        return True
