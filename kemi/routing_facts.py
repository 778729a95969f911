"""Collects the facts that a routing decision needs beside the request: clock, directory, gateways, calls. Shell."""

from __future__ import annotations

import time

from callcore.gateway import GatewayState
from kemi.ks_route.model import World
from kemi.worker import Worker


def make_world(worker: Worker) -> World:
    """Return the facts for one decision; look-ups are done only when the decision asks for them."""
    directory, routing = worker.directory, worker.config.routing
    return World(
        now=worker.now(),
        system=directory.system,
        number=directory.number,
        account_exists=directory.account_exists,
        region=directory.region,
        gateway_state=lambda gateway_id: gateway_state(worker, gateway_id),
        route_calls=lambda route_id: worker.port.count("route", str(route_id)),
        expected_call_seconds=routing.expected_call_seconds,
        home_country_code=routing.home_country_code,
    )


def gateway_state(worker: Worker, gateway_id: int) -> GatewayState:
    """Return what the shared table knows of a gateway: OPTIONS, registration, penalty, calls."""
    port = worker.port
    gateway = worker.directory.system.gateways.get(gateway_id)
    calls = (
        port.count("gateway", str(gateway_id)) if gateway is not None and gateway.max_calls is not None else 0
    )
    down = port.table_text("gw", f"down:{gateway_id}")
    if down is not None:
        return GatewayState(up=False, reason=down, calls=calls)
    if gateway is not None and gateway.trunk is not None:
        lost = port.table_text("gw", f"trunk:{gateway.trunk.trunk_id}")
        if lost is not None and lost != "registered":
            return GatewayState(up=False, reason=f"trunk registration: {lost}", calls=calls)
    until = port.table_text("gw", f"penalty:{gateway_id}")
    if until is not None:
        left = float(until) - time.time()
        if left > 0:
            return GatewayState(up=False, reason=f"failures, out for {left:.0f} s more", calls=calls)
        port.table_remove("gw", f"penalty:{gateway_id}")
    return GatewayState(calls=calls)
