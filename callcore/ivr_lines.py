"""YAML in which every value knows its line, and a reader of mappings that collects mistakes instead of raising.

Decides nothing of scenarios. Scalars stay texts as they were written ("09:00" is no number of YAML 1.1 here); what a
field wants of them is said when it is read. Sizes and depths are bounded, so a hostile file costs little. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import yaml

LONGEST_SOURCE = 256 * 1024
#: Aliases can make a small file huge, or endless: both end here.
MOST_ITEMS = 20_000
DEEPEST = 24

TRUE = frozenset({"true", "yes", "on"})
FALSE = frozenset({"false", "no", "off"})


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """A mistake in a scenario."""

    #: 1 is the first; 0: the whole file.
    line: int
    message: str
    #: The node that it is about, "" for none.
    node: str = ""

    def text(self, file: str) -> str:
        """Return it as a compiler would say it."""
        return f"{file}:{self.line}: {f'{self.node}: ' if self.node else ''}{self.message}"


@dataclass(frozen=True, slots=True)
class Item:
    """A value with the line where it begins."""

    line: int
    value: str | tuple[Item, ...] | Mapping[str, Item]


@dataclass(slots=True)
class _Budget:
    problems: list[Problem]
    left: int = MOST_ITEMS


def read_yaml(source: str) -> tuple[Item | None, list[Problem]]:
    """Return the document, or None and why there is none; duplicate keys are problems too."""
    if len(source) > LONGEST_SOURCE:
        return None, [Problem(0, f"longer than {LONGEST_SOURCE} characters")]
    problems: list[Problem] = []
    try:
        root = yaml.compose(source, Loader=yaml.BaseLoader)
        if root is None:
            return None, [Problem(1, "the file is empty")]
        return _convert(root, _Budget(problems), 0), problems
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return None, [Problem(mark.line + 1 if mark else 1, error.problem or "not YAML")]
    except yaml.YAMLError as error:
        return None, [Problem(1, " ".join(str(error).split())[:200])]
    except (_TooMuch, RecursionError):
        return None, [Problem(1, "nested too deep, or too large")]


class _TooMuch(Exception):
    pass


def _convert(node: yaml.Node, budget: _Budget, depth: int) -> Item:
    budget.left -= 1
    if depth > DEEPEST or budget.left < 0:
        raise _TooMuch
    line = node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        return Item(line, tuple(_convert(child, budget, depth + 1) for child in node.value))
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Item] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                budget.problems.append(Problem(key.start_mark.line + 1, "a key must be a text"))
                continue
            if key.value in found:
                budget.problems.append(Problem(key.start_mark.line + 1, f'"{key.value}" is given twice'))
            # A person looks for the name: a value that begins below it has the line of its key.
            found[key.value] = Item(key.start_mark.line + 1, _convert(value, budget, depth + 1).value)
        return Item(line, found)
    return Item(line, str(node.value))


@dataclass(slots=True)
class Fields:
    """The fields of one mapping: read by name, each once; `done` tells what nobody read."""

    problems: list[Problem]
    item: Item
    node: str = ""
    _read: set[str] = field(default_factory=set)

    @property
    def _map(self) -> Mapping[str, Item]:
        return self.item.value if isinstance(self.item.value, Mapping) else {}

    def complain(self, line: int, message: str) -> None:
        """Note a mistake."""
        self.problems.append(Problem(line, message, self.node))

    def get(self, name: str) -> Item | None:
        """Return a field as it is; None: not given."""
        self._read.add(name)
        return self._map.get(name)

    def line_of(self, name: str) -> int:
        """Return the line of a field, or of the mapping."""
        found = self._map.get(name)
        return found.line if found is not None else self.item.line

    def text(self, name: str, default: str | None = "", *, longest: int = 2000) -> str:
        """Return a text; default None: it must be given."""
        found = self.get(name)
        if found is None:
            if default is None:
                self.complain(self.item.line, f'"{name}" is missing')
            return default or ""
        if not isinstance(found.value, str):
            self.complain(found.line, f'"{name}" must be a text')
            return default or ""
        if len(found.value) > longest or any(ord(char) < 32 and char not in "\n\t" for char in found.value):
            self.complain(
                found.line, f'"{name}" is longer than {longest} characters or has control characters'
            )
            return default or ""
        return found.value

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """Return a number between low and high."""
        found = self.get(name)
        if found is None:
            return default
        value = _number(found)
        if value is None or not low <= value <= high:
            self.complain(found.line, f'"{name}" must be a number from {low:g} to {high:g}')
            return default
        return value

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        """Return a whole number between low and high."""
        value = self.number(name, default, low, high)
        if value != int(value):
            self.complain(self.line_of(name), f'"{name}" must be a whole number')
        return int(value)

    def flag(self, name: str, default: bool) -> bool:
        """Return yes or no."""
        found = self.get(name)
        if found is None:
            return default
        word = found.value.lower() if isinstance(found.value, str) else ""
        if word not in TRUE | FALSE:
            self.complain(found.line, f'"{name}" must be yes or no')
        return word in TRUE if word in TRUE | FALSE else default

    def one_of(self, name: str, words: Iterable[str], default: str) -> str:
        """Return one of some words."""
        known = tuple(words)
        word = self.text(name, default)
        if word not in known:
            self.complain(self.line_of(name), f'"{name}" must be one of {", ".join(known)}')
            return default
        return word

    def fields(self, name: str) -> Fields | None:
        """Return a mapping; None: not given."""
        found = self.get(name)
        if found is None:
            return None
        if not isinstance(found.value, Mapping):
            self.complain(found.line, f'"{name}" must be a mapping')
            return None
        return Fields(self.problems, found, self.node)

    def texts(self, name: str) -> dict[str, tuple[str, int]]:
        """Return a mapping of texts to (text, line)."""
        inner = self.fields(name)
        if inner is None:
            return {}
        return {key: (inner.text(key), inner.line_of(key)) for key in inner.names()}

    def list_of(self, name: str) -> tuple[Item, ...]:
        """Return a list; a single value is a list of one; nothing given: an empty one."""
        found = self.get(name)
        if found is None:
            return ()
        return found.value if isinstance(found.value, tuple) else (found,)

    def words(self, name: str) -> tuple[str, ...]:
        """Return a list of texts."""
        found = []
        for item in self.list_of(name):
            if isinstance(item.value, str) and item.value:
                found.append(item.value)
            else:
                self.complain(item.line, f'"{name}" must be a text or a list of texts')
        return tuple(found)

    def names(self) -> tuple[str, ...]:
        """Return the names of all fields that are there."""
        return tuple(self._map)

    def done(self) -> None:
        """Complain of fields that nobody asked for."""
        for name, item in self._map.items():
            if name not in self._read:
                known = ", ".join(sorted(self._read))
                self.complain(item.line, f'"{name}" is not known here (known: {known})')


def _number(item: Item) -> float | None:
    if not isinstance(item.value, str):
        return None
    try:
        value = float(item.value)
    except ValueError:
        return None
    return value if value == value and abs(value) != float("inf") else None
