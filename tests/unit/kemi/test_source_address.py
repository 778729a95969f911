"""Gateways by source address: most specific network first, the port respected."""

from __future__ import annotations

import pytest

from callcore.gateway import Gateway
from kemi.source_address import SourceAddresses


def gateway(gateway_id: int, *networks: str, port: int | None = None) -> Gateway:
    return Gateway(
        gateway_id=gateway_id,
        tenant_id=0,
        name=f"g{gateway_id}",
        host="192.0.2.1",
        source_networks=networks,
        source_port=port,
    )


SOURCES = SourceAddresses(
    [
        gateway(1, "10.0.0.0/8"),
        gateway(2, "10.1.0.0/16", "2001:db8::/32"),
        gateway(3, "10.1.2.3/32", port=5080),
        gateway(4, "10.2.0.1/32", port=5061),
        gateway(6, "10.2.0.1/32"),
        gateway(5, "10.2.0.1/32"),
        gateway(7, "2001:db8::7/128"),
    ]
)


@pytest.mark.parametrize(
    ("ip", "port", "ids"),
    [
        ("10.9.9.9", 5060, [1]),
        ("10.1.9.9", 5060, [2]),
        ("10.1.2.3", 5080, [3]),
        ("10.1.2.3", 5060, [2]),
        ("10.2.0.1", 5061, [4]),
        ("10.2.0.1", 5060, [5, 6]),
        ("11.0.0.1", 5060, []),
        ("2001:db8::1", 5060, [2]),
        ("[2001:db8::7]", 5060, [7]),
        ("::ffff:10.9.9.9", 5060, []),
        ("", 5060, []),
        ("no address", 5060, []),
        ("10.0.0.0/8", 5060, []),
        ("10.9.9.9\0", 5060, []),
    ],
)
def test_most_specific_network_with_a_fitting_port(ip: str, port: int, ids: list[int]) -> None:
    assert [found.gateway_id for found in SOURCES.find(ip, port)] == ids


def test_a_gateway_without_networks_is_never_found_by_address() -> None:
    assert SourceAddresses([gateway(1)]).find("192.0.2.1", 5060) == ()


def test_the_whole_internet_is_the_least_specific_network() -> None:
    sources = SourceAddresses([gateway(1, "0.0.0.0/0"), gateway(2, "10.0.0.0/8")])
    assert [found.gateway_id for found in sources.find("10.0.0.1", 1)] == [2]
    assert [found.gateway_id for found in sources.find("192.0.2.1", 1)] == [1]
    assert sources.find("not an address", 1) == ()
