"""A call that was parked at one machine is taken at another one: the slot is the tenant's, not the machine's."""

from __future__ import annotations

from tests.scenarios.calls_wait_at_park_slots.conftest import ParkField
from tests.scenarios.calls_wait_at_park_slots.test_park import hears
from tests.support.fix_call_centre import TwoProxies


def test_taken_at_the_other_machine(two_proxies: TwoProxies) -> None:
    here, there = ParkField(two_proxies.first), ParkField(two_proxies.second)
    caller, parker = here.phone("100"), here.phone("101")
    call, talk = here.park(caller, parker)
    call.wait_answered()
    talk.hang_up()
    (waiting,) = here.wait_parked(1)
    other = there.phone("102")
    taken = other.call(f"sip:*71{waiting.slot}@demo.test")
    hears(call, taken, 1)
    hears(taken, call, 2)
    taken.hang_up()
    call.wait_ended()
    here.wait_parked(0)
    # Both machines give slots of one tenant: never the same one.
    calls = [here.park(caller, parker), there.park(other, there.phone("103"))]
    for parked, talk in calls:
        parked.wait_answered()
        talk.hang_up()
    slots = here.wait_parked(2)
    assert [entry.slot for entry in slots] == [1, 2]
    for parked, _ in calls:
        parked.hang_up()
    for field in (here, there):
        field.close()
