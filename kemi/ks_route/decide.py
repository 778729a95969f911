"""From a request to a decision: the routes in order, masks, chains, gateways."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kemi.ks_route.model import Decision, RouteRequest, World

if TYPE_CHECKING:
    from kemi.ks_route.table import RouteTable
    from kemi.ks_route.trace import Trace


def decide(request: RouteRequest, table: RouteTable, world: World, *, trace: Trace | None = None) -> Decision:
    """Return what to do with the call; with `trace`, also write down what was looked at and why."""
    raise NotImplementedError
