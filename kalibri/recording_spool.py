"""The files of recordings before they are recordings: manifests, what nodes have written, what ks-rec makes of it.

Knows where they lie and finds them under every name they may have; deletes them when everything is stored.
Decides nothing about states and never touches the database.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from glob import escape
from pathlib import Path
from uuid import UUID

from callcore.recording import SegmentFile
from callcore.recording_manifest import Manifest, Segment, parse_manifest
from kalibri.config import Config

SUFFIX = ".jsonl"
#: Manifests that nobody can read are put here, for a person.
BAD = "bad"


@dataclass(frozen=True, slots=True)
class Spool:
    """The folders of one machine."""

    manifests: Path
    work: Path

    @classmethod
    def of(cls, config: Config) -> Spool:
        """Return the folders of an instance."""
        return cls(config.rtp_manifest_directory, config.rtp_work_directory)

    def prepare(self) -> None:
        """Make the folders."""
        for folder in (self.manifests, self.work):
            folder.mkdir(parents=True, exist_ok=True)

    def manifest_path(self, recording_id: UUID) -> Path:
        """Return where the controller tells about a recording."""
        return self.manifests / f"{recording_id}{SUFFIX}"

    def manifest_ids(self) -> Iterator[UUID]:
        """Name the recordings that have a manifest."""
        for path in self.manifests.glob(f"*{SUFFIX}"):
            with suppress(ValueError):
                yield UUID(path.stem)

    def read(self, recording_id: UUID) -> Manifest:
        """Read a manifest; raises BadManifest, FileNotFoundError."""
        return parse_manifest(self.manifest_path(recording_id).read_bytes())

    def set_aside(self, recording_id: UUID) -> Path:
        """Put away a manifest that cannot be read; return where it is now."""
        path = self.manifest_path(recording_id)
        folder = self.manifests / BAD
        folder.mkdir(exist_ok=True)
        return path.rename(folder / path.name)

    def wav(self, recording_id: UUID) -> Path:
        """Return where the mixed audio lies until it is stored."""
        return self.work / f"{recording_id}.wav"

    def facts(self, recording_id: UUID) -> Path:
        """Return where what is known of the mixed audio lies."""
        return self.work / f"{recording_id}.json"

    def mp3(self, recording_id: UUID) -> Path:
        """Return where the encoded audio lies until it is stored."""
        return self.work / f"{recording_id}.mp3"

    def clear(self, recording_id: UUID) -> None:
        """Delete everything that belongs to a recording, its manifest last."""
        for path in self.work.glob(f"*{recording_id}.*"):
            path.unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            for path in written(self.read(recording_id)):
                path.unlink(missing_ok=True)
        self.manifest_path(recording_id).unlink(missing_ok=True)


def segment_file(manifest: Manifest, segment: Segment) -> SegmentFile:
    """Look for the file of a segment."""
    final = _existing(_moved(manifest, segment))
    spooled = _existing([Path(manifest.spool_dir) / segment.file])
    changed = max((path.stat().st_mtime for path in final + spooled), default=None)
    at = None if changed is None else datetime.fromtimestamp(changed, UTC)
    return SegmentFile(bool(final), bool(spooled), at)


def written(manifest: Manifest) -> list[Path]:
    """Return the files of all segments that exist, in order; also what a dead node left in its spool."""
    found: list[Path] = []
    for segment in manifest.segments:
        found += _existing([*_moved(manifest, segment), Path(manifest.spool_dir) / segment.file])
    return list(dict.fromkeys(found))


def _existing(paths: list[Path]) -> list[Path]:
    return [path for path in paths if path.is_file()]


def _moved(manifest: Manifest, segment: Segment) -> list[Path]:
    """Name where a node, or its next start (rtpproxy_ctl/node.py), puts a segment: there a number may be added."""
    folder, name = Path(manifest.final_dir), Path(segment.file)
    numbered = re.compile(re.escape(name.stem) + r"\.[0-9]+" + re.escape(name.suffix))
    others = sorted(
        path for path in folder.glob(f"{escape(name.stem)}.*{name.suffix}") if numbered.fullmatch(path.name)
    )
    return [folder / name.name, *others]
