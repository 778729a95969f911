"""Fixture `carriers`: carriers beside the fixture `switch`, each with its gateway; taken out after the test.

    def test_something(switch, carriers):
        near = carriers.add("near", price="0.50")
        switch.add_route("^7495", "gateway:near", priority=10)
        switch.save()

A gateway that stays enabled would claim whatever later phone gets its port, so each is disabled at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.net_loop import NetLoop
from tests.support.sip_carrier import Carrier
from tests.support.switch import Switch


class Carriers:
    """Makes carriers that the switch knows as gateways."""

    def __init__(self, switch: Switch, loop: NetLoop) -> None:
        self.switch, self.loop = switch, loop
        #: Gateway ids by name.
        self.ids: dict[str, int] = {}
        self.made: list[Carrier] = []

    def add(
        self, name: str, *, price: str = "", columns: dict[str, Any] | None = None, **more: Any
    ) -> Carrier:
        """Make a carrier and its gateway, known by address; `columns` are the gateway's, the rest the carrier's."""
        carrier = Carrier(self.loop, **more)
        self.made.append(carrier)
        self.add_gateway(
            name, carrier.address[1], price=price, **{"transport": carrier.transport.kind, **(columns or {})}
        )
        return carrier

    def add_gateway(self, name: str, port: int, *, price: str = "", **columns: Any) -> int:
        """Add only a gateway: for a SIPp, or for a port where nobody listens."""
        gateway_id = self.switch.add_gateway(name, port=port, **{"source_port": port, **columns})
        self.ids[name] = gateway_id
        if price:
            self.switch.insert("gateway_rate", gateway_id=gateway_id, prefix="", price_per_minute=price)
        return gateway_id

    def close(self) -> None:
        """Close the carriers and disable their gateways."""
        for carrier in self.made:
            carrier.close()
        if self.ids:
            names = list(self.ids.values())
            self.switch.rows(
                "UPDATE gateway SET enabled = false WHERE gateway_id = ANY (%s) RETURNING gateway_id", [names]
            )
            self.switch.save()


@pytest.fixture
def carriers(switch: Switch, net_loop: NetLoop) -> Iterator[Carriers]:
    """Maker of carriers with gateways of the session's switch."""
    made = Carriers(switch, net_loop)
    yield made
    made.close()
