"""Our registration at a carrier: kept, told when lost, used for calls both ways."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from tests.support.fix_carriers import Carriers
from tests.support.net_loop import NetLoop
from tests.support.sip_carrier import Carrier
from tests.support.sip_plan import Plan
from tests.support.switch import Switch

USER, PASSWORD, REALM = "74957770000", "trunk secret", "trunk.example"


@pytest.fixture
def carrier(switch: Switch, carriers: Carriers) -> Iterator[Carrier]:
    """A carrier at which we register, not known by address, that challenges every call."""
    made = carriers.add(
        "trunk",
        domain=REALM,
        trunks={USER: PASSWORD},
        challenge_calls=True,
        expires=60,
        media=True,
        columns={"source_port": None},
    )
    trunk = switch.insert(
        "trunk",
        gateway_id=carriers.ids["trunk"],
        username=USER,
        domain=REALM,
        auth_username=USER,
        auth_realm=REALM,
        auth_ha1=hashlib.md5(f"{USER}:{REALM}:{PASSWORD}".encode()).hexdigest(),
        expires_seconds=30,
    )
    switch.save()
    made.trunk_id = trunk["trunk_id"]  # type: ignore[attr-defined]
    yield made
    switch.rows("DELETE FROM trunk WHERE trunk_id = %s RETURNING trunk_id", [trunk["trunk_id"]])
    switch.rows("UPDATE gateway SET name = 'trunk-' || gateway_id WHERE name = 'trunk' RETURNING gateway_id")
    switch.save()


def _state(switch: Switch) -> tuple[str, str]:
    (row,) = switch.rows("SELECT state, state_reason FROM trunk")
    return row["state"], row["state_reason"]


def _listed(switch: Switch) -> str:
    rows = switch.ksctl_json("gateway", "list")
    return str(next(row["registration"] for row in rows if row["name"] == "trunk"))


def test_registration_is_stored_and_calls_are_authenticated(
    switch: Switch, carriers: Carriers, carrier: Carrier, net_loop: NetLoop
) -> None:
    contact = carrier.wait_registered(USER, timeout=30)
    assert (contact.uri.host, contact.uri.port) == switch.address
    assert not carrier.auth_failures
    switch.wait(lambda: _state(switch)[0] == "registered", 15, "trunk.state registered")
    switch.add_route("^84991", "gateway:trunk", priority=500)
    switch.save()
    with switch.phone(net_loop, "100") as alice:
        call = alice.call("sip:84991000001@demo.test")
        first, second = carrier.requests("INVITE")
        assert "Proxy-Authorization" not in first.headers
        assert second.cseq.number == first.cseq.number + 1
        assert f'username="{USER}"' in second.need("Proxy-Authorization")
        assert call.provisional[-1].cseq == call.invite.cseq
        other = carrier.wait_call().wait_answered()
        assert call.hold().code == 200
        assert other.held
        other.request("INFO")
        call.hang_up()
        other.wait_ended()
    row = switch.cdr(call.call_id)
    assert (row["final_code"], row["gateway_out_id"]) == (200, carriers.ids["trunk"])
    assert [attempt["code"] for attempt in row["attempts"]] == [200]


def test_call_to_our_contact_reaches_the_route(
    switch: Switch, carriers: Carriers, carrier: Carrier, net_loop: NetLoop
) -> None:
    contact = carrier.wait_registered(USER, timeout=30)
    if not switch.rows("SELECT FROM number WHERE number = %s", [USER]):
        switch.insert(
            "number",
            number=USER,
            state="assigned",
            tenant_id=switch.tenant_id,
            destination_kind="account",
            destination="101",
        )
    switch.save()
    switch.wait(lambda: _state(switch)[0] == "registered", 15, "trunk.state registered")
    with switch.phone(net_loop, "101") as bob:
        bob.register()
        call = carrier.invite(str(contact.uri), caller="79031112233")
        call.wait_answered()
        other = bob.wait_call()
        assert other.invite.from_addr.uri.user == "79031112233"
        other.hang_up()
        call.wait_ended()
        bob.unregister()
    row = switch.cdr(call.call_id)
    assert (row["direction"], row["gateway_in_id"], row["b_number"]) == (
        "gateway",
        carriers.ids["trunk"],
        USER,
    )
    assert (row["final_code"], row["hung_up_by"]) == (200, "callee")


def test_lost_registration_takes_the_gateway_out(
    switch: Switch, carriers: Carriers, carrier: Carrier, net_loop: NetLoop
) -> None:
    carrier.wait_registered(USER, timeout=30)
    switch.wait(lambda: _state(switch)[0] == "registered", 15, "trunk.state registered")
    spare = carriers.add("trunk-spare", price="1.00")
    ids = {carriers.ids["trunk"]: 100, carriers.ids["trunk-spare"]: 100}
    group = f"trunks-{carriers.ids['trunk']}"
    switch.add_group(group, ids)
    switch.add_route("^84992", f"group:{group}", priority=500, options={"prefer_gateway": "trunk"})
    switch.save()
    carrier.trunks = {}
    switch.wait(lambda: _state(switch)[0] == "lost", 60, "trunk.state lost")
    assert _listed(switch) == "lost"
    with switch.phone(net_loop, "100") as alice:
        call = alice.call("sip:84992000001@demo.test")
        call.hang_up()
        assert len(spare.calls) == 1
        row = switch.cdr(call.call_id)
        assert [attempt["gateway_id"] for attempt in row["attempts"]] == [carriers.ids["trunk-spare"]]
        carrier.trunks = {USER: PASSWORD}
        switch.wait(lambda: _state(switch)[0] == "registered", 60, "trunk.state registered again")
        again = alice.call("sip:84992000002@demo.test")
        again.hang_up()
        assert switch.cdr(again.call_id)["gateway_out_id"] == carriers.ids["trunk"]
    kinds = switch.rows("SELECT kind FROM call_event WHERE kind LIKE 'trunk.%%' ORDER BY at DESC LIMIT 3")
    assert [row["kind"] for row in kinds] == ["trunk.registered", "trunk.lost", "trunk.registered"]


def test_busy_behind_a_challenge_is_busy(
    switch: Switch, carriers: Carriers, carrier: Carrier, net_loop: NetLoop
) -> None:
    carrier.wait_registered(USER, timeout=30)
    switch.wait(lambda: _state(switch)[0] == "registered", 15, "trunk.state registered")
    switch.add_route("^84994", "gateway:trunk", priority=500)
    switch.save()
    carrier.plan = Plan.reject(486)
    with switch.phone(net_loop, "100") as alice:
        call = alice.invite("sip:84994000001@demo.test")
        assert call.wait_ended().code == 486
    row = switch.cdr(call.call_id)
    assert (row["final_code"], row["cause"], row["hung_up_by"]) == (486, "busy", "callee")
    assert [attempt["code"] for attempt in row["attempts"]] == [486]


def test_wrong_password_at_the_carrier_ends_the_call_once(
    switch: Switch, carriers: Carriers, carrier: Carrier, net_loop: NetLoop
) -> None:
    carrier.wait_registered(USER, timeout=30)
    switch.wait(lambda: _state(switch)[0] == "registered", 15, "trunk.state registered")
    switch.add_route("^84993", "gateway:trunk", priority=500)
    switch.save()
    carrier.trunks = {USER: "another"}
    carrier.plan = Plan.answer()
    with switch.phone(net_loop, "100", password="pw100") as alice:
        call = alice.invite("sip:84993000001@demo.test")
        call.wait_ended()
        # The carrier's challenge is ours to answer; the caller has no part in it.
        assert call.code == 503
    assert len(carrier.requests("INVITE")) == 2
    row = switch.cdr(call.call_id)
    assert (row["final_code"], row["cause"]) == (503, "unavailable")
    assert [attempt["code"] for attempt in row["attempts"]] == [407]
