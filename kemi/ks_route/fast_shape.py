r"""A short cut for the patterns that fill carriers' tables: `^\+?7495\d{7}$` and the like.

Decides nothing that `patterns.simple_shape` would decide otherwise (a property test compares them): it only
spares the builder Python's regex parser for nearly every route of a large table.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import product

from kemi.ks_route.patterns import MAX_PREFIXES, SimplePattern
from kemi.ks_route.syntax import MAX_INPUT, MAX_PATTERN

_SHAPE = re.compile(
    r"""\^
    (?P<head>(?: [0-9a-z#] | \\[.+*] \?? | \[[0-9]-[0-9]\] | \((?:\?:)?(?:[0-9a-z|]|\\[.+])+\) )*)
    (?P<tail> \\d(?:\{[0-9]{1,3}(?:,[0-9]{0,3})?\}|[*+])? | \.\* )?
    (?P<end>\$)?""",
    re.VERBOSE | re.ASCII,
)
_PART = re.compile(r"([0-9a-z#]+)|\\([.+*])(\?)?|\[([0-9])-([0-9])\]|\((?:\?:)?([^)]*)\)", re.ASCII)
_COUNT = re.compile(r"\{([0-9]+)(,)?([0-9]*)\}", re.ASCII)


def fast_shape(pattern: str) -> SimplePattern | None:
    """Return the simple form of a pattern of the usual shapes; None: ask the parser."""
    shape = _SHAPE.fullmatch(pattern)
    if shape is None or len(pattern) > MAX_PATTERN:
        return None
    prefixes = _prefixes(shape["head"])
    counts = _counts(shape["tail"])
    if prefixes is None or counts is None:
        return None
    digits, low, high = counts
    ended = shape["end"] is not None
    return SimplePattern(prefixes, digits and (low > 0 or ended), low, high if ended else None, ended)


@lru_cache(maxsize=4096)
def _prefixes(head: str) -> tuple[str, ...] | None:
    texts = [""]
    for part in _PART.finditer(head):
        choices = _choices(part)
        if choices is None or len(texts) * len(choices) > MAX_PREFIXES:
            return None
        texts = [first + second for first, second in product(texts, choices)]
    return tuple(sorted(set(texts)))


def _choices(part: re.Match[str]) -> list[str] | None:
    literal, escaped, optional, first, last, branches = part.groups()
    if literal:
        return [literal]
    if escaped:
        return ["", escaped] if optional else [escaped]
    if first:
        # [0-9] counts as a digit, not as a prefix; a reversed range is an error: both for the parser.
        return (
            None
            if first > last or (first, last) == ("0", "9")
            else list(map(chr, range(ord(first), ord(last) + 1)))
        )
    return str(branches).replace("\\", "").split("|")


@lru_cache(maxsize=4096)
def _counts(tail: str | None) -> tuple[bool, int, int | None] | None:
    """Return (digits, low, high) of what follows the prefix."""
    if tail is None:
        return True, 0, 0
    if tail == ".*":
        return False, 0, None
    repeat = tail[2:]
    if repeat in ("", "*", "+"):
        return (True, 1, 1) if not repeat else (True, int(repeat == "+"), None)
    count = _COUNT.fullmatch(repeat)
    if count is None:
        return None
    low = int(count[1])
    high = None if count[2] and not count[3] else int(count[3] or low)
    if high is not None and high < low:
        return None
    return True, low, None if high is None or high >= MAX_INPUT else high
