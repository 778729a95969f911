"""Which addresses are public, and which a server can have."""

from __future__ import annotations

import pytest

from callcore.net_address import is_of_server, is_public


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2a00:1450:4001::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::"]
)
def test_addresses_of_the_open_net_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *(
            "::1",
            "fe80::1%eth0",
            "fc00::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001::1",
            "64:ff9b::a00:1",
            "64:ff9b:1::808:808",
        ),
        *("224.0.0.1", "255.255.255.255", "ff02::1", "192.0.2.1"),
    ],
)
def test_addresses_of_our_own_and_tricks_are_not(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["10.1.2.3", "127.0.0.1", "::1", "fd00::1", "64:ff9b::a00:1", "8.8.8.8"])
def test_a_server_may_have_a_private_address(address: str) -> None:
    assert is_of_server(address)


@pytest.mark.parametrize(
    "address", ["224.0.0.1", "0.0.0.0", "::", "255.255.255.255", "ff02::1", "::ffff:224.0.0.1"]
)
def test_no_server_has_these(address: str) -> None:
    assert not is_of_server(address)
