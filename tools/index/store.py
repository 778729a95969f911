"""The files that ks-index has in force and those that it is about to put in force.

Decides when a set of files is complete and worth a switch of CURRENT. Holds the overlay (the routes that the
base file does not contain in their present form). Never looks at the database.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from callcore.errors import KalibriError
from kalibri.files import write_replacing
from kalibri.hashfile import HashFile
from kalibri.index_dir import Current, Sweeper, file_name, next_number, read_current, write_current
from kalibri.index_ledger import Ledger, Part
from kalibri.rangefile import RangeFile
from kemi.ks_route.facts import SystemFacts
from kemi.ks_route.overlay import write_overlay
from kemi.ks_route.table import RouteTable

log = logging.getLogger(__name__)

#: A route as the overlay holds it; None: it is gone.
OverlayRow = Mapping[str, Any] | None


class Store:
    """The index directory as its one writer sees it."""

    def __init__(self, directory: Path) -> None:
        """Take up what is in force, if all of it can be read."""
        self._directory = directory
        self._number = next_number(directory)
        self._sweeper = Sweeper(directory)
        self.current: Current | None = None
        #: Goes on counting even if nothing of the last generation can be read.
        self._generation = 0
        #: Files to be in force with the next switch; a part without an entry is not built yet.
        self._files: dict[str, str | None] = {}
        self._overlay: dict[int, OverlayRow] = {}
        self._overlay_changed = False
        self._take_up()

    def _take_up(self) -> None:
        try:
            current = read_current(self._directory)
            if current is None:
                return
            self._generation = current.generation
            overlay = check_files(self._directory, current)
        except (OSError, KalibriError, ValueError, KeyError, TypeError) as error:
            log.error("the index in force cannot be read, it is built anew: %s", error)
            return
        self.current = current
        self._overlay = overlay
        self._files = {
            Part.ROUTES: current.routes,
            Part.DIRECTORY: current.directory,
            Part.SYSTEM: current.system,
            Part.RANGES: current.ranges,
            "overlay": current.overlay,
        }

    def start_anew(self) -> None:
        """Trust none of the files; CURRENT stays until all parts are there again."""
        self._files.clear()
        self._overlay.clear()
        self._overlay_changed = False

    def next_number(self) -> int:
        """Return the number of the next file."""
        self._number += 1
        return self._number - 1

    def overlaid(self) -> list[int]:
        """Return the ids of the routes in the overlay."""
        return list(self._overlay)

    def overlay(self, rows: Mapping[int, OverlayRow]) -> None:
        """Put routes into the overlay, in place of what it says of them."""
        self._overlay.update(rows)
        self._overlay_changed |= bool(rows)

    def put_base(self, file: str, keep: Iterable[int]) -> None:
        """Have a new base file; only the routes `keep` are not in it in their present form."""
        kept = set(keep)
        self._overlay = {route: row for route, row in self._overlay.items() if route in kept}
        self._overlay_changed = True
        self._files[Part.ROUTES] = file

    def put(self, part: Part, file: str | None) -> None:
        """Have a new file of a part; None: there is nothing to serve."""
        self._files[part] = file

    def put_system(self, content: bytes) -> None:
        """Have this content of the system file; the same content keeps the old file."""
        old = self._files.get(Part.SYSTEM)
        if old is None or (self._directory / old).read_bytes() != content:
            self._files[Part.SYSTEM] = self._write("system", content)

    def _write(self, kind: str, content: bytes) -> str:
        name = file_name(kind, self.next_number())
        write_replacing(self._directory / name, content)
        return name

    @property
    def complete(self) -> bool:
        """Whether every part has been built."""
        return all(part in self._files for part in Part)

    def publish(self, ledger: Ledger, database: str) -> bool:
        """Switch CURRENT if there is anything new to say; tell whether other files are in force now."""
        if not self.complete:
            return False
        if self._overlay_changed:
            self._files["overlay"] = (
                self._write("overlay", self._overlay_content()) if self._overlay else None
            )
            self._overlay_changed = False
        names = {key: self._files.get(key) for key in (*map(str, Part), "overlay")}
        served = {str(part): ledger.served(part) for part in Part}
        old = self.current
        new_files = old is None or any(getattr(old, key) != name for key, name in names.items())
        if not new_files and old and (old.seq, old.served, old.database) == (ledger.seq, served, database):
            return False
        generation = self._generation + new_files
        new = Current(
            generation=generation,
            seq=ledger.seq,
            served=served,
            database=database,
            **names,  # type: ignore[arg-type]
        )
        write_current(self._directory, new)
        self._generation = generation
        self.current = new  # only now: what could not be written is tried again
        return new_files

    def _overlay_content(self) -> bytes:
        upserts = [row for row in self._overlay.values() if row is not None]
        return write_overlay(upserts, [route for route, row in self._overlay.items() if row is None])

    def sweep(self, *, now: float, building: bool) -> None:
        """Remove files that have been out of force for a while; now: monotonic seconds."""
        keep = self.current.files() if self.current else set()
        keep |= {name for name in self._files.values() if name is not None}
        for path in self._sweeper.removable(keep, now=now, building=building):
            path.unlink(missing_ok=True)


def check_files(directory: Path, current: Current) -> dict[int, OverlayRow]:
    """Open every file that CURRENT names, return the overlay; raises what opening raises."""
    openers: list[tuple[Callable[[Path], object], str | None]] = [
        (HashFile, current.directory),
        (RangeFile, current.ranges),
        (lambda path: SystemFacts.from_json(json.loads(path.read_bytes())), current.system),
        (lambda path: RouteTable.open(path, None).close(), current.routes),
    ]
    for opener, name in openers:
        if name is not None:
            opener(directory / name)
    if current.overlay is None:
        return {}
    content = json.loads((directory / current.overlay).read_bytes())
    rows: dict[int, OverlayRow] = {row["route_id"]: row for row in content["upserts"]}
    return rows | dict.fromkeys(content["deletes"])
