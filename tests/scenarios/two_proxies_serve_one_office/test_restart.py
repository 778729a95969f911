"""A proxy that restarts takes up its own calls, and leaves those of the other proxy alone."""

from __future__ import annotations

from kalibri.rpc import KamailioRpc
from tests.scenarios.two_proxies_serve_one_office.conftest import Office
from tests.support.faults import start, stop
from tests.support.sip_plan import Plan
from tests.support.switch import Switch

QUICK = Plan.answer(ring_after=0.05, final_after=0.2)


def known(at: Switch) -> set[str]:
    """Return the Call-IDs of all dialogs that a proxy holds."""
    with KamailioRpc(at.config.kamailio_rpc_socket) as rpc:
        return {str(dialog["call_id"]) for dialog in rpc.dialogs()}


def stored(office: Office) -> set[str]:
    """Return the Call-IDs of all dialogs in the database."""
    return {row["callid"] for row in office.here.rows("SELECT callid FROM kamailio.dialog")}


def test_calls_of_the_other_proxy_are_not_its_own(office: Office) -> None:
    office.phone(office.here, "102", QUICK)
    office.phone(office.there, "104", QUICK)
    own = office.phone(office.here, "101").call("102")
    other = office.phone(office.there, "103").call("104")
    both = {own.call_id, other.call_id}
    office.here.wait(lambda: both <= stored(office), 20, "both are stored")
    stop(office.here, "kamailio")
    start(office.here, "kamailio")
    office.here.wait(lambda: own.call_id in known(office.here), 30, "its own call is taken up")
    assert known(office.here) == {own.call_id}
    assert known(office.there) == {other.call_id}
    for call in (own, other):
        call.hang_up()
    office.here.wait(lambda: not both & stored(office), 20, "nothing is left of them")
