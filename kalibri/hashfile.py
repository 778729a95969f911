"""Hash file: key bytes -> value bytes in one read-only file that all processes map together.

Layout (little endian, as the machine that wrote it):
  header   magic, version, slot count, entry count, offset of the slots, file size, CRCs of slots and header
  records  each: CRC of key and value, value length, key length, key, value, padding to 8 bytes
  slots    open addressing, two uint32 each: CRC-32 of the key, record offset / 8 (0: empty slot)

Damage is noticed where it would matter: header and slots when the file is opened, each record when it
is read. Never holds more of the file in a process than the pages it touches.
"""

from __future__ import annotations

import mmap
import struct
import sys
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

from callcore.errors import KalibriError
from kalibri.files import replacing

MAGIC = b"KSHASH1\n"
_HEADER = struct.Struct("<8sIIQQQI")
_HEADER_CRC = struct.Struct("<I")
_HEADER_BYTES = 64
_RECORD = struct.Struct("<IIHxx")
_ALIGN = 8
_MAX_KEY_BYTES = 0xFFFF
_MAX_FILE_BYTES = _ALIGN << 32
_VERSION = 1


class HashFileCorrupt(KalibriError):
    """The file is not a hash file, is cut short, or is damaged."""

    error_id = "file-corrupt"


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
        file.write(bytes(_HEADER_BYTES))
        hashes, offsets = _write_records(file, entries)
        slots_offset = file.tell()
        slots = _place(file, hashes, offsets)
        table = _little_endian(slots)
        file.write(table)
        size = file.tell()
        if size > _MAX_FILE_BYTES:
            raise ValueError("a hash file holds at most 32 GB")
        header = _HEADER.pack(MAGIC, _VERSION, len(slots) // 2, len(hashes), slots_offset, size, crc32(table))
        file.seek(0)
        file.write(header + _HEADER_CRC.pack(crc32(header)))
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


def _little_endian(slots: array[int]) -> bytes:
    if sys.byteorder == "big":
        slots = slots[:]
        slots.byteswap()
    return slots.tobytes()


class HashFile:
    """A mapped hash file. Safe to share after fork; `close` is optional (the last reference unmaps)."""

    def __init__(self, path: Path) -> None:
        """Map the file, check header and slots; HashFileCorrupt if it is damaged, OSError if absent."""
        self.path = path
        with path.open("rb") as file:
            try:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except ValueError:
                raise HashFileCorrupt("The hash file is empty.", path=str(path)) from None
        slot_count, self._entries, slots_offset = self._read_header()
        self._mask = slot_count - 1
        self._records_end = slots_offset
        self._view = memoryview(self._map)
        self._slots = self._view[slots_offset:].cast("I")

    def _read_header(self) -> tuple[int, int, int]:
        data = self._map
        if len(data) < _HEADER_BYTES or data[:8] != MAGIC:
            raise self._corrupt("it is not a hash file")
        (stored,) = _HEADER_CRC.unpack_from(data, _HEADER.size)
        if stored != crc32(data[: _HEADER.size]):
            raise self._corrupt("its header is damaged")
        _, version, slot_count, entries, slots_offset, size, slots_crc = _HEADER.unpack_from(data)
        if version != _VERSION or sys.byteorder != "little":
            raise self._corrupt(f"version {version} cannot be read here")
        if size != len(data) or slots_offset + 8 * slot_count != size or slot_count & (slot_count - 1):
            raise self._corrupt("it is cut short")
        with memoryview(data) as view, view[slots_offset:] as slots:
            if crc32(slots) != slots_crc:
                raise self._corrupt("its slots are damaged")
        return slot_count, entries, slots_offset

    def _corrupt(self, what: str) -> HashFileCorrupt:
        return HashFileCorrupt(f"{self.path}: {what}.", path=str(self.path))

    def __len__(self) -> int:
        """Return the number of entries."""
        return self._entries

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, None if there is none; HashFileCorrupt if its record is damaged."""
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
        position = _HEADER_BYTES
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

    def close(self) -> None:
        """Unmap the file; the object cannot be used afterwards."""
        self._slots.release()
        self._view.release()
        self._map.close()
