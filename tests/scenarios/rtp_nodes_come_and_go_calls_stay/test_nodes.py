"""Four RTP nodes under 200 calls, one killed, one drained, one frozen: only the calls of the killed one are lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

import pytest

from kalibri.config import PROJECT_ROOT
from kalibri.rtp_rpc import call_controller
from tests.support.faults import kill
from tests.support.fix_instance import Instance
from tests.support.fix_switch import SETTINGS
from tests.support.net_loop import NetLoop
from tests.support.rtp_peer import compare, known_payload
from tests.support.sip_call import Call, CallState
from tests.support.sip_carrier import Carrier
from tests.support.sip_phone import Nat
from tests.support.sip_plan import Plan
from tests.support.switch import Switch
from tools.instance.processes import rtp_ports

NODES, BATCH = 4, 20
#: Calls before the faults, during them, and after: 200 at the same time.
BEFORE, DURING, AFTER = 140, 60, 60


@pytest.fixture
def nodes_switch(_swept: None) -> Iterator[Switch]:
    """An instance with four nodes."""
    instance = Instance({**SETTINGS, "rtp.nodes": NODES})
    try:
        instance.up()
        switch = Switch(instance)
        for username in ("100", "101"):
            switch.add_account(username)
        switch.save()
        yield switch
    finally:
        for process in (*instance.config.rtp_controllers, "kamailio"):  # shown when the test fails
            lines = [line for line in instance.log(process).splitlines() if "terminate_dlg" not in line]
            print(f"---- {process}", *lines[-40:], sep="\n")
        instance.remove()


def ksctl(switch: Switch, *words: str) -> str:
    """Type a command as an operator does."""
    done = subprocess.run(
        [sys.executable, "-m", "tools.ksctl.main", *words],
        cwd=PROJECT_ROOT,
        env=switch.instance.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def health(switch: Switch, controller: str = "rtpc-1") -> dict[str, str]:
    """Return the health of each node as a controller sees it, by process."""
    rows = call_controller(switch.config.rtp_controller_socket(controller), "node.list", {})
    return {
        row["name"].partition("-")[2]: row["health"] if not row["draining"] else "draining" for row in rows
    }


def wait_health(switch: Switch, process: str, *wanted: str) -> None:
    """Wait until both controllers see a node so."""
    for controller in switch.config.rtp_controllers:
        switch.wait(
            lambda controller=controller: health(switch, controller)[process] in wanted,  # type: ignore[misc]
            30,
            f"{process} {wanted} for {controller}",
        )


def node_of(switch: Switch, call: Call) -> str:
    """Return the process whose port stands in the SDP that the caller got."""
    assert call.remote_sdp is not None
    for number in range(1, NODES + 1):
        first, last = rtp_ports(switch.config, number)
        if first <= call.remote_sdp.port <= last:
            return f"rtp-{number}"
    raise AssertionError(f"not relayed: {call.remote_sdp}")


def place(switch: Switch, caller: Carrier, count: int) -> list[Call]:
    """Place calls in batches; return them when all are answered."""
    calls: list[Call] = []
    for first in range(0, count, BATCH):
        target = f"sip:7200{first:07}@{switch.address[0]}:{switch.address[1]}"
        batch = [caller.invite(target, caller="74950000001") for _ in range(BATCH)]
        calls += [call.wait_answered(30) for call in batch]
    return calls


def test_only_the_calls_of_the_killed_node_are_lost(nodes_switch: Switch, net_loop: NetLoop) -> None:
    switch = nodes_switch
    with Carrier(net_loop) as caller, Carrier(net_loop, plan=Plan.answer()) as callee:
        switch.add_gateway("in", port=caller.address[1], source_port=caller.address[1])
        switch.add_gateway("out", port=callee.address[1], media_relay="always")
        switch.add_route("^7200", "gateway:out", priority=50, tenant_id=0, directions=["gateway"])
        switch.save()
        for number in range(1, NODES + 1):
            wait_health(switch, f"rtp-{number}", "up")
        before = place(switch, caller, BEFORE)
        spread = Counter(node_of(switch, call) for call in before)
        assert set(spread) == {"rtp-1", "rtp-2", "rtp-3", "rtp-4"}
        assert max(spread.values()) - min(spread.values()) <= BEFORE // 5, spread

        ksctl(switch, "node", "drain", "n1-rtp-2")
        wait_health(switch, "rtp-2", "draining")
        frozen = switch.instance.pid("rtp-3")
        os.kill(frozen, signal.SIGSTOP)
        kill(switch, "rtp-1")
        during = place(switch, caller, DURING)
        assert {node_of(switch, call) for call in during} <= {"rtp-1", "rtp-4"}
        os.kill(frozen, signal.SIGCONT)

        lost = [call for call in before if node_of(switch, call) == "rtp-1"]
        kept = [call for call in before if call not in lost]
        for call in lost:
            call.wait_ended(20)
        assert [call.state for call in kept + during] == [CallState.ANSWERED] * len(kept + during)

        # back after probation, and used again
        wait_health(switch, "rtp-1", "up")
        wait_health(switch, "rtp-3", "up")
        ksctl(switch, "node", "undrain", "n1-rtp-2")
        wait_health(switch, "rtp-2", "up")
        again = place(switch, caller, AFTER)
        assert {node_of(switch, call) for call in again} >= {"rtp-1", "rtp-2", "rtp-3"}

        alive = kept + during + again
        for first in range(0, len(alive), BATCH):
            byes = [call.send_bye() for call in alive[first : first + BATCH]]
            assert [caller.finish(bye, 30).code for bye in byes] == [200] * len(byes)
    statement = """
        SELECT cause, hung_up_by, count(*) FROM call
        WHERE starts_with(b_number, '7200') AND ended_at IS NOT NULL GROUP BY cause, hung_up_by
    """
    switch.wait(
        lambda: sum(row["count"] for row in switch.rows(statement)) == BEFORE + DURING + AFTER,
        60,
        "every CDR",
    )
    assert {(row["cause"], row["hung_up_by"]): row["count"] for row in switch.rows(statement)} == {
        ("media_lost", "system"): len(lost),
        ("normal", "caller"): len(alive),
    }
    listed = ksctl(switch, "node", "list", "--kind", "rtp", "-o", "csv").splitlines()
    assert len(listed) == 1 + NODES
    assert all(",up," in line for line in listed[1:]), listed


def test_calls_talk_through_a_killed_controller(nodes_switch: Switch, net_loop: NetLoop) -> None:
    """Both controllers are killed in turn in mid-call: media goes on, hold and BYE find the session."""
    switch = nodes_switch
    with (
        switch.phone(net_loop, "100", media=True, nat=Nat()) as alice,
        switch.phone(net_loop, "101", media=True) as bob,
    ):
        alice.register()
        bob.register()
        calls = []
        for _ in range(4):  # the proxy shares calls out by their Call-ID, so each controller has some
            call = alice.call("101", timeout=20)
            calls.append((call, bob.calls[-1].wait_answered()))
        for process in switch.config.rtp_controllers:
            old = kill(switch, process)
            sent = known_payload(0.5, 7)
            for call, other in calls:
                call.media.play(sent)
                other.media.wait_received(20)
                assert call.hold().code == 200
                assert call.resume().code == 200
            switch.instance.wait_back(process, old)
        for seed, (call, other) in enumerate(calls):
            heard = len(other.media.received)
            sent = known_payload(1, 100 + seed)
            call.media.play(sent)
            call.media.wait_played()
            other.media.wait_received(heard + 50)
            compare(sent, other.media.received[heard:]).assert_exact(45, max_lost=5)
            assert call.hang_up().code == 200
            other.wait_ended()
    for call, _ in calls:
        assert switch.media(call.call_id)["a_packets"] >= 50
        row = switch.cdr(call.call_id)
        assert (row["cause"], row["hung_up_by"]) == ("normal", "caller")
