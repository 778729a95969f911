"""A saved route is live in every worker within a second, under load and without a lost call; ks-index may be dead."""

from __future__ import annotations

from tests.support.call_load import CallLoad
from tests.support.faults import kill, rpc, start, stop, worker_pids
from tests.support.net_loop import NetLoop
from tests.support.sip_carrier import Carrier
from tests.support.switch import Switch

LIVE_SECONDS, CALLS_PER_SECOND = 1.0, 20
CHANGE = "UPDATE route SET destination = %s WHERE route_id = %s"


def generations(switch: Switch) -> dict[int, str]:
    """Return the index generation that each process says it serves."""
    slots = rpc(switch, "htable.dump", "worker") or []
    found = {int(slot["name"]): str(slot["value"]) for entry in slots for slot in entry["slot"]}
    return {pid: found[pid] for pid in worker_pids(switch) if pid in found}


def test_change_under_load(switch: Switch, net_loop: NetLoop) -> None:
    with Carrier(net_loop) as carrier:
        switch.add_gateway("change-in", port=carrier.address[1], source_port=carrier.address[1])
        route = switch.add_route("^7400", "reject:486", priority=70, tenant_id=0)
        switch.save()
        target = f"sip:74001234567@{switch.address[0]}:{switch.address[1]}"
        load = CallLoad(net_loop, carrier, target, rate=CALLS_PER_SECOND)
        load.wait_placed(40)
        with switch.connect() as conn:
            conn.execute(CHANGE, ["603", route])
        saved = net_loop.now()
        load.wait_placed(3 * CALLS_PER_SECOND)
        load.stop()
        load.wait_ended()
    assert set(load.codes()) == {486, 603}
    after = [placed for placed in load.calls if placed.at > saved]
    old = [placed.at - saved for placed in after if placed.call.code == 486]
    took = max(old, default=0.0)
    print(f"live after {took:.3f} s, {len(load.calls)} calls {load.codes()}")
    assert took <= LIVE_SECONDS
    assert all(placed.call.code == 486 for placed in load.calls if placed.at <= saved)
    current = generations(switch)
    # Processes that saw no call since (TCP workers, timers) follow at their next message.
    newest = max(int(generation) for generation in current.values())
    assert list(current.values()).count(str(newest)) >= switch.config.proxy.workers, current


def test_routing_goes_on_without_the_builder(switch: Switch, net_loop: NetLoop) -> None:
    with Carrier(net_loop) as carrier:
        switch.add_gateway("builder-in", port=carrier.address[1], source_port=carrier.address[1])
        route = switch.add_route("^7500", "reject:486", priority=80, tenant_id=0)
        switch.save()
        target = f"sip:75001234567@{switch.address[0]}:{switch.address[1]}"
        load = CallLoad(net_loop, carrier, target, rate=CALLS_PER_SECOND)
        old = kill(switch, "ks-index")
        load.wait_placed(10)
        switch.instance.wait_back("ks-index", old)
        stop(switch, "ks-index")
        with switch.connect() as conn:
            conn.execute(CHANGE, ["603", route])
        load.wait_placed(20)
        assert set(load.codes()) <= {0, 486}, "a change became live without its builder"
        start(switch, "ks-index")
        back = net_loop.now()
        load.wait_placed(2 * CALLS_PER_SECOND)
        load.stop()
        load.wait_ended()
    assert set(load.codes()) == {486, 603}
    late = max((placed.at - back for placed in load.calls if placed.call.code == 486), default=0.0)
    print(f"live {late:.3f} s after the builder was back")
    assert late <= LIVE_SECONDS
