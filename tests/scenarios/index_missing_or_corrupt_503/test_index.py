"""An index that cannot be read: the proxy goes on with the last good one, starts with 503, and recovers by itself."""

from __future__ import annotations

from kalibri.index_dir import CURRENT
from tests.support.faults import kill_proxy, start, stop
from tests.support.kamailio_probe import KamailioProbe
from tests.support.net_loop import NetLoop
from tests.support.sip_phone import Phone
from tests.support.switch import Switch


def call_once(alice: Phone, bob: Phone) -> str:
    """Call, hang up, and return the SIP Call-ID."""
    call = alice.call("101", timeout=20)
    call.hang_up()
    bob.calls[-1].wait_ended()
    return call.call_id


def test_corrupt_index(own_switch: Switch, net_loop: NetLoop) -> None:
    switch = own_switch
    current = switch.config.index_directory / CURRENT
    with switch.phone(net_loop, "100") as alice, switch.phone(net_loop, "101") as bob:
        alice.register()
        bob.register()
        stop(switch, "ks-index")
        calls = []
        current.unlink()
        calls.append(call_once(alice, bob))  # the workers keep the generation that they have
        for nonsense in (b"{not json", b'{"generation": 1}', b""):
            current.write_bytes(nonsense)
            calls.append(call_once(alice, bob))

        kill_proxy(switch)
        probe = KamailioProbe(switch.address, switch.instance.pid("kamailio"))
        workers = probe.workers()
        assert alice.register(code=503).reason == "Not Ready"
        refused = alice.invite("101").wait_ended()
        assert refused.code == 503
        assert workers <= probe.workers()  # none was lost; some may only have been forked since

        start(switch, "ks-index")
        switch.wait(lambda: alice.register(code=0).code == 200, 20, "the new index is served")
        calls.append(call_once(alice, bob))  # bob's registration was in the database
        assert workers <= probe.workers()  # none was lost; some may only have been forked since
    for sip_call_id in calls:
        assert switch.cdr(sip_call_id)["final_code"] == 200
    assert len(switch.rows("SELECT 1 FROM call")) == len(calls)
