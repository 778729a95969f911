"""Which call rings at an account of a pickup group: written to the shared table "ring" for kemi/pickup.py. Shell.

Noted when an attempt is sent, taken away when the next one begins: a member of a serial hunt group whose phone has
ceased to ring has no call to be taken.
"""

from __future__ import annotations

from collections.abc import Sequence

from kemi.call_state import CallState, Target
from kemi.worker import Worker

TABLE = "ring"


def note(worker: Worker, state: CallState, target: Target) -> None:
    """Remember who is about to ring."""
    port = worker.port
    for name in _members(worker, state, target):
        place = f"{port.text('$T(id_index)')} {port.text('$T(id_label)')} {state.call_id}"
        port.table_set(TABLE, f"{state.tenant_id}:{name}", place)


def forget(worker: Worker, state: CallState, target: Target) -> None:
    """Forget who rang in vain; another call may ring him by now."""
    for name in _members(worker, state, target):
        key = f"{state.tenant_id}:{name}"
        if (worker.port.table_text(TABLE, key) or "").endswith(f" {state.call_id}"):
            worker.port.table_remove(TABLE, key)


def in_pickup_group(worker: Worker, tenant_id: int, targets: Sequence[Target]) -> bool:
    """Tell whether one of those whom a call is to ring by a hunt group is in a pickup group."""
    return any(
        _has_group(worker, tenant_id, name) for target in targets if target.group for name in _names(target)
    )


def _members(worker: Worker, state: CallState, target: Target) -> list[str]:
    """Return the accounts that a target rings here, and that are in a pickup group."""
    tenant_id = state.tenant_id
    if target.kind != "account" or tenant_id is None:
        return []
    return [name for name in _names(target) if _has_group(worker, tenant_id, name)]


def _names(target: Target) -> list[str]:
    uris = [target.uri, *target.also.split()]
    return [uri.removeprefix("sip:").partition("@")[0] for uri in uris]


def _has_group(worker: Worker, tenant_id: int, name: str) -> bool:
    services = worker.directory.services(tenant_id, name)
    return services is not None and services.pickup_group != ""
