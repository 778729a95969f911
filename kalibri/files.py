"""Files that other processes read while we write them: they appear complete or not at all.

Decides nothing about contents. Never changes a file in place: a reader may have it mapped.
"""

from __future__ import annotations

import os
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
    _sync_directory(path.parent)


def write_replacing(path: Path, content: bytes, *, mode: int = 0o640) -> None:
    """Write a whole file at once under the rule of `replacing`."""
    with replacing(path, mode=mode) as file:
        file.write(content)


def _sync_directory(directory: Path) -> None:
    """Make the rename itself survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
