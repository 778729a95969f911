"""200 calls talk at the same time: every one is set up, held and ended; 200 CDRs, and nothing is left over."""

from __future__ import annotations

from rtpproxy_ctl.ask import ask_counters
from tests.support.faults import rpc
from tests.support.net_loop import NetLoop
from tests.support.sip_carrier import Carrier
from tests.support.sip_plan import Plan
from tests.support.switch import Switch
from tools.instance.processes import rtp_control

CALLS, BATCH = 200, 20


def sessions(switch: Switch) -> int:
    """Return how many sessions the relay holds."""
    return int(ask_counters(rtp_control(switch.config, 1), ["nsess_created"], 5)["nsess_created"]) - int(
        ask_counters(rtp_control(switch.config, 1), ["nsess_destroyed"], 5)["nsess_destroyed"]
    )


def in_profile(switch: Switch, gateway_id: int) -> int:
    """Return how many calls of a gateway the proxy counts."""
    return int(rpc(switch, "dlg.profile_get_size", "gateway", str(gateway_id)))


def test_two_hundred_calls(switch: Switch, net_loop: NetLoop) -> None:
    with Carrier(net_loop) as caller, Carrier(net_loop, plan=Plan.answer()) as callee:
        switch.add_gateway("crowd-in", port=caller.address[1], source_port=caller.address[1])
        out = switch.add_gateway("crowd-out", port=callee.address[1], media_relay="always")
        switch.add_route("^7200", "gateway:crowd-out", priority=50, tenant_id=0, directions=["gateway"])
        switch.save()
        before = sessions(switch)
        calls = []
        for first in range(0, CALLS, BATCH):
            batch = [
                caller.invite(
                    f"sip:7200{number:07}@{switch.address[0]}:{switch.address[1]}", caller="74950000001"
                )
                for number in range(first, first + BATCH)
            ]
            calls += [call.wait_answered(20) for call in batch]
        others = callee.calls
        callee.wait(lambda: sum(call.acked for call in others) == CALLS, 20, "every call acknowledged")
        # all at the same time, counted by who carries them
        assert in_profile(switch, out) == CALLS
        assert sessions(switch) - before == CALLS
        for first in range(0, CALLS, BATCH):
            byes = [call.send_bye() for call in calls[first : first + BATCH]]
            assert [caller.finish(bye, 20).code for bye in byes] == [200] * BATCH
        for call in others:
            call.wait_ended()
    switch.wait(lambda: in_profile(switch, out) == 0, 15, "no call in the gateway's profile")
    switch.wait(lambda: sessions(switch) == before, 15, "no session at the relay")
    statement = """
        SELECT count(*) AS calls, count(DISTINCT sip_call_id) AS different, count(answered_at) AS answered,
               count(*) FILTER (WHERE hung_up_by = 'caller' AND final_code = 200 AND talk_ms > 0) AS good
        FROM call WHERE starts_with(b_number, '7200') AND ended_at IS NOT NULL
    """
    switch.wait(lambda: switch.rows(statement)[0]["calls"] >= CALLS, 30, "every CDR")
    assert set(switch.rows(statement)[0].values()) == {CALLS}
