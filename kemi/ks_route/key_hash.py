"""Keys as numbers: how a literal text becomes 30 bits, the same for builder, reader and overlay.

Decides nothing about routes. A collision only adds a candidate, which verification then rejects. Thirty bits,
because Python's integers up to there are much faster; a text of digits is its own number, with a mark in
front, because all prefixes of a number then follow from one integer by division.
"""

from __future__ import annotations

from collections.abc import Mapping
from zlib import crc32

from kemi.ks_route.filing import WHOLE, Shelf

HASH_BITS = 0x3FFF_FFFF
#: The key of no text, and what a request asks for where it has no such key.
NO_KEY = 0

#: Put before the digits, so that leading zeros count; "+" and digits have a mark of their own.
_FIRST_HOST_SHELF = int(Shelf.B_HOST_PREFIX)
DIGITS_MARK = b"1"
PLUS_MARK = b"2"


def key_number(shelf: int, text: bytes) -> int:
    """Return the number of a key text, which is in lower case."""
    if not text:
        return NO_KEY
    if shelf >= _FIRST_HOST_SHELF:
        return crc32(text) & HASH_BITS
    if text.isdigit():
        return int(DIGITS_MARK + text) & HASH_BITS
    if text[:1] == b"+" and (len(text) == 1 or text[1:].isdigit()):
        return int(PLUS_MARK + text[1:]) & HASH_BITS
    return crc32(text) & HASH_BITS


def tenant_seed(tenant_id: int) -> int:
    """Return what the salts of a tenant's shelves are made from."""
    return crc32(b"%d" % tenant_id) & HASH_BITS


def shelf_salt(seed: int, shelf: int) -> int:
    """Return what the numbers of keys are mixed with on a shelf below a tenant or below a bucket's hash.

    Multiplied, so that keys of two levels that differ alike do not meet.
    """
    return (seed * 0x1E37_79B1 + (shelf + 1) * 0x05EB_CA6B) & HASH_BITS


def key_hash(shelf: int, key: bytes, salt: int) -> int:
    """Return the hash of a key under the salt of its shelf."""
    return key_number(shelf, key) ^ salt


def lengths_of(bits: int) -> tuple[int, ...]:
    """Return the key lengths of a bit set."""
    return tuple(size for size in range(bits.bit_length()) if bits >> size & 1)


def length_bit(shelf: int, key: bytes) -> int:
    """Return the bit that this key sets in the lengths of its shelf; keys without a length set the first."""
    return 1 << len(key) if shelf < Shelf.REGION and shelf % 3 != WHOLE else 1


def merged_lengths(*parts: Mapping[int, int]) -> dict[int, int]:
    """Return the union of {shelf: bit set of key lengths} of several tenants or tables."""
    merged: dict[int, int] = {}
    for part in parts:
        for shelf, bits in part.items():
            merged[shelf] = merged.get(shelf, 0) | bits
    return merged
