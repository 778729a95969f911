"""Look-ups in the facts of the system that name tenants, nodes and gateways as the proxy needs them. Pure."""

from __future__ import annotations

import re

from callcore.gateway import Gateway
from callcore.value import value
from kemi.account_record import AccountRecord
from kemi.ks_acd.model import MediaHost
from kemi.ks_route.facts import SystemFacts


@value
class Tenant:
    """A tenant that is served."""

    tenant_id: int
    name: str
    #: Digest realm, and host of the AoR of its accounts.
    realm: str
    #: Calls at once; None: no limit.
    max_calls: int | None


def aor(username: str, realm: str) -> str:
    """Return the address of record under which contacts of an account are stored."""
    return f"sip:{username}@{realm}"


def tenant_by_id(system: SystemFacts, tenant_id: int) -> Tenant | None:
    """Return a tenant, None if it is unknown or disabled."""
    facts = system.tenants.get(tenant_id)
    return None if facts is None else Tenant(tenant_id, facts.name, facts.realm, facts.max_calls)


def tenant_of_domain(system: SystemFacts, host: str) -> Tenant | None:
    """Return the tenant that owns a SIP domain."""
    tenant_id = system.domains.get(host)
    return None if tenant_id is None else tenant_by_id(system, tenant_id)


#: Nodes that send us requests on our internal socket.
_TRUSTED_NODES = frozenset({"media", "proxy"})


def is_trusted_node(system: SystemFacts, ip: str, port: int) -> bool:
    """Tell whether an address is that of one of our media hosts or of another proxy's internal socket (node table)."""
    wanted = f"udp:{ip}:{port}"
    return any(node.get("kind") in _TRUSTED_NODES and node.get("address") == wanted for node in system.nodes)


def media_host_at(system: SystemFacts, hostport: str) -> str:
    """Return the name of the media host at an address, as 192.0.2.1:5080; "" if there is none."""
    wanted = f"udp:{hostport}"
    names = (n["name"] for n in system.nodes if n.get("kind") == "media" and n.get("address") == wanted)
    return str(next(names, ""))


def media_hosts(system: SystemFacts) -> tuple[MediaHost, ...]:
    """Return the media hosts of the node table as ks-index saw it last: for when the database cannot say which live."""
    return tuple(
        MediaHost(str(node["name"]), str(node["address"]))
        for node in system.nodes
        if node.get("kind") == "media"
    )


def ha1(account: AccountRecord, algorithm: str) -> str:
    """Return HA1 of an account for MD5 or SHA-256."""
    return account.ha1_md5 if algorithm == "MD5" else account.ha1_sha256


_GATEWAY_URI = re.compile(r"sip:([^:;>]+|\[[^\]]+\]):(\d+)(?:;transport=(\w+))?")


def gateways_of_uri(system: SystemFacts, uri: str) -> list[Gateway]:
    """Return the gateways that a dispatcher destination stands for; several tenants may share a carrier's address."""
    match = _GATEWAY_URI.match(uri)
    if match is None:
        return []
    host, port, transport = match[1], int(match[2]), (match[3] or "udp").lower()
    return [
        gateway
        for gateway in system.gateways.values()
        if (gateway.host, gateway.port, gateway.transport) == (host, port, transport)
    ]
