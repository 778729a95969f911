"""Answers that fit a form, and those that do not."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from callcore.form import BadAnswers, Choice, FieldType, Form, FormField, check_answers, disposition_of

FORM = Form(
    title="Complaint",
    disposition="result",
    fields=(
        FormField(name="hello", type=FieldType.SCRIPT, text="Good day"),
        FormField(name="note", type=FieldType.TEXT, max_length=10),
        FormField(
            name="result",
            type=FieldType.CHOICE,
            required=True,
            choices=(Choice(value="sold", label="Sold"), Choice(value="no", label="No")),
        ),
        FormField(name="amount", type=FieldType.NUMBER, minimum=0, maximum=100, decimals=2),
        FormField(name="day", type=FieldType.DATE, earliest=date(2026, 1, 1), latest=date(2026, 12, 31)),
    ),
)


def test_answers_are_kept_without_the_empty_ones() -> None:
    given = {"note": "", "result": "sold", "amount": 12.5, "day": "2026-11-22"}
    assert check_answers(FORM, given, finished=True) == {
        "result": "sold",
        "amount": 12.5,
        "day": "2026-11-22",
    }
    assert disposition_of(FORM, given) == "sold"


def test_what_is_required_may_wait_until_the_form_is_finished() -> None:
    assert check_answers(FORM, {"note": "x"}, finished=False) == {"note": "x"}
    assert disposition_of(FORM, {"note": "x"}) is None
    with pytest.raises(BadAnswers, match="result: is required"):
        check_answers(FORM, {"note": "x"}, finished=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("other", "x"),
        ("hello", "x"),
        ("note", "x" * 11),
        ("note", 7),
        ("note", "a\x00b"),
        ("result", "maybe"),
        ("result", ["sold"]),
        ("result", {"a": 1}),
        ("amount", "12"),
        ("amount", True),
        ("amount", -1),
        ("amount", 100.01),
        ("amount", 1.234),
        ("amount", float("nan")),
        ("amount", float("inf")),
        ("amount", 10**400),
        ("day", "22.11.2026"),
        ("day", "2026-02-30"),
        ("day", "2026-W01-1"),
        ("day", "2025-12-31"),
        ("day", "2027-01-01"),
        ("day", 20261122),
    ],
)
def test_what_does_not_fit_is_named(name: str, value: Any) -> None:
    with pytest.raises(BadAnswers) as caught:
        check_answers(FORM, {name: value}, finished=False)
    assert [problem["field"] for problem in caught.value.details["problems"]] == [name]


def test_every_wrong_answer_is_named_at_once() -> None:
    with pytest.raises(BadAnswers) as caught:
        check_answers(FORM, {"amount": "x", "day": "x", "result": "x"}, finished=True)
    assert len(caught.value.details["problems"]) == 3
