"""What is known of a watched line: its calls at this proxy, and what the others have of it. Shell around shared memory.

Table "follow": lines that are watched, here or at another proxy. Table "line": their calls here, changed under the lock
of the line (kemi/lines.py), and what the other proxies have of them (kemi/line_exchange.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from callcore.presence import Line
from kemi.worker import Worker

FOLLOW, LINES = "follow", "line"

#: Calls of a line: call id to what Line.to_list returns.
Calls: TypeAlias = dict[str, Any]


def key_of(tenant_id: int, username: str) -> str:
    """Return the key of a line in the table "follow"."""
    return f"{tenant_id}:{username}"


def follow(worker: Worker, tenant_id: int, username: str) -> None:
    """Keep the calls of a line together from now on; those that run already are added by kemi/line_exchange.py."""
    worker.port.table_set(FOLLOW, key_of(tenant_id, username), "1")


def is_followed(worker: Worker, tenant_id: int, username: str) -> bool:
    """Tell whether somebody watches a line, at whichever proxy."""
    return worker.port.table_text(FOLLOW, key_of(tenant_id, username)) is not None


def followed(worker: Worker) -> set[tuple[int, str]]:
    """Return all lines that are followed."""
    pairs = (key.partition(":") for key, _ in worker.port.table_items(FOLLOW))
    return {(int(tenant_id), username) for tenant_id, _, username in pairs}


def forget(worker: Worker, tenant_id: int, username: str) -> None:
    """Forget the calls of a line that is not followed any more."""
    key = _own_key(tenant_id, username)
    with worker.port.locked(key):
        if not is_followed(worker, tenant_id, username):
            worker.port.table_remove(LINES, key)


def own(worker: Worker, tenant_id: int, username: str) -> Calls:
    """Return the calls of a line at this proxy."""
    text = worker.port.table_text(LINES, _own_key(tenant_id, username))
    calls: Calls = json.loads(text) if text else {}
    return calls


def change(worker: Worker, tenant_id: int, username: str, changed: Callable[[Calls], Calls]) -> bool:
    """Change the calls of a line at this proxy, one process at a time; False: it is not followed."""
    port, key = worker.port, _own_key(tenant_id, username)
    with port.locked(key):
        if not is_followed(worker, tenant_id, username):
            return False
        calls = changed(own(worker, tenant_id, username))
        if calls:
            port.table_set(LINES, key, json.dumps(calls))
        else:
            port.table_remove(LINES, key)
    return True


def shown(worker: Worker, tenant_id: int, username: str) -> dict[str, Line]:
    """Return the calls of a line at all proxies, by call id; this proxy knows best what it has itself."""
    calls = _elsewhere(worker, tenant_id, username)[1] | own(worker, tenant_id, username)
    return {call_id: Line.from_list(line) for call_id, line in calls.items()}


def is_elsewhere(worker: Worker, tenant_id: int, username: str) -> bool:
    """Tell whether an account has a phone at another proxy."""
    return _elsewhere(worker, tenant_id, username)[0]


def keep_elsewhere(
    worker: Worker, tenant_id: int, username: str, *, registered: bool, calls: Mapping[str, Any]
) -> bool:
    """Keep what the other proxies have of a line; tell whether it is something new."""
    port, key = worker.port, f"r:{tenant_id}:{username}"
    text = json.dumps([registered, calls], sort_keys=True) if registered or calls else None
    if port.table_text(LINES, key) == text:
        return False
    if text is None:
        port.table_remove(LINES, key)
    else:
        port.table_set(LINES, key, text)
    return True


def _elsewhere(worker: Worker, tenant_id: int, username: str) -> tuple[bool, Calls]:
    text = worker.port.table_text(LINES, f"r:{tenant_id}:{username}")
    registered, calls = json.loads(text) if text else (False, {})
    return registered, calls


def _own_key(tenant_id: int, username: str) -> str:
    return f"d:{tenant_id}:{username}"
