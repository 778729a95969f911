"""How many calls each campaign may place now: limits first, then what is left by weight. Pure.

Decides numbers and the constraint that kept each campaign from more; never dials. Called several times a second, so
a share that is smaller than one call is remembered as credit (deficit round robin): over time each campaign gets its
part to within one call, and a campaign that wants nothing leaves its part to the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from callcore.dial import DialReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a campaign would like to do, and its own limits."""

    campaign: int
    #: Calls that it would place now, by mode and pacing.
    calls: int
    #: Why it wants no more than that.
    because: DialReason = DialReason.DIALLING
    #: The higher goes first; campaigns of one priority share by weight.
    priority: int = 0
    weight: float = 1.0
    #: Calls that its lines still allow, and that its calls per second allow now.
    lines: int = 1_000_000
    rate: int = 1_000_000
    #: Names of shared limits (tenant, provider, hosts) that its calls use up.
    uses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shared:
    """A limit that several campaigns share."""

    left: int
    binding: DialReason


@dataclass(frozen=True, slots=True)
class Grant:
    """What a campaign may do."""

    calls: int
    binding: DialReason


class Shares:
    """Divides calls among campaigns. Keeps credit from one division to the next; one instance a process."""

    #: Credit that a campaign may save up, calls: more would let it burst after a pause.
    MOST_CREDIT = 2.0

    def __init__(self) -> None:
        self._credit: dict[int, float] = {}

    def divide(self, wishes: Sequence[Wish], shared: Mapping[str, Shared]) -> dict[int, Grant]:
        """Return for each campaign how many calls it may place and what bound it."""
        left = {name: max(0, limit.left) for name, limit in shared.items()}
        granted = {wish.campaign: 0 for wish in wishes}
        own = {wish.campaign: _own_limit(wish) for wish in wishes}
        self._credit = {wish.campaign: self._credit.get(wish.campaign, 0.0) for wish in wishes}
        hungry = [wish for wish in wishes if own[wish.campaign][0] > 0]
        while hungry := [wish for wish in hungry if _may(wish, own, granted, left)]:
            first = max(wish.priority for wish in hungry)
            chosen = self._next([wish for wish in hungry if wish.priority == first])
            granted[chosen.campaign] += 1
            for name in chosen.uses:
                if name in left:
                    left[name] -= 1
        return {
            wish.campaign: Grant(
                granted[wish.campaign], _binding(wish, own, granted[wish.campaign], left, shared)
            )
            for wish in wishes
        }

    def _next(self, hungry: Sequence[Wish]) -> Wish:
        """Return who has the next call: everybody earns by weight, who has most pays for it."""
        total = sum(wish.weight for wish in hungry)
        for wish in hungry:
            earned = self._credit[wish.campaign] + wish.weight / total
            self._credit[wish.campaign] = min(earned, self.MOST_CREDIT)
        chosen = max(hungry, key=lambda wish: (self._credit[wish.campaign], -wish.campaign))
        self._credit[chosen.campaign] -= 1.0
        return chosen


def _own_limit(wish: Wish) -> tuple[int, DialReason]:
    """Return the calls that a campaign's own limits allow, and which of them is the nearest."""
    limits = (
        (wish.calls, wish.because),
        (wish.lines, DialReason.LINES),
        (wish.rate, DialReason.CALLS_PER_SECOND),
    )
    calls, binding = min(limits, key=lambda limit: limit[0])
    return max(0, calls), binding


def _may(
    wish: Wish, own: Mapping[int, tuple[int, DialReason]], granted: Mapping[int, int], left: Mapping[str, int]
) -> bool:
    if granted[wish.campaign] >= own[wish.campaign][0]:
        return False
    return all(left.get(name, 1) > 0 for name in wish.uses)


def _binding(
    wish: Wish,
    own: Mapping[int, tuple[int, DialReason]],
    calls: int,
    left: Mapping[str, int],
    shared: Mapping[str, Shared],
) -> DialReason:
    most, binding = own[wish.campaign]
    if calls >= most:
        return binding
    bound = next((name for name in wish.uses if left.get(name, 1) <= 0), None)
    if bound is None:
        return DialReason.DIALLING
    # With nothing to divide from the start it was the limit; else others took the rest.
    return shared[bound].binding if calls or shared[bound].left <= 0 else DialReason.FAIR_SHARE


class Rate:
    """Calls per second, evenly: a bucket of at most one tick's calls. Times are monotonic seconds."""

    def __init__(self, *, burst_seconds: float = 0.5) -> None:
        self._burst = burst_seconds
        self._at: float | None = None
        self._tokens = 1.0

    def allowed(self, per_second: float, now: float) -> int:
        """Return how many calls may be placed now."""
        passed = 0.0 if self._at is None else max(0.0, now - self._at)
        self._at = now
        self._tokens = min(self._tokens + passed * per_second, max(1.0, per_second * self._burst))
        return int(self._tokens)

    def used(self, calls: int) -> None:
        """Take what was placed."""
        self._tokens -= calls
