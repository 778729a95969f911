"""Services of the called on a strict fake of Kamailio: where a call goes before and after an attempt."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kemi import attempts, forwarding
from kemi.ks_route.model import DestinationKind, RouteRow
from kemi.ks_route.table import RouteTable
from tests.support.fake_proxy import TENANT, FakeProxy
from tests.support.index_files import account_record, gateway_record

RATES = [
    {
        "prefix": "7",
        "price_per_minute": "1",
        "connection_fee": "0",
        "first_increment_seconds": 60,
        "next_increment_seconds": 60,
        "currency": "RUB",
    }
]
GATEWAYS = {
    "1": gateway_record(1, name="cheap", host="192.0.2.21", rates=RATES),
    "2": gateway_record(2, name="dear", host="192.0.2.22"),
}
GROUP = {
    "group_id": 1,
    "tenant_id": 0,
    "name": "out",
    "members": [{"gateway_id": 1, "weight": 1}, {"gateway_id": 2, "weight": 1}],
}


def make_proxy(folder: Path, **policy: Any) -> FakeProxy:
    whole = {"to_numbers": True, "max_calls": 1, "max_cost": None, "max_seconds": 600, **policy}
    tenants = {"0": {**TENANT, "realm": "system.invalid"}, "1": {**TENANT, "forward": whole}}
    proxy = FakeProxy(folder, gateways=GATEWAYS, groups={"1": GROUP}, tenants=tenants)
    out = RouteRow(
        route_id=1,
        tenant_id=1,
        priority=Decimal(1),
        a_pattern="^101$",
        b_pattern="^7",
        destination_kind=DestinationKind.GROUP,
        destination="out",
    )
    proxy.set_routes(RouteTable.from_rows([out]))
    return proxy


@pytest.fixture
def proxy(tmp_path: Path) -> FakeProxy:
    return make_proxy(tmp_path)


def has(proxy: FakeProxy, **services: dict[str, Any]) -> None:
    """Give services to accounts: u101={...}; h600={...} is a hunt group."""
    entries: dict[str, Any] = {
        f"a:1:{name}": account_record(
            username=name, tenant_id=1, domains=["demo.example"], caller_number=f"7495000{name}"
        )
        for name in ("100", "101", "102", "103")
    }
    for name, record in services.items():
        entries[f"{'h' if name[0] == 'h' else 's'}:1:{name[1:]}"] = record
    routes = proxy.worker.directory.routes
    proxy.set_entries(entries)
    proxy.set_routes(routes)


def call(proxy: FakeProxy, b_number: str = "101", **pvs: Any) -> None:
    proxy.send("INVITE", auth=("100", 1), rU=b_number, tU=b_number, **pvs)


def fail(proxy: FakeProxy, code: int, *, ours: bool = False) -> None:
    proxy.ksr.pvs["$T_reply_code"] = str(code)
    proxy.ksr.results |= {"tm.t_branch_timeout": 1 if ours else -1}
    proxy.ksr.calls.clear()
    attempts.failure(proxy.worker, forwarding.divert)


def rung(proxy: FakeProxy) -> list[str]:
    """Return the addresses of record whose contacts were looked up last."""
    looked = proxy.ksr.called("registrar.lookup_uri") + proxy.ksr.called("registrar.lookup_to_dset")
    return [uri.removeprefix("sip:").partition("@")[0] for _, uri in looked]


def told(proxy: FakeProxy) -> list[tuple[str, str, str]]:
    return [
        (line["data"]["account"], line["data"]["condition"], line["data"]["to"])
        for line in proxy.events("call.forward")
    ]


def test_always_rings_the_other_account(proxy: FakeProxy) -> None:
    has(proxy, u101={"forwards": {"always": ["account", "102", None]}})
    call(proxy)
    assert rung(proxy) == ["102"]
    assert told(proxy) == [("101", "always", "102")]
    attempts.branch(proxy.worker)
    appended = [line for (line,) in proxy.ksr.called("hdr.append")]
    assert any(line.startswith("Diversion: <sip:101@demo.example>;reason=unconditional") for line in appended)


def test_busy_and_not_registered_go_elsewhere(proxy: FakeProxy) -> None:
    has(
        proxy,
        u101={"forwards": {"busy": ["account", "102", None]}},
        u102={"forwards": {"unreachable": ["account", "103", None]}},
    )
    call(proxy)
    assert rung(proxy) == ["101"]
    proxy.ksr.results["registrar.lookup_uri"] = lambda _table, uri: -1 if "102" in uri else 1
    fail(proxy, 486)
    assert rung(proxy) == ["102", "103"]
    assert told(proxy) == [("101", "busy", "102"), ("102", "unreachable", "103")]


def test_no_answer_shortens_the_ringing(proxy: FakeProxy) -> None:
    has(proxy, u101={"forwards": {"no_answer": ["account", "102", 7]}})
    call(proxy)
    assert proxy.ksr.called("tm.t_set_fr")[-1][0] == 7000
    proxy.ksr.pvs["$avp(ks_rung)"] = "1:180"
    fail(proxy, 408, ours=True)
    assert rung(proxy) == ["102"]


def test_a_number_is_called_as_the_account_would_call_it(proxy: FakeProxy) -> None:
    has(proxy, u101={"forwards": {"always": ["number", "79161234567", None]}})
    call(proxy)
    assert proxy.ksr.pvs["$ru"].startswith("sip:79161234567@192.0.2.21")
    assert proxy.ksr.called("uac.uac_replace_from") == [("", "sip:7495000100@demo.example")]
    assert proxy.ksr.called("dialog.dlg_set_timeout") == [(600,)]
    route = proxy.events("call.route")[-1]["data"]
    assert route["route_ids"] == [1]
    call(proxy)  # the cap: one call at once
    assert proxy.replies == [(403, "Call Limit Reached")]


def test_dear_gateways_are_left_out(tmp_path: Path) -> None:
    proxy = make_proxy(tmp_path, max_cost="3")
    has(proxy, u101={"forwards": {"always": ["number", "79161234567", None]}})
    call(proxy)
    route = proxy.events("call.route")[-1]["data"]
    assert [target["name"] for target in route["targets"] if "name" in target] == ["cheap"]


@pytest.mark.parametrize(
    ("policy", "phrase"),
    [({"to_numbers": False}, "Forwarding Not Allowed"), ({"max_cost": "0.5"}, "Forwarding Too Expensive")],
)
def test_a_tenant_that_does_not_pay(tmp_path: Path, policy: dict[str, Any], phrase: str) -> None:
    proxy = make_proxy(tmp_path, **policy)
    has(proxy, u101={"forwards": {"always": ["number", "79161234567", None]}})
    call(proxy)
    assert proxy.replies == [(403, phrase)]


def test_a_refused_forwarding_leaves_the_callers_answer(tmp_path: Path) -> None:
    proxy = make_proxy(tmp_path, to_numbers=False)
    has(proxy, u101={"forwards": {"busy": ["number", "79161234567", None]}})
    call(proxy)
    fail(proxy, 486)
    assert proxy.events("call.end")[-1]["data"]["code"] == 486


def test_two_who_forward_to_each_other_end_as_a_loop(proxy: FakeProxy) -> None:
    has(
        proxy,
        u101={"forwards": {"always": ["account", "102", None]}},
        u102={"forwards": {"always": ["account", "101", None]}},
    )
    call(proxy)
    assert proxy.replies == [(482, "Too Many Forwardings")]


def test_what_others_forwarded_counts(proxy: FakeProxy) -> None:
    has(proxy, u101={"forwards": {"always": ["account", "102", None]}})
    call(proxy, **{"$(hdr(Diversion)[0])": "<sip:1@a>;counter=5"})
    assert proxy.replies == [(482, "Too Many Forwardings")]


@pytest.mark.parametrize(
    ("services", "answer"),
    [
        ({"do_not_disturb": True}, (480, "Do Not Disturb")),
        ({"black": ["100"]}, (603, "Decline")),
        ({"only_white": True, "white": ["102"]}, (603, "Decline")),
    ],
)
def test_callers_who_are_not_taken(
    proxy: FakeProxy, services: dict[str, Any], answer: tuple[int, str]
) -> None:
    has(proxy, u101=services)
    call(proxy)
    assert proxy.replies == [answer]


def test_accounts_without_services_are_rung_as_ever(proxy: FakeProxy) -> None:
    has(proxy, u102={"do_not_disturb": True})
    call(proxy)
    assert (rung(proxy), told(proxy)) == (["101"], [])
    fail(proxy, 486)
    assert proxy.events("call.end")[-1]["data"]["code"] == 486


def test_a_phone_forwards_by_itself(proxy: FakeProxy) -> None:
    has(proxy)
    call(proxy)
    proxy.ksr.pvs["$T_rpl($hdr(Contact))"] = "<sip:102@192.0.2.9:5060>;q=1"
    fail(proxy, 302)
    assert rung(proxy) == ["102"]
    proxy.ksr.pvs["$T_rpl($hdr(Contact))"] = "<sip:%2B79161234567@192.0.2.9>"
    fail(proxy, 302)
    first, second = told(proxy)
    assert first == ("101", "always", "102")
    assert "no route matches" in second[2]
    assert proxy.events("call.end")[-1]["data"]["code"] == 302


def test_a_phone_forwards_to_a_number_as_its_account_would(proxy: FakeProxy) -> None:
    has(proxy)
    call(proxy)
    proxy.ksr.pvs["$T_rpl($hdr(Contact))"] = "<sip:79161234567@192.0.2.9>"
    fail(proxy, 302)
    assert told(proxy) == [("101", "always", "79161234567")]
    assert proxy.ksr.pvs["$ru"].startswith("sip:79161234567@192.0.2.21")


PARALLEL = {"name": "600", "mode": "parallel", "ring_seconds": 9, "members": ["101", "102", "103"]}


def test_a_parallel_group_rings_all_who_want_it(proxy: FakeProxy) -> None:
    has(proxy, h600={**PARALLEL, "fallback": None}, u102={"do_not_disturb": True})
    call(proxy, "600")
    assert rung(proxy) == ["101", "103"]
    assert proxy.ksr.called("tm.t_set_fr")[-1][0] == 9000


def test_a_parallel_group_rings_who_is_there(proxy: FakeProxy) -> None:
    has(proxy, h600={**PARALLEL, "fallback": None})
    proxy.ksr.results["registrar.lookup_uri"] = lambda _table, uri: -1 if "101" in uri else 1
    call(proxy, "600")
    assert rung(proxy) == ["101", "102", "103"]
    assert proxy.ksr.called("registrar.lookup_to_dset") == [("location", "sip:103@demo.example")]


def test_a_serial_group_goes_on_after_busy_and_ends_at_its_fallback(proxy: FakeProxy) -> None:
    serial = {**PARALLEL, "mode": "serial", "members": ["101", "102"], "fallback": ["account", "103"]}
    has(proxy, h600=serial)
    call(proxy, "600")
    assert rung(proxy) == ["101"]
    fail(proxy, 486)
    assert rung(proxy) == ["102"]
    fail(proxy, 603)
    assert rung(proxy) == ["103"]
    assert told(proxy) == [("600", "no_answer", "103")]


def test_an_account_forwards_to_a_group(proxy: FakeProxy) -> None:
    has(proxy, h600={**PARALLEL, "fallback": None}, u101={"forwards": {"always": ["account", "600", None]}})
    call(proxy)
    assert rung(proxy) == ["101", "102", "103"]
