"""Patterns of routes: which of them may be saved, and how each is matched.

Decides the class of a pattern when a route is saved: simple shapes need no engine; patterns that are
provably tame go to Python `re` with re.ASCII; risky ones to RE2, which is linear; what neither can do is
refused with the reason. All match with the search semantics of Python `re`. So no tenant's pattern can
stall a worker. Masks (substitutions) live in `masks`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from re import _constants as sre  # type: ignore[attr-defined]
from typing import Any

import re2

from callcore.errors import Refused
from kemi.ks_route.model import PatternClass
from kemi.ks_route.syntax import (
    BEGINNINGS,
    ENDS,
    MAX_INPUT,
    REPEATS,
    BadSyntax,
    Node,
    backtracking_cost,
    is_digit,
    members,
    parse,
    walk,
)

#: Steps (at most 12 ns each, measured over 190 000 random patterns) that a failing search may take in `re`.
#: From the first bound on RE2 is preferred; over the second `re` is out of the question (bar: 1 ms).
TAME_RE_STEPS = 5_000
MAX_RE_STEPS = 40_000
#: Instructions of an RE2 program: the first search costs up to input length times this.
MAX_RE2_PROGRAM = 400
#: Memory of one RE2 program, in bytes.
RE2_MEMORY = 1 << 20
#: Literal prefixes of a simple pattern.
MAX_PREFIXES = 64
#: A repeat of literal text counts as literal up to this often.
MAX_LITERAL_REPEATS = 12

#: Truthy: the text matches.
Matcher = Callable[[str], object]

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
#: Written differently in RE2, without an error: {,n} is literal text there, [:name:] a class.
_RE2_READS_DIFFERENTLY = re.compile(r"\{,\d*\}|\[:")


class PatternRefused(Refused):
    """A pattern cannot be used."""

    error_id = "pattern-refused"


@dataclass(frozen=True, slots=True)
class SimplePattern:
    """`^prefix` and counted digits (or any characters): matched without an engine."""

    #: The text begins with one of these; sorted.
    prefixes: tuple[str, ...]
    #: What follows: True: digits; False: anything.
    digits: bool
    #: Least and most characters that follow; None: no upper bound.
    low: int
    high: int | None
    #: Whether the text must end there.
    ended: bool

    def matcher(self) -> Matcher:
        """Return the function that tells whether a text matches."""
        if not self.digits and self.low == 0 and self.high is None:
            prefixes = self.prefixes
            return lambda text: text.startswith(prefixes)
        if len(self.prefixes) == 1:
            return self._one_prefix(self.prefixes[0])
        parts = [self._one_prefix(prefix) for prefix in self.prefixes]
        return lambda text: any(part(text) for part in parts)

    def _one_prefix(self, prefix: str) -> Matcher:
        size = len(prefix)
        least = size + self.low
        most = MAX_INPUT if self.high is None or not self.ended else size + self.high
        if not self.digits or (self.low == 0 and self.high == 0):
            return lambda text: least <= len(text) <= most and text.startswith(prefix)
        # An open end needs only the first `low` digits; a closed one needs digits up to the end.
        stop = None if self.ended else least
        if least == size:
            return lambda text: (
                size <= len(text) <= most
                and text.startswith(prefix)
                and (len(text) == size or _all_digits(text[size:stop]))
            )
        return lambda text: (
            least <= len(text) <= most and text.startswith(prefix) and _all_digits(text[size:stop])
        )


def _all_digits(text: str) -> bool:
    return text.isdigit() and text.isascii()


@dataclass(frozen=True, slots=True)
class Classified:
    """What became of a pattern."""

    #: None: refused.
    pattern_class: PatternClass | None
    #: Why it is refused; empty for the others.
    reason: str = ""
    simple: SimplePattern | None = None
    #: Syntax tree and global flags; None for a refused or empty pattern.
    tree: Sequence[Node] | None = None
    flags: int = 0


def usable(text: str) -> bool:
    """Tell whether a text may be matched at all: not too long, no control character.

    A text that is not usable matches no pattern; routes that do not look at the field still apply.
    """
    return len(text) <= MAX_INPUT and (text.isprintable() or not _CONTROL.search(text))


def classify(pattern: str | None, *, mask: bool = False) -> Classified:
    """Return the class of a pattern; never raises. Masks need groups, so none of them is simple."""
    if not pattern:
        return Classified(PatternClass.NONE)
    try:
        tree, flags = parse(pattern)
    except BadSyntax as error:
        return Classified(None, str(error))
    foreign = _not_supported(tree)
    if foreign:
        return Classified(None, foreign)
    simple = None if mask else simple_shape(tree, flags)
    if simple is not None:
        return Classified(PatternClass.SIMPLE, "", simple, tree, flags)
    cost = backtracking_cost(tree)
    if cost <= TAME_RE_STEPS:
        return _tame(pattern, tree, flags)
    reason = _re2_refusal(pattern, tree)
    if not reason:
        return Classified(PatternClass.RE2, "", None, tree, flags)
    if cost <= MAX_RE_STEPS:
        return _tame(pattern, tree, flags)
    return Classified(None, f"{_why_risky(tree)}, and {reason}")


def _not_supported(tree: Sequence[Node]) -> str:
    for operation, argument in walk(tree):
        if operation is sre.SUBPATTERN and argument[1] & re.UNICODE:
            return "switches to Unicode rules inside (?u:...); only ASCII rules are supported"
        if operation in (sre.POSSESSIVE_REPEAT, sre.ATOMIC_GROUP):
            # Python 3.11.2 (Debian 12) does not go back to where such a part began when it fails
            # (fixed in 3.11.5, gh-106052), so it matches texts that it must not.
            return "possessive repeats (*+ ++ ?+ {n}+) and atomic groups (?>...) are not supported"
    return ""


def check(pattern: str | None, *, mask: bool = False) -> PatternClass:
    """Return the class of a pattern that may be saved; raises PatternRefused with the reason."""
    result = classify(pattern, mask=mask)
    if result.pattern_class is None:
        raise PatternRefused(f"pattern {pattern!r}: {result.reason}", pattern=pattern, reason=result.reason)
    return result.pattern_class


def _tame(pattern: str, tree: Sequence[Node], flags: int) -> Classified:
    looks_behind = any(node[0] in (sre.ASSERT, sre.ASSERT_NOT) and node[1][0] < 0 for node in walk(tree))
    if looks_behind:  # the only thing that Python's parser accepts and its compiler may refuse
        try:
            re.compile(pattern, re.ASCII)
        except re.error as error:
            return Classified(None, f"not a regular expression: {error}")
    return Classified(PatternClass.RE, "", None, tree, flags)


def _why_risky(tree: Sequence[Node]) -> str:
    for node in walk(tree):
        if node[0] in REPEATS and any(inner[0] in REPEATS for inner in walk(node[1][2])):
            return "a repeat inside a repeat could take very long on some numbers"
    return "so many variable parts could take very long on some numbers"


def _re2_refusal(pattern: str, tree: Sequence[Node]) -> str:
    """Return why RE2 cannot take over a risky pattern; empty if it can."""
    if not pattern.isascii():
        return "the linear-time engine is only used for ASCII patterns"
    if _RE2_READS_DIFFERENTLY.search(pattern):
        return "the linear-time engine reads {,n} and [: differently"
    if (sre.AT, sre.AT_NON_BOUNDARY) in walk(tree):
        return r"the linear-time engine reads \B differently"  # on the empty text
    try:
        program = re2_compile(pattern).programsize
    except re2.error as error:
        text = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
        return f"the linear-time engine does not take it ({text})"
    if program > MAX_RE2_PROGRAM:
        return "its counted repeats make it too large for the linear-time engine"
    return ""


def re2_compile(pattern: str, *, capture: bool = False) -> Any:
    """Compile for RE2 within our memory limit; raises re2.error."""
    options = re2.Options()
    options.log_errors = False
    options.never_capture = not capture
    options.max_mem = RE2_MEMORY
    return re2.compile(pattern, options)


def to_ascii(text: str) -> str:
    """Replace each non-ASCII character by U+FFFD, for RE2.

    RE2 folds a few non-ASCII letters onto ASCII ones, which re.ASCII does not; no pattern that goes to RE2
    names a non-ASCII character, so nothing else changes.
    """
    return text if text.isascii() else _NOT_ASCII.sub("\ufffd", text)


def make_matcher(pattern: str, pattern_class: PatternClass) -> Matcher:
    """Return the function that tells whether a text matches a pattern of this class."""
    if pattern_class is PatternClass.RE:
        return re.compile(pattern, re.ASCII).search
    if pattern_class is PatternClass.RE2:
        search = re2_compile(pattern).search
        return lambda text: search(to_ascii(text))
    simple = classify(pattern).simple
    if pattern_class is not PatternClass.SIMPLE or simple is None:
        raise PatternRefused(f"pattern {pattern!r} is not {pattern_class}", pattern=pattern)
    return simple.matcher()


@lru_cache(maxsize=4096)
def matcher_for(pattern: str) -> Matcher:
    """Classify and make the matcher; raises PatternRefused. For callers outside the index."""
    return make_matcher(pattern, check(pattern))


# ------------------------------------------------------------------------------------ simple shapes


def simple_shape(tree: Sequence[Node], flags: int) -> SimplePattern | None:
    """Return the simple form of a tree that has one; it accepts exactly the same texts."""
    if flags & re.IGNORECASE:
        return None
    nodes = _flatten(tree)
    if not nodes or nodes[0][0] is not sre.AT or nodes[0][1] not in BEGINNINGS:
        return None
    prefixes, index = _leading_literals(nodes, 1)
    tail = _tail(nodes, index)
    if prefixes is None or tail is None:
        return None
    digits, low, high, index = tail
    ended = index < len(nodes) and nodes[index][0] is sre.AT and nodes[index][1] in ENDS
    if index + ended != len(nodes):
        return None
    if not ended or (not digits and high is None):
        # Without an end, more may follow whatever the count; `.*$` is no condition either.
        high = None
    return SimplePattern(tuple(sorted(prefixes)), digits and (low > 0 or ended), low, high, ended)


def _flatten(tree: Sequence[Node]) -> list[Node]:
    """Return the nodes with plain capturing groups opened (nothing refers to them in a simple shape)."""
    nodes: list[Node] = []
    for node in tree:
        if node[0] is sre.SUBPATTERN and not node[1][1] and not node[1][2]:
            nodes.extend(_flatten(node[1][3]))
        else:
            nodes.append(node)
    return nodes


def _leading_literals(nodes: Sequence[Node], index: int) -> tuple[tuple[str, ...] | None, int]:
    """Return the texts that the leading literal part stands for, and where it ends."""
    texts = [""]
    while index < len(nodes) and not is_digit(nodes[index]):
        choices = _finite(nodes[index])
        if choices is None:
            break
        texts = [text + choice for text in texts for choice in choices]
        if len(texts) > MAX_PREFIXES:
            return None, index
        index += 1
    return tuple(set(texts)), index


def _finite(node: Node) -> list[str] | None:
    """Return the few texts that a node stands for, or None."""
    operation, argument = node
    if operation in (sre.LITERAL, sre.IN):
        found = members(node, 9)  # ten digits are a tail, not a prefix
        return sorted(found) if found else None
    if operation is sre.SUBPATTERN and not argument[1] and not argument[2]:
        return _finite_sequence(argument[3])
    if operation is sre.BRANCH:
        branches = [_finite_sequence(branch) for branch in argument[1]]
        return None if None in branches else [text for branch in branches for text in branch or ()]
    if operation in (sre.MAX_REPEAT, sre.MIN_REPEAT) and argument[1] <= MAX_LITERAL_REPEATS:
        return _finite_repeat(*argument)
    return None


def _finite_repeat(low: int, high: int, item: Sequence[Node]) -> list[str] | None:
    found: list[str] = []
    for count in range(low, high + 1):
        texts = _finite_sequence(list(item) * count)
        if texts is None:
            return None
        found += texts
    return found if len(found) <= MAX_PREFIXES else None


def _finite_sequence(nodes: Sequence[Node]) -> list[str] | None:
    texts = [""]
    for node in nodes:
        choices = _finite(node)
        if choices is None or len(texts) * len(choices) > MAX_PREFIXES:
            return None
        texts = [text + choice for text in texts for choice in choices]
    return texts


def _tail(nodes: Sequence[Node], index: int) -> tuple[bool, int, int | None, int] | None:
    """Return (digits, low, high, where it ends) of the counted part; None if it mixes kinds."""
    low, high, kind = 0, 0, ""
    unbounded = False
    while index < len(nodes):
        counted = _counted(nodes[index])
        if counted is None:
            break
        node_kind, node_low, node_high = counted
        if kind and kind != node_kind:
            return None
        kind, low, index = node_kind, low + node_low, index + 1
        unbounded = unbounded or node_high is None
        high += node_high or 0
    return kind != "any", low, None if unbounded else high, index


def _counted(node: Node) -> tuple[str, int, int | None] | None:
    """Return (kind, low, high) of a digit, of any character, or of a repeat of one of them."""
    operation, argument = node
    if is_digit(node):
        return "digit", 1, 1
    if operation is sre.ANY:
        return "any", 1, 1
    if operation in (sre.MAX_REPEAT, sre.MIN_REPEAT) and len(argument[2]) == 1:
        inside = _counted(argument[2][0])
        if inside is None or inside[1:] != (1, 1):
            return None
        high = None if argument[1] >= MAX_INPUT else int(argument[1])
        return inside[0], int(argument[0]), high
    return None
