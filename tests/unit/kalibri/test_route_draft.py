"""Routes as text: what is written reads back the same, and checking a checked route changes nothing."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callcore.errors import BadInput
from kalibri.csv_table import write_table
from kalibri.services.route_draft import (
    COLUMNS,
    RouteDraft,
    RouteRefused,
    check_draft,
    draft_from_text,
    draft_to_text,
    options_from_words,
    parse_priority,
    priority_text,
)

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp", "Cs"]), max_size=30)
PATTERN = st.none() | st.sampled_from(["^7", r"^8(\d{10})$", "(?i)alice", "^(a+)+$", r"^\+?7[0-4]"])
MASK = st.sampled_from([(None, None), ("^8", "7"), ("^8", ""), (r"^(\d)(\d)", r"\2\1")])
DESTINATION = st.sampled_from(
    [("reject", "486"), ("reject", "404 No Such Number"), ("next", ""), ("next", "top"), ("queue", "sales"),
     ("account", ""), ("uri", "sip:a@b.example"), ("redirect", "sip:a@b, sip:c@d")]
)  # fmt: skip
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "record": st.booleans(),
        "codecs": st.lists(st.sampled_from(["PCMA", "PCMU", "G729"]), max_size=3),
        "max_calls": st.integers(0, 1000),
        "caller_id": st.sampled_from(["+74951234567", "100"]),
        "flags": st.dictionaries(st.sampled_from(["a", "b-c"]), st.sampled_from(["", "x y", "1"])),
    },
)


@st.composite
def drafts(draw: st.DrawFn) -> RouteDraft:
    """Return a route that may be saved."""
    a_mask, b_mask = draw(MASK), draw(MASK)
    kind, destination = draw(DESTINATION)
    return RouteDraft(
        route_id=draw(st.none() | st.integers(1, 10**6)),
        folder=draw(st.sampled_from(["", "a", "Россия/мобильные"])),
        name=draw(TEXT),
        priority=draw(st.decimals(-9999, 9999, places=4)),
        enabled=draw(st.booleans()),
        directions=tuple(draw(st.permutations(["account", "gateway"]))[: draw(st.integers(0, 2))]),
        a_pattern=draw(PATTERN),
        b_host_pattern=draw(PATTERN),
        b_region=draw(st.sampled_from([None, "г. Москва", "Nowhere"])),
        a_mask_pattern=a_mask[0],
        a_mask_replacement=a_mask[1],
        b_mask_pattern=b_mask[0],
        b_mask_replacement=b_mask[1],
        destination_kind=kind,
        destination=destination,
        options=draw(OPTIONS),
        note=draw(TEXT),
    )


@settings(max_examples=200, deadline=None)
@given(draft=drafts())
def test_a_saved_route_survives_the_way_through_csv(draft: RouteDraft) -> None:
    saved = check_draft(draft).draft
    text = "".join(write_table(COLUMNS, [draft_to_text(saved)]))
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    assert draft_from_text(row) == saved
    assert check_draft(saved).draft == saved


@pytest.mark.parametrize(
    ("text", "value"),
    [("10", "10"), ("10.50", "10.5"), ("-0.0001", "-0.0001"), ("1e2", "100"), ("100", "100")],
)
def test_priorities_are_exact(text: str, value: str) -> None:
    assert priority_text(parse_priority(text)) == value


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "1.23456", "100000000", "-1e9", "1,5"])
def test_what_is_no_priority_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        parse_priority(text)


def test_missing_columns_are_named_once() -> None:
    with pytest.raises(RouteRefused) as refused:
        draft_from_text({"priority": "", "name": "x", "enabled": "perhaps"})
    assert refused.value.problems == [
        "priority: is missing",
        "destination_kind: is missing",
        "enabled: 'perhaps' is not true or false",
    ]


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["record=yes"], {"record": True, "max_calls": 3}),
        (["max_calls=none"], {}),
        (["codecs=PCMA, PCMU"], {"codecs": ["PCMA", "PCMU"], "max_calls": 3}),
        (["caller_id=74951234567"], {"caller_id": "74951234567", "max_calls": 3}),
        (["flags.a=1", "flags.b=x=y", "flags.a=none"], {"flags": {"b": "x=y"}, "max_calls": 3}),
        (["max_calls=7"], {"max_calls": 7}),
    ],
)
def test_options_as_words(words: list[str], options: dict[str, Any]) -> None:
    assert options_from_words(words, {"max_calls": 3}) == options


def test_a_number_of_the_wrong_kind_is_left_to_the_check() -> None:
    options = options_from_words(["max_calls=many"], {})
    with pytest.raises(RouteRefused, match="option max_calls"):
        check_draft(RouteDraft(priority=Decimal(1), destination_kind="next", options=options))
