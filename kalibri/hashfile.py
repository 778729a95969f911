"""Hash file: key bytes -> value bytes in one read-only file that all processes map together.

After the header (mapped_file.py):
  records  each: CRC-32 of key and value, value length, key length, key, value, padding to 8 bytes
  slots    open addressing, two uint32 each: CRC-32 of the key, record offset / 8 (0: empty slot)

Damage is noticed where it would matter: header and slots when the file is opened, each record when it
is read. Never holds more of the file in a process than the pages it touches.
"""

from __future__ import annotations

import mmap
import struct
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

from kalibri.files import replacing
from kalibri.mapped_file import HEADER_BYTES, MappedFile, pack_header

MAGIC = b"KSHASH1\n"
_RECORD = struct.Struct("<IIHxx")
_ALIGN = 8
_MAX_KEY_BYTES = 0xFFFF
_MAX_FILE_BYTES = _ALIGN << 32


@dataclass(frozen=True, kw_only=True)
class HashFileSummary:
    """What a build wrote."""

    entries: int
    size_bytes: int


def build(path: Path, entries: Iterable[tuple[bytes, bytes]]) -> HashFileSummary:
    """Write a hash file under `path` in one pass over `entries` (streamed, only hashes are kept).

    Raises ValueError for a repeated key, a key over 65535 bytes or a file over 32 GB; the old file stays.
    """
    with replacing(path) as file:
        file.write(bytes(HEADER_BYTES))
        hashes, offsets = _write_records(file, entries)
        slots_offset = file.tell()
        slots = _place(file, hashes, offsets).tobytes()
        file.write(slots)
        size = file.tell()
        if size > _MAX_FILE_BYTES:
            raise ValueError("a hash file holds at most 32 GB")
        file.seek(0)
        file.write(
            pack_header(
                MAGIC, entries=len(hashes), checked_from=slots_offset, size=size, checked_crc=crc32(slots)
            )
        )
    return HashFileSummary(entries=len(hashes), size_bytes=size)


def _write_records(file: BinaryIO, entries: Iterable[tuple[bytes, bytes]]) -> tuple[array[int], array[int]]:
    hashes, offsets = array("I"), array("I")
    position = file.tell()
    for key, value in entries:
        if len(key) > _MAX_KEY_BYTES:
            raise ValueError(f"key of {len(key)} bytes")
        body = key + value
        length = _RECORD.size + len(body)
        padding = -length % _ALIGN
        file.write(_RECORD.pack(crc32(body), len(value), len(key)) + body + bytes(padding))
        hashes.append(crc32(key))
        offsets.append(position // _ALIGN)
        position += length + padding
    return hashes, offsets


def _place(file: BinaryIO, hashes: array[int], offsets: array[int]) -> array[int]:
    """Spread the records over at least 1.5 times as many slots; equal hashes are compared by key."""
    slot_count = 8
    while slot_count * 2 < len(hashes) * 3:
        slot_count *= 2
    mask = slot_count - 1
    slots = array("I", bytes(8 * slot_count))
    file.flush()
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as written:
        for key_hash, offset in zip(hashes, offsets, strict=True):
            slot = key_hash & mask
            while other := slots[2 * slot + 1]:
                if slots[2 * slot] == key_hash and _key_at(written, other) == _key_at(written, offset):
                    raise ValueError(f"key {_key_at(written, offset)!r} twice")
                slot = (slot + 1) & mask
            slots[2 * slot] = key_hash
            slots[2 * slot + 1] = offset
    return slots


def _key_at(file: mmap.mmap, offset: int) -> bytes:
    start = offset * _ALIGN
    key_length = _RECORD.unpack_from(file, start)[2]
    return file[start + _RECORD.size : start + _RECORD.size + key_length]


class HashFile(MappedFile):
    """A mapped hash file. Safe to share after fork."""

    def __init__(self, path: Path) -> None:
        """Map the file, check header and slots; FileCorrupt if it is damaged, OSError if absent."""
        super().__init__(path, MAGIC)
        self._records_end = self._checked_from
        self._slots = self._view[self._checked_from :].cast("I")
        self._mask = len(self._slots) // 2 - 1

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, None if there is none; FileCorrupt if its record is damaged."""
        slots, mask = self._slots, self._mask
        key_hash = crc32(key)
        slot = key_hash & mask
        while offset := slots[2 * slot + 1]:
            if slots[2 * slot] == key_hash:
                found, value = self._record(offset * _ALIGN)
                if found == key:
                    return value
            slot = (slot + 1) & mask
        return None

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield every key with its value, as they were written (for tools, not for calls)."""
        position = HEADER_BYTES
        while position < self._records_end:
            key, value = self._record(position)
            yield key, value
            length = _RECORD.size + len(key) + len(value)
            position += length + -length % _ALIGN

    def _record(self, start: int) -> tuple[bytes, bytes]:
        if start + _RECORD.size > self._records_end:
            raise self._corrupt("a slot leads outside of it")
        crc, value_length, key_length = _RECORD.unpack_from(self._map, start)
        key_start = start + _RECORD.size
        value_start = key_start + key_length
        end = value_start + value_length
        if end > self._records_end or crc32(self._view[key_start:end]) != crc:
            raise self._corrupt(f"the record at {start} is damaged")
        return self._map[key_start:value_start], self._map[value_start:end]
