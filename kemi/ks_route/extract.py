"""Keys of a pattern: literal texts one of which every matching input must hold at its start or end.

Decides under which keys the index files a route. It may only over-approximate: whatever it does not
understand makes a key shorter or gives none (the route then comes up for every request), never a wrong one.
That is the one property on which the index's exactness rests; a fuzz test guards it.

Keys and probes are ASCII-lower-cased, so patterns that ignore case are filed too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from re import _constants as sre  # type: ignore[attr-defined]
from typing import Any

from kemi.ks_route.syntax import (
    BEGINNINGS,
    ENDS,
    MAX_INPUT,
    REPEATS,
    Node,
    ends_at_end,
    members,
    starts_at_beginning,
    width,
)

#: Keys a route is filed under, at most; longer sets are cut to shorter, fewer keys.
MAX_KEYS = 64
#: Longest prefix or suffix key of a number and of a host, in characters. Eight digits and a mark in front fit
#: into the 30 bits of a key (key_hash); exact numbers have keys of their own.
MAX_NUMBER_KEY = 8
MAX_HOST_KEY = 24
#: Ways that are spelt out at once before they are cut to MAX_KEYS.
MAX_WAYS = 256
#: A digit of any value is spelt out (ten keys) only while less than this many characters are known.
ENOUGH_CHARACTERS = 3
#: Longest complete text.
MAX_WHOLE = 64


@dataclass(frozen=True, slots=True)
class Keys:
    """What the index may file a pattern under; empty tuples: nothing of that kind is known."""

    #: A matching input starts with one of these.
    prefixes: tuple[str, ...] = ()
    #: A matching input ends with one of these.
    suffixes: tuple[str, ...] = ()
    #: A matching input is one of these.
    wholes: tuple[str, ...] = ()
    #: Bounds of the length of a matching input.
    min_length: int = 0
    max_length: int = MAX_INPUT


@dataclass(frozen=True, slots=True)
class _Known:
    """One way to begin (or, from the right, to end)."""

    text: str
    #: At the very edge of the input.
    anchored: bool
    #: More of unknown shape may follow; the text is complete so far otherwise.
    open: bool


class _Spelling:
    """Spells out the ways a tree can begin; from the right if `backwards`."""

    def __init__(self, *, backwards: bool, longest: int) -> None:
        self._backwards = backwards
        self._longest = longest
        self._anchors = ENDS if backwards else BEGINNINGS

    def sequence(self, ways: list[_Known], nodes: Sequence[Node]) -> list[_Known]:
        for node in reversed(nodes) if self._backwards else nodes:
            if all(way.open for way in ways):
                break
            ways = self._step(ways, node)
        return ways

    def _step(self, ways: list[_Known], node: Node) -> list[_Known]:
        done = [way for way in ways if way.open]
        active = [way for way in ways if not way.open]
        return _unique(done + self._through(active, node))

    def _through(self, ways: list[_Known], node: Node) -> list[_Known]:
        operation, argument = node
        if operation is sre.AT:
            return self._at(ways, argument)
        if operation in (sre.ASSERT, sre.ASSERT_NOT):
            return ways
        if operation is sre.SUBPATTERN:
            return self.sequence(ways, argument[3])
        if operation is sre.BRANCH:
            if len(ways) * len(argument[1]) > MAX_WAYS:
                return _opened(ways)
            return [way for branch in argument[1] for way in self.sequence(ways, branch)]
        if operation in REPEATS:
            return self._repeat(ways, *argument)
        return self._characters(ways, members(node, 10))

    def _at(self, ways: list[_Known], where: Any) -> list[_Known]:
        if where not in self._anchors:
            return ways  # the far edge, word boundaries: a condition less
        return [_Known("", True, False) if way.text == "" else way for way in ways]

    def _characters(self, ways: list[_Known], choices: frozenset[str] | None) -> list[_Known]:
        if choices is None:
            return _opened(ways)
        spelt: list[_Known] = []
        letters = sorted({letter.lower() for letter in choices})
        for way in ways:
            enough = len(letters) > 1 and len(letters) * len(ways) > MAX_KEYS
            if enough or (len(letters) == 10 and len(way.text) >= ENOUGH_CHARACTERS):
                spelt.append(_Known(way.text, way.anchored, True))
            else:
                spelt.extend(self._longer(way, letter) for letter in letters)
        return spelt

    def _longer(self, way: _Known, letter: str) -> _Known:
        text = letter + way.text if self._backwards else way.text + letter
        return _Known(text, way.anchored, len(text) >= self._longest)

    def _repeat(self, ways: list[_Known], low: int, high: int, item: Sequence[Node]) -> list[_Known]:
        found: list[_Known] = []
        for count in range(min(int(high), self._longest) + 1):
            if count >= low:
                found += ways
            if count == high:
                return found
            ways = self.sequence(ways, item)
            if len(found) + len(ways) > MAX_KEYS or all(way.open for way in ways):
                break
        return found + _opened(ways)


def _opened(ways: Iterable[_Known]) -> list[_Known]:
    return [_Known(way.text, way.anchored, True) for way in ways]


def _unique(ways: Iterable[_Known]) -> list[_Known]:
    return list(dict.fromkeys(ways))


def _cut(text: str, *, backwards: bool) -> str:
    return text[1:] if backwards else text[:-1]


def _collapse(texts: set[str], *, backwards: bool) -> set[str]:
    """Replace ten keys that differ in one digit at the inner end by the one that they have in common."""
    shorter: dict[str, int] = {}
    for text in texts:
        if text[0 if backwards else -1 :][:1].isdigit():
            parent = _cut(text, backwards=backwards)
            shorter[parent] = shorter.get(parent, 0) + 1
    full = {parent for parent, count in shorter.items() if count == 10}
    if not full:
        return texts
    kept = {text for text in texts if _cut(text, backwards=backwards) not in full}
    return _collapse(kept | full, backwards=backwards) if "" not in full else {""}


def _shorten(texts: set[str], *, backwards: bool) -> tuple[str, ...]:
    """Cut the longest texts until there are at most MAX_KEYS; empty if nothing is left of one."""
    texts = texts if "" in texts else _collapse(texts, backwards=backwards)
    while len(texts) > MAX_KEYS and "" not in texts:
        longest = max(map(len, texts))
        texts = {text if len(text) < longest else _cut(text, backwards=backwards) for text in texts}
    return () if "" in texts else tuple(sorted(_without_covered(texts, backwards=backwards)))


def _without_covered(texts: set[str], *, backwards: bool) -> Iterator[str]:
    """Yield the keys that do not just extend another key of the set."""
    for text in texts:
        shorter = _cut(text, backwards=backwards)
        while shorter and shorter not in texts:
            shorter = _cut(shorter, backwards=backwards)
        if not shorter:
            yield text


def _edge(tree: Sequence[Node], *, backwards: bool, longest: int) -> tuple[str, ...]:
    spelling = _Spelling(backwards=backwards, longest=longest)
    ways = spelling.sequence([_Known("", False, False)], tree)
    if not ways or not all(way.anchored for way in ways):
        return ()
    return _shorten({way.text for way in ways}, backwards=backwards)


def _whole(tree: Sequence[Node]) -> tuple[str, ...]:
    """Return the complete texts that a tree anchored at both ends stands for, if they are few."""
    if not ends_at_end(tree):
        return ()
    ways = _Spelling(backwards=False, longest=MAX_WHOLE).sequence([_Known("", False, False)], tree)
    if not all(way.anchored and not way.open for way in ways) or len(ways) > MAX_KEYS:
        return ()
    return tuple(sorted({way.text for way in ways}))


def keys_of_tree(tree: Sequence[Node], *, host: bool) -> Keys:
    """Return the keys of a parsed pattern."""
    longest = MAX_HOST_KEY if host else MAX_NUMBER_KEY
    low, high = width(tree)
    closed = starts_at_beginning(tree) and ends_at_end(tree)
    return Keys(
        prefixes=_edge(tree, backwards=False, longest=longest),
        suffixes=_edge(tree, backwards=True, longest=longest),
        wholes=_whole(tree),
        min_length=min(low, MAX_INPUT),
        max_length=min(high, MAX_INPUT) if closed else MAX_INPUT,
    )
