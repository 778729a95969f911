"""What a decision needs of a table of routes, and what that may ask back. The table itself is table.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from kemi.ks_route.model import NumberRegion, RouteRequest, RouteRow

#: Looks region and operator of the request's B number up.
Place = Callable[[], NumberRegion | None]


def nowhere() -> None:
    """Say that nobody knows where a number is: a Place."""
    return None


class Routes(Protocol):
    """Routes in the order (priority, route id), of the tenant and of the system."""

    def candidates(
        self, request: RouteRequest, *, after: tuple[int, int] | None = None, place: Place = nowhere
    ) -> Iterator[RouteRow]:
        """Yield the rows that fit the request, lazily, in order; `after`: only beyond this place in the order."""

    def looked_at(
        self, request: RouteRequest, *, after: tuple[int, int] | None = None, place: Place = nowhere
    ) -> Iterator[RouteRow]:
        """Yield every row that shares a key with the request, fitting or not, in order: for the trace."""
