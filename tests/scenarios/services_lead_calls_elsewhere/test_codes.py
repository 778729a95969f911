"""Codes dialled at real phones: services, speed dial, pickup, hidden numbers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.scenarios.services_lead_calls_elsewhere.conftest import MakePhone
from tests.support.fix_carriers import Carriers
from tests.support.sip_phone import Phone
from tests.support.sip_plan import Plan
from tests.support.switch import Switch

Services = Callable[..., None]


def dial(phone: Phone, code: str) -> tuple[int, str]:
    """Dial a code and return the answer."""
    call = phone.invite(f"sip:{code}@demo.test").wait_ended()
    assert call.final is not None
    return call.code, call.final.reason


def test_do_not_disturb_is_switched_at_the_phone(
    office: Switch, services: Services, phones: MakePhone
) -> None:
    caller, called = phones("610", register=False), phones("611")
    assert dial(called, "*78") == (480, "Do Not Disturb Is On")
    office.save()
    assert dial(caller, "611") == (480, "Do Not Disturb")
    assert dial(called, "*79") == (480, "Do Not Disturb Is Off")
    office.save()
    caller.call("sip:611@demo.test").hang_up()


def test_forwarding_and_speed_dial_are_set_at_the_phone(
    office: Switch, services: Services, phones: MakePhone
) -> None:
    caller, called, other = phones("610", register=False), phones("611"), phones("612")
    assert dial(called, "*72612") == (480, "Forwarding To 612")
    assert dial(caller, "*755*611") == (480, "Speed Dial Is Stored")
    office.save()
    call = caller.call("sip:*05@demo.test")
    other.wait_call().wait_answered()
    call.hang_up()
    assert dial(called, "*73") == (480, "Forwarding Is Off")
    assert dial(caller, "*07") == (404, "Speed Dial Is Empty")
    assert dial(called, "*72611") == (403, "Forwarding To Yourself")
    office.save()
    caller.call("sip:611@demo.test").hang_up()


def test_a_tenant_has_codes_of_its_own(office: Switch, services: Services, phones: MakePhone) -> None:
    services("starcode set dnd_on #1", "starcode set dnd_off #2")
    called = phones("611")
    assert dial(called, "%231") == (480, "Do Not Disturb Is On")
    assert dial(called, "*78")[0] == 404
    assert dial(called, "%232") == (480, "Do Not Disturb Is Off")


@pytest.mark.parametrize("code", ["*8", "**611"])
def test_a_ringing_call_is_picked_up(
    office: Switch, services: Services, phones: MakePhone, code: str
) -> None:
    services("account service set 611 --pickup-group desk", "account service set 612 --pickup-group desk")
    caller, called = phones("610", register=False), phones("611", Plan.ring())
    colleague, stranger = phones("612"), phones("613")
    call = caller.invite("sip:611@demo.test").wait_ringing()
    assert dial(stranger, code) == (403, "Not In Your Pickup Group")
    assert dial(colleague, code) == (480, "Call Picked Up")
    taken = colleague.wait_call(2 if len(colleague.calls) > 1 else 1).wait_answered()
    assert "answer-after=0" in taken.invite.need("Call-Info")
    call.wait_answered()
    assert called.wait_call().wait_ended().cancelled
    call.hang_up()
    taken.wait_ended()
    row = office.cdr(call.call_id)
    picked = [event for event in office.events(row["call_id"]) if event["kind"] == "call.pickup"]
    assert [(event["data"]["by"], event["data"]["account"]) for event in picked] == [("612", "611")]
    assert row["final_code"] == 200
    assert dial(colleague, code) == (404, "No Call To Pick Up")


@pytest.mark.parametrize("mode", ["parallel", "serial"])
def test_a_call_of_a_hunt_group_is_picked_up(
    office: Switch, services: Services, phones: MakePhone, mode: str
) -> None:
    services(
        "account service set 611 --pickup-group desk",
        "account service set 612 --pickup-group desk",
        f"huntgroup add 600 611 613 --mode {mode} --ring 60",
    )
    caller, called = phones("610", register=False), phones("611", Plan.ring())
    phones("613", Plan.ring())
    colleague = phones("612")
    call = caller.invite("sip:600@demo.test").wait_ringing()
    called.wait_call()
    assert dial(colleague, "**613") == (403, "Not In Your Pickup Group")
    assert dial(colleague, "**611") == (480, "Call Picked Up")
    taken = colleague.wait_call(3).wait_answered()  # after the two that he dialled
    call.wait_answered()
    assert called.wait_call().wait_ended().cancelled
    call.hang_up()
    taken.wait_ended()
    told = office.events(office.cdr(call.call_id)["call_id"])
    (picked,) = [event["data"] for event in told if event["kind"] == "call.pickup"]
    assert (picked["by"], picked["account"]) == ("612", "611")


def test_a_hidden_number_is_told_only_to_a_trusted_gateway(
    office: Switch, services: Services, phones: MakePhone, carriers: Carriers
) -> None:
    trusted = carriers.add("trusted", price="1.00", columns={"trusted": True})
    stranger = carriers.add("stranger", price="1.00")
    office.add_route("^79165560001$", "gateway:trusted", priority=50)
    office.add_route("^79165560002$", "gateway:stranger", priority=50)
    services("account service set 610 --hide-number")
    caller, called = phones("610", register=False), phones("611")
    lie = [("P-Asserted-Identity", "<sip:74950009999@demo.test>")]
    for number, other in (("79165560001", trusted), ("79165560002", stranger), ("611", called)):
        call = caller.call(f"sip:{number}@demo.test", headers=lie)
        taken = other.wait_call().wait_answered()
        assert taken.invite.from_addr.uri.user == "anonymous"
        assert taken.invite.need("Privacy") == "id"
        told = taken.invite.headers.all("P-Asserted-Identity")
        assert told == (["<sip:7495777610@demo.test>"] if other is trusted else [])
        call.hang_up()
        taken.wait_ended()
    call = caller.call("sip:*82611@demo.test")
    assert called.wait_call(2).invite.from_addr.uri.user == "610"
    call.hang_up()


def test_callers_who_hide_are_refused(
    office: Switch, services: Services, phones: MakePhone, carriers: Carriers
) -> None:
    services("account service set 611 --reject-anonymous")
    caller = phones("610", register=False)
    phones("611")
    assert dial(caller, "*67611") == (433, "Anonymity Disallowed")
    call = caller.invite("sip:611@demo.test", headers=[("Privacy", "id")]).wait_ended()
    assert call.code == 433
    caller.call("sip:611@demo.test").hang_up()
