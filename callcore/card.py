"""What an agent sees of a call: when its address opens, and what is waited for. Pure.

A card is made with an offer. Its address opens at the offer or at the answer; one that needs what the look-up
of the caller says waits for that, but never longer than the look-up may last, and never opens for a call that
is over.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class PopMoment(StrEnum):
    """When an address opens (SQL enum pop_moment)."""

    #: When the agent's phone begins to ring.
    OFFER = "offer"
    #: When he answers.
    ANSWER = "answer"


class CardLookup(StrEnum):
    """How the look-up of a caller stands (SQL enum card_lookup)."""

    #: The tenant looks nobody up, or the caller is withheld.
    NONE = "none"
    #: Is being asked for, or waits for it.
    WANTED = "wanted"
    #: Answered, perhaps that nothing is known.
    DONE = "done"
    #: No usable answer in time; the card goes on without.
    FAILED = "failed"


def opens_now(
    *, open_at: PopMoment, answered: bool, over: bool, lookup: CardLookup, needs_lookup: bool
) -> bool:
    """Tell whether the address of a card that has not opened yet opens now."""
    if over:
        return False
    if open_at is PopMoment.ANSWER and not answered:
        return False
    return not (needs_lookup and lookup is CardLookup.WANTED)


def values_of(variables: Mapping[str, Any], info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values for places of a text: the variables of the call, and what the look-up said."""
    return {**variables, "info": info}
