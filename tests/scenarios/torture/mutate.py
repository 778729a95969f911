"""A bounded, repeatable mutation fuzzer over seed messages.

`mutant(seeds, seed, number)` depends on nothing but its arguments, so a crash is repeated by two numbers:

    for number in range(20_000):
        sender.send_only(mutant(SEEDS, seed=1, number=number).raw)
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

Operation: TypeAlias = Callable[[bytes, random.Random, Sequence[bytes]], bytes]

#: A datagram on the loopback can carry no more.
MAX_BYTES = 65_000
_MAX_OPERATIONS = 6
#: Values that have broken parsers.
_NASTY = (
    b"\x00",
    b"\xff\xfe",
    b"\xc3\x28",
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"\t",
    b" ",
    b";",
    b",",
    b":",
    b'"',
    b"\\",
    b"<",
    b">",
    b"@",
    b"%",
    b"%00",
    b"%n%s",
    b"=",
    b"-1",
    b"0",
    b"4294967296",
    b"2147483648",
    b"18446744073709551616",
    b"99999999999999999999999999",
    b"'; DROP TABLE account;--",
    b"../../../../etc/passwd",
    b"SIP/2.0",
    b"Content-Length: -1\r\n",
    b"Via: SIP/2.0/UDP",
    b";tag=",
    b";branch=z9hG4bK",
    b"X-KS-Call : forged\r\n",
)
_FIELDS = (
    b"Via",
    b"From",
    b"To",
    b"Call-ID",
    b"CSeq",
    b"Contact",
    b"Route",
    b"Max-Forwards",
    b"Content-Length",
)


@dataclass(frozen=True)
class Mutant:
    """One changed message and how it came about."""

    seed: int | str
    number: int
    operations: tuple[str, ...]
    raw: bytes


def mutant(seeds: Sequence[bytes], seed: int | str, number: int) -> Mutant:
    """Make mutant `number` of the series `seed`."""
    chance = random.Random(f"{seed}:{number}")
    raw = chance.choice(seeds)
    chosen = chance.choices(_OPERATIONS, k=chance.randint(1, _MAX_OPERATIONS))
    for operation in chosen:
        raw = operation(raw, chance, seeds)[:MAX_BYTES]
    return Mutant(seed, number, tuple(operation.__name__ for operation in chosen), raw)


def mutants(seeds: Sequence[bytes], seed: int | str, count: int, start: int = 0) -> Iterator[Mutant]:
    """Make `count` mutants."""
    return islice((mutant(seeds, seed, number) for number in range(start, start + count)), count)


def _span(raw: bytes, chance: random.Random, longest: int = 64) -> tuple[int, int]:
    start = chance.randrange(len(raw) + 1)
    return start, min(len(raw), start + chance.randint(1, longest))


def flip_bit(raw: bytes, chance: random.Random, _seeds: Sequence[bytes]) -> bytes:
    """Change one bit."""
    if not raw:
        return raw
    at = chance.randrange(len(raw))
    return raw[:at] + bytes([raw[at] ^ (1 << chance.randrange(8))]) + raw[at + 1 :]


def set_byte(raw: bytes, chance: random.Random, _seeds: Sequence[bytes]) -> bytes:
    """Set one byte to anything."""
    at = chance.randrange(len(raw) + 1)
    return raw[:at] + bytes([chance.randrange(256)]) + raw[at + 1 :]


def delete_span(raw: bytes, chance: random.Random, _seeds: Sequence[bytes]) -> bytes:
    """Take a piece out."""
    start, end = _span(raw, chance)
    return raw[:start] + raw[end:]


def repeat_span(raw: bytes, chance: random.Random, _seeds: Sequence[bytes]) -> bytes:
    """Repeat a piece, sometimes very often."""
    start, end = _span(raw, chance)
    times = chance.choice((1, 2, 10, 100, 1000))
    return raw[:end] + raw[start:end] * times + raw[end:]


def insert_nasty(raw: bytes, chance: random.Random, _seeds: Sequence[bytes]) -> bytes:
    """Put something unpleasant somewhere."""
    at = chance.randrange(len(raw) + 1)
    return raw[:at] + chance.choice(_NASTY) + raw[at:]


def truncate(raw: bytes, chance: random.Random, _seeds: Sequence[bytes]) -> bytes:
    """Cut the end off."""
    return raw[: chance.randrange(len(raw) + 1)]


def swap_lines(raw: bytes, chance: random.Random, _seeds: Sequence[bytes]) -> bytes:
    """Exchange two lines."""
    lines = raw.split(b"\r\n")
    first, second = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[first], lines[second] = lines[second], lines[first]
    return b"\r\n".join(lines)


def drop_line(raw: bytes, chance: random.Random, _seeds: Sequence[bytes]) -> bytes:
    """Take a line out."""
    lines = raw.split(b"\r\n")
    del lines[chance.randrange(len(lines))]
    return b"\r\n".join(lines)


def double_line(raw: bytes, chance: random.Random, _seeds: Sequence[bytes]) -> bytes:
    """Write a line twice, or sixty times."""
    lines = raw.split(b"\r\n")
    at = chance.randrange(len(lines))
    return b"\r\n".join([*lines[:at], *[lines[at]] * chance.choice((2, 2, 60)), *lines[at + 1 :]])


def empty_field(raw: bytes, chance: random.Random, _seeds: Sequence[bytes]) -> bytes:
    """Give a header field a value that is nothing or nasty."""
    name = chance.choice(_FIELDS)
    head, found, rest = raw.partition(b"\r\n" + name + b":")
    _, end, rest = rest.partition(b"\r\n")
    value = chance.choice((b"", b" ", chance.choice(_NASTY)))
    return head + found + value + end + rest if found else raw


def grow_number(raw: bytes, chance: random.Random, _seeds: Sequence[bytes]) -> bytes:
    """Replace a digit by a number out of range."""
    digits = [index for index, byte in enumerate(raw) if 48 <= byte <= 57]
    if not digits:
        return raw
    at = chance.choice(digits)
    return raw[:at] + chance.choice((b"-1", b"4294967296", b"9" * 40, b"00000", b"1e9")) + raw[at + 1 :]


def splice(raw: bytes, chance: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Go on with another seed."""
    other = chance.choice(seeds)
    return raw[: chance.randrange(len(raw) + 1)] + other[chance.randrange(len(other)) :]


_OPERATIONS: tuple[Operation, ...] = (
    flip_bit,
    set_byte,
    delete_span,
    repeat_span,
    insert_nasty,
    truncate,
    swap_lines,
    drop_line,
    double_line,
    empty_field,
    grow_number,
    splice,
)
