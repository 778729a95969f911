"""Options of a route that shape a call: its longest duration, its codecs, its relay."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.fix_carriers import Carriers
from tests.support.net_loop import NetLoop
from tests.support.sip_phone import Phone
from tests.support.sipp import SippRun
from tests.support.switch import Switch


@pytest.fixture
def alice(switch: Switch, net_loop: NetLoop) -> Iterator[Phone]:
    """The phone of account 100, behind no NAT."""
    with switch.phone(net_loop, "100", media=True) as phone:
        yield phone


def test_longest_duration_ends_the_call_on_both_sides(
    switch: Switch, carriers: Carriers, alice: Phone
) -> None:
    carrier = carriers.add("short", media=True)
    switch.add_route("^84886", "gateway:short", priority=700, options={"max_duration_seconds": 3})
    switch.save()
    call = alice.call("sip:84886000001@demo.test")
    other = carrier.wait_call().wait_answered()
    assert call.wait_ended(15).ended_by == "remote"
    assert other.wait_ended(15).ended_by == "remote"
    row = switch.cdr(call.call_id)
    assert (row["final_code"], row["hung_up_by"], row["cause"]) == (200, "system", "max_duration")
    assert 2_000 <= row["talk_ms"] <= 6_000


def test_longest_duration_ends_calls_of_sipp(
    switch: Switch, carriers: Carriers, sipp: Callable[..., SippRun]
) -> None:
    carriers.add("short-sipp")
    switch.add_route("^84887", "gateway:short-sipp", priority=700, options={"max_duration_seconds": 2})
    switch.save()
    run = sipp(
        "uac_wait_bye",
        remote=switch.address,
        caller="102",
        callee="84887000001",
        domain="demo.test",
        auth=("102", "pw102"),
        calls=3,
    )
    run.wait()


@pytest.mark.parametrize(("codecs", "offered"), [(["PCMU"], (0,)), (["PCMA", "PCMU"], (8, 0))])
def test_codecs_filter_the_offer(
    switch: Switch, carriers: Carriers, alice: Phone, codecs: list[str], offered: tuple[int, ...]
) -> None:
    name = f"codec-{len(codecs)}"
    carrier = carriers.add(name, media=True)
    switch.add_route(f"^84888{len(codecs)}", f"gateway:{name}", priority=700, options={"codecs": codecs})
    switch.save()
    call = alice.call(f"sip:84888{len(codecs)}00001@demo.test")
    other = carrier.wait_call()
    assert other.remote_sdp is not None
    assert other.remote_sdp.payload_types == offered
    assert (b"PCMA" in other.invite.body) == ("PCMA" in codecs)
    call.hang_up()
    assert switch.cdr(call.call_id)["final_code"] == 200


@pytest.mark.parametrize("relay", ["always", "never"])
def test_route_decides_about_the_relay(
    switch: Switch, carriers: Carriers, alice: Phone, net_loop: NetLoop, relay: str
) -> None:
    carrier = carriers.add(f"relay-{relay}", media=True)
    switch.add_route(f"^84889{len(relay)}", f"gateway:relay-{relay}", priority=700, options={"relay": relay})
    switch.save()
    call = alice.call(f"sip:84889{len(relay)}00001@demo.test")
    other = carrier.wait_call().wait_answered()
    assert other.remote_sdp is not None
    relayed = range(switch.config.rtp.port_min, switch.config.rtp.port_max + 1)
    assert (other.remote_sdp.port in relayed) == (relay == "always")
    call.hang_up()
    if relay == "always":
        assert switch.media(call.call_id)["relayed"] == 0
    else:
        assert switch.cdr(call.call_id)["media"] == {}
