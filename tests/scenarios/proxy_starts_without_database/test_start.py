"""The proxy dies while PostgreSQL is down: it starts without it, and nothing is missing when the database is back."""

from __future__ import annotations

from tests.support.faults import kill_proxy, start, stop
from tests.support.net_loop import NetLoop
from tests.support.rtp_peer import compare, known_payload
from tests.support.sip_call import Call
from tests.support.sip_carrier import Carrier
from tests.support.sip_phone import Nat
from tests.support.switch import Switch
from tools.instance.alone import is_alone
from tools.instance.lifecycle import answers_of, states_of
from tools.instance.runner import ALONE_AFTER_SECONDS

START_SECONDS = 60


def hear(call: Call, other: Call, seed: int) -> None:
    """Play one way through the relay and compare every frame."""
    sent, earlier = known_payload(1, seed), len(other.media.received)
    call.media.play(sent)
    other.media.wait_received(earlier + 45)
    compare(sent, other.media.received[earlier:]).assert_exact(40, max_lost=2)


def is_served_with_database(switch: Switch) -> bool:
    """Tell whether the proxy that answers has the database."""
    if is_alone(switch.config):
        return False
    answer = answers_of(switch.config, states_of(switch.config), ["kamailio"])["kamailio"]
    return answer.ready and "without" not in answer.detail


def test_calls_and_registrations_of_a_proxy_without_database(own_switch: Switch, net_loop: NetLoop) -> None:
    switch = own_switch
    with (
        switch.phone(net_loop, "100", media=True, nat=Nat()) as alice,
        switch.phone(net_loop, "101", media=True) as bob,
        Carrier(net_loop) as pstn,
    ):
        switch.add_gateway("out", port=pstn.address[1])
        switch.add_route("^7495", "gateway:out", priority=1)
        switch.save()
        bob.register()
        before = alice.call("101", timeout=20)
        bob.calls[-1].wait_answered()
        stop(switch, "postgres")
        outage = kill_proxy(switch, within=START_SECONDS)
        print(
            f"no proxy for {outage.seconds:.1f} s, {ALONE_AFTER_SECONDS:.0f} of them waiting for the database"
        )
        assert is_alone(switch.config)
        # what was up goes on and ends; a phone that registers anew is called; gateways and routes work
        assert before.hang_up(20).code == 200
        bob.register()
        kept = alice.call("101", timeout=20)
        kept_other = bob.calls[-1].wait_answered()
        hear(kept, kept_other, 1)
        outside = alice.call("74951234567", timeout=20)
        assert outside.hang_up(20).code == 200
        start(switch, "postgres")
        switch.wait(lambda: is_served_with_database(switch), START_SECONDS, "a proxy with the database")
        # the registration of that time is known, the call of that time goes on, is held, and ends
        after = alice.call("101", timeout=20)
        bob.calls[-1].wait_answered()
        assert kept.reinvite("sendonly").code == 200
        hear(kept, kept_other, 3)
        assert kept.hang_up(20).code == 200
        kept_other.wait_ended()
        assert after.hang_up(20).code == 200
    for call in (before, kept, outside, after):
        row = switch.cdr(call.call_id)
        assert (row["hung_up_by"], row["final_code"], row["cause"]) == ("caller", 200, "normal")
        assert row["answered_at"] is not None
    assert len(switch.rows("SELECT 1 FROM call")) == 4
    registered = switch.rows("SELECT username FROM kamailio.location WHERE username = '101'")
    assert len(registered) == 1, "the registration before the outage and the one after it are one contact"
