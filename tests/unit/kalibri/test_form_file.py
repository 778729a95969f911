"""Forms written in YAML: what is understood, and that each error is told with its line."""

from __future__ import annotations

import time
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callcore.form import Choice
from kalibri.form_file import BadForm, read_form

GOOD = """\
title: Complaint
disposition: result
wrapup: {seconds: 120, end_when_finished: true}
fields:
  - name: hello
    type: script
    text: |
      Good day, {caller_name}.
      This is {agent_name}; you are a client of {lead.city}.
  - {name: result, type: choice, label: Result, choices: [sold, {value: later, label: Call again}], required: yes}
  - {name: note, type: text, label: Note, lines: 4, max_length: 500}
  - {name: amount, type: number, minimum: 0, maximum: 1.5e6, decimals: 2}
  - {name: visit, type: date, earliest: 2026-01-01}
"""


def problems(source: str) -> dict[int, str]:
    with pytest.raises(BadForm) as caught:
        read_form(source)
    found = caught.value.details["problems"]
    assert all(f"line {item['line']}: " in caught.value.message for item in found)
    return {item["line"]: item["problem"] for item in found}


def test_a_form_is_read() -> None:
    form = read_form(GOOD)
    assert (form.title, form.disposition, form.wrapup_seconds, form.ends_wrapup) == (
        "Complaint",
        "result",
        120,
        True,
    )
    assert [field.type.value for field in form.fields] == ["script", "choice", "text", "number", "date"]
    hello, result, note, amount, visit = form.fields
    assert hello.text.endswith("client of {lead.city}.")
    assert result.choices == (Choice(value="sold", label="sold"), Choice(value="later", label="Call again"))
    assert result.required
    assert (note.lines, note.max_length) == (4, 500)
    assert (amount.minimum, amount.maximum, amount.decimals) == (0, 1_500_000, 2)
    assert visit.earliest == date(2026, 1, 1)


def test_every_error_is_told_with_its_line() -> None:
    source = """\
title: ""
colour: red
disposition: note
wrapup:
  seconds: 99999
fields:
  - name: A B
    type: text
  - name: b
    type: melody
  - name: c
    type: choice
  - name: note
    type: text
    choices: [x]
  - name: note
    type: number
    minimum: 5
    maximum: 4
  - name: s
    type: script
    text: Hello {nobody}
  - name: d
    type: date
    latest: tomorrow
  - type: text
"""
    found = problems(source)
    assert sorted(found) == [1, 2, 3, 5, 7, 10, 11, 15, 16, 19, 22, 25, 26]
    assert "nobody" in found[22]
    assert "two fields" in found[16]


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("", 1),
        ("- a\n", 1),
        ("title: x\nfields: []\n", 2),
        ("title: x\nfields:\n  - {name: a, type: text\n", 4),
        ("title: x\ntitle: y\nfields: [{name: a, type: text}]\n", 2),
        ("title: x\nfields: [{name: a, type: text, required: maybe}]\n", 2),
        ("title: x\nfields: [{name: a, type: choice, choices: [x, x]}]\n", 2),
        ("title: x\nfields: [{name: a, type: choice, choices: [{value: x}]}]\n", 2),
        ("title: &x y\nfields: [{name: a, type: text}]\n", 1),
        ("title: x\nfields: [{name: a, type: text}]\nwrapup: *x\n", 3),
        ("title: !!python/object:os.system x\nfields: [{name: a, type: text}]\n", 1),
        ("title: x\x07\nfields: []\n", 1),
        ("[" * 5000, 1),
        ("a" * 200_000, 1),
        ("title: x\n? {a: b}\n: y\nfields: [{name: a, type: text}]\n", 2),
    ],
)
def test_what_is_no_form_is_refused(source: str, line: int) -> None:
    assert line in problems(source)


def test_a_text_made_to_be_costly_costs_nothing() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 10)}]" for n in range(9)]
    began = time.monotonic()
    problems("\n".join(lines))
    problems("{" * 50_000)
    assert time.monotonic() - began < 30


@given(st.text(alphabet="abcfields:title-{}[]&*!\"'\n 0123", max_size=80))
def test_any_text_is_a_form_or_refused(source: str) -> None:
    told = ["read"]
    try:
        read_form(source)
    except BadForm as error:
        told = list(error.details["problems"])  # type: ignore[call-overload]
    assert told
