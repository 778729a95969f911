"""The routing table of one worker: base index file, overlay of later changes, matchers kept across both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from kemi.ks_route.model import RouteRequest, RouteRow


class RouteTable:
    """What a worker looks routes up in."""

    @classmethod
    def open(cls, index: Path, overlay: Path | None, previous: RouteTable | None = None) -> RouteTable:
        """Open the files that CURRENT names; `previous` hands over its matchers."""
        raise NotImplementedError

    @classmethod
    def from_rows(cls, rows: Iterable[RouteRow]) -> RouteTable:
        """Build in memory from a few rows, in any order."""
        raise NotImplementedError

    def candidates(self, request: RouteRequest) -> Iterator[RouteRow]:
        """Yield the rows whose tenant, direction and patterns match, lazily, in matching order."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the files."""
