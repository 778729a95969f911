"""Matchers that are kept between calls and handed from one generation of the index to the next.

Decides only what is kept: a bounded number of compiled patterns, by text. Never classifies.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from kemi.ks_route.model import PatternClass
from kemi.ks_route.patterns import Matcher, make_matcher

#: Compiled patterns of the classes re and re2 that a worker keeps; at most twice as many are held.
#: (About 0.5 kB each for re, 1.5 kB for re2: within the worker's budget of 40 MB.)
MAX_ENGINES = 4_000

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class Recent(Generic[_Key, _Value]):
    """Keeps what was used lately: a young and an old half; when the young one is full, the old one goes.

    Cheaper than a true LRU and free of its long scans; `young` is public so that a hot loop may look there
    first without a call.
    """

    __slots__ = ("_most", "_old", "young")

    def __init__(self, most: int) -> None:
        self._most = most
        self.young: dict[_Key, _Value] = {}
        self._old: dict[_Key, _Value] = {}

    def get(self, key: _Key) -> _Value | None:
        """Return what is kept under the key, or None; it counts as used."""
        found = self.young.get(key)
        if found is None:
            found = self._old.pop(key, None)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: _Key, value: _Value) -> None:
        """Keep a value."""
        if len(self.young) >= self._most:
            self._old = dict(self.young)
            self.young.clear()  # in place: hot loops hold a reference
        self.young[key] = value

    def __len__(self) -> int:
        return len(self.young) + len(self._old)


class Engines:
    """Compiled patterns by text, shared by all generations of a worker's table."""

    def __init__(self, most: int = MAX_ENGINES) -> None:
        self._kept: Recent[tuple[str, PatternClass], Matcher] = Recent(most)

    def matcher(self, pattern: str, pattern_class: PatternClass) -> Matcher:
        """Return the matcher of a pattern whose class was decided before."""
        key = (pattern, pattern_class)
        found = self._kept.get(key)
        if found is None:
            found = make_matcher(pattern, pattern_class)
            self._kept.put(key, found)
        return found

    def __len__(self) -> int:
        return len(self._kept)
