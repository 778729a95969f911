"""Which number a campaign shows to a lead.

Decides, from the pool of the campaign, the region of the destination and the calls that each number has made today.
A lead that was shown a number is shown the same at every further attempt. Never counts a call: caller_id_take does,
in the transaction of the attempt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

from callcore.value import value


@value(kw_only=True)
class PoolNumber:
    """A caller id of a campaign."""

    number: str
    #: Destinations in this region (its one name); empty: everywhere.
    region: str = ""
    #: Calls a day; None: any number.
    daily_cap: int | None = None


class NoCallerId(StrEnum):
    """Why there is no caller id."""

    #: The campaign has none: routes decide.
    NO_POOL = "no_pool"
    #: All that fit have made their calls of the day.
    USED_UP = "used_up"


def choose_caller_id(
    pool: Sequence[PoolNumber], *, region: str, used_today: Mapping[str, int], kept: str | None
) -> PoolNumber | NoCallerId:
    """Return the number to show, or why there is none.

    region: of the destination, under its one name; empty: unknown. kept: what the lead was shown before. A kept
    number that is still in the pool is used or waited for, never exchanged for another because of its cap. Numbers of
    the region go before those of no region; among equals the one with the fewest calls today.
    """
    if not pool:
        return NoCallerId.NO_POOL
    before = [entry for entry in pool if entry.number == kept]
    candidates = before or _of_region(pool, region)
    if not candidates:
        return NoCallerId.NO_POOL
    free = [entry for entry in candidates if _has_room(entry, used_today)]
    if not free:
        return NoCallerId.USED_UP
    return min(free, key=lambda entry: (used_today.get(entry.number, 0), entry.number))


def _of_region(pool: Sequence[PoolNumber], region: str) -> list[PoolNumber]:
    own = [entry for entry in pool if entry.region and entry.region in region.split(" и ")]
    return own or [entry for entry in pool if not entry.region]


def _has_room(entry: PoolNumber, used_today: Mapping[str, int]) -> bool:
    return entry.daily_cap is None or used_today.get(entry.number, 0) < entry.daily_cap
