"""Whether silence of others says anything about them. Pure: times are monotonic seconds.

After an outage of the database nobody has reported for its whole length, because nobody could: whoever comes back
first must not take the others for dead, or it would end every call. The same after a freeze of the database.
"""

from __future__ import annotations

#: Media hosts and proxies report every second or two; their silence is judged only after so long without a gap.
SETTLE_SECONDS = 6.0
#: A look is begun each second: a longer time between two, or within one, is a gap.
GAP_SECONDS = 3.0


class Steadiness:
    """The looks of one observer."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._looked_at = 0.0

    def looks(self, now: float) -> None:
        """Note that a look begins."""
        if self._since is None or now - self._looked_at > GAP_SECONDS:
            self._since = now
        self._looked_at = now

    def lost(self) -> None:
        """Note that the database is away."""
        self._since = None

    def may_judge(self, now: float) -> bool:
        """Tell whether the database has answered without a gap for long enough that everybody could report."""
        steady = self._since is not None and now - self._since >= SETTLE_SECONDS
        return steady and now - self._looked_at <= GAP_SECONDS
