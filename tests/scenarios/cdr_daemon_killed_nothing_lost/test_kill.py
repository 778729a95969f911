"""kill -9 of ks-cdr again and again while calls run: no CDR and no event is lost or doubled."""

from __future__ import annotations

from tests.support.call_load import CallLoad
from tests.support.faults import kill
from tests.support.net_loop import NetLoop
from tests.support.sip_carrier import Carrier
from tests.support.sip_plan import Plan
from tests.support.switch import Switch

KILLS, CALLS_PER_SECOND = 5, 10
ROWS = "SELECT * FROM call WHERE sip_call_id = ANY(%s) AND ended_at IS NOT NULL"
KINDS = ("call.start", "call.route", "call.attempt", "call.ring", "call.answer", "call.end")


def test_every_call_has_one_cdr_and_one_story(switch: Switch, net_loop: NetLoop) -> None:
    with Carrier(net_loop) as carrier, Carrier(net_loop, plan=Plan.answer(bye_after=0.1)) as pstn:
        switch.add_gateway("cdr-in", port=carrier.address[1], source_port=carrier.address[1])
        switch.add_gateway("cdr-out", port=pstn.address[1])
        switch.add_route("^7300", "gateway:cdr-out", priority=60, tenant_id=0)
        switch.save()
        target = f"sip:73001234567@{switch.address[0]}:{switch.address[1]}"
        load = CallLoad(net_loop, carrier, target, rate=CALLS_PER_SECOND)
        for _ in range(KILLS):
            load.wait_placed(7)
            old = kill(switch, "ks-cdr")
            # a process that just started holds what it read and has not stored: the next kill finds it there
            switch.instance.wait_back("ks-cdr", old)
        load.wait_placed(10)
        load.stop()
        load.wait_ended()
        assert load.codes() == {200: len(load.calls)}
    ids = load.call_ids()
    rows = switch.wait(lambda: _all(switch, ids), 40, "every CDR")
    assert {row["sip_call_id"] for row in rows} == set(ids)
    assert len(rows) == len(ids)
    assert {(row["final_code"], row["hung_up_by"]) for row in rows} == {(200, "callee")}
    for row in rows:
        kinds = [event["kind"] for event in switch.events(row["call_id"])]
        assert [kinds.count(kind) for kind in KINDS] == [1] * len(KINDS), kinds
    switch.instance.wait_running("ks-cdr")


def _all(switch: Switch, ids: list[str]) -> list[dict[str, object]] | None:
    rows = switch.rows(ROWS, [ids])
    return rows if len(rows) >= len(ids) else None
