"""The number inventory: the full grid of states and operations."""

from __future__ import annotations

import itertools

import pytest

from callcore.inventory import TRANSITIONS, NumberOperation, NumberRefused, NumberState, next_state

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
