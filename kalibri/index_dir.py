"""The index directory: which files are in force (CURRENT), how they are named, when old ones may go.

ks-index is the only writer; the proxy's workers and ksctl read. CURRENT is replaced by one rename, so a
reader sees one consistent set of files. Never reads or writes the files that CURRENT names.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from kalibri.files import write_replacing
from kalibri.mapped_file import FileCorrupt

CURRENT = "CURRENT"
#: A file that CURRENT does not name any more stays this long, for readers that are just opening it.
KEEP_SECONDS = 60

#: What each part's files are called: <part>.<number>.<suffix>.
SUFFIXES = {"routes": "ksr", "overlay": "json", "directory": "ksd", "system": "json", "ranges": "ksn"}
_FILE_NAME = re.compile(r"(routes|overlay|directory|system|ranges)\.([0-9]{6,})\.(ksr|json|ksd|ksn)")
_TEMPORARY = re.compile(r"\..+\.tmp")


@dataclass(frozen=True, kw_only=True)
class Current:
    """What CURRENT says: the files in force and how much of the change log they contain."""

    #: Grows by one with every switch.
    generation: int
    #: Every change up to this change_log.seq is in the files.
    seq: int
    routes: str
    directory: str
    system: str
    overlay: str | None = None
    ranges: str | None = None
    #: Which database the files were built from (index_build.DatabaseState.database).
    database: str = ""
    #: Like `seq`, part by part: a long build of one part does not hide that another is up to date.
    served: Mapping[str, int] = field(default_factory=dict)

    def files(self) -> set[str]:
        """Return the names of the files in force."""
        names = {self.routes, self.directory, self.system, self.overlay, self.ranges}
        return {name for name in names if name is not None}

    def following(self, **changes: Any) -> Current:
        """Return the next generation with these fields changed."""
        return replace(self, generation=self.generation + 1, **changes)


def read_current(directory: Path) -> Current | None:
    """Read CURRENT; None if there is none yet, FileCorrupt if it makes no sense."""
    path = directory / CURRENT
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return Current(**json.loads(content))
    except (ValueError, TypeError) as error:
        raise FileCorrupt(f"{path}: {error}", path=str(path)) from error


def write_current(directory: Path, current: Current) -> None:
    """Put another set of files in force, by one rename."""
    write_replacing(directory / CURRENT, json.dumps(asdict(current), indent=1).encode() + b"\n")


def file_name(part: str, number: int) -> str:
    """Return the name of a part's file with this number."""
    return f"{part}.{number:06d}.{SUFFIXES[part]}"


def next_number(directory: Path) -> int:
    """Return a number that no file of the directory bears, whoever wrote it."""
    found = (_FILE_NAME.fullmatch(name) for name in os.listdir(directory))
    return max((int(match[2]) for match in found if match), default=0) + 1


class Sweeper:
    """Finds index files that nobody needs any more: out of force for KEEP_SECONDS, as this process saw it."""

    def __init__(self, directory: Path) -> None:
        """Watch a directory; what is already out of force counts from the first look."""
        self._directory = directory
        self._unwanted_since: dict[str, float] = {}

    def removable(self, keep: Iterable[str], *, now: float, building: bool) -> list[Path]:
        """Return the files that may go. now: monotonic seconds; building: leave unfinished files alone."""
        wanted = set(keep)
        unwanted = {name for name in os.listdir(self._directory) if self._ours(name, building)} - wanted
        self._unwanted_since = {name: self._unwanted_since.get(name, now) for name in unwanted}
        old = (name for name, since in self._unwanted_since.items() if now - since >= KEEP_SECONDS)
        return [self._directory / name for name in sorted(old)]

    @staticmethod
    def _ours(name: str, building: bool) -> bool:
        return bool(_FILE_NAME.fullmatch(name) or (not building and _TEMPORARY.fullmatch(name)))
