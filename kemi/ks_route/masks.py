r"""Masks: rewriting of A and B numbers by regex substitution.

Decides what a replacement may hold (text, groups \1 \g<1> \g<name>, \\) and applies it as Python's `re.sub`
does: every match in the number is replaced; no match leaves it as it is. The pattern obeys the same classes
as conditions do, the result has a length limit.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from callcore.errors import Refused
from kemi.ks_route.model import PatternClass
from kemi.ks_route.patterns import PatternRefused, check, re2_compile, to_ascii
from kemi.ks_route.syntax import MAX_INPUT

#: Longest replacement, in characters.
MAX_REPLACEMENT = 128

_PLAIN = re.compile(r"[\x21-\x5b\x5d-\x7e]+")
_GROUP = re.compile(r"\\([1-9][0-9]?)(?![0-9])|\\g<([0-9]{1,2}|[A-Za-z_][A-Za-z0-9_]*)>", re.ASCII)


class MaskTooLong(Refused):
    """The rewritten number is too long."""

    error_id = "mask-too-long"


@dataclass(frozen=True, slots=True)
class Mask:
    """A substitution that is ready to use; make it with `compile_mask`."""

    pattern: str
    replacement: str
    #: Literal texts and group numbers, in order.
    parts: tuple[str | int, ...]
    substitute: Callable[[Callable[[Any], str], str], str]

    def apply(self, number: str) -> str:
        """Return the rewritten number; raises MaskTooLong beyond MAX_INPUT characters."""
        written = 0

        def expand(match: Any) -> str:
            nonlocal written
            text = "".join(part if isinstance(part, str) else match.group(part) or "" for part in self.parts)
            written += len(text)
            if written > MAX_INPUT:
                raise MaskTooLong(number=number, mask=self.pattern)
            return text

        result = self.substitute(expand, number)
        if len(result) > MAX_INPUT:
            raise MaskTooLong(number=number, mask=self.pattern)
        return result


def parse_replacement(replacement: str, groups: int, names: dict[str, int]) -> tuple[str | int, ...]:
    """Return literal texts and group numbers; raises PatternRefused with the position."""
    if len(replacement) > MAX_REPLACEMENT:
        raise PatternRefused(f"replacement is longer than {MAX_REPLACEMENT} characters")
    parts: list[str | int] = []
    position = 0
    while position < len(replacement):
        plain = _PLAIN.match(replacement, position)
        group = _GROUP.match(replacement, position)
        if plain:
            parts.append(plain[0])
        elif replacement.startswith("\\\\", position):
            parts.append("\\")
        elif group:
            parts.append(_group_number(group, groups, names))
        else:
            raise PatternRefused(
                f"replacement {replacement!r}, character {position + 1}: only visible ASCII text, "
                r"\1 ... \99, \g<1>, \g<name> and \\ are understood",
                replacement=replacement,
                position=position + 1,
            )
        position += len((plain or group or ("\\\\",))[0])
    return tuple(parts)


def _group_number(match: re.Match[str], groups: int, names: dict[str, int]) -> int:
    word = match[1] or match[2]
    number = int(word) if word.isdigit() else names.get(word, -1)
    if not 0 <= number <= groups:
        raise PatternRefused(
            f"replacement refers to group {word!r}, which the pattern does not have", group=word
        )
    return number


def _substitute(search: Callable[..., Any], expand: Callable[[Any], str], number: str) -> str:
    """Replace every match as re.sub does; RE2's own sub takes an empty match at the end twice.

    Where the pattern matches both nothing and something at one place, re.sub takes first one, then the
    other; RE2 cannot be asked for the other.
    """
    text = to_ascii(number)
    pieces: list[str] = []
    copied = position = 0
    while position <= len(text):
        match = search(text, position)
        if match is None:
            break
        pieces += (number[copied : match.start()], expand(match))
        copied = match.end()
        position = copied + (match.start() == copied)
    return "".join((*pieces, number[copied:]))


@lru_cache(maxsize=2048)
def compile_mask(pattern: str, replacement: str) -> Mask:
    """Check and prepare a mask; raises PatternRefused with the reason in plain words."""
    if not pattern:
        raise PatternRefused("the mask has no pattern")
    if check(pattern, mask=True) is PatternClass.RE2:
        linear = re2_compile(pattern, capture=True)
        parts = parse_replacement(replacement, linear.groups, linear.groupindex)
        return Mask(pattern, replacement, parts, partial(_substitute, linear.search))
    compiled = re.compile(pattern, re.ASCII)
    parts = parse_replacement(replacement, compiled.groups, dict(compiled.groupindex))
    return Mask(pattern, replacement, parts, compiled.sub)
