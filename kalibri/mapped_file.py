"""Read-only files that processes map together: one header form, checked before anything is believed.

Header (64 bytes, little endian): magic, version, number of entries, start of the checked part (which runs
to the end of the file), file size, CRC-32 of the checked part, CRC-32 of the header itself.
Decides whether a file can be trusted; the formats themselves are in hashfile.py and rangefile.py.
"""

from __future__ import annotations

import mmap
import struct
import sys
from pathlib import Path
from zlib import crc32

from callcore.errors import KalibriError

HEADER_BYTES = 64
_VERSION = 1
_HEADER = struct.Struct("<8sIQQQI")
_HEADER_CRC = struct.Struct("<I")


class FileCorrupt(KalibriError):
    """The file is of another kind, is cut short, or is damaged."""

    error_id = "file-corrupt"


def pack_header(magic: bytes, *, entries: int, checked_from: int, size: int, checked_crc: int) -> bytes:
    """Return the header of a file whose part from `checked_from` on has the given CRC-32."""
    header = _HEADER.pack(magic, _VERSION, entries, checked_from, size, checked_crc)
    return (header + _HEADER_CRC.pack(crc32(header))).ljust(HEADER_BYTES, b"\0")


class MappedFile:
    """A mapped file whose header and checked part are sound. The last reference unmaps it."""

    def __init__(self, path: Path, magic: bytes) -> None:
        """Map and check the file; FileCorrupt if it is damaged, OSError if it is not there."""
        self.path = path
        with path.open("rb") as file:
            try:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except ValueError:  # an empty file cannot be mapped
                raise self._corrupt("it is empty") from None
        self._view = memoryview(self._map)
        self._entries, self._checked_from = self._check(magic)

    def _check(self, magic: bytes) -> tuple[int, int]:
        data = self._map
        if len(data) < HEADER_BYTES or data[: len(magic)] != magic:
            raise self._corrupt("it is a file of another kind")
        (header_crc,) = _HEADER_CRC.unpack_from(data, _HEADER.size)
        if header_crc != crc32(data[: _HEADER.size]):
            raise self._corrupt("its header is damaged")
        _, version, entries, checked_from, size, checked_crc = _HEADER.unpack_from(data)
        if version != _VERSION or sys.byteorder != "little":
            raise self._corrupt(f"its version {version} cannot be read here")
        if size != len(data):
            raise self._corrupt("it is cut short")
        if crc32(self._view[checked_from:]) != checked_crc:
            raise self._corrupt("it is damaged")
        return entries, checked_from

    def _corrupt(self, what: str) -> FileCorrupt:
        return FileCorrupt(f"{self.path}: {what}.", path=str(self.path))

    def __len__(self) -> int:
        """Return the number of entries."""
        return self._entries
