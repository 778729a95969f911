"""Files that other processes read while we write them: they appear complete or not at all.

Decides nothing about contents. Never changes a file in place: a reader may have it mapped.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path, *, mode: int = 0o640) -> Iterator[BinaryIO]:
    """Open a new file that takes the name `path` when the block ends, flushed to the disk.

    If the block raises, the old file stays and the new one is removed. The file can also be read
    (a builder that fills in its header last). A killed process leaves `.<name>.*.tmp` behind.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w+b", buffering=1 << 18) as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    sync_directory(path.parent)


def write_replacing(path: Path, content: bytes, *, mode: int = 0o640) -> None:
    """Write a whole file at once under the rule of `replacing`."""
    with replacing(path, mode=mode) as file:
        file.write(content)


def make_directory(directory: Path) -> None:
    """Make a directory and those above it, so that they survive a power cut."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    for path in reversed(missing):
        sync_directory(path.parent)


def copy_replacing(source: Path, path: Path, *, mode: int = 0o640) -> None:
    """Copy a file under the rule of `replacing`."""
    with source.open("rb") as original, replacing(path, mode=mode) as file:
        shutil.copyfileobj(original, file, 1 << 20)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_directory(directory: Path) -> None:
    """Make renames in a directory survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
