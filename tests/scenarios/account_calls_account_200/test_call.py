"""An account calls another of its tenant: media both ways, hold, resume, transports, and the whole story in the CDR."""

from __future__ import annotations

import pytest

from tests.support.net_loop import NetLoop
from tests.support.rtp_peer import known_payload
from tests.support.sip_plan import Plan
from tests.support.switch import Switch


@pytest.mark.parametrize(
    ("caller", "callee"),
    [("udp", "udp"), ("tcp", "udp"), ("udp", "tcp"), ("tls", "udp"), ("udp", "tls"), ("tls", "tcp")],
)
def test_phones_of_every_transport_talk(switch: Switch, net_loop: NetLoop, caller: str, callee: str) -> None:
    with (
        switch.phone(net_loop, "100", transport=caller, media=True) as alice,
        switch.phone(net_loop, "101", transport=callee, media=True) as bob,
    ):
        alice.register()
        bob.register()
        bob.plan = Plan.answer(ring_after=0.05)
        call = alice.call("sip:101@demo.test")
        other = bob.calls[0]
        call.media.play(known_payload(0.4, 1))
        other.media.play(known_payload(0.4, 2))
        alice.wait(
            lambda: len(call.media.received) >= 20 and len(other.media.received) >= 20,
            5,
            "20 frames both ways",
        )
        call.hang_up()
        other.wait_ended()
        alice.unregister()
        bob.unregister()
    row = switch.cdr(call.call_id)
    assert (row["hung_up_by"], row["final_code"], row["a_number"], row["b_number"]) == (
        "caller",
        200,
        "100",
        "101",
    )
    assert row["talk_ms"] > 0
