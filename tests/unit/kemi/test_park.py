"""Call park in the proxy, on a strict fake of Kamailio: what a REFER becomes, what its ticket is good for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kalibri.services.park import Held
from kemi import park, park_ticket
from kemi.ks_acd.model import MediaHost
from kemi.park_ticket import ParkTicket
from tests.support.fake_proxy import SECRET, FakeProxy
from tests.support.queue_calls import host_headers, queue_proxy, targets

TICKET = ParkTicket(1, 0, "201")


@pytest.fixture
def proxy(tmp_path: Path) -> FakeProxy:
    made = queue_proxy(tmp_path)
    made.acd.living = (MediaHost("m2", "udp:127.0.0.1:7002"),)
    return made


def refer(proxy: FakeProxy, to: str, **dialog: str) -> str | None:
    """Let a REFER pass, sent by the callee; return what it has become, None: it goes on as it was."""
    proxy.ksr.pvs["$hdr(Refer-To)"] = to
    proxy.ksr.dialog_vars = {"ks_tenant": "1", "ks_callee": "101", **dialog}
    proxy.ksr.calls.clear()
    park.rewrite_refer(proxy.worker, from_caller=False)
    lines = [line for (line,) in proxy.ksr.called("hdr.append")]
    return lines[0].strip() if lines else None


@pytest.mark.parametrize(
    ("dialled", "slot"), [("*70", 0), ("*703", 3), ("*70*12", 12), ("*719", 9), ("%2A719", 9), ("*71*9#", 9)]
)
def test_a_transfer_to_a_park_code_gets_a_ticket(proxy: FakeProxy, dialled: str, slot: int) -> None:
    line = refer(proxy, f'"Park" <sip:{dialled}@demo.example;user=phone>')
    ticket = park_ticket.seal(SECRET, ParkTicket(1, slot, "101"))
    assert line == f'Refer-To: "Park" <sip:{ticket}@demo.example;user=phone>'


def test_who_parks_is_the_account_at_that_end(proxy: FakeProxy) -> None:
    def parker(*, from_caller: bool = False, **dialog: str) -> str:
        proxy.ksr.dialog_vars = {"ks_tenant": "1", **dialog}
        proxy.ksr.calls.clear()
        park.rewrite_refer(proxy.worker, from_caller=from_caller)
        (line,) = [line for (line,) in proxy.ksr.called("hdr.append")]
        ticket = park_ticket.read(SECRET, line.partition("sip:")[2].partition("@")[0])
        assert ticket is not None
        return ticket.parker

    proxy.ksr.pvs["$hdr(Refer-To)"] = "<sip:*70@demo.example>"
    assert parker(ks_b="101", ks_a="100") == "101"
    assert parker(ks_b="84951112233", ks_callee="201") == "201"
    assert parker(ks_b="84951112233") == ""
    assert parker(from_caller=True, ks_a="100") == "100"
    assert parker(from_caller=True, ks_a="84951112233", ks_caller="100") == "100"
    assert parker(from_caller=True, ks_a="100", ks_leg="c/agent") == ""


@pytest.mark.parametrize(
    "to",
    [
        "<sip:101@demo.example>",
        "<sip:*78@demo.example>",
        "<sip:*70@demo.example?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc>",
        "<tel:*70>",
        "",
    ],
)
def test_other_transfers_go_on_as_they_are(proxy: FakeProxy, to: str) -> None:
    assert refer(proxy, to) is None


def test_a_ticket_is_sealed() -> None:
    good = park_ticket.seal(SECRET, TICKET)
    assert park_ticket.read(SECRET, good) == TICKET
    assert park_ticket.read(SECRET, good.replace("-201", "%2D201")) == TICKET
    for forged in (
        good.replace("park-1-", "park-2-"),
        good.removesuffix("1") + "2",
        good[:-1],
        "park-",
        "201",
    ):
        assert park_ticket.read(SECRET, forged) is None
    assert park_ticket.read(b"another", good) is None


def dial(proxy: FakeProxy, number: str, **more: Any) -> None:
    proxy.send("INVITE", auth=("201", 1), rU=number, tU=number, fU="201", **more)


def test_who_follows_it_is_parked_at_a_media_host(proxy: FakeProxy) -> None:
    dial(proxy, park_ticket.seal(SECRET, ParkTicket(1, 4, "202")))
    assert targets(proxy) == ["sip:park@127.0.0.1:7002"]
    lines = host_headers(proxy)
    assert "X-KS-App: park" in lines
    assert "X-KS-Arg: tenant=1;slot=4;parker=202;code=*71;caller=201;called=*714" in lines


def test_a_gateway_that_follows_it_is_parked_for_the_tenant_of_the_ticket(proxy: FakeProxy) -> None:
    number = park_ticket.seal(SECRET, TICKET)
    proxy.send("INVITE", rU=number, tU=number, fU="84951112233", **{"$si": "192.0.2.21", "$sp": 5060})
    assert proxy.replies == []
    assert targets(proxy) == ["sip:park@127.0.0.1:7002"]
    start = proxy.events("call.start")[-1]
    assert (start["tenant"], start["data"]["gateway"] is not None) == (1, True)


def test_the_host_that_has_the_call_gets_who_dials_the_slot(proxy: FakeProxy) -> None:
    call = "01890000-0000-7000-8000-000000000001"
    proxy.acd.results = [Held(slot=3, call_id=call, host="m9", address="udp:127.0.0.1:7009")]
    dial(proxy, "*713")
    assert targets(proxy) == ["sip:park@127.0.0.1:7009"]
    assert any(f"slot=3;pickup={call};" in line for line in host_headers(proxy))


def test_nothing_is_taken_while_the_database_is_away(proxy: FakeProxy) -> None:
    dial(proxy, "*713")
    assert not [uri for uri in targets(proxy) if uri.startswith("sip:park@")]
    (event,) = proxy.events("service.code")
    assert (event["data"]["code"], event["data"]["answer"]) == (503, "Parked Calls Cannot Be Taken Now")
