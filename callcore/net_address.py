"""Which IP addresses a request that a stranger steers may go to: what is public, and what is a server's at all. Pure.

An IPv6 address may carry an IPv4 one (mapped, 6to4, NAT64): then that one is judged.
"""

from __future__ import annotations

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
#: NAT64 of a network of one's own (RFC 8215): where in the address the IPv4 one stands, only that network knows.
_LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")


def plain(text: str) -> Address:
    """Return an address without its zone, an IPv4-mapped one as the IPv4 address; raises ValueError."""
    found = ipaddress.ip_address(text.partition("%")[0])
    return getattr(found, "ipv4_mapped", None) or found


def carried(text: str) -> Address:
    """Return the address that is reached in the end: the IPv4 one that an IPv6 address carries, or itself."""
    found = plain(text)
    if isinstance(found, ipaddress.IPv4Address):
        return found
    if found in _NAT64:
        return ipaddress.IPv4Address(int(found) & 0xFFFF_FFFF)
    return found.sixtofour or found


def is_public(text: str) -> bool:
    """Tell whether an address is on the open net: not of this machine, a private network or a trick."""
    found = carried(text)
    if isinstance(found, ipaddress.IPv6Address) and (found.teredo or found in _LOCAL_NAT64):
        return False
    return found.is_global and is_of_server(text)


def is_of_server(text: str) -> bool:
    """Tell whether a server can have an address, be it private."""
    found = carried(text)
    reserved = found.is_reserved and not found.is_loopback
    return not (found.is_multicast or found.is_unspecified or reserved)
