"""Other proxies of the system: a phone that is registered there is reached through them. Shell around the directory.

A phone behind NAT, or on a connection, answers only through the proxy where it registered. So a call for an account
without a contact here goes to the other proxies' internal sockets, one after the other; there it looks like the leg of
a media host (contracts.md 3): X-KS-Leg "peer" for an ordinary call, else that of the media host which asked. Each proxy
relays the media of what it sees itself.
"""

from __future__ import annotations

from dataclasses import replace

from callcore.sip import SipCode
from kemi.call_state import CallState, Target
from kemi.ks_acd.media_host import write_arg
from kemi.worker import Worker

#: X-KS-Leg of a call that came to another proxy as a call of its own.
PEER = "peer"
#: Key of X-KS-Arg: the call comes from another proxy already, and goes to no third one.
HOP = "hop"


def targets(worker: Worker, account: Target) -> tuple[Target, ...]:
    """Return the other proxies as targets for an account, to be tried when it has no contact here."""
    own = worker.config.proxy
    mine = f"udp:{own.listen_address}:{own.internal_port}"
    addresses = (
        str(node["address"])
        for node in worker.directory.system.nodes
        if node.get("kind") == "proxy" and node.get("address") != mine
    )
    return tuple(
        replace(account, kind=PEER, next_hop=f"sip:{address.partition(':')[2]}") for address in addresses
    )


def has_no_contact(state: CallState, code: int) -> bool:
    """Tell whether the current attempt ended because the other proxy has no contact of the account either."""
    return (
        state.current is not None and state.current.kind == PEER and code == SipCode.TEMPORARILY_UNAVAILABLE
    )


def headers(state: CallState) -> tuple[str, ...]:
    """Return what the other proxy is told."""
    arg = write_arg({"tenant": state.tenant_id, "to_kind": "account", HOP: 1})
    offer = state.queue.offer_id if state.queue is not None else 0
    return (
        f"X-KS-Call: {state.call_id}",
        f"X-KS-Leg: {state.leg or PEER}",
        f"X-KS-Arg: {arg}",
        *((f"X-KS-Offer: {offer}",) if offer else ()),
    )
