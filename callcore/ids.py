"""UUIDv7 (RFC 9562 section 5.7): ids that sort by time. Time and randomness are arguments."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime


def uuid7(unix_ms: int, random: bytes) -> uuid.UUID:
    """Build a UUIDv7 from Unix time in milliseconds and 10 random bytes.

    Raises ValueError if the time does not fit into 48 bits or the randomness is short.
    """
    if not 0 <= unix_ms < 1 << 48:
        raise ValueError(f"time out of range: {unix_ms}")
    if len(random) != 10:
        raise ValueError("10 random bytes are needed")
    rand = int.from_bytes(random, "big")
    value = unix_ms << 80 | rand & ((1 << 80) - 1)
    value = value & ~(0xF << 76) | 0x7 << 76  # version
    value = value & ~(0x3 << 62) | 0x2 << 62  # variant
    return uuid.UUID(int=value)


def uuid7_unix_ms(value: uuid.UUID) -> int:
    """Return the Unix time in milliseconds of a UUIDv7; ValueError for another version."""
    if value.version != 7:
        raise ValueError(f"not a UUIDv7: {value}")
    return value.int >> 80


def uuid7_time(value: uuid.UUID) -> datetime:
    """Return the aware UTC time of a UUIDv7, at millisecond resolution."""
    return datetime.fromtimestamp(uuid7_unix_ms(value) / 1000, UTC)


#: A tick is 1/4096 ms: what the 12 bits after the milliseconds hold (RFC 9562 section 6.2, method 3).
TICKS_PER_MS = 4096


def uuid7_text(ticks: int, random62: int) -> str:
    """Format a UUIDv7 from Unix time in ticks (1/4096 ms) and 62 random bits.

    The same layout as uuid7(), without the UUID object, which costs more than the rest of a journal line.
    """
    ms = ticks >> 12
    return (
        f"{ms >> 16:08x}-{ms & 0xFFFF:04x}-7{ticks & 0xFFF:03x}-"
        f"{0x8000 | random62 >> 48:04x}-{random62 & 0xFFFFFFFFFFFF:012x}"
    )
