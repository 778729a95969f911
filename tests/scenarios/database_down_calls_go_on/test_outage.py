"""PostgreSQL is killed, then stopped, under load: no call fails, phones register, nothing is missing after."""

from __future__ import annotations

from tests.support.call_load import CallLoad
from tests.support.faults import kill, start, stop
from tests.support.net_loop import NetLoop
from tests.support.sip_carrier import Carrier
from tests.support.sip_plan import Plan
from tests.support.switch import Switch

CALLS_PER_SECOND = 5
#: Calls of each load that are placed while the database is away.
MEANWHILE = 30
COUNTS = """
    SELECT count(*) AS calls, count(DISTINCT sip_call_id) AS different,
           count(*) FILTER (WHERE final_code = 200 AND hung_up_by = 'callee' AND ended_at IS NOT NULL) AS good
    FROM call WHERE sip_call_id = ANY(%s)
"""
EVENTS = """
    SELECT kind, count(*) AS number, count(DISTINCT call_id) AS calls FROM call_event
    WHERE kind IN ('call.start', 'call.route', 'call.answer', 'call.end')
      AND call_id IN (SELECT call_id FROM call WHERE sip_call_id = ANY(%s))
    GROUP BY kind
"""


def test_nothing_fails_and_nothing_is_missing(own_switch: Switch, net_loop: NetLoop) -> None:
    switch = own_switch
    answer = Plan.answer(bye_after=0.1)
    with (
        Carrier(net_loop) as carrier,
        Carrier(net_loop, plan=answer) as pstn,
        switch.phone(net_loop, "100") as alice,
        switch.phone(net_loop, "101", plan=answer) as bob,
        switch.phone(net_loop, "102", plan=answer) as newcomer,
    ):
        switch.add_account("102")
        switch.add_gateway("in", port=carrier.address[1], source_port=carrier.address[1])
        switch.add_gateway("out", port=pstn.address[1])
        switch.add_route("^7495", "gateway:out", priority=1, tenant_id=0)
        switch.save()
        alice.register()
        bob.register()
        loads = [
            CallLoad(
                net_loop,
                carrier,
                f"sip:74951234567@{switch.address[0]}:{switch.address[1]}",
                rate=CALLS_PER_SECOND,
            ),
            CallLoad(net_loop, alice, "sip:101@demo.test", rate=CALLS_PER_SECOND),
        ]
        for load in loads:
            load.wait_placed(5)
        old = kill(switch, "postgres")
        back = switch.instance.wait_back("postgres", old)
        print(f"killed PostgreSQL was back after {back:.2f} s")
        for load in loads:
            load.wait_placed(5)

        stop(switch, "postgres")
        newcomer.register()
        call = alice.call("102")  # the new registration is used at once
        call.wait_ended()
        for load in loads:
            load.wait_placed(MEANWHILE)
        start(switch, "postgres")
        for load in loads:
            load.wait_placed(5)
            load.stop()
        for load in loads:
            load.wait_ended()
            assert load.codes() == {200: len(load.calls)}
        print(f"{sum(len(load.calls) for load in loads)} calls, none failed")
        switch.wait(
            lambda: switch.rows("SELECT 1 FROM kamailio.location WHERE username = '102'"),
            20,
            "the registration of the outage in the location table",
        )
        placed = [*loads[0].call_ids(), *loads[1].call_ids(), call.call_id]
    switch.wait(lambda: switch.rows(COUNTS, [placed])[0]["good"] >= len(placed), 40, "every CDR")
    assert set(switch.rows(COUNTS, [placed])[0].values()) == {len(placed)}
    assert len(switch.rows("SELECT 1 FROM call")) == len(placed)
    for row in switch.rows(EVENTS, [placed]):
        assert (row["number"], row["calls"]) == (len(placed), len(placed)), row
