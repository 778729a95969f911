"""What forwarding out may cost, who is believed, and what each code does to the next call."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.scenarios.services_lead_calls_elsewhere.conftest import MakePhone
from tests.scenarios.services_lead_calls_elsewhere.test_codes import dial
from tests.support.fix_carriers import Carriers
from tests.support.sip_plan import Plan
from tests.support.switch import Switch

Services = Callable[..., None]
ABROAD = "79165550777"


def test_forwarding_out_stays_within_what_the_tenant_pays(
    office: Switch, services: Services, phones: MakePhone, carriers: Carriers
) -> None:
    carrier = carriers.add("abroad", price="3.00")
    office.add_route(f"^{ABROAD}$", "gateway:abroad", priority=50, a_pattern="^611$")
    services(f"account service forward 611 always number:{ABROAD}", "forwarding set --max-calls 1")
    caller, other = phones("610", register=False), phones("612", register=False)
    first = caller.call("sip:611@demo.test")
    taken = carrier.wait_call().wait_answered()
    assert dial(other, "611") == (403, "Call Limit Reached")
    first.hang_up()
    taken.wait_ended()
    other.call("sip:611@demo.test").hang_up()
    carrier.wait_call(2).wait_ended()
    services("forwarding set --max-cost 0.5")
    assert dial(caller, "611") == (403, "Forwarding Too Expensive")
    services("forwarding set --max-cost none --no-numbers")
    assert dial(caller, "611") == (403, "Forwarding Not Allowed")
    assert dial(phones("611"), f"*72{ABROAD}") == (403, "Forwarding Not Allowed")
    assert len(carrier.calls) == 2


@pytest.mark.parametrize("condition", ["always", "busy"])
@pytest.mark.parametrize("own_seconds", [None, 2], ids=["tenant's limit", "route's own is shorter"])
def test_a_call_that_is_forwarded_out_ends_in_time_on_both_sides(
    office: Switch,
    services: Services,
    phones: MakePhone,
    carriers: Carriers,
    condition: str,
    own_seconds: int | None,
) -> None:
    limit = own_seconds or 3
    name = f"limited-{condition}-{limit}"
    carrier = carriers.add(name)
    number = f"7916555{limit}{len(condition):03}"
    options = {"max_duration_seconds": own_seconds} if own_seconds else {}
    office.add_route(f"^{number}$", f"gateway:{name}", priority=45, options=options)
    seconds = 3600 if own_seconds else limit
    services(
        f"account service forward 611 {condition} number:{number}",
        f"forwarding set --max-seconds {seconds}",
    )
    phones("611", Plan.reject(486))
    call = phones("610", register=False).call("sip:611@demo.test")
    taken = carrier.wait_call().wait_answered()
    assert call.wait_ended(30).ended_by == "remote"
    assert taken.wait_ended(30).ended_by == "remote"
    row = office.cdr(call.call_id)
    assert (row["final_code"], row["hung_up_by"], row["cause"]) == (200, "system", "max_duration")
    assert (limit - 1) * 1000 <= row["talk_ms"] <= (limit + 8) * 1000
    told = [event for event in office.events(row["call_id"]) if event["kind"] == "call.forward"]
    assert [(each["data"]["account"], each["data"]["condition"]) for each in told] == [("611", condition)]


@pytest.mark.parametrize(("condition", "number"), [("always", "113"), ("busy", "114")])
def test_nobody_is_forwarded_to_an_emergency_number(
    office: Switch, services: Services, phones: MakePhone, carriers: Carriers, condition: str, number: str
) -> None:
    carrier = carriers.add(f"rescue-{number}")
    office.add_route(f"^{number}$", f"gateway:rescue-{number}", priority=2, options={"emergency": True})
    services(f"account service forward 611 {condition} number:{number}")
    phones("611", Plan.reject(486))
    caller = phones("610", register=False)
    code = (403, "Forwarding Not Allowed") if condition == "always" else (486, "Busy Here")
    assert dial(caller, "611") == code
    assert carrier.calls == []
    call = caller.call(f"sip:{number}@demo.test")  # who dials it himself reaches it
    carrier.wait_call().wait_answered()
    call.hang_up()


def test_what_may_not_be_forwarded_leaves_the_callers_answer(
    office: Switch, services: Services, phones: MakePhone
) -> None:
    services(f"account service forward 611 busy number:{ABROAD}", "forwarding set --no-numbers")
    phones("611", Plan.reject(486))
    assert dial(phones("610", register=False), "611")[0] == 486


@pytest.mark.parametrize(
    ("trusted", "privacy", "shown"),
    [
        (True, "", "74951112233"),
        (False, "", "74950000001"),
        (True, "id", "anonymous"),
        (False, "id", "anonymous"),
    ],
)
def test_an_asserted_identity_is_believed_from_trusted_gateways_only(
    office: Switch, phones: MakePhone, carriers: Carriers, trusted: bool, privacy: str, shown: str
) -> None:
    name = f"peer-{trusted}-{privacy}".lower()
    carrier = carriers.add(name, columns={"trusted": trusted, "tenant_id": office.tenant_id})
    office.add_route("^7495777611$", "account:611", priority=40, directions=["gateway"])
    office.save()
    called = phones("611")
    headers = [("P-Asserted-Identity", "<sip:74951112233@carrier.example>")]
    headers += [("Privacy", privacy)] if privacy else []
    target = f"sip:7495777611@{office.address[0]}:{office.address[1]}"
    call = carrier.call(target, caller="74950000001", headers=headers)
    taken = called.wait_call().wait_answered()
    assert taken.invite.from_addr.uri.user == shown
    assert taken.invite.headers.all("P-Asserted-Identity") == []
    call.hang_up()
    taken.wait_ended()


def test_only_the_white_list_rings(office: Switch, services: Services, phones: MakePhone) -> None:
    services("account service allow 611 612", "account service set 611 --only-white")
    phones("611")
    assert dial(phones("610", register=False), "611")[0] == 603
    phones("612", register=False).call("sip:611@demo.test").hang_up()


def test_a_caller_is_refused_and_taken_again_by_code(
    office: Switch, services: Services, phones: MakePhone
) -> None:
    caller, called = phones("610", register=False), phones("611")
    assert dial(called, "*60610") == (480, "Caller Is Refused")
    office.save()
    assert dial(caller, "611")[0] == 603
    assert dial(called, "*80610") == (480, "Caller Is Taken")
    office.save()
    caller.call("sip:611@demo.test").hang_up()


def test_a_number_is_hidden_and_anonymous_callers_refused_by_code(
    office: Switch, services: Services, phones: MakePhone
) -> None:
    caller, called = phones("610", register=False), phones("611")
    assert dial(caller, "*31") == (480, "Your Number Is Hidden")
    office.save()
    call = caller.call("sip:611@demo.test")
    assert called.wait_call().invite.from_addr.uri.user == "anonymous"
    call.hang_up()
    assert dial(called, "*77") == (480, "Anonymous Callers Are Refused")
    office.save()
    assert dial(caller, "611")[0] == 433
    assert dial(caller, "%2331") == (480, "Your Number Is Shown")
    office.save()
    caller.call("sip:611@demo.test").hang_up()
    assert dial(called, "*87") == (480, "Anonymous Callers Are Taken")
    office.save()
    call = caller.call("sip:*67611@demo.test")
    call.hang_up()


@pytest.mark.parametrize(
    ("code", "off", "plan"),
    [
        ("*90612", "*91", Plan.reject(486)),
        ("*92612", "*93", None),
        ("*94612", "*95", Plan.reject(503)),
    ],
    ids=["busy", "no answer", "unreachable"],
)
def test_forwarding_by_condition_is_set_at_the_phone(
    office: Switch, services: Services, phones: MakePhone, code: str, off: str, plan: Plan | None
) -> None:
    def stored() -> list[str]:
        return list(office.ksctl_json("account", "service", "show", "-t", "demo", "611")["forwards"])

    caller, called, colleague = phones("610", register=False), phones("611"), phones("612")
    assert dial(called, code) == (480, "Forwarding To 612")
    office.save()
    if plan is None:  # 20 seconds are not waited for; tests of forwarding do with one
        assert stored() == ["no_answer account:612 after 20 s"]
    else:
        called.plan = plan
        call = caller.call("sip:611@demo.test")
        taken = colleague.wait_call().wait_answered()
        call.hang_up()
        taken.wait_ended()
    called.plan = Plan.answer()
    assert dial(called, off) == (480, "Forwarding Is Off")
    assert stored() == []
