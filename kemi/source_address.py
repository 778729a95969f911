"""Which gateway a request comes from, by its source address and port.

Decides: the most specific network first; in one network a gateway that asks for this source port before
one that takes any. Never resolves names.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from functools import lru_cache

from callcore.gateway import Gateway

#: Sources whose gateways are remembered: each request of a call comes from the same few.
REMEMBERED = 1024
_BITS = {socket.AF_INET: 32, socket.AF_INET6: 128}


class SourceAddresses:
    """The source networks of all gateways, looked up by one dictionary access for each prefix length."""

    def __init__(self, gateways: Iterable[Gateway]) -> None:
        """Index the networks; raises ValueError for one that is none (the database stores only real ones)."""
        networks: dict[tuple[int, int], dict[int, list[Gateway]]] = {}
        for gateway in sorted(gateways, key=lambda entry: entry.gateway_id):
            for text in gateway.source_networks:
                network = ipaddress.ip_network(text)
                host_bits = network.max_prefixlen - network.prefixlen
                same_length = networks.setdefault((network.max_prefixlen, host_bits), {})
                same_length.setdefault(int(network.network_address) >> host_bits, []).append(gateway)
        #: Ascending host bits: the most specific network first.
        self._networks = sorted(networks.items())
        self._find = lru_cache(maxsize=REMEMBERED)(self._search)

    def find(self, ip: str, port: int) -> tuple[Gateway, ...]:
        """Return the gateways of the most specific network that fits, by id; empty if there is none.

        Several are possible when tenants share a carrier; those that demand this very port are then alone.
        """
        return self._find(ip, port)

    def _search(self, ip: str, port: int) -> tuple[Gateway, ...]:
        address, bits = _parse(ip)
        for (family_bits, host_bits), gateways in self._networks:
            if family_bits != bits:
                continue
            fitting = gateways.get(address >> host_bits, ())
            exact = tuple(gateway for gateway in fitting if gateway.source_port == port)
            found = exact or tuple(gateway for gateway in fitting if gateway.source_port is None)
            if found:
                return found
        return ()


def _parse(ip: str) -> tuple[int, int]:
    """Return the address as a number and its family's bits; (0, 0) for what is no address."""
    text = ip.strip("[]")
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    try:
        return int.from_bytes(socket.inet_pton(family, text), "big"), _BITS[family]
    except (OSError, ValueError):
        return 0, 0
