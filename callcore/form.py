"""Forms that agents fill in at and after a call: what a form asks, and whether answers fit. Pure.

Decides what an answer may be and when a form is finished. Never decides who may fill it in
(kalibri/services/form.py), and does not read YAML (kalibri/form_file.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from callcore.errors import BadInput

MAX_FIELDS = 100
MAX_CHOICES = 200
MAX_TEXT_CHARACTERS = 10_000
#: JSON numbers beyond this are not exact in a browser.
LARGEST_NUMBER = 2**53

#: fromisoformat knows weeks, too; a browser's date does not.
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


class FieldType(StrEnum):
    """What a field of a form is."""

    TEXT = "text"
    CHOICE = "choice"
    DATE = "date"
    NUMBER = "number"
    #: Text for the agent to say or to know; takes no answer.
    SCRIPT = "script"


class BadAnswers(BadInput):
    """The answers do not fit the form."""

    error_id = "bad-answers"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of the answers to choose from."""

    value: str
    label: str


@dataclass(frozen=True, kw_only=True)
class FormField:
    """One field."""

    #: Key of the answer.
    name: str
    type: FieldType
    label: str = ""
    required: bool = False
    #: Of a script: what it says, with places for variables of the call.
    text: str = ""
    choices: tuple[Choice, ...] = ()
    #: Of a text: the most characters, and the lines that the agent sees.
    max_length: int = 1000
    lines: int = 1
    #: Of a number; None: no bound.
    minimum: float | None = None
    maximum: float | None = None
    #: Of a number: digits after the point; None: any.
    decimals: int | None = None
    #: Of a date; None: no bound.
    earliest: date | None = None
    latest: date | None = None


@dataclass(frozen=True, kw_only=True)
class Form:
    """A form as it is filled in."""

    title: str
    fields: tuple[FormField, ...]
    #: Name of the choice whose answer is the disposition of the call; empty: none is.
    disposition: str = ""
    #: An agent who has not finished the form gets at least so much wrap-up, in seconds; None: the queue's.
    wrapup_seconds: int | None = None
    #: Finishing the form ends wrap-up.
    ends_wrapup: bool = False

    @property
    def questions(self) -> Mapping[str, FormField]:
        """The fields that take an answer, by name."""
        return {field.name: field for field in self.fields if field.type is not FieldType.SCRIPT}


def check_answers(form: Form, answers: Mapping[str, Any], *, finished: bool) -> dict[str, Any]:
    """Return the answers as they are stored, empty ones left out; raises BadAnswers naming each that does not fit.

    finished: required fields must be answered; before, an agent may save what he has.
    """
    questions = form.questions
    problems: dict[str, str] = {
        name: "the form has no such field" for name in answers if name not in questions
    }
    kept: dict[str, Any] = {}
    for name, field in questions.items():
        value = answers.get(name)
        if value is None or value == "":
            if finished and field.required:
                problems[name] = "is required"
            continue
        problem = _CHECKS[field.type](field, value)
        if problem:
            problems[name] = problem
        else:
            kept[name] = value
    if problems:
        told = [{"field": name[:100], "problem": problem} for name, problem in problems.items()]
        text = "; ".join(f"{item['field']}: {item['problem']}" for item in told[:20])
        raise BadAnswers(text, problems=told)
    return kept


def disposition_of(form: Form, answers: Mapping[str, Any]) -> str | None:
    """Return the disposition that answers give a call; None: none (yet)."""
    value = answers.get(form.disposition) if form.disposition else None
    return str(value) if value else None


def _check_text(field: FormField, value: Any) -> str:
    if not isinstance(value, str):
        return "must be a text"
    if len(value) > field.max_length:
        return f"at most {field.max_length} characters"
    if "\x00" in value:
        return "has a character that is no text"
    return ""


def _check_choice(field: FormField, value: Any) -> str:
    if any(choice.value == value for choice in field.choices):
        return ""
    return f"must be one of {', '.join(choice.value for choice in field.choices[:20])}"


def _check_number(field: FormField, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return "must be a number"
    if abs(value) > LARGEST_NUMBER:
        return "is too large"
    if field.minimum is not None and value < field.minimum:
        return f"at least {field.minimum:g}"
    if field.maximum is not None and value > field.maximum:
        return f"at most {field.maximum:g}"
    if field.decimals is not None and round(value, field.decimals) != value:
        return (
            f"at most {field.decimals} digits after the point" if field.decimals else "must be a whole number"
        )
    return ""


def _check_date(field: FormField, value: Any) -> str:
    try:
        day = date.fromisoformat(value) if isinstance(value, str) and _DAY.fullmatch(value) else None
    except ValueError:
        day = None
    if day is None:
        return "must be a date as 2026-11-22"
    if field.earliest is not None and day < field.earliest:
        return f"not before {field.earliest}"
    if field.latest is not None and day > field.latest:
        return f"not after {field.latest}"
    return ""


_CHECKS = {
    FieldType.TEXT: _check_text,
    FieldType.CHOICE: _check_choice,
    FieldType.NUMBER: _check_number,
    FieldType.DATE: _check_date,
}
