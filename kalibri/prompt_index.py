"""How a media host finds prompts without the database: <home>/prompts/index.json, replaced by rename.

    {"prompts": {"<tenant>:<language>:<name>": "<tenant>/<name>/<version>"}, "durations_ms": {the same keys: ms},
     "music": {"<tenant>:<class>": ["<prompt name>", …]}}

A path is below the folder of prompts and has no suffix: RTPProxy adds `.0`, `.8`, `.9` or `.3`, the payload type.
Only reads; kalibri/services/prompt.py writes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

INDEX = "index.json"
#: The owner whose prompts are for everybody.
SYSTEM_TENANT = 0
#: Language of what is the same in every language: tones and music.
ANY = "any"
DEFAULT_MUSIC = "default"


def index_key(tenant_id: int, language: str, name: str) -> str:
    """Return the key of a prompt in the index."""
    return f"{tenant_id}:{language}:{name}"


@dataclass(frozen=True, slots=True)
class Found:
    """A prompt that can be played."""

    #: Absolute path without suffix, as the P command of RTPProxy wants it.
    path: Path
    duration_ms: int


@dataclass
class PromptIndex:
    """The index, read again when it has changed: one stat a look-up."""

    directory: Path
    _signature: tuple[int, ...] = ()
    _prompts: Mapping[str, str] = field(default_factory=dict)
    _durations: Mapping[str, int] = field(default_factory=dict)
    _music: Mapping[str, list[str]] = field(default_factory=dict)

    def find(self, tenant_id: int, name: str, language: str) -> Found | None:
        """Return a prompt: the tenant's own, else the system's; in this language, else in any. None: there is none."""
        self._refresh()
        for owner in dict.fromkeys((tenant_id, SYSTEM_TENANT)):
            for spoken in (language, ANY):
                key = index_key(owner, spoken, name)
                path = self._prompts.get(key)
                if path is not None:
                    return Found(self.directory / path, self._durations.get(key, 0))
        return None

    def path_of(self, tenant_id: int, name: str, language: str) -> Path | None:
        """Return where a prompt lies, without the suffix of the payload type; None: there is none."""
        found = self.find(tenant_id, name, language)
        return None if found is None else found.path

    def music(self, tenant_id: int, name: str, language: str = ANY) -> list[Found]:
        """Return what a music class plays, one after the other; at least the default music, if that is there.

        A class that nobody has may also be a prompt of this name, or music-<name>.
        """
        self._refresh()
        for wanted in dict.fromkeys((name, DEFAULT_MUSIC)):
            names = [wanted, f"music-{wanted}"]
            for owner in dict.fromkeys((tenant_id, SYSTEM_TENANT)):
                listed = self._music.get(f"{owner}:{wanted}")
                if listed:
                    names = listed
                    break
            found = [self.find(tenant_id, prompt, language) for prompt in names]
            playable = [one for one in found if one is not None]
            if playable:
                return playable
        return []

    def _refresh(self) -> None:
        path = self.directory / INDEX
        try:
            stat = path.stat()
            signature = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if signature == self._signature:
                return
            content: Any = json.loads(path.read_bytes())
            self._prompts, self._durations = content["prompts"], content["durations_ms"]
            self._music = content["music"]
            self._signature = signature
        except (OSError, ValueError, KeyError, TypeError):
            return  # what was known goes on serving
