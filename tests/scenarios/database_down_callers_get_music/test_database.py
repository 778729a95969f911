"""PostgreSQL is away: callers of queues go to a media host, agents go on talking, nobody waits long."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from kemi.ks_acd.media_host import read_arg
from tests.support.call_centre import CallCentre
from tests.support.faults import start, stop
from tests.support.sip_message import SipRequest
from tests.support.sip_plan import Plan


def arg(invite: SipRequest) -> dict[str, str]:
    return read_arg(invite.headers.get("X-KS-Arg") or "")


def test_database_stopped(own_call_centre: CallCentre) -> None:
    centre = own_call_centre
    eve = centre.agent()
    sales = centre.queue([eve], media={"music": "jazz"})
    host = centre.host()
    own = centre.caller("101").call(sales.uri)
    eve.wait("busy")
    stop(centre.switch, "postgres")
    # A caller: music within a second, with all that the host must know.
    began = time.monotonic()
    call = centre.caller().call(sales.uri)
    assert time.monotonic() - began < 3
    told = arg(host.calls[0].invite)
    assert (told["queue"], told["music"], told["caller"]) == (str(sales.queue_id), "jazz", "100")
    assert "entry" not in told
    # While the breaker is open nobody waits at all.
    for _ in range(5):
        began = time.monotonic()
        centre.caller().call(sales.uri).hang_up()
        assert time.monotonic() - began < 1
    # The agent's conversation goes on and ends; the ACD hears of it when it is back.
    own.hold()
    own.resume()
    own.hang_up()
    start(centre.switch, "postgres")
    call.hang_up()
    # The breaker closes within seconds, and the ACD is asked again.
    entries = len(sales.entries)

    def asked() -> bool:
        centre.caller().call(sales.uri).hang_up()
        return len(sales.entries) > entries

    centre.switch.wait(asked, 20, "entries are made again")


def test_database_frozen_while_an_agent_rings(own_call_centre: CallCentre) -> None:
    """A server that hangs is worse than one that is gone: the client keeps the time itself."""
    centre = own_call_centre
    eve = centre.agent()
    sales = centre.queue([eve], ring_seconds=3)
    host = centre.host()
    eve.phone.plan = Plan.by_test()
    call = centre.caller().invite(sales.uri)
    eve.call().ring()
    call.wait_ringing()
    frozen = centre.switch.instance.pid("postgres")
    children = [int(pid) for pid in Path(f"/proc/{frozen}/task/{frozen}/children").read_text().split()]
    for pid in (frozen, *children):
        os.kill(pid, signal.SIGSTOP)
    try:
        eve.call().reject(486)
        call.wait_answered(5)
        assert len(host.calls) == 1
        call.hang_up()
    finally:
        for pid in (frozen, *children):
            os.kill(pid, signal.SIGCONT)
