"""Words and rules of the number inventory: what a number is, which state follows which. Reads no database."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum

from callcore.errors import BadInput, Refused

#: More numbers at once are a typing error; a file can hold more (number import).
MAX_NUMBERS = 100_000

_E164 = re.compile(r"[1-9][0-9]{2,14}", re.ASCII)


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


class BadNumber(BadInput):
    """This is no E.164 number."""

    error_id = "bad-number"


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


#: What a number that belongs to a tenant is; the others belong to nobody.
OWNED = frozenset({NumberState.RESERVED, NumberState.ASSIGNED})
#: What a number must be before it leaves the inventory.
REMOVABLE = frozenset({NumberState.FREE, NumberState.PORTED})


def target(operation: NumberOperation) -> NumberState:
    """Return the state that an operation leads to, from wherever it is allowed."""
    (state,) = {after for (named, _), after in TRANSITIONS.items() if named is operation}
    return state


def sources(operation: NumberOperation) -> list[NumberState]:
    """Return the states in which an operation is allowed."""
    return [state for named, state in TRANSITIONS if named is operation]


def operation_to(state: NumberState) -> NumberOperation:
    """Return the operation that leads to a state."""
    return next(operation for operation in NumberOperation if target(operation) is state)


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


def parse_number(text: str) -> str:
    """Return the digits of an E.164 number, written with or without +; raises BadNumber."""
    digits = text.strip().removeprefix("+")
    if not _E164.fullmatch(digits):
        raise BadNumber(f'"{text}" is no E.164 number: 3 to 15 digits, country code first')
    return digits


def parse_numbers(words: Iterable[str]) -> list[str]:
    """Return the numbers that words name, in order and each once: single ones and ranges as FIRST-LAST.

    Raises BadNumber for what is no number, a range that runs backwards, and more than MAX_NUMBERS.
    """
    found: dict[str, None] = {}
    for word in words:
        first, last = _bounds(word)
        if len(found) + last - first >= MAX_NUMBERS:
            raise BadNumber(f"these are more than {MAX_NUMBERS} numbers: use a file and `number import`")
        found.update(dict.fromkeys(str(number) for number in range(first, last + 1)))
    return list(found)


def _bounds(word: str) -> tuple[int, int]:
    first_text, dash, last_text = word.partition("-")
    first = parse_number(first_text)
    last = parse_number(last_text) if dash else first
    if len(first) != len(last) or first > last:
        raise BadNumber(f'"{word}" is no range: write the first and the last number, both whole')
    return int(first), int(last)
