"""Lamps of park slots: the database is asked once a second who waits at the slots that are watched. Shell."""

from __future__ import annotations

from callcore.errors import KalibriError
from callcore.presence import Line, LineState
from kalibri.services import park
from kemi import line_state, lines, presence
from kemi.worker import Worker


def follow(worker: Worker) -> None:
    """Tell watchers of park slots who waits there, whichever proxy he was parked by."""
    watched = presence.watched_slots(worker)
    if not watched:
        return
    try:
        taken = worker.acd.run(
            lambda conn: park.at_slots(conn, slots=[(tenant_id, slot) for tenant_id, _, slot in watched])
        )
    except KalibriError:
        return
    found = {(entry.tenant_id, entry.slot): entry for entry in taken}
    for tenant_id, name, slot in watched:
        entry = found.get((tenant_id, slot))
        shown = line_state.own(worker, tenant_id, name)
        for call_id in shown:
            if entry is None or entry.call_id != call_id:
                lines.show(worker, tenant_id, name, call_id, None)
        if entry is not None and entry.call_id not in shown:
            line = Line(LineState.CONFIRMED, "recipient", entry.caller or lines.ANONYMOUS)
            lines.show(worker, tenant_id, name, entry.call_id, line)
