"""Legs that a media host asks for: who is meant, and what is different about them. Shell.

The host anchors their media, so no relay of ours; their events are "leg.*"; an agent's or supervisor's leg goes to his
registered phones whatever else his account is set to, and passes the limits of ordinary calls.
"""

from __future__ import annotations

from dataclasses import replace

from kemi import attempts, replies
from kemi.ks_acd.media_host import HostLeg
from kemi.ks_route.decide import decide
from kemi.ks_route.model import (
    Decision,
    DestinationKind,
    RelayToAccount,
    RelayToUri,
    RouteRequest,
    ToService,
)
from kemi.ks_route.options import RouteOptions
from kemi.ks_route.steering import steer
from kemi.ksr_port import NAT_TESTS_REPLY
from kemi.peers import ALSO, HOP, PEER
from kemi.routing_facts import make_world
from kemi.worker import Worker

#: A media host ends the ringing itself, by CANCEL; this is only for a host that died meanwhile.
RING_SECONDS = 300
#: Where a host's leg may lead by name, besides accounts.
_SERVICES = (DestinationKind.QUEUE, DestinationKind.IVR, DestinationKind.ANNOUNCEMENT)
_UNLIMITED = frozenset({"agent", "supervisor", PEER})


def decision(worker: Worker, leg: HostLeg, request: RouteRequest) -> Decision:
    """Return where the leg goes: an account, queue or URI as it was named, everything else by the routes."""
    tenant_id, a_sent, b_sent = request.tenant_id, request.a_number, request.b_number
    if leg.to_kind == DestinationKind.ACCOUNT or _names_account(worker, leg, request):
        return RelayToAccount(
            username=b_sent,
            tenant_id=tenant_id,
            a_sent=a_sent,
            b_sent=b_sent,
            also=tuple(leg.arg.get(ALSO, "").split()) if HOP in leg.arg else (),
            options=RouteOptions(ring_timeout_seconds=RING_SECONDS),
            reason=f"{leg.leg} leg of a media host",
        )
    if leg.to_kind in _SERVICES:
        kind = DestinationKind(leg.to_kind)
        return ToService(kind=kind, name=b_sent, tenant_id=tenant_id, a_sent=a_sent, b_sent=b_sent)
    if leg.to_kind == DestinationKind.URI:
        uri = worker.port.text("$ru")
        return RelayToUri(
            uri=uri, tenant_id=tenant_id, a_sent=a_sent, b_sent=b_sent, reason="a queue leads there"
        )
    wishing = replace(request, wish=leg.arg.get("gateway", ""))
    routed = decide(wishing, worker.directory.routes, make_world(worker))
    return steer(routed, avoid=leg.arg.get("avoid", ""), probe=leg.arg.get("probe", ""))


def _names_account(worker: Worker, leg: HostLeg, request: RouteRequest) -> bool:
    """Tell whether an agent or supervisor is meant by account: at a domain of his tenant; a number has none."""
    if leg.to_kind or leg.leg not in _UNLIMITED:
        return False
    directory = worker.directory
    mine = directory.system.domains.get(request.b_host) == request.tenant_id
    return mine and directory.account_exists(request.tenant_id, request.b_number)


def is_hosted(leg: HostLeg) -> bool:
    """Tell whether a media host anchors the media of this leg."""
    return leg.leg != PEER


def may_go_on(leg: HostLeg | None) -> bool:
    """Tell whether an account that is not here may be looked for at other proxies; a call from one of them may not."""
    return leg is None or HOP not in leg.arg


def is_limited(leg: HostLeg) -> bool:
    """Tell whether the limits of ordinary calls hold for this leg."""
    return leg.leg not in _UNLIMITED


def reply(worker: Worker) -> None:
    """A reply on its way to a media host (tm onreply): a phone behind NAT shows where it really is."""
    port = worker.port
    replies.manage(worker)
    if port.number("$rs") > 100 and port.has_body():
        state = attempts.load(worker)
        if state is not None and (port.branch_is_nated() or port.is_behind_nat(NAT_TESTS_REPLY)):
            port.show_source_in_sdp()
