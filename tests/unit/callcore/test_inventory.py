"""The number inventory: the full grid of states and operations."""

from __future__ import annotations

import itertools

import pytest

from callcore.inventory import (
    TRANSITIONS,
    BadNumber,
    NumberOperation,
    NumberRefused,
    NumberState,
    next_state,
    operation_to,
    parse_numbers,
    sources,
    target,
)

FREE, RESERVED, ASSIGNED, PORTED = NumberState
REFUSED = {
    ("reserve", ASSIGNED),
    ("reserve", PORTED),
    ("assign", PORTED),
    ("port", PORTED),
}


@pytest.mark.parametrize(("operation", "state"), list(itertools.product(NumberOperation, NumberState)))
def test_every_pair_is_allowed_or_refused(operation: NumberOperation, state: NumberState) -> None:
    if (operation, state) in REFUSED:
        with pytest.raises(NumberRefused, match=f"the number is {state}: cannot {operation} it"):
            next_state(operation, state, owner=None, tenant_id=None)
    else:
        after = next_state(operation, state, owner=None, tenant_id=None)
        assert after == TRANSITIONS[operation, state]


@pytest.mark.parametrize("operation", [NumberOperation.RESERVE, NumberOperation.ASSIGN])
def test_number_of_another_tenant_is_not_taken(operation: NumberOperation) -> None:
    with pytest.raises(NumberRefused, match="for another tenant: free it first"):
        next_state(operation, RESERVED, owner=1, tenant_id=2)
    assert next_state(operation, RESERVED, owner=2, tenant_id=2) in (RESERVED, ASSIGNED)


@pytest.mark.parametrize("operation", NumberOperation)
def test_an_operation_leads_to_one_state_from_its_sources_only(operation: NumberOperation) -> None:
    after = target(operation)
    assert operation_to(after) is operation
    assert {state for state in NumberState if TRANSITIONS.get((operation, state)) is after} == set(
        sources(operation)
    )


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        (["+74951234567"], ["74951234567"]),
        (["74951234567", " 74951234566 ", "74951234567"], ["74951234567", "74951234566"]),
        (["74951234598-74951234601"], ["74951234598", "74951234599", "74951234600", "74951234601"]),
        (["+7495123-+7495125", "7495124"], ["7495123", "7495124", "7495125"]),
        ([], []),
    ],
)
def test_words_name_numbers(words: list[str], numbers: list[str]) -> None:
    assert parse_numbers(words) == numbers


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("", "is no E.164 number"),
        ("12", "is no E.164 number"),
        ("01234567", "is no E.164 number"),
        ("1234567890123456", "is no E.164 number"),
        ("+7 495 123", "is no E.164 number"),
        ("٧٤٩٥١٢٣", "is no E.164 number"),
        ("7495124-7495123", "is no range"),
        ("74951-749512", "is no range"),
        ("7495123-", "is no E.164 number"),
        ("749500000-749599999999", "is no range"),
        ("7495000000-7495999999", "more than 100000 numbers"),
    ],
)
def test_what_is_no_number_is_refused(word: str, message: str) -> None:
    with pytest.raises(BadNumber, match=message):
        parse_numbers([word])


def test_many_ranges_together_are_too_many_too() -> None:
    half = "7495000000-7495059999"
    with pytest.raises(BadNumber, match="more than"):
        parse_numbers([half, "7496000000-7496059999"])
