"""The sound of a voice message as a node plays it: found on this machine or in the archive, and made into frames.

One run of ffmpeg, a process of its own, decodes and encodes, so a long message costs the process that wants it nothing
but the waiting: call it from a worker. Decides nothing of who may hear it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from callcore.errors import BadInput, Unavailable
from kalibri.archive_store import open_archive
from kalibri.config import Config
from kalibri.files import sha256_of

#: A message is no longer than a `record` node lets it be.
LONGEST_SECONDS: Final = 1800
CONVERT_SECONDS: Final = 60
#: Which file is taken, if there are several.
_BEST: Final = ("wav", "mp3")
#: Payload type → how ffmpeg writes it, and the octets of a frame of 20 ms.
_FORMATS: Final[Mapping[int, tuple[tuple[str, ...], int]]] = {
    0: (("-ar", "8000", "-f", "mulaw"), 160),
    8: (("-ar", "8000", "-f", "alaw"), 160),
    9: (("-ar", "16000", "-c:a", "g722", "-f", "g722"), 160),
    3: (("-ar", "8000", "-c:a", "libgsm", "-f", "gsm"), 33),
}


def prepare(config: Config, facts: Mapping[str, Any], payload_type: int, target: Path) -> str:
    """Make `target` (with the payload type as suffix) of a message's files; return the name of the file taken.

    facts: host, and files with name, path, local, archive, sha256. Raises KalibriError, OSError: it cannot be had.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    source, file = _source(config, facts, target)
    try:
        compile_message(source, payload_type, target)
    finally:
        if not file["local"]:
            source.unlink(missing_ok=True)
    return str(file["name"])


def _source(config: Config, facts: Mapping[str, Any], target: Path) -> tuple[Path, Mapping[str, Any]]:
    """Return a file to read, fetched from the archive if it is nowhere here, and what it is."""
    files = [file for name in _BEST for file in facts["files"] if file["name"] == name]
    for file in files:
        path = config.recording_directory / file["path"]
        if file["local"] and facts["host"] == config.node_name and path.is_file():
            return path, file
    for file in files:
        if file["archive"]:
            return _fetched(config, file, target), file | {"local": False}
    raise Unavailable(_why(config, facts, files))


def _why(config: Config, facts: Mapping[str, Any], files: Sequence[Mapping[str, Any]]) -> str:
    if not files:
        return "no sound is kept of it"
    if facts["host"] != config.node_name:
        return f"it lies on {facts['host']}"
    return "its file is gone"


def _fetched(config: Config, file: Mapping[str, Any], target: Path) -> Path:
    path = target.with_name(f"{target.name}.fetched")
    open_archive(config, file["archive"]).fetch(file["path"], path)
    if file["sha256"] and sha256_of(path) != file["sha256"]:
        path.unlink(missing_ok=True)
        raise Unavailable("the archive has another file")
    return path


def compile_message(source: Path, payload_type: int, target: Path) -> Path:
    """Write the frames of an audio file beside `target`; the file appears whole. Raises BadInput, Unavailable."""
    wanted, frame = _FORMATS[payload_type]
    file = target.with_name(f"{target.name}.{payload_type}")
    command = ["nice", "-n", "5", "ffmpeg", "-nostdin", "-v", "error", "-protocol_whitelist", "file,pipe"]
    command += ["-t", str(LONGEST_SECONDS), "-i", f"file:{source}", "-vn", "-ac", "1", *wanted, "-"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=CONVERT_SECONDS
        )
    except FileNotFoundError as error:
        raise Unavailable("ffmpeg is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"it cannot be read in {CONVERT_SECONDS} s") from error
    frames = done.stdout[: len(done.stdout) // frame * frame]
    if done.returncode or not frames:
        raise BadInput("ffmpeg finds no audio in it")
    temporary = file.with_name(f".{file.name}.tmp")
    temporary.write_bytes(frames)
    temporary.rename(file)
    return file
