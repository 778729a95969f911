"""Which addresses are public, and when an event is tried again."""

from __future__ import annotations

import pytest

from kalibri.outbound_http import is_public
from kalibri.services.webhook import MAX_ATTEMPTS, delay_seconds


@pytest.mark.parametrize("address", ["8.8.8.8", "2a00:1450:4001::1"])
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
        ),
        *("224.0.0.1", "255.255.255.255", "ff02::1", "192.0.2.1"),
    ],
)
def test_addresses_of_our_own_and_tricks_are_not(address: str) -> None:
    assert not is_public(address)


def test_delays_double_up_to_an_hour() -> None:
    delays = [delay_seconds(attempts) for attempts in range(1, MAX_ATTEMPTS + 1)]
    assert delays[:3] == [2, 4, 8]
    assert delays[-1] == 3600
    assert 3600 < sum(delays) < 24 * 3600
