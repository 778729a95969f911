"""Decides when the database is asked at all: after a failure not before a while, which grows. Pure."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_REST_SECONDS = 0.5
LONGEST_REST_SECONDS = 4.0


@dataclass(slots=True)
class Breaker:
    """One a process. Closed: everything asks. Open: nobody asks until `open_until`; then one try decides."""

    open_until: float = 0.0
    rest_seconds: float = 0.0

    def allows(self, now: float) -> bool:
        """Tell whether to ask now (monotonic seconds)."""
        return now >= self.open_until

    def failed(self, now: float) -> None:
        """Note a failure: the next try comes after a rest, each time twice as long."""
        self.rest_seconds = min(LONGEST_REST_SECONDS, max(FIRST_REST_SECONDS, 2 * self.rest_seconds))
        self.open_until = now + self.rest_seconds

    def succeeded(self) -> None:
        """Note that it works."""
        self.open_until = self.rest_seconds = 0.0
