"""The proxy is killed under load: callers repeat what is not answered, and every call is made once and told once."""

from __future__ import annotations

from collections import Counter

from tests.support.call_load import CallLoad
from tests.support.faults import kill_proxy
from tests.support.net_loop import NetLoop
from tests.support.sip_carrier import Carrier
from tests.support.sip_plan import Plan
from tests.support.switch import Switch

CALLS_PER_SECOND = 5
#: Rings, talks and is hung up by the callee: the kill meets calls in every state.
PLAN = Plan.answer(ring_after=0.1, final_after=0.4, bye_after=0.5)


def test_every_call_is_made_once(own_switch: Switch, net_loop: NetLoop) -> None:
    switch = own_switch
    with Carrier(net_loop) as carrier, Carrier(net_loop, plan=PLAN) as pstn:
        switch.add_gateway("in", port=carrier.address[1], source_port=carrier.address[1])
        # What was repeated during the outage comes all at once: a busy machine needs its time for it, and
        # this is not about failover.
        switch.add_gateway("out", port=pstn.address[1], no_reply_timeout_ms=10_000)
        switch.add_route("^7495", "gateway:out", priority=1, tenant_id=0)
        switch.save()
        target = f"sip:74951234567@{switch.address[0]}:{switch.address[1]}"
        load = CallLoad(net_loop, carrier, target, rate=CALLS_PER_SECOND)
        load.wait_placed(20)
        outage = kill_proxy(switch, worker=1)
        print(f"outage {outage.seconds:.2f} s")
        load.wait_placed(20)
        load.stop()
        load.wait_ended(40)
        made = Counter(call.call_id for call in pstn.calls)
    ids = load.call_ids()
    print(f"{len(ids)} calls, {load.codes()}")
    assert load.codes() == {200: len(ids)}
    assert made == Counter(ids), "a call was made twice, or never"

    def complete() -> bool:
        rows = switch.rows("SELECT * FROM call WHERE sip_call_id = ANY(%s)", [ids])
        return len(rows) == len(ids) and all(row["hung_up_by"] == "callee" for row in rows)

    switch.wait(complete, 30, "one CDR for each call, hung up by the callee")
    rows = switch.rows("SELECT * FROM call")
    assert Counter(row["sip_call_id"] for row in rows) == Counter(ids)
    assert {row["final_code"] for row in rows} == {200}
    assert all(row["answered_at"] is not None and row["talk_ms"] >= 300 for row in rows)
