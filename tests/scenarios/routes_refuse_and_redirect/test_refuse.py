"""Routes that answer a call themselves: with a code, or with other contacts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.fix_carriers import Carriers
from tests.support.net_loop import NetLoop
from tests.support.sip_phone import Phone
from tests.support.sip_plan import Plan
from tests.support.sipp import SippRun
from tests.support.switch import Switch


@pytest.fixture
def alice(switch: Switch, net_loop: NetLoop) -> Iterator[Phone]:
    """The phone of account 100."""
    with switch.phone(net_loop, "100") as phone:
        yield phone


@pytest.mark.parametrize(
    ("value", "code", "phrase"), [("603", 603, "Decline"), ("486 Busy This Week", 486, "Busy This Week")]
)
def test_route_rejects_with_its_code(
    switch: Switch, alice: Phone, value: str, code: int, phrase: str
) -> None:
    route_id = switch.add_route(f"^84971{code}", f"reject:{value}", priority=300)
    switch.save()
    call = alice.invite(f"sip:84971{code}1@demo.test")
    call.wait_ended()
    assert call.final is not None
    assert call.final.start_line() == f"SIP/2.0 {code} {phrase}"
    assert not call.final.headers.starting_with("X-KS-")
    row = switch.cdr(call.call_id)
    assert (row["final_code"], row["hung_up_by"], row["route_ids"]) == (code, "system", [route_id])
    assert row["attempts"] == []


def test_route_redirects_to_contacts(switch: Switch, alice: Phone) -> None:
    switch.add_route("^84972", "redirect:sip:200@192.0.2.7,sip:201@192.0.2.8;transport=tcp", priority=300)
    switch.save()
    call = alice.invite("sip:84972000001@demo.test")
    assert call.wait_ended().code == 302
    assert call.final is not None
    contacts = [str(contact.uri) for contact in call.final.contacts]
    assert contacts == ["sip:200@192.0.2.7", "sip:201@192.0.2.8;transport=tcp"]
    row = switch.cdr(call.call_id)
    assert (row["final_code"], row["cause"], row["hung_up_by"]) == (302, "redirected", "system")


def test_redirect_of_a_gateway_goes_to_the_caller(switch: Switch, carriers: Carriers, alice: Phone) -> None:
    carriers.add("moves", plan=Plan.redirect("sip:elsewhere@192.0.2.9"))
    switch.add_route("^84973", "gateway:moves", priority=300)
    switch.save()
    call = alice.invite("sip:84973000001@demo.test")
    assert call.wait_ended().code == 302
    row = switch.cdr(call.call_id)
    assert (row["final_code"], row["hung_up_by"]) == (302, "callee")


@pytest.mark.parametrize("kind", ["queue", "callback", "campaign"])
def test_service_that_does_not_exist_yet_is_unavailable(switch: Switch, alice: Phone, kind: str) -> None:
    switch.add_route(f"^84974{len(kind)}", f"{kind}:main", priority=300)
    switch.save()
    call = alice.invite(f"sip:84974{len(kind)}1@demo.test")
    assert call.wait_ended().code == 503
    assert switch.cdr(call.call_id)["final_code"] == 503


def test_sipp_callers_are_rejected(switch: Switch, sipp: Callable[..., SippRun]) -> None:
    switch.add_route("^84975", "reject:404", priority=300)
    switch.save()
    run = sipp(
        "uac_expect",
        remote=switch.address,
        caller="102",
        callee="84975000001",
        domain="demo.test",
        auth=("102", "pw102"),
        code=404,
        calls=5,
    )
    run.wait()
    rows = switch.wait(lambda: _stored(switch, "84975000001", 5), 10, "five CDRs")
    assert {(row["final_code"], row["account"]) for row in rows} == {(404, "102")}


def _stored(switch: Switch, number: str, count: int) -> list[dict[str, object]]:
    rows = switch.rows("SELECT * FROM call WHERE b_number = %s AND ended_at IS NOT NULL", [number])
    return rows if len(rows) == count else []
