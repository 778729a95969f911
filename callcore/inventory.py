"""Words and rules of the number inventory: which state follows which. Reads no database."""

from __future__ import annotations

from enum import StrEnum

from callcore.errors import Refused


class NumberState(StrEnum):
    """State of a public number of the system (SQL enum number_state)."""

    #: Owned, nobody uses it.
    FREE = "free"
    #: Promised to a tenant, leads nowhere yet.
    RESERVED = "reserved"
    #: In use by a tenant.
    ASSIGNED = "assigned"
    #: Left to another operator.
    PORTED = "ported"


class NumberOperation(StrEnum):
    """What is done with a number."""

    #: Promise it to a tenant.
    RESERVE = "reserve"
    #: Put it to use by a tenant, or change what it leads to.
    ASSIGN = "assign"
    #: Take it back; a ported number has come home.
    FREE = "free"
    #: It leaves to another operator.
    PORT = "port"


class NumberRefused(Refused):
    """The state of the number does not allow this."""

    error_id = "number-state"


#: (operation, state) → next state; a pair that is not here is refused.
TRANSITIONS = {
    (NumberOperation.RESERVE, NumberState.FREE): NumberState.RESERVED,
    (NumberOperation.RESERVE, NumberState.RESERVED): NumberState.RESERVED,
    (NumberOperation.ASSIGN, NumberState.FREE): NumberState.ASSIGNED,
    (NumberOperation.ASSIGN, NumberState.RESERVED): NumberState.ASSIGNED,
    (NumberOperation.ASSIGN, NumberState.ASSIGNED): NumberState.ASSIGNED,
    (NumberOperation.FREE, NumberState.FREE): NumberState.FREE,
    (NumberOperation.FREE, NumberState.RESERVED): NumberState.FREE,
    (NumberOperation.FREE, NumberState.ASSIGNED): NumberState.FREE,
    (NumberOperation.FREE, NumberState.PORTED): NumberState.FREE,
    (NumberOperation.PORT, NumberState.FREE): NumberState.PORTED,
    (NumberOperation.PORT, NumberState.RESERVED): NumberState.PORTED,
    (NumberOperation.PORT, NumberState.ASSIGNED): NumberState.PORTED,
}


def next_state(
    operation: NumberOperation, state: NumberState, *, owner: int | None, tenant_id: int | None
) -> NumberState:
    """Return the state after an operation.

    owner: the tenant that has the number, None for nobody. tenant_id: for whom the operation is done, None
    where no tenant is concerned (free, port). Raises NumberRefused.
    """
    after = TRANSITIONS.get((operation, state))
    if after is None:
        raise NumberRefused(f"the number is {state}: cannot {operation} it", state=state.value)
    if tenant_id is not None and owner not in (None, tenant_id):
        raise NumberRefused(f"the number is {state} for another tenant: free it first", state=state.value)
    return after
