"""What a process of its own does once a second: states of our trunk registrations, the story of a restart. Shell.

It is the one place in Kamailio that may wait (for the database, when it lists the dialogs that survived a restart).
"""

from __future__ import annotations

import time

from callcore.gateway import Trunk
from kemi import forking, presence, recovery, slot_lamps, stored_messages
from kemi.far_end_watch import Watch
from kemi.worker import Worker

#: A registration must be missing this long to count as lost: a reload of Kamailio's table (any change of any trunk)
#: forgets all of them until its timer has sent the next REGISTER (reg_timer_interval).
PATIENCE_SECONDS = 5


#: Of this process: what was asked in agents' conversations, and not answered yet.
_far_ends: list[Watch] = []


def tick(worker: Worker) -> None:
    """Look once; never waits for more than the database's time-out, and only until the start is told."""
    worker.refresh_directory()
    _ask_far_ends(worker)
    _trunks(worker)
    recovery.tell_start(worker)
    recovery.close_abandoned(worker)
    forking.follow(worker)
    stored_messages.deliver(worker)
    presence.follow_agents(worker)
    presence.follow_mailboxes(worker)
    slot_lamps.follow(worker)


def _ask_far_ends(worker: Worker) -> None:
    seconds = worker.config.proxy.far_end_seconds
    if seconds:
        if not _far_ends:
            _far_ends.append(Watch(seconds))
        _far_ends[0].tick(worker)


def _trunks(worker: Worker) -> None:
    """Note changes of trunk registrations in the shared table and in the journal."""
    for gateway in worker.directory.system.gateways.values():
        if gateway.trunk is None:
            continue
        key = f"trunk:{gateway.trunk.trunk_id}"
        before = worker.port.table_text("gw", key)
        now = _state(worker, gateway.trunk, before)
        if now == before:
            continue
        worker.port.table_set("gw", key, now)
        if now != "not registered":
            worker.journal.event(
                f"trunk.{now}", trunk_id=gateway.trunk.trunk_id, gateway_id=gateway.gateway_id, reason=now
            )


def _state(worker: Worker, trunk: Trunk, before: str | None) -> str:
    """Return what a trunk's registration counts for now."""
    port, since = worker.port, f"trunk-missing:{trunk.trunk_id}"
    registered = port.trunk_is_registered(trunk.contact_user)
    if registered:
        port.table_remove("gw", since)
        return "registered"
    if before not in ("registered", "lost"):
        return "not registered"
    if registered is None or before == "lost":
        return before
    missing_since = port.table_text("gw", since)
    if missing_since is None:
        port.table_set("gw", since, f"{time.time():.0f}")
    elif time.time() - float(missing_since) >= PATIENCE_SECONDS:
        return "lost"
    return before
