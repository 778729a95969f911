"""200 callers are in three menus at the same time: each one's keys lead him through, and nothing is left over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.call_centre import CallCentre
from tests.support.ivr_centre import IvrCentre, install_prompts
from tests.support.net_ports import free_port
from tests.support.sip_call import Call
from tests.support.sip_carrier import Carrier
from tests.support.sipp import SippRun
from tests.support.switch import Switch

CALLS, BATCH, KEYS = 200, 20, "123"
SIPP_CALLS = 60
#: Who presses a wrong key in the second menu is told so, and asked again.
CLUMSY = 10
SCENARIO = """
nodes:
  first: {kind: menu, say: p-menu, keys: {1: second}, wait_seconds: 60, on_failure: lost}
  second: {kind: menu, say: p-one, keys: {2: third}, wait_seconds: 60, say_invalid: p-bad, on_failure: lost}
  third: {kind: menu, say: p-menu, keys: {3: bye}, wait_seconds: 60, on_failure: lost}
  bye: {kind: hangup, say: p-bye}
  lost: {kind: hangup, say: p-sorry, code: 480}
"""


@pytest.fixture
def centre(live_switch: Switch, live_centre: CallCentre) -> IvrCentre:
    """Scenarios on the instance with two media hosts."""
    install_prompts(live_switch)
    return IvrCentre(live_centre)


def in_hosts(switch: Switch) -> int:
    """Return how many calls the media hosts hold, as they say themselves."""
    return int(switch.rows("SELECT coalesce(sum(calls), 0) AS calls FROM acd_hosts()")[0]["calls"])


def press(carrier: Carrier, calls: list[Call], key: str) -> None:
    """Let everybody press a key."""
    body = f"Signal={key}\r\nDuration=160\r\n".encode()
    for call in calls:
        assert (
            call.request("INFO", body=body, headers=[("Content-Type", "application/dtmf-relay")]).code == 200
        )


def test_two_hundred_callers(centre: IvrCentre) -> None:
    switch, loop = centre.switch, centre.centre.loop
    centre.store(SCENARIO, "crowd")
    idle = in_hosts(switch)
    with Carrier(loop) as carrier:
        switch.add_gateway(
            "ivr-crowd",
            port=carrier.address[1],
            source_port=carrier.address[1],
            tenant_id=switch.tenant_id,
        )
        switch.add_route("^7300", "ivr:crowd", priority=50, directions=["gateway"])
        switch.save()
        calls: list[Call] = []
        for first in range(0, CALLS, BATCH):
            batch = [
                carrier.invite(
                    f"sip:7300{number:07}@{switch.address[0]}:{switch.address[1]}", caller="74950000001"
                )
                for number in range(first, first + BATCH)
            ]
            calls += [call.wait_answered(30) for call in batch]
        switch.wait(lambda: in_hosts(switch) - idle == CALLS, 30, "200 calls in the media hosts")
        press(carrier, calls, KEYS[0])
        press(carrier, calls[:CLUMSY], "9")
        for key in KEYS[1:]:
            press(carrier, calls, key)
        for call in calls:
            call.wait_ended(60)
            assert call.ended_by == "remote"
    switch.wait(lambda: in_hosts(switch) == idle, 30, "no call in the media hosts")
    check_stories(switch, [switch.cdr(call.call_id, 60) for call in calls])


def test_callers_of_sipp(centre: IvrCentre, sipp: Callable[..., SippRun]) -> None:
    """SIPp's callers press their keys as soon as they may, twenty a second."""
    switch, port = centre.switch, free_port()
    centre.store(SCENARIO, "crowd-of-sipp")
    idle = in_hosts(switch)
    switch.add_gateway("ivr-sipp", port=port, source_port=port, tenant_id=switch.tenant_id)
    switch.add_route("^7301", "ivr:crowd-of-sipp", priority=51, directions=["gateway"])
    switch.save()
    ip, sip_port = switch.address
    run = sipp(
        Path(__file__).with_name("caller_presses.xml"),
        remote=switch.address,
        port=port,
        user="73010000001",
        calls=SIPP_CALLS,
        rate=20,
        timeout=90,
        caller="74950000002",
        callee="73010000001",
        domain=f"{ip}:{sip_port}",
    )
    run.wait(100)
    switch.wait(lambda: in_hosts(switch) == idle, 30, "no call in the media hosts")
    switch.wait_stored()
    rows = switch.rows("SELECT call_id, final_code, hung_up_by FROM call WHERE b_number = '73010000001'")
    assert len(rows) == SIPP_CALLS
    check_stories(switch, rows)


def check_stories(switch: Switch, rows: list[dict[str, Any]]) -> None:
    """Every caller's way is told from the first menu to the end."""
    assert {(row["final_code"], row["hung_up_by"]) for row in rows} == {(200, "callee")}
    ids = [row["call_id"] for row in rows]
    told = switch.rows(
        "SELECT call_id, kind, data FROM call_event"
        " WHERE call_id = ANY (%s) AND kind LIKE 'ivr.%%' ORDER BY at, event_id",
        [ids],
    )
    kinds = Counter((event["call_id"], event["kind"]) for event in told)
    for call_id in ids:
        assert kinds[call_id, "ivr.begin"] == kinds[call_id, "ivr.end"] == 1
    ways = Counter(
        tuple(
            event["data"]["node"]
            for event in told
            if event["call_id"] == call_id and event["kind"] == "ivr.node"
        )
        for call_id in ids
    )
    assert ways == {("first", "second", "third", "bye"): len(ids)}
