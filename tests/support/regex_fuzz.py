"""Random regular expressions, and texts that they are likely to match: food for property tests."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator, Sequence
from re import _constants as sre  # type: ignore[attr-defined]
from typing import Any

from kemi.ks_route.syntax import REPEATS, Node, children

#: Seconds that each fuzz test runs; `make fuzz` sets it to more.
FUZZ_SECONDS = float(os.environ.get("KALIBRI_FUZZ_SECONDS", "1.5"))

_CHARACTERS = ("0", "1", "2", "7", "8", "9", "a", "B", "k", "S", r"\+", "~", "#", "@", r"\.", "-", "é")
_CLASSES = (
    r"\d",
    "[0-9]",
    "[0-4]",
    "[78]",
    "[a-c]",
    "[^0-9]",
    "[^a]",
    ".",
    r"\w",
    r"\s",
    "[+~]",
    r"[\d+]",
    "[J-L]",
)
_REPEATS = (
    "?",
    "*",
    "+",
    "??",
    "*?",
    "+?",
    "{2}",
    "{1,3}",
    "{0,2}",
    "{3,}",
    "{7}",
    "{2,4}?",
    "{0}",
    "?+",
    "++",
)


def rounds(seconds: float = FUZZ_SECONDS, *, at_least: int = 100) -> Iterator[int]:
    """Yield 0, 1, 2 ... until the time is over."""
    end = time.monotonic() + seconds
    number = 0
    while number < at_least or time.monotonic() < end:
        yield number
        number += 1


class RegexMaker:
    """Makes patterns with nested groups, alternation, look-arounds, lazy repeats, inline flags, stray anchors."""

    def __init__(self, rnd: random.Random) -> None:
        self._rnd = rnd

    def pattern(self) -> str:
        rnd = self._rnd
        head = rnd.choice(["", "", "^", "^", "^", "^", r"\A", "(?i)^", "(?i)", "(?x)", "(?s)", "(?m)^"])
        tail = rnd.choice(["", "", "$", "$", r"\Z", ".*$", r"\d{4}$", r"\d*$", ".*", "$|^7"])
        return head + self._sequence(rnd.randint(0, 3)) + tail

    def _sequence(self, depth: int) -> str:
        return "".join(self._item(depth) for _ in range(self._rnd.randint(1, 4)))

    def _item(self, depth: int) -> str:
        rnd = self._rnd
        draw = rnd.random()
        if depth <= 0 or draw < 0.45:
            atom = rnd.choice(_CHARACTERS) if rnd.random() < 0.7 else rnd.choice(_CLASSES)
            return atom + (rnd.choice(_REPEATS) if rnd.random() < 0.2 else "")
        if draw < 0.52:
            return rnd.choice(["^", "$", r"\b", r"\B", ""])
        if draw < 0.60:
            return rnd.choice(["(?=", "(?!"]) + self._sequence(depth - 1) + ")"
        if draw < 0.64:
            return rnd.choice(["(?<=", "(?<!"]) + rnd.choice(_CHARACTERS) + ")"
        if draw < 0.67:
            return rnd.choice([r"(7|8)\1", r"(?P<n>\d)(?P=n)", r"(1)?(?(1)2|3)"][: 1 if depth > 1 else 3])
        return self._group(depth - 1)

    def _group(self, depth: int) -> str:
        rnd = self._rnd
        branches = "|".join(self._sequence(depth) for _ in range(rnd.choice([1, 1, 2, 3])))
        if rnd.random() < 0.1:
            branches += "|"
        opening = rnd.choice(["(", "(", "(?:", "(?:", "(?i:", "(?-i:", "(?>"])
        return f"{opening}{branches})" + (rnd.choice(_REPEATS) if rnd.random() < 0.4 else "")


class Sampler:
    """Makes texts along a syntax tree: most of them match, as far as assertions allow."""

    def __init__(self, rnd: random.Random) -> None:
        self._rnd = rnd
        self._groups: dict[int, str] = {}

    def text(self, tree: Sequence[Node]) -> str:
        """Return one text for the whole pattern, sometimes with something around it, sometimes damaged."""
        rnd = self._rnd
        text = self._sequence(tree)
        if rnd.random() < 0.3:
            text = rnd.choice(["", "7", "x", "+"]) + text + rnd.choice(["", "0", "12", "z"])
        if text and rnd.random() < 0.15:
            place = rnd.randrange(len(text))
            text = text[:place] + rnd.choice("0178aBkS+.é\u212a") + text[place + 1 :]
        return text.swapcase() if rnd.random() < 0.2 else text

    def fitting(self, tree: Sequence[Node]) -> str:
        """Return one text along the tree, undamaged."""
        return self._sequence(tree)

    def _sequence(self, nodes: Sequence[Node]) -> str:
        return "".join(self._node(node) for node in nodes)

    def _node(self, node: Node) -> str:
        operation, argument = node
        rnd = self._rnd
        if operation is sre.LITERAL:
            return chr(argument)
        if operation is sre.IN:
            return self._member(argument)
        if operation in (sre.ANY, sre.NOT_LITERAL):
            return rnd.choice("017ax.")
        if operation is sre.BRANCH:
            return self._sequence(rnd.choice(argument[1]))
        if operation in REPEATS:
            low, high = int(argument[0]), min(int(argument[1]), int(argument[0]) + 3)
            return "".join(self._sequence(argument[2]) for _ in range(rnd.randint(low, high)))
        if operation is sre.GROUPREF:
            return self._groups.get(argument, "")
        if operation in (sre.AT, sre.ASSERT_NOT, sre.ASSERT):
            return ""
        text = self._sequence(rnd.choice(list(children(node))))
        if operation is sre.SUBPATTERN and argument[0]:
            self._groups[argument[0]] = text
        return text

    def _member(self, choices: Sequence[tuple[Any, Any]]) -> str:
        kind, value = self._rnd.choice(choices)
        if kind is sre.LITERAL:
            return chr(value)
        if kind is sre.RANGE:
            return chr(self._rnd.randint(*value))
        return self._rnd.choice("0123456789" if value is sre.CATEGORY_DIGIT else "x7 .")
