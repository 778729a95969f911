"""What a process of its own does once a second: states of our trunk registrations, the story of a restart. Shell.

It is the one place in Kamailio that may wait (for the database, when it lists the dialogs that survived a restart).
"""

from __future__ import annotations

from kemi import recovery
from kemi.worker import Worker


def tick(worker: Worker) -> None:
    """Look once; never waits for more than the database's time-out, and only until the start is told."""
    worker.refresh_directory()
    _trunks(worker)
    recovery.tell_start(worker)
    recovery.close_abandoned(worker)


def _trunks(worker: Worker) -> None:
    """Note changes of trunk registrations in the shared table and in the journal."""
    for gateway in worker.directory.system.gateways.values():
        if gateway.trunk is None:
            continue
        key = f"trunk:{gateway.trunk.trunk_id}"
        before = worker.port.table_text("gw", key)
        registered = worker.port.trunk_is_registered(f"t{gateway.trunk.trunk_id}")
        now = "registered" if registered else "lost" if before in ("registered", "lost") else "not registered"
        if now == before:
            continue
        worker.port.table_set("gw", key, now)
        if now != "not registered":
            worker.journal.event(
                f"trunk.{now}", trunk_id=gateway.trunk.trunk_id, gateway_id=gateway.gateway_id, reason=now
            )
