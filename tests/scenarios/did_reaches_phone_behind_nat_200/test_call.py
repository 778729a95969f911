"""A carrier calls a number of the inventory: a route rewrites it to an account whose phone is behind NAT."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.fix_carriers import Carriers
from tests.support.net_loop import NetLoop
from tests.support.net_ports import free_port
from tests.support.rtp_peer import compare, known_payload
from tests.support.sip_phone import Nat
from tests.support.sip_plan import Plan
from tests.support.sipp import SippRun
from tests.support.switch import Switch

FRAMES = 100


def _own_number(switch: Switch, number: str, **columns: object) -> None:
    switch.insert("number", number=number, state="assigned", tenant_id=switch.tenant_id, **columns)


def test_media_is_relayed_bit_exact_both_ways(switch: Switch, carriers: Carriers, net_loop: NetLoop) -> None:
    carrier = carriers.add("did-in", media=True)
    _own_number(switch, "74951110001")
    route_id = switch.add_route(
        "^74951110001$",
        "account:",
        priority=100,
        directions=["gateway"],
        b_mask_pattern="^7495111000(.)$",
        b_mask_replacement=r"10\1",
    )
    switch.save()
    with switch.phone(net_loop, "101", nat=Nat(), media=True) as phone:
        phone.register()
        phone.plan = Plan.answer(ring_after=0.05)
        call = carrier.call(f"sip:74951110001@127.0.0.1:{switch.address[1]}", caller="79161234567")
        other = phone.wait_call()
        relay = range(switch.config.rtp.port_min, switch.config.rtp.port_max + 1)
        assert call.remote_sdp is not None
        assert other.remote_sdp is not None
        assert call.remote_sdp.port in relay
        assert other.remote_sdp.port in relay
        assert call.remote_sdp.ip == other.remote_sdp.ip == switch.config.rtp.listen_address
        heard = {}
        for seed, (speaker, listener) in enumerate([(call, other), (other, call)]):
            speaker.media.play(known_payload(FRAMES / 50, seed))
            heard[seed] = listener.media
        for seed, media in heard.items():
            media.wait_received(FRAMES)
            compare(known_payload(FRAMES / 50, seed), media.received).assert_exact(FRAMES)
        assert other.invite.from_addr.uri.user == "79161234567"
        assert not phone.seen_headers("X-KS-")
        assert not carrier.seen_headers("X-KS-")
        call.hang_up()
        other.wait_ended()
        phone.unregister()
    row = switch.cdr(call.call_id)
    assert (row["tenant_id"], row["direction"], row["route_ids"]) == (switch.tenant_id, "gateway", [route_id])
    assert (row["gateway_in_id"], row["gateway_out_id"]) == (carriers.ids["did-in"], None)
    assert (row["a_number"], row["b_number"], row["b_sent"]) == ("79161234567", "74951110001", "101")
    assert (row["final_code"], row["hung_up_by"]) == (200, "caller")
    media = switch.media(call.call_id)
    assert min(media["a_packets"], media["b_packets"]) >= FRAMES
    assert (media["dropped"], media["a_lost"], media["b_lost"]) == (0, 0, 0)
    assert "silent" not in media


def test_number_without_route_leads_where_the_inventory_says(
    switch: Switch, carriers: Carriers, net_loop: NetLoop
) -> None:
    carrier = carriers.add("did-plain")
    _own_number(switch, "74951110002", destination_kind="account", destination="102")
    switch.save()
    with switch.phone(net_loop, "102") as phone:
        phone.register()
        call = carrier.call(f"sip:+74951110002@127.0.0.1:{switch.address[1]}", caller="+79160000001")
        call.hang_up()
        phone.wait_call().wait_ended()
        phone.unregister()
    row = switch.cdr(call.call_id)
    assert (row["final_code"], row["route_ids"], row["media"]) == (200, [], {})
    assert row["attempts"][0]["account"] == "102"


@pytest.mark.parametrize("number", ["74951110003", "74951110099"])
def test_reserved_or_unknown_number_is_not_found(switch: Switch, carriers: Carriers, number: str) -> None:
    carrier = carriers.add(f"did-{number[-2:]}")
    if number.endswith("3"):
        switch.insert("number", number=number, state="reserved", tenant_id=switch.tenant_id)
    switch.save()
    call = carrier.invite(f"sip:{number}@127.0.0.1:{switch.address[1]}", caller="79160000001")
    assert call.wait_ended().code == 404
    row = switch.cdr(call.call_id)
    assert (row["final_code"], row["hung_up_by"], row["cause"]) == (404, "system", "no_route")


def test_sipp_carrier_reaches_the_number(
    switch: Switch, carriers: Carriers, net_loop: NetLoop, sipp: Callable[..., SippRun]
) -> None:
    """The same with a carrier that is not of our own making, ten calls at once."""
    port = free_port("127.0.0.1")
    carriers.add_gateway("did-sipp", port, probe=False)
    _own_number(switch, "74951110004", destination_kind="account", destination="103")
    switch.save()
    with switch.phone(net_loop, "103") as phone:
        phone.register()
        run = sipp(
            "uac_invite",
            remote=switch.address,
            port=port,
            caller="79160000004",
            callee="74951110004",
            calls=10,
        )
        run.wait()
        phone.wait(
            lambda: len(phone.calls) == 10 and all(call.ended_by for call in phone.calls), 10, "ten calls"
        )
        phone.unregister()
    rows = switch.wait(lambda: _ended(switch, 10), 10, "ten CDRs")
    assert {(row["final_code"], row["hung_up_by"]) for row in rows} == {(200, "caller")}


def _ended(switch: Switch, count: int) -> list[dict[str, object]]:
    rows = switch.rows("SELECT * FROM call WHERE b_number = '74951110004' AND ended_at IS NOT NULL")
    return rows if len(rows) == count else []


def test_a_caller_who_leaves_the_offer_to_the_callee_is_relayed_too(
    switch: Switch, net_loop: NetLoop
) -> None:
    with (
        switch.phone(net_loop, "101", nat=Nat(), media=True) as phone,
        switch.phone(net_loop, "103", nat=Nat(), media=True) as caller,
    ):
        phone.register()
        call = caller.invite("101", offer=False).wait_answered(20)
        other = phone.wait_call().wait_answered()
        for seed, (speaker, listener) in enumerate([(call, other), (other, call)]):
            speaker.media.play(known_payload(1, seed))
            listener.media.wait_received(48)
            compare(known_payload(1, seed), listener.media.received).assert_exact(45, max_lost=2)
        assert call.hang_up().code == 200
        other.wait_ended()
        phone.unregister()
    assert switch.media(call.call_id)["relayed"] >= 90
