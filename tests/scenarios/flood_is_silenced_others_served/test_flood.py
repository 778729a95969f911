"""A source that floods is silenced for some seconds; other phones, and gateways at any rate, are served meanwhile."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from tests.support.call_load import CallLoad
from tests.support.faults import rpc
from tests.support.fix_instance import MakeInstance
from tests.support.fix_switch import SETTINGS
from tests.support.kamailio_probe import options_request
from tests.support.net_loop import NetLoop
from tests.support.sip_carrier import Carrier
from tests.support.switch import Switch

LIMIT, FLOOD = 30, 300
#: The instance's own watch asks from 127.0.0.1, the flood comes from elsewhere.
FLOODER, PHONE, GATEWAY = "127.0.0.9", "127.0.0.10", "127.0.0.11"


@pytest.fixture
def guarded(make_instance: MakeInstance) -> Switch:
    """A switch that takes no more than LIMIT requests in two seconds from a source."""
    made = Switch(make_instance(SETTINGS | {"proxy.flood_requests_per_2s": LIMIT}))
    made.add_account("100")
    made.save()
    return made


@pytest.fixture
def flooder() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((FLOODER, 0))
        sock.settimeout(0.5)
        yield sock


def answers_to(sock: socket.socket, switch: Switch, requests: int) -> int:
    """Send OPTIONS as fast as they go; return how many were answered."""
    for _ in range(requests):
        sock.sendto(options_request(sock.getsockname(), switch.address), switch.address)
    answered = 0
    try:
        while sock.recv(65536):
            answered += 1
    except TimeoutError:
        return answered


def test_only_the_flooder_is_silenced(guarded: Switch, net_loop: NetLoop, flooder: socket.socket) -> None:
    switch = guarded
    with (
        switch.phone(net_loop, "100", ip=PHONE) as phone,
        Carrier(net_loop, ip=GATEWAY) as carrier,
    ):
        switch.insert(
            "gateway", name="busy", host=GATEWAY, port=carrier.address[1], source_networks=[f"{GATEWAY}/32"]
        )
        switch.add_route("^7", "reject:486", priority=1, tenant_id=0)
        switch.save()
        assert 1 <= answers_to(flooder, switch, FLOOD) <= 2 * LIMIT
        assert answers_to(flooder, switch, 1) == 0
        phone.register()
        load = CallLoad(
            net_loop, carrier, f"sip:74951234567@{switch.address[0]}:{switch.address[1]}", rate=40
        )
        load.wait_placed(3 * LIMIT)
        load.stop()
        load.wait_ended()
        assert load.codes() == {486: len(load.calls)}
        silenced = time.monotonic()
        switch.wait(lambda: answers_to(flooder, switch, 1), 30, "the flooder is served again")
        print(f"served again {time.monotonic() - silenced:.1f} s after the others were served")
    counted = rpc(switch, "htable.get", "count", "flood")["item"]["value"]
    assert int(counted) >= FLOOD - 2 * LIMIT
