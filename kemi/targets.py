"""Turns a routing decision into the ordered targets that the proxy tries. Pure but for the directory it reads."""

from __future__ import annotations

from kemi import hunting, peers
from kemi.accounts import aor
from kemi.call_state import PHONE_NO_REPLY_MS, Target
from kemi.ks_route.model import Decision, GatewayTarget, RelayToAccount, RelayToGateways, RelayToUri
from kemi.presentation import ANONYMOUS_HOST, asserted
from kemi.tenancy import tenant_by_id
from kemi.worker import Worker

#: An account rings this long when nothing else is said.
DEFAULT_RING_SECONDS = 60
#: RFC 3261 section 19.1.2: characters that may stand unescaped in a user part.
_USER_CHARACTERS = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!~*'()&=+$,;?/"
)


def escape_user(user: str) -> str:
    """Return a user part with everything escaped that RFC 3261 does not allow there."""
    return "".join(
        character if character in _USER_CHARACTERS else "".join(f"%{byte:02X}" for byte in character.encode())
        for character in user
    )


def gateway_uri(target: GatewayTarget, b_sent: str) -> str:
    """Return the Request-URI for a gateway."""
    transport = "" if target.transport == "udp" else f";transport={target.transport}"
    return f"sip:{escape_user(b_sent)}@{target.host}:{target.port}{transport}"


def targets_of(worker: Worker, decision: Decision, *, others: bool = True) -> tuple[Target, ...]:
    """Return the targets of a decision in the order in which they are tried; empty if nothing can be rung.

    others: whether an account may be looked for at the other proxies.
    """
    ring = decision.options.ring_timeout_seconds
    if isinstance(decision, RelayToGateways):
        line = _asserted(worker, decision)
        return tuple(
            _gateway(target, decision.b_sent, ring, line if target.gateway.trusted else "")
            for target in decision.targets
        )
    if isinstance(decision, RelayToUri):
        return (Target("uri", decision.uri, ring_timeout_ms=1000 * (ring or DEFAULT_RING_SECONDS)),)
    if isinstance(decision, RelayToAccount):
        account = worker.directory.account(decision.tenant_id, decision.username)
        tenant = tenant_by_id(worker.directory.system, decision.tenant_id)
        if account is None:
            return hunting.targets(worker, decision, tenant, others=others)
        if tenant is None:
            return ()
        seconds = ring or account.ring_timeout_seconds or DEFAULT_RING_SECONDS
        target = Target(
            "account",
            aor(account.username, tenant.realm),
            username=account.username,
            ring_timeout_ms=1000 * seconds,
            no_reply_timeout_ms=PHONE_NO_REPLY_MS,
            media_relay=account.media_relay,
            agent_account=account.account_id if account.agent_id is not None else None,
            also=" ".join(aor(name, tenant.realm) for name in decision.also),
            peers=" ".join(peers.next_hops(worker)) if others else "",
        )
        return (target, *(peers.targets(worker, target) if others else ()))
    return ()


def _asserted(worker: Worker, decision: RelayToGateways) -> str:
    if not any(target.gateway.trusted for target in decision.targets):
        return ""
    tenant = tenant_by_id(worker.directory.system, decision.tenant_id)
    return asserted(decision.a_sent, tenant.realm if tenant is not None else ANONYMOUS_HOST)


def _gateway(target: GatewayTarget, b_sent: str, ring: int | None, identity: str) -> Target:
    gateway = target.gateway
    return Target(
        "gateway",
        gateway_uri(target, b_sent),
        gateway_id=gateway.gateway_id,
        ring_timeout_ms=1000 * (ring or gateway.ring_timeout_seconds),
        no_reply_timeout_ms=gateway.no_reply_timeout_ms,
        media_relay=gateway.media_relay,
        cost=None if target.cost is None else str(target.cost),
        asserted=identity,
    )
