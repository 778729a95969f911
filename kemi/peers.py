"""Other proxies of the system: a phone that is registered there is reached through them. Shell around the directory.

A phone behind NAT, or on a connection, answers only through the proxy where it registered. So a call for an account
without a contact here goes to the other proxies' internal sockets, one after the other; there it looks like the leg of
a media host (contracts.md 3): X-KS-Leg "peer" for an ordinary call, else that of the media host which asked. Each proxy
relays the media of what it sees itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from callcore.sip import SipCode
from kemi.call_state import CallState, Target
from kemi.ks_acd.media_host import read_arg, write_arg
from kemi.sip_request import SipRequest
from kemi.worker import Worker

#: X-KS-Leg of a call that came to another proxy as a call of its own.
PEER = "peer"
#: Key of X-KS-Arg: the call comes from another proxy already (which attempt of its own), and goes to no third one.
HOP = "hop"
#: Key of X-KS-Arg: user names of further accounts that ring at the same time, separated by blanks.
ALSO = "also"


def targets(worker: Worker, account: Target) -> tuple[Target, ...]:
    """Return the other proxies as targets for an account, to be tried when it has no contact here."""
    return tuple(replace(account, kind=PEER, next_hop=hop, peers="") for hop in next_hops(worker))


def next_hops(worker: Worker) -> tuple[str, ...]:
    """Return the internal sockets of the other proxies, as URIs."""
    return tuple(hop_of(node) for node in nodes(worker))


def nodes(worker: Worker) -> list[Mapping[str, Any]]:
    """Return the other proxies of the node table."""
    own = worker.config.proxy
    mine = f"udp:{own.listen_address}:{own.internal_port}"
    return [
        node
        for node in worker.directory.system.nodes
        if node.get("kind") == "proxy" and node.get("address") != mine
    ]


def hop_of(node: Mapping[str, Any]) -> str:
    """Return the internal socket of a proxy as a URI."""
    return f"sip:{str(node['address']).partition(':')[2]}"


def has_no_contact(state: CallState, code: int) -> bool:
    """Tell whether the current attempt ended because the other proxy has no contact of the account either."""
    return (
        state.current is not None and state.current.kind == PEER and code == SipCode.TEMPORARILY_UNAVAILABLE
    )


def headers(state: CallState, also: Sequence[str] = ()) -> tuple[str, ...]:
    """Return what the other proxy is told. also: user names that it rings besides the one of the Request-URI."""
    # The attempt makes the INVITE another one: a call may come to the same proxy for one account after the other.
    arg = write_arg(
        {
            "tenant": state.tenant_id,
            "to_kind": "account",
            HOP: state.attempt,
            ALSO: " ".join(also) or None,
        }
    )
    offer = state.queue.offer_id if state.queue is not None else 0
    return (
        f"X-KS-Call: {state.call_id}",
        f"X-KS-Leg: {state.leg or PEER}",
        f"X-KS-Arg: {arg}",
        *((f"X-KS-Offer: {offer}",) if offer else ()),
    )


def request_key(worker: Worker, sip: SipRequest) -> str:
    """Return what is unique for an INVITE; one of another proxy's attempts at a call is not the other one."""
    if sip.local_port != worker.config.proxy.internal_port:
        return sip.transaction_key
    return key_with_hop(sip.transaction_key, read_arg(worker.port.header("X-KS-Arg") or "").get(HOP, ""))


def key_with_hop(key: str, hop: str) -> str:
    """Return the key of an INVITE that comes from another proxy; hop: which attempt of that it is, "": of none."""
    return f"{key}\n{hop}" if hop else key
