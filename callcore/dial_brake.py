"""When dialling pauses: load of the machine, a provider that fails. Each with hysteresis. Pure.

Decides to pause and to go on; the engine asks several times a second. Times are monotonic seconds.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LoadLimit:
    """Load average of one minute for each core at which dialling pauses, and below which it goes on."""

    pause_at: float
    resume_below: float

    def __post_init__(self) -> None:
        if not 0 < self.resume_below <= self.pause_at:
            raise ValueError(f"resume_below must be above 0 and at most pause_at: {self}")


class LoadBrake:
    """Pauses while the machine is too busy."""

    def __init__(self) -> None:
        self.paused = False

    def look(self, load: float, limit: LoadLimit) -> bool:
        """Take the load average for each core; return whether dialling pauses."""
        self.paused = load >= (limit.resume_below if self.paused else limit.pause_at)
        return self.paused


@dataclass(frozen=True, slots=True)
class FailureLimit:
    """When a provider is given a rest."""

    #: Share of the last dials that the provider could not complete.
    share: float = 0.5
    #: Dials that must have ended before anything is concluded.
    sample: int = 20
    #: Length of the rest; doubled while the provider goes on failing.
    rest_seconds: float = 30.0
    longest_seconds: float = 600.0


class FailureBrake:
    """Rests a provider whose calls fail; after the rest a few calls decide whether it works again."""

    #: Calls that are let through after a rest.
    PROBES = 3
    #: Probes of which nothing was heard for so long are made anew: they may never have been dialled.
    PROBE_SECONDS = 60.0

    def __init__(self, limit: FailureLimit | None = None) -> None:
        self._limit = limit or FailureLimit()
        self._ends: deque[bool] = deque(maxlen=self._limit.sample)
        self._until = 0.0
        self._rest = self._limit.rest_seconds
        self._probing = False
        self._probes = 0
        self._probed_at = 0.0

    def ended(self, failed: bool, now: float) -> None:
        """Note how a dial through the provider ended."""
        if now < self._until:
            return  # it was dialled before the rest, and says nothing of what comes after
        if self._probing:
            self._judge_probe(failed, now)
            return
        self._ends.append(failed)
        full = len(self._ends) == self._limit.sample
        if full and sum(self._ends) >= self._limit.share * self._limit.sample:
            self._begin_rest(now)

    def room(self, now: float) -> int | None:
        """Return how many calls it may get now; None: any number."""
        if now < self._until:
            return 0
        if not self._probes:
            self._probed_at = now
        elif now - self._probed_at >= self.PROBE_SECONDS:
            self._probes = 0
        return max(0, self.PROBES - self._probes) if self._probing else None

    def placed(self, calls: int) -> None:
        """Note calls that were placed."""
        if self._probing:
            self._probes += calls

    def _judge_probe(self, failed: bool, now: float) -> None:
        if not failed:
            self._probing, self._rest = False, self._limit.rest_seconds
            self._ends.clear()
        else:
            self._rest = min(self._rest * 2, self._limit.longest_seconds)
            self._begin_rest(now)

    def _begin_rest(self, now: float) -> None:
        self._until, self._probing, self._probes = now + self._rest, True, 0
        self._ends.clear()
