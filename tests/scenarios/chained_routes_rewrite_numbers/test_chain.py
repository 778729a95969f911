"""Routes in a chain rewrite A and B before a gateway gets them; A may depend on the region of B or on the account."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.fix_carriers import Carriers
from tests.support.net_loop import NetLoop
from tests.support.sip_phone import Phone
from tests.support.switch import Switch

SET, REGIONS = "by-region", {"Tver": "74822000000", "": "74990000000"}


@pytest.fixture
def alice(switch: Switch, net_loop: NetLoop) -> Iterator[Phone]:
    """The phone of account 100."""
    with switch.phone(net_loop, "100") as phone:
        yield phone


def test_masks_of_a_chain_add_up(switch: Switch, carriers: Carriers, alice: Phone) -> None:
    carrier = carriers.add("chain-end")
    switch.queue_route(
        "^8(4841)",
        "next:",
        priority=200,
        name="national to international",
        b_mask_pattern="^8",
        b_mask_replacement="7",
        a_mask_pattern="^(1..)$",
        a_mask_replacement=r"7484100\1",
    )
    switch.queue_route(
        "^74841", "next:", priority=201, b_mask_pattern=r"^7484(\d)(\d{6})$", b_mask_replacement=r"+7484\1\2"
    )
    switch.queue_route(
        r"^\+74841",
        "gateway:chain-end",
        priority=202,
        a_pattern="^7484100",
        options={"flags": {"seen": "yes"}},
    )
    ids = switch.save_routes()
    switch.save()
    call = alice.call("sip:84841222333@demo.test")
    other = carrier.wait_call()
    assert other.invite.uri.startswith("sip:+74841222333@127.0.0.1")
    assert other.invite.from_addr.uri.user == "7484100100"
    # What the caller wrote comes back to the caller, in replies and in requests of the other side (RFC 3261 12.2).
    assert call.final is not None
    assert call.final.from_addr.uri.user == "100"
    other.hang_up()
    assert call.wait_ended().ended_by == "remote"
    bye = call.requests[-1]
    assert (bye.from_addr.uri.user, bye.to_addr.uri.user) == ("84841222333", "100")
    row = switch.cdr(call.call_id)
    assert (row["a_number"], row["a_sent"]) == ("100", "7484100100")
    assert (row["b_number"], row["b_sent"]) == ("84841222333", "+74841222333")
    assert (row["route_ids"], row["hung_up_by"]) == (ids, "callee")


@pytest.mark.parametrize(
    ("number", "shown", "region"),
    [("74822333444", "74822000000", "Tver"), ("74722333444", "74990000000", None)],
)
def test_caller_number_follows_the_region_of_the_callee(
    switch: Switch, carriers: Carriers, alice: Phone, number: str, shown: str, region: str | None
) -> None:
    _one_range_set(switch)
    carrier = carriers.add(f"region-{number[:4]}")
    for place, own in REGIONS.items():
        if not switch.rows("SELECT number FROM caller_id WHERE set_name = %s AND region = %s", [SET, place]):
            switch.insert("caller_id", tenant_id=switch.tenant_id, set_name=SET, region=place, number=own)
    switch.add_route(
        f"^{number}$", f"gateway:region-{number[:4]}", priority=210, options={"caller_id_set": SET}
    )
    switch.save()
    call = alice.call(f"sip:{number}@demo.test")
    assert carrier.wait_call().invite.from_addr.uri.user == shown
    call.hang_up()
    row = switch.cdr(call.call_id)
    assert (row["a_number"], row["a_sent"], row["b_region"]) == ("100", shown, region)


def test_gateways_see_the_public_number_of_an_account_and_colleagues_its_name(
    switch: Switch, carriers: Carriers, net_loop: NetLoop
) -> None:
    switch.add_account("170", caller_number="74951700000")
    carrier = carriers.add("public-number")
    switch.add_route("^84852", "gateway:public-number", priority=220)
    switch.save()
    with switch.phone(net_loop, "170") as phone, switch.phone(net_loop, "101") as colleague:
        colleague.register()
        out, inside = phone.call("sip:84852000001@demo.test"), phone.call("101")
        assert carrier.wait_call().invite.from_addr.uri.user == "74951700000"
        assert colleague.wait_call().invite.from_addr.uri.user == "170"
        out.hang_up()
        inside.hang_up()
        colleague.unregister()
    assert switch.cdr(out.call_id)["a_sent"] == "74951700000"
    assert switch.cdr(inside.call_id)["a_sent"] == "170"


def _one_range_set(switch: Switch) -> None:
    """Store one range of the national registry: Tver."""
    if switch.rows("SELECT set_id FROM number_range_set WHERE current"):
        return
    made = switch.insert("number_range_set", source="scenario", range_count=1)
    switch.insert(
        "number_range",
        set_id=made["set_id"],
        first=74822000000,
        last=74822999999,
        operator="Rostelecom",
        region="Tver",
    )
    switch.rows(
        "UPDATE number_range_set SET current = true WHERE set_id = %s RETURNING set_id", [made["set_id"]]
    )
