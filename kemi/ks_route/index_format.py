"""The index file: what stands where. Shared by the builder and the reader, so that they cannot disagree.

    header   MAGIC, length of JSON (uint32), JSON; HEADER_BYTES in all
    records  one JSON list a route, in matching order
    ...      sections of fixed-width little-endian numbers, each 8-byte aligned, as the header's JSON lists

A route is known by its rank: its place in the matching order (priority, route id). Sections:

    offsets   uint32[n+1]  where the record of a rank begins
    heads     uint32[n]    shortest B (8 bits), longest B (8), directions (3)
    b_patterns uint32[n]   pattern number of the B condition, 0: none
    extras    uint32[n]    number of the row in `conditions`, 0: no further condition
    ids       uint32[n]    route id
    orders    int64[n]     priority in steps
    conditions uint32[8*m] pattern numbers of A, B host, A host; text numbers of region, operator; schedule; 0; 0
    pattern_offsets uint32[p+1], patterns: class (1 byte), length of text (uint16), text, simple form
    text_offsets uint32[t+1], texts
    filter    uint8[f]     1 where a key's hash has these low bits; f a power of two
    slot_hashes uint32[s], slot_places uint32[s]  open addressing from hash * SPREAD on; hash EMPTY: no key
    postings  uint32[]     buckets: ROUTES (lower 29 bits), SPLIT flag [, shelves of the split], ranks ascending
    tenants   uint32[16*k] tenant id, bit sets of the key lengths in use for each of 15 shelves, sorted by id
    split_lengths uint32[15] the same for the second level, of all tenants

A place with the SINGLE bit is not a bucket but the only rank of its key.
"""

from __future__ import annotations

import json
import struct
from typing import Any

from callcore.errors import KalibriError
from kemi.ks_route.patterns import SimplePattern

MAGIC = b"KSROUTE2"
HEADER_BYTES = 4096
_HEADER = struct.Struct("<8sI")

#: Sections with the format character of their numbers; "B": bytes.
SECTIONS = {
    "offsets": "I",
    "heads": "I",
    "b_patterns": "I",
    "extras": "I",
    "ids": "I",
    "orders": "q",
    "conditions": "I",
    "pattern_offsets": "I",
    "patterns": "B",
    "text_offsets": "I",
    "texts": "B",
    "filter": "B",
    "slot_hashes": "I",
    "slot_places": "I",
    "postings": "I",
    "tenants": "I",
    "split_lengths": "I",
}

#: The first slot of a hash is hash * SPREAD: neighbouring numbers have neighbouring hashes, and would crowd.
SPREAD = 0x1E37_79B1
#: A slot without a key; hashes have 30 bits.
EMPTY = 0x4000_0000
#: The key has one route only; the rest of the place is its rank.
SINGLE = 0x2000_0000
#: The bucket has a second level; a word with its shelves follows the count.
SPLIT = 0x2000_0000
ROUTES = 0x1FFF_FFFF

#: Ids up to this one fit.
LARGEST_ID = 0x7FFF_FFFF
#: Ranks and places in the postings are smaller than this (30 bits: Python's integers up to there are fast).
LARGEST_PLACE = 0x1FFF_FFFF

#: Numbers a row of `conditions` and of `tenants` has.
CONDITION_WORDS = 8
TENANT_WORDS = 16

#: Pattern classes as stored.
CLASS_CODES = ("none", "simple", "re", "re2")
PATTERN_HEAD = struct.Struct("<BH")


class IndexTooLarge(KalibriError):
    """The routes need more than an index file can hold (4 GB of text, 2 GB of postings)."""

    error_id = "index-too-large"


class BadIndexFile(ValueError):
    """The file is not a complete index of this version."""


def pack_header(facts: dict[str, Any]) -> bytes:
    """Return the header block."""
    text = json.dumps(facts, separators=(",", ":")).encode()
    block = _HEADER.pack(MAGIC, len(text)) + text
    if len(block) > HEADER_BYTES:
        raise BadIndexFile("the header does not fit")
    return block.ljust(HEADER_BYTES, b"\0")


def unpack_header(block: bytes, file_size: int) -> dict[str, Any]:
    """Return the facts of the header; raises BadIndexFile for anything but a whole file of this version."""
    if len(block) < HEADER_BYTES:
        raise BadIndexFile("shorter than a header")
    magic, size = _HEADER.unpack_from(block)
    if magic != MAGIC or size > HEADER_BYTES - _HEADER.size:
        raise BadIndexFile("not a route index of this version")
    facts: dict[str, Any] = json.loads(block[_HEADER.size : _HEADER.size + size])
    if facts["size"] != file_size:
        raise BadIndexFile(f"{file_size} bytes long, but written as {facts['size']}")
    return facts


def pack_simple(simple: SimplePattern) -> bytes:
    """Return the stored form of a simple pattern."""
    high = "" if simple.high is None else simple.high
    head = f"{simple.digits:d},{simple.low},{high},{simple.ended:d}"
    return "\0".join((head, *simple.prefixes)).encode()


def unpack_simple(stored: bytes) -> SimplePattern:
    """Return the simple pattern again."""
    head, *prefixes = stored.decode().split("\0")
    digits, low, high, ended = head.split(",")
    return SimplePattern(tuple(prefixes), digits == "1", int(low), int(high) if high else None, ended == "1")
