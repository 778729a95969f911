"""Syntax trees of patterns, as Python's own parser sees them.

The one place that touches `re._parser` (undocumented, hence pinned by tests) and that knows its node shapes:
parsing with plain-words errors, character sets, widths, and what backtracking may cost. Decides nothing
about routes.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

#: A node of the tree: (operation, argument), as the parser makes them.
Node = tuple[Any, Any]

#: Longest pattern and longest input, in characters.
MAX_PATTERN = 512
MAX_INPUT = 128
#: Deepest nesting of groups; the parser, the compiler and we recurse once a level.
MAX_DEPTH = 20

REPEATS = frozenset({sre.MAX_REPEAT, sre.MIN_REPEAT})
BEGINNINGS = frozenset({sre.AT_BEGINNING, sre.AT_BEGINNING_STRING})
ENDS = frozenset({sre.AT_END, sre.AT_END_STRING})
#: Nodes that consume exactly one character.
SINGLE = frozenset({sre.LITERAL, sre.NOT_LITERAL, sre.IN, sre.ANY})

_DIGITS = frozenset("0123456789")


class BadSyntax(ValueError):
    """The pattern cannot be used; the message says why in plain words."""


def parse(pattern: str) -> tuple[list[Node], int]:
    """Return the tree and the global flags; raises BadSyntax.

    Trees of the plain groups `(?:...)` are already merged into their surroundings by the parser.
    """
    if len(pattern) > MAX_PATTERN:
        raise BadSyntax(f"longer than {MAX_PATTERN} characters")
    if "\n" in pattern or "\r" in pattern:
        raise BadSyntax("holds a line break")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tree = parser.parse(pattern, re.ASCII)
    except re.error as error:
        where = "" if error.pos is None else f" at character {error.pos + 1}"
        raise BadSyntax(f"not a regular expression: {error.msg}{where}") from error
    except (Warning, ValueError, OverflowError) as error:
        raise BadSyntax(f"not a usable regular expression: {error}") from error
    except RecursionError as error:
        raise BadSyntax("groups are nested too deeply") from error
    nodes = list(tree)
    _check_depth(nodes, MAX_DEPTH)
    return nodes, tree.state.flags


def children(node: Node) -> Iterator[Sequence[Node]]:
    """Yield the sequences inside a node."""
    operation, argument = node
    if operation is sre.SUBPATTERN:
        yield argument[3]
    elif operation in REPEATS or operation is sre.POSSESSIVE_REPEAT:
        yield argument[2]
    elif operation is sre.BRANCH:
        yield from argument[1]
    elif operation in (sre.ASSERT, sre.ASSERT_NOT):
        yield argument[1]
    elif operation is sre.ATOMIC_GROUP:
        yield argument
    elif operation is sre.GROUPREF_EXISTS:
        yield argument[1]
        if argument[2] is not None:
            yield argument[2]


def walk(nodes: Iterable[Node]) -> Iterator[Node]:
    """Yield every node of the tree, parents first."""
    for node in nodes:
        yield node
        for inside in children(node):
            yield from walk(inside)


def _check_depth(nodes: Iterable[Node], left: int) -> None:
    if left == 0:
        raise BadSyntax(f"groups are nested more than {MAX_DEPTH} deep")
    for node in nodes:
        for inside in children(node):
            _check_depth(inside, left - 1)


def members(node: Node, limit: int) -> frozenset[str] | None:
    """Return the ASCII characters that a one-character node accepts; None if they are many or unclear."""
    operation, argument = node
    if operation is sre.LITERAL:
        return frozenset(chr(argument)) if argument < 128 else None
    if operation is not sre.IN:
        return None
    found: set[str] = set()
    for kind, value in argument:
        if kind is sre.LITERAL and value < 128:
            found.add(chr(value))
        elif kind is sre.RANGE and value[1] < 128 and value[1] - value[0] < limit:
            found.update(map(chr, range(value[0], value[1] + 1)))
        elif kind is sre.CATEGORY and value is sre.CATEGORY_DIGIT:
            found |= _DIGITS
        else:
            return None
    return frozenset(found) if len(found) <= limit else None


def is_digit(node: Node) -> bool:
    """Tell whether a node accepts exactly one digit 0-9."""
    return node[0] is sre.IN and members(node, len(_DIGITS)) == _DIGITS


def width(nodes: Iterable[Node]) -> tuple[int, int]:
    """Return bounds of the characters that a sequence consumes, both capped at MAX_INPUT + 1."""
    low = high = 0
    for node in nodes:
        node_low, node_high = _node_width(node)
        low, high = low + node_low, high + node_high
    return min(low, MAX_INPUT + 1), min(high, MAX_INPUT + 1)


def _node_width(node: Node) -> tuple[int, int]:
    operation, argument = node
    if operation in SINGLE:
        return 1, 1
    if operation in (sre.AT, sre.ASSERT, sre.ASSERT_NOT):
        return 0, 0
    if operation is sre.SUBPATTERN:
        return width(argument[3])
    if operation is sre.BRANCH:
        bounds = [width(branch) for branch in argument[1]]
        return min(low for low, _ in bounds), max(high for _, high in bounds)
    if operation in REPEATS:
        low, high = width(argument[2])
        return low * argument[0], high * min(int(argument[1]), MAX_INPUT + 1)
    return 0, MAX_INPUT + 1  # back-references, conditions and whatever a later Python adds


#: Costs beyond this are all the same to us: exponential.
_HOPELESS = 10.0**12
#: Relative costs (a step is at most 12 ns, measured): one node; one character of a one-character repeat.
_NODE_STEP = 1.0
_SCAN_STEP = 0.1


def backtracking_cost(nodes: Sequence[Node]) -> float:
    """Return an upper estimate of the steps that a failing search over MAX_INPUT characters takes.

    Every variable repeat multiplies the ways in which what follows it may be tried; a repeat of something
    that is itself variable multiplies them exponentially.
    """
    groups = {
        node[1][0]: width(node[1][3])[1] for node in walk(nodes) if node[0] is sre.SUBPATTERN and node[1][0]
    }
    steps, _ways = _Cost(groups).sequence(nodes)
    starts = 1 if starts_at_beginning(nodes) else MAX_INPUT + 1
    return min(starts * steps, _HOPELESS)


class _Cost:
    """(steps to try everything, ways to get through) of parts of one tree."""

    def __init__(self, groups: dict[int, int]) -> None:
        #: Widest text of each group, for back-references.
        self._groups = groups

    def sequence(self, nodes: Iterable[Node]) -> tuple[float, float]:
        steps, ways = 0.0, 1.0
        for node in nodes:
            node_steps, node_ways = self._node(node)
            steps = min(steps + ways * node_steps, _HOPELESS)
            ways = min(ways * node_ways, _HOPELESS)
        return steps, ways

    def _node(self, node: Node) -> tuple[float, float]:
        operation, argument = node
        if operation in REPEATS:
            return self._repeat(*argument)
        if operation is sre.GROUPREF:
            return _NODE_STEP + self._groups.get(argument, MAX_INPUT) * _SCAN_STEP, 1.0
        inner = [self.sequence(inside) for inside in children(node)]
        steps = _NODE_STEP + sum(entry[0] for entry in inner)
        if operation in (sre.ASSERT, sre.ASSERT_NOT):
            return steps, 1.0  # the engine never comes back into these
        return steps, max(1.0, sum(entry[1] for entry in inner))

    def _repeat(self, low: int, high: int, item: Sequence[Node]) -> tuple[float, float]:
        if len(item) == 1 and item[0][0] in SINGLE:
            most = min(int(high), MAX_INPUT)
            return _NODE_STEP + most * _SCAN_STEP, max(1.0, most - low + 1)
        shortest = max(1, width(item)[0])
        most = min(int(high), max(int(low), MAX_INPUT // shortest))
        steps, ways = self.sequence(item)
        total_steps, total_ways, through = _NODE_STEP, 0.0, 1.0
        for count in range(most + 1):
            if count >= low:
                total_ways += through
            if count < most:
                total_steps += through * (steps + _NODE_STEP)
            through *= ways
            if total_steps >= _HOPELESS:
                return _HOPELESS, _HOPELESS
        return total_steps, max(1.0, total_ways)


def starts_at_beginning(nodes: Sequence[Node]) -> bool:
    """Tell whether every match plainly begins at the start of the input, before anything else is tried."""
    return _anchored(nodes, BEGINNINGS)


def ends_at_end(nodes: Sequence[Node]) -> bool:
    """Tell whether every match reaches the end of the input (which holds no line break)."""
    return _anchored(list(nodes)[::-1], ENDS, backwards=True)


def _anchored(nodes: Sequence[Node], anchors: frozenset[Any], *, backwards: bool = False) -> bool:
    for node in nodes:
        operation, argument = node
        if operation is sre.AT and argument in anchors:
            return True
        if operation is sre.AT:
            continue
        if operation is sre.SUBPATTERN:
            inside = [next(children(node))]
        elif operation is sre.BRANCH:
            inside = argument[1]
        else:
            return False
        ordered = [list(part)[::-1] if backwards else part for part in inside]
        return all(_anchored(part, anchors, backwards=backwards) for part in ordered)
    return False
