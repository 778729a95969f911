"""Rate limits: a bucket of permissions for each token and each address. Pure: time is an argument."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass


@dataclass(slots=True)
class _Bucket:
    level: float
    at: float


class RateLimit:
    """So many a second, and a burst of so many at once, for each key."""

    def __init__(self, per_second: float, burst: float, *, max_keys: int = 100_000) -> None:
        """max_keys: beyond, the key that asked longest ago is forgotten (it was full again anyway)."""
        self._per_second = per_second
        self._burst = burst
        self._max_keys = max_keys
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, key: str, now: float, count: float = 1.0) -> float:
        """Take permissions; return 0.0, or how many seconds to wait if there are none (none is taken then)."""
        bucket = self._filled(key, now)
        wait = self._missing(bucket, count)
        if wait == 0.0:
            bucket.level -= count
        return wait

    def wait(self, key: str, now: float, count: float = 1.0) -> float:
        """Return how long one would have to wait, and take nothing."""
        return self._missing(self._filled(key, now), count) if key in self._buckets else 0.0

    def _filled(self, key: str, now: float) -> _Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(self._burst, now)
            if len(self._buckets) > self._max_keys:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
        bucket.level = min(self._burst, bucket.level + (now - bucket.at) * self._per_second)
        bucket.at = now
        return bucket

    def _missing(self, bucket: _Bucket, count: float) -> float:
        return 0.0 if bucket.level >= count else (count - bucket.level) / self._per_second

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._buckets)
