"""Forms as people write them: YAML, checked line by line before an agent sees it.

    title: Complaint
    disposition: result
    wrapup: {seconds: 120, end_when_finished: true}
    fields:
      - {name: hello, type: script, text: "Good day, {caller_name}, this is {agent_name}."}
      - {name: result, type: choice, choices: [sold, {value: later, label: Call again}], required: true}
      - {name: amount, type: number, label: Amount, minimum: 0, decimals: 2}

Decides what may be written. Never stores anything. Names every error with its line, not only the first; anchors,
tags and repeated keys are errors, and nothing in a file can make reading it costly.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

import yaml

from callcore import form, template
from callcore.errors import BadInput
from callcore.form import Choice, FieldType, Form, FormField
from callcore.template import BadTemplate

MAX_SOURCE_CHARACTERS = 100_000
MAX_DEPTH = 8
MAX_PROBLEMS = 50
LONGEST_WRAPUP_SECONDS = 3600

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)
_MISSING = object()


class BadForm(BadInput):
    """The form has errors."""

    error_id = "bad-form"


@dataclass(frozen=True)
class Problem:
    """What is wrong, and where."""

    line: int
    problem: str


@lru_cache(maxsize=256)
def read_form(source: str) -> Form:
    """Return the form that a YAML text describes; raises BadForm, whose `problems` name each line."""
    reader = _Reader()
    try:
        root = _compose(source)
    except _Error as error:
        raise _bad([Problem(error.line, error.text)]) from None
    made = reader.form(root)
    if reader.problems or made is None:
        raise _bad(sorted(reader.problems, key=lambda found: found.line))
    return made


def _bad(problems: list[Problem]) -> BadForm:
    text = "; ".join(f"line {found.line}: {found.problem}" for found in problems[:MAX_PROBLEMS])
    return BadForm(text, problems=[vars(found) for found in problems[:MAX_PROBLEMS]])


class _Error(Exception):
    """One thing is wrong; the reader goes on with the next one."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line
        self.text = text


def _compose(source: str) -> yaml.Node:
    if len(source) > MAX_SOURCE_CHARACTERS:
        raise _Error(1, f"the form is longer than {MAX_SOURCE_CHARACTERS} characters")
    try:
        # Looked through before a tree is made of it: deep nesting and references cost, and a form needs neither.
        depth = 0
        for event in yaml.parse(source, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise _Error(_line(event), f"nested more than {MAX_DEPTH} deep")
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise _Error(_line(event), "anchors and references are not understood")
            if getattr(event, "tag", None):
                raise _Error(_line(event), "tags are not understood")
        node = yaml.compose(source, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise _Error(line, f"no YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise _Error(1, f"no YAML: {' '.join(str(error).split())}") from None
    if node is None:
        raise _Error(1, "the form is empty")
    return node


def _line(marked: Any) -> int:
    return int(marked.start_mark.line) + 1


class _Reader:
    """Builds a form from the tree of a YAML text; collects what is wrong."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except _Error as error:
            self.problems.append(Problem(error.line, error.text))

    def form(self, root: yaml.Node) -> Form | None:
        """Build the form; None when it is none at all."""
        keys = ("title", "fields", "disposition", "wrapup")
        found = self._mapping(root, keys, required=("title", "fields"))
        if found is None:
            return None
        title = self._take(found, "title", _text(200), "")
        fields = self._fields(found["fields"]) if "fields" in found else ()
        wrapup: Mapping[str, yaml.Node] = {}
        if "wrapup" in found:
            wrapup = self._mapping(found["wrapup"], ("seconds", "end_when_finished")) or {}
        made = Form(
            title=title,
            fields=fields,
            disposition=self._take(found, "disposition", _text(63), ""),
            wrapup_seconds=self._take(wrapup, "seconds", _whole(0, LONGEST_WRAPUP_SECONDS), None),
            ends_wrapup=self._take(wrapup, "end_when_finished", _yes_or_no, False),
        )
        self._check_disposition(found, made)
        return made

    def _check_disposition(self, found: Mapping[str, yaml.Node], made: Form) -> None:
        if not made.disposition:
            return
        field = made.questions.get(made.disposition)
        if field is None or field.type is not FieldType.CHOICE:
            line = _line(found["disposition"])
            self.problems.append(Problem(line, f'disposition: there is no choice "{made.disposition}"'))

    def _mapping(
        self, node: yaml.Node, keys: tuple[str, ...], *, required: tuple[str, ...] = ()
    ) -> dict[str, yaml.Node] | None:
        """Return the values of a mapping by key; unknown and repeated keys are noted."""
        if not isinstance(node, yaml.MappingNode):
            self.problems.append(Problem(_line(node), f"keys are expected here: {', '.join(keys)}"))
            return None
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            if name not in keys:
                self.problems.append(
                    Problem(_line(key), f'"{str(name)[:100]}" is not understood here: {", ".join(keys)}')
                )
            elif name in found:
                self.problems.append(Problem(_line(key), f'"{name}" stands here twice'))
            else:
                found[name] = value
        for name in required:
            if name not in found:
                self.problems.append(Problem(_line(node), f'"{name}" is missing'))
        return found

    def _take(
        self, found: Mapping[str, yaml.Node], key: str, read: Callable[[yaml.Node], Any], default: Any
    ) -> Any:
        """Read a value; when it is missing or wrong (noted) return the default."""
        if key not in found:
            return default
        try:
            return read(found[key])
        except _Error as error:
            self.problems.append(Problem(error.line, f"{key}: {error.text}"))
            return default

    def _fields(self, node: yaml.Node) -> tuple[FormField, ...]:
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            self.problems.append(Problem(_line(node), "fields: a list of fields is expected"))
            return ()
        if len(node.value) > form.MAX_FIELDS:
            self.problems.append(Problem(_line(node), f"fields: at most {form.MAX_FIELDS}"))
            return ()
        made: dict[str, FormField] = {}
        for item in node.value:
            field = self._field(item)
            if field is None:
                continue
            if field.name in made:
                self.problems.append(Problem(_line(item), f'there are two fields "{field.name}"'))
            made[field.name] = field
        return tuple(made.values())

    def _field(self, node: yaml.Node) -> FormField | None:
        found = self._mapping(node, _ALL_KEYS, required=("name", "type"))
        if found is None or "name" not in found or "type" not in found:
            return None
        name = self._take(found, "name", _name, "")
        kind = self._take(found, "type", _type, None)
        if not name or kind is None:
            return None
        values: dict[str, Any] = {}
        for key, item in found.items():
            if key in ("name", "type"):
                continue
            if key not in _KEYS[kind]:
                self.problems.append(
                    Problem(_line(item), f"{key}: a {kind} has none ({', '.join(_KEYS[kind]) or 'nothing'})")
                )
                continue
            value = self._take(found, key, _READ[key], _MISSING)
            if value is not _MISSING:
                values[key] = value
        self._check_field(node, kind, found, values)
        return FormField(name=name, type=kind, **values)

    def _check_field(
        self, node: yaml.Node, kind: FieldType, found: Mapping[str, yaml.Node], values: Mapping[str, Any]
    ) -> None:
        needed = {FieldType.SCRIPT: "text", FieldType.CHOICE: "choices"}.get(kind)
        if needed and needed not in found:
            self.problems.append(Problem(_line(node), f'a {kind} needs "{needed}"'))
        for low, high in (("minimum", "maximum"), ("earliest", "latest")):
            if low in values and high in values and values[low] > values[high]:
                self.problems.append(Problem(_line(found[high]), f"{high}: is below {low}"))


# ----------------------------------------------------------------------------------------------- values


def _scalar(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise _Error(_line(node), "one value is expected")
    return str(node.value)


def _text(most: int) -> Callable[[yaml.Node], str]:
    def read(node: yaml.Node) -> str:
        value = _scalar(node)
        if not value.strip():
            raise _Error(_line(node), "must not be empty")
        if len(value) > most:
            raise _Error(_line(node), f"at most {most} characters")
        if any(not letter.isprintable() and letter not in "\n\t" for letter in value):
            raise _Error(_line(node), "has a character that cannot be shown")
        return value.strip()

    return read


def _script(node: yaml.Node) -> str:
    text = _text(form.MAX_TEXT_CHARACTERS)(node)
    try:
        return template.parse(text).text
    except BadTemplate as error:
        raise _Error(_line(node), error.message) from None


def _name(node: yaml.Node) -> str:
    value = _scalar(node)
    if not _NAME.fullmatch(value):
        raise _Error(_line(node), "1 to 63 small letters, digits and _, a letter first")
    return value


def _type(node: yaml.Node) -> FieldType:
    value = _scalar(node)
    if value not in tuple(FieldType):
        raise _Error(_line(node), f'"{value[:100]}" is none of {", ".join(FieldType)}')
    return FieldType(value)


def _yes_or_no(node: yaml.Node) -> bool:
    if not node.tag.endswith(":bool"):
        raise _Error(_line(node), "true or false")
    return _scalar(node).lower() in ("true", "yes", "on")


def _number(node: yaml.Node) -> float:
    try:
        # By its looks, not by YAML's tag: YAML 1.1 takes 1.5e6 for a text.
        value = float(_scalar(node)) if getattr(node, "style", None) is None else float("nan")
    except ValueError:
        value = float("nan")
    if not abs(value) <= form.LARGEST_NUMBER:
        raise _Error(_line(node), "a number is expected")
    return value


def _whole(least: int, most: int) -> Callable[[yaml.Node], int]:
    def read(node: yaml.Node) -> int:
        value = _scalar(node)
        if not re.fullmatch(r"[0-9]{1,9}", value, re.ASCII) or not least <= int(value) <= most:
            raise _Error(_line(node), f"a whole number from {least} to {most} is expected")
        return int(value)

    return read


def _day(node: yaml.Node) -> date:
    value = _scalar(node)
    try:
        if len(value) == 10 and value[4] == value[7] == "-":
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise _Error(_line(node), "a date as 2026-11-22 is expected")


def _choice(node: yaml.Node) -> Choice:
    if isinstance(node, yaml.MappingNode):
        keys = {key.value: value for key, value in node.value if isinstance(key, yaml.ScalarNode)}
        if set(keys) != {"value", "label"} or len(node.value) != 2:
            raise _Error(_line(node), "value and label are expected")
        return Choice(value=_text(100)(keys["value"]), label=_text(200)(keys["label"]))
    value = _text(100)(node)
    return Choice(value=value, label=value)


def _choices(node: yaml.Node) -> tuple[Choice, ...]:
    if not isinstance(node, yaml.SequenceNode) or not 1 <= len(node.value) <= form.MAX_CHOICES:
        raise _Error(_line(node), f"a list of 1 to {form.MAX_CHOICES} answers is expected")
    made: dict[str, Choice] = {}
    for item in node.value:
        choice = _choice(item)
        if choice.value in made:
            raise _Error(_line(item), f'"{choice.value}" stands there twice')
        made[choice.value] = choice
    return tuple(made.values())


_READ: Mapping[str, Callable[[yaml.Node], Any]] = {
    "label": _text(500),
    "required": _yes_or_no,
    "text": _script,
    "choices": _choices,
    "max_length": _whole(1, form.MAX_TEXT_CHARACTERS),
    "lines": _whole(1, 50),
    "minimum": _number,
    "maximum": _number,
    "decimals": _whole(0, 9),
    "earliest": _day,
    "latest": _day,
}
_KEYS: Mapping[FieldType, tuple[str, ...]] = {
    FieldType.TEXT: ("label", "required", "max_length", "lines"),
    FieldType.CHOICE: ("label", "required", "choices"),
    FieldType.NUMBER: ("label", "required", "minimum", "maximum", "decimals"),
    FieldType.DATE: ("label", "required", "earliest", "latest"),
    FieldType.SCRIPT: ("label", "text"),
}
_ALL_KEYS = ("name", "type", *_READ)
