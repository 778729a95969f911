"""Turns a hunt group into the targets of a call. Pure but for the directory that it reads.

All members ring at once, or one after the other. A member's forwardings do not count here, his refusals do
(callcore/account_service.py). Members are looked for at the other proxies too: those of a serial group one proxy after
the other, those of a parallel one at all proxies at once (kemi/forking.py).
"""

from __future__ import annotations

from callcore.account_service import Caller, HuntGroup, HuntMode, in_group
from kemi import peers
from kemi.call_state import PHONE_NO_REPLY_MS, Target
from kemi.ks_route.model import RelayToAccount
from kemi.tenancy import Tenant, aor
from kemi.worker import Worker


def targets(
    worker: Worker, decision: RelayToAccount, tenant: Tenant | None, *, others: bool
) -> tuple[Target, ...]:
    """Return the targets of a call to a hunt group; empty if there is no such group, or nobody in it to ring.

    others: whether members may be looked for at the other proxies.
    """
    group = worker.directory.hunt_group(decision.tenant_id, decision.username)
    if group is None or tenant is None:
        return ()
    caller = Caller(decision.a_sent, decision.hidden)
    members = [
        name
        for name in group.members
        if in_group(worker.directory.services(decision.tenant_id, name), caller) and name != decision.a_sent
    ]
    hops = " ".join(peers.next_hops(worker)) if others else ""
    if group.mode is HuntMode.PARALLEL:
        return _together(group, [aor(name, tenant.realm) for name in members], hops)
    found: list[Target] = []
    for name in members:
        member = _member(group, aor(name, tenant.realm), name, hops=hops)
        found += [member, *(peers.targets(worker, member) if others else ())]
    return tuple(found)


def _member(group: HuntGroup, uri: str, username: str | None, also: str = "", hops: str = "") -> Target:
    return Target(
        "account",
        uri,
        username=username,
        ring_timeout_ms=1000 * group.ring_seconds,
        no_reply_timeout_ms=min(PHONE_NO_REPLY_MS, 1000 * group.ring_seconds),
        group=group.name,
        also=also,
        peers=hops,
    )


def _together(group: HuntGroup, uris: list[str], hops: str) -> tuple[Target, ...]:
    return (_member(group, uris[0], group.name, " ".join(uris[1:]), hops),) if uris else ()
