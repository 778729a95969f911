"""kill -9 of a worker ends the proxy: talking calls go on, and calls in set-up make no second call."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

from tests.support.faults import Outage, kill_proxy, start, stop, worker_pids
from tests.support.net_loop import NetLoop
from tests.support.rtp_peer import FRAME_SECONDS, RtpPeer, compare, known_payload
from tests.support.sip_call import Call
from tests.support.sip_phone import Nat, Phone
from tests.support.sip_plan import Plan
from tests.support.switch import Switch

#: A proxy that was killed serves new calls again within this time, given a processor of its own.
BACK_SECONDS = 5.0
#: Enough frames for the whole test: each is different, so that every lost one is seen.
FRAMES = {name: known_payload(60, seed) for seed, name in enumerate(("caller", "callee"))}


@dataclass
class Pair:
    """A call with both ends."""

    caller: Call
    callee: Call


def talk(caller: Phone, callee: Phone, target: str) -> Pair:
    call = caller.call(target, timeout=20)
    other = callee.calls[-1]
    other.wait_answered()
    return Pair(call, other)


def start_media(pair: Pair) -> None:
    pair.caller.media.play(FRAMES["caller"])
    pair.callee.media.play(FRAMES["callee"])
    pair.caller.media.wait_received(10)
    pair.callee.media.wait_received(10)


def assert_heard_during(outage: Outage, peer: RtpPeer, frames: list[bytes]) -> None:
    """Media went on while there was no proxy: none of what was sent meanwhile is missing."""
    during = [packet for packet in peer.received if outage.began <= packet.at <= outage.ended]
    assert len(during) >= 0.8 * outage.seconds / FRAME_SECONDS - 5, (len(during), outage)
    compare(frames, during).assert_exact(len(during) // 2, max_lost=2)


def repeat_invite(call: Call) -> None:
    """Send the INVITE again as it was sent, as a caller does who has heard nothing yet."""
    phone = call.phone
    assert phone.proxy
    raw = [raw for _, raw, _ in phone.sent if raw.startswith(b"INVITE") and call.call_id.encode() in raw][-1]
    flow = phone.loop.run(lambda: phone.transport.flow(phone.proxy))
    phone.loop.run(lambda: flow.send(raw))


#: An answer is written when its 200 passes the proxy, the phone counts from when it sent it.
JOURNAL_LAG_MS = 100


def assert_story(switch: Switch, call: Call, *, by: str, talked_ms: float) -> None:
    row = switch.cdr(call.call_id, 40)
    kinds = [event["kind"] for event in switch.events(row["call_id"])]
    assert (row["hung_up_by"], row["final_code"]) == (by, 200), (row, kinds)
    assert row["answered_at"] is not None
    assert row["talk_ms"] == int((row["ended_at"] - row["answered_at"]).total_seconds() * 1000)
    assert row["talk_ms"] >= talked_ms - JOURNAL_LAG_MS
    assert kinds.count("call.end") == 1, kinds
    assert kinds.count("call.start") == 1, kinds
    assert len(switch.call_rows(call.call_id)) == 1


def test_calls_live_through_the_death_of_the_proxy(own_switch: Switch, net_loop: NetLoop) -> None:
    switch = own_switch
    for username in ("110", "111", "112", "113"):
        switch.add_account(username)
    switch.save()
    with (
        switch.phone(net_loop, "100", media=True, nat=Nat()) as alice,
        switch.phone(net_loop, "101", media=True) as bob,
        switch.phone(net_loop, "110") as carol,
        switch.phone(net_loop, "111") as dave,
        switch.phone(net_loop, "112", media=True, nat=Nat("192.168.78.2")) as erin,
        switch.phone(net_loop, "113", media=True) as frank,
    ):
        for phone in (alice, bob, carol, dave, erin, frank):
            phone.register()
        relayed, direct = talk(alice, bob, "101"), talk(carol, dave, "111")
        start_media(relayed)
        frank.plan = Plan.by_test()
        ringing = erin.invite("113")
        target = frank.wait_call()
        target.ring()
        ringing.wait_ringing()
        silent = carol.invite("113")  # the callee has the INVITE and has not said anything
        target2 = frank.wait_call(2)
        # talking dialogs are written once a second; these two are old enough to be known again
        switch.wait(
            lambda: len(switch.rows("SELECT 1 FROM kamailio.dialog WHERE state = 4")) >= 2,
            10,
            "two stored dialogs",
        )

        outage = kill_proxy(switch)
        print(f"outage {outage.seconds:.2f} s")
        fresh = talk(alice, dave, "111")  # registrations are still there
        back = net_loop.now() - outage.began
        print(f"new call after {back:.2f} s")

        repeat_invite(ringing)
        repeat_invite(silent)
        target.answer()
        ringing.wait_answered()
        target.wait_answered()
        target2.ring()
        silent.wait_ringing()
        repeat_invite(silent)
        target2.answer()
        silent.wait_answered()
        assert len(frank.calls) == 2, "a retransmitted INVITE made a second call"
        assert frank.merged == []
        start_media(Pair(ringing, target))

        assert_heard_during(outage, relayed.callee.media, FRAMES["caller"])
        assert_heard_during(outage, relayed.caller.media, FRAMES["callee"])
        relayed.caller.hang_up()
        relayed.callee.wait_ended()
        direct.callee.hang_up()
        direct.caller.wait_ended()
        ringing.hang_up()
        target.wait_ended()
        target2.hang_up()
        silent.wait_ended()
        fresh.caller.hang_up()
        fresh.callee.wait_ended()
    for call, by, talked_ms in (
        (relayed.caller, "caller", 1000 * outage.seconds),
        (direct.caller, "callee", 1000 * outage.seconds),
        (ringing, "caller", 200),
        (silent, "callee", 200),
        (fresh.caller, "caller", 200),
    ):
        assert_story(switch, call, by=by, talked_ms=talked_ms)
    assert len(switch.rows("SELECT 1 FROM call")) == 5
    # others may be using the machine: a start is almost only work for the processor
    assert back <= BACK_SECONDS * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def test_a_call_that_died_with_the_proxy_is_closed(own_switch: Switch, net_loop: NetLoop) -> None:
    """Database and proxy die together: what was answered meanwhile is in no table, and nobody hangs it up."""
    switch = own_switch
    with switch.phone(net_loop, "100") as alice, switch.phone(net_loop, "101") as bob:
        alice.register()
        bob.register()
        stop(switch, "postgres")
        lost, living = talk(alice, bob, "101"), talk(alice, bob, "101")
        old = switch.instance.pid("kamailio")
        os.kill(worker_pids(switch)[0], signal.SIGKILL)
        lost.caller.abandon()
        lost.callee.abandon()
        start(switch, "postgres")
        switch.instance.wait_back("kamailio", old)
        living.caller.hang_up()  # the token in its Route is all that the proxy has of it
        living.callee.wait_ended()
    row = switch.cdr(lost.caller.call_id, 30)
    assert (row["cause"], row["hung_up_by"]) == ("proxy_restart", "system")
    assert row["answered_at"] is not None

    def hung_up() -> bool:
        """A call that shows life again is not dead, whatever was concluded before."""
        return switch.cdr(living.caller.call_id)["hung_up_by"] == "caller"

    switch.wait(hung_up, 20, "the BYE in the CDR of the living call")
    assert len(switch.rows("SELECT 1 FROM call")) == 2
