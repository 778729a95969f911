"""Forwarding by each condition, to accounts, groups and numbers, with real phones and carriers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.scenarios.services_lead_calls_elsewhere.conftest import MakePhone
from tests.support.fix_carriers import Carriers
from tests.support.sip_plan import Plan
from tests.support.switch import Switch

Services = Callable[..., None]


def told(office: Switch, call_id: str) -> list[tuple[str, str, str]]:
    """Return who forwarded a call, when and where to, as its story says."""
    row = office.cdr(call_id)
    return [
        (event["data"]["account"], event["data"]["condition"], event["data"]["to"])
        for event in office.events(row["call_id"])
        if event["kind"] == "call.forward"
    ]


@pytest.mark.parametrize(
    ("condition", "plan", "after"),
    [
        ("always", Plan.answer(), ""),
        ("busy", Plan.reject(486), ""),
        ("no_answer", Plan.ring(), " --after 1"),
        ("unreachable", None, ""),
    ],
)
def test_each_condition_leads_to_a_colleague(
    office: Switch, services: Services, phones: MakePhone, condition: str, plan: Plan | None, after: str
) -> None:
    services(f"account service forward 611 {condition} account:612{after}")
    caller, colleague = phones("610", register=False), phones("612")
    called = phones("611", plan) if plan else None
    call = caller.call("sip:611@demo.test")
    taken = colleague.wait_call().wait_answered()
    assert taken.invite.need("Diversion").startswith("<sip:611@demo.test>;reason=")
    assert "611@demo.test" in taken.invite.need("History-Info")
    call.hang_up()
    taken.wait_ended()
    assert bool(called and called.calls) == (condition in ("busy", "no_answer"))
    assert told(office, call.call_id) == [("611", condition, "612")]


@pytest.mark.parametrize("condition", ["always", "busy"])
def test_to_a_number_goes_out_as_the_account_would(
    office: Switch, services: Services, phones: MakePhone, carriers: Carriers, condition: str
) -> None:
    carrier, number = carriers.add(f"mobile-{condition}", price="1.00"), f"7916555000{len(condition)}"
    office.add_route(f"^{number}$", f"gateway:mobile-{condition}", priority=50, a_pattern="^611$")
    services(f"account service forward 611 {condition} number:{number}")
    caller = phones("610", register=False)
    phones("611", Plan.reject(486))
    call = caller.call("sip:611@demo.test")
    taken = carrier.wait_call().wait_answered()
    assert taken.invite.uri.startswith(f"sip:{number}@")
    assert taken.invite.from_addr.uri.user == "7495777610"
    assert taken.invite.need("Diversion").startswith("<sip:7495777611@")
    assert call.dialog is not None
    taken.hang_up()
    call.wait_ended()
    assert told(office, call.call_id) == [("611", condition, number)]


def test_a_phone_forwards_by_itself(office: Switch, services: Services, phones: MakePhone) -> None:
    phones("611", Plan.reject(302, headers=[("Contact", "<sip:612@192.0.2.9>")]))
    colleague = phones("612")
    call = phones("610", register=False).call("sip:611@demo.test")
    taken = colleague.wait_call().wait_answered()
    call.hang_up()
    taken.wait_ended()
    assert told(office, call.call_id) == [("611", "always", "612")]


def test_two_who_forward_to_each_other_are_a_loop(
    office: Switch, services: Services, phones: MakePhone
) -> None:
    services(
        "account service forward 611 always account:612", "account service forward 612 always account:611"
    )
    call = phones("610", register=False).invite("sip:611@demo.test")
    call.wait_ended()
    assert call.code == 482


def test_do_not_disturb_and_lists(office: Switch, services: Services, phones: MakePhone) -> None:
    services(
        "account service set 611 --dnd",
        "account service allow 611 612",
        "account service block 613 610",
    )
    caller, friend = phones("610", register=False), phones("612", register=False)
    phones("611")
    assert caller.invite("sip:611@demo.test").wait_ended().code == 480
    assert caller.invite("sip:613@demo.test").wait_ended().code == 603
    call = friend.call("sip:611@demo.test")
    call.hang_up()


def test_a_parallel_group_rings_all_and_one_takes_it(
    office: Switch, services: Services, phones: MakePhone
) -> None:
    services("huntgroup add 690 611 612 613")
    slow, quick = phones("611", Plan.ring()), phones("612", Plan.answer(ring_after=0.1, final_after=0.2))
    call = phones("610", register=False).call("sip:690@demo.test")
    assert slow.wait_call().wait_ended().cancelled
    assert len(quick.calls) == 1
    call.hang_up()
    quick.calls[0].wait_ended()


def test_a_serial_group_goes_on_and_ends_at_its_fallback(
    office: Switch, services: Services, phones: MakePhone
) -> None:
    services("huntgroup add 690 611 612 --mode serial --ring 1 --fallback account:613")
    busy, absent, last = phones("611", Plan.reject(486)), phones("612", Plan.ring()), phones("613")
    call = phones("610", register=False).call("sip:690@demo.test")
    assert absent.wait_call().wait_ended().cancelled
    taken = last.wait_call().wait_answered()
    assert len(busy.calls) == 1
    call.hang_up()
    taken.wait_ended()
    row = office.cdr(call.call_id)
    assert [attempt["code"] for attempt in row["attempts"]] == [486, 408, 200]
