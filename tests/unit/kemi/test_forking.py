"""Calls that ring at several proxies at once."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from kalibri.services.location import Place
from kemi import attempts, forking
from kemi.call_state import CallState, Target
from tests.support.fake_proxy import FakeProxy

HOPS = ("sip:192.0.2.98:5066", "sip:192.0.2.99:5066")
NODES = tuple(
    {"name": f"n{n}-proxy", "kind": "proxy", "host": f"n{n}", "address": f"udp:192.0.2.{n}:5066"}
    for n in (98, 99)
)


@pytest.fixture
def proxy(tmp_path: Path) -> FakeProxy:
    """A proxy with two others; `registered` says how many phones an address of record has here."""
    proxy = FakeProxy(tmp_path)
    served = proxy.worker.directory._served
    system = dataclasses.replace(served.system, nodes=NODES)
    proxy.worker.directory._served = dataclasses.replace(served, system=system)
    proxy.registered = {}  # type: ignore[attr-defined]
    proxy.ksr.pvs["$branch(count)"] = 0

    def add(count: int) -> None:
        proxy.ksr.pvs["$branch(count)"] += count

    def lookup(table: str, uri: str) -> int:
        phones = proxy.registered.get(uri, 0)  # type: ignore[attr-defined]
        add(max(0, phones - 1))
        return 1 if phones else -1

    def more(table: str, uri: str) -> int:
        phones = proxy.registered.get(uri, 0)  # type: ignore[attr-defined]
        add(phones)
        return 1 if phones else -1

    def append(uri: str) -> int:
        add(1)
        return 1

    proxy.ksr.results |= {
        "registrar.lookup_uri": lookup,
        "registrar.lookup_to_dset": more,
        "corex.append_branch_uri": append,
    }
    return proxy


def uri(name: str) -> str:
    return f"sip:{name}@demo.example"


def group(*names: str) -> Target:
    also = " ".join(uri(name) for name in names[1:])
    return Target("account", uri(names[0]), username="600", group="600", also=also, peers=" ".join(HOPS))


def aim(proxy: FakeProxy, target: Target, **registered: int) -> bool:
    proxy.registered = {uri(name[1:]): count for name, count in registered.items()}  # type: ignore[attr-defined]
    return forking.aim(proxy.worker, target)


def sent(proxy: FakeProxy, target: Target, *next_hops: str) -> list[dict[str, str]]:
    """Let the branches be sent, one after the other to these next hops; return the headers that each got."""
    state = CallState(call_id="c1", tenant_id=1, current=target, attempt=3)
    attempts.store(proxy.worker, state)
    headers = []
    for index, hop in enumerate(next_hops):
        proxy.ksr.pvs |= {"$T_branch_idx": index, "$du": hop}
        proxy.ksr.calls.clear()
        attempts.branch(proxy.worker)
        lines = [line.rstrip("\r\n") for (line,) in proxy.ksr.called("hdr.append")]
        headers.append(dict(line.split(": ", 1) for line in lines))
    return headers


def test_members_of_a_group_ring_here_and_the_others_are_looked_for_at_each_proxy(proxy: FakeProxy) -> None:
    target = group("101", "102", "103")
    assert aim(proxy, target, _102=2)
    branches = proxy.ksr.called("corex.append_branch_uri")
    assert branches == [(uri("101"),), (uri("101"),)]
    assert proxy.ksr.pvs["$(branch(dst_uri)[1])"] == HOPS[0]
    assert proxy.ksr.pvs["$(branch(dst_uri)[2])"] == HOPS[1]
    assert proxy.ksr.pvs["$(branch(flags)[2])"] == 0
    first, second, one, two = sent(proxy, target, "", "", *HOPS)
    assert first == second == {}
    assert one == two
    assert one["X-KS-Arg"] == "tenant=1;to_kind=account;hop=3;also=103"
    members = [proxy.ksr.pvs.get(f"$avp({forking.MEMBER}{n})") for n in range(4)]
    assert members == ["102", "102", "", ""]
    # Which of its members another proxy has brought, it alone knows.
    assert [forking.winner(proxy.worker, target, str(n)) for n in range(3)] == ["102", "102", ""]


def test_a_group_without_members_here_is_asked_for_elsewhere(proxy: FakeProxy) -> None:
    target = group("101", "102")
    assert aim(proxy, target)
    assert proxy.ksr.called("setdsturi") == [(HOPS[0],)]
    assert proxy.ksr.called("corex.set_send_socket_name") == [("internal",)]
    assert len(proxy.ksr.called("corex.append_branch_uri")) == 1
    assert [headers["X-KS-Leg"] for headers in sent(proxy, target, *HOPS)] == ["peer", "peer"]


def test_a_group_whose_members_are_here_asks_nobody(proxy: FakeProxy) -> None:
    target = group("101", "102")
    assert aim(proxy, target, _101=1, _102=1)
    assert not proxy.ksr.called("corex.append_branch_uri")
    assert sent(proxy, target, "", "") == [{}, {}]


def test_an_account_with_phones_elsewhere_rings_there_too(proxy: FakeProxy) -> None:
    target = Target("account", uri("101"), username="101", peers=" ".join(HOPS))
    assert aim(proxy, target, _101=1)
    assert not proxy.ksr.called("corex.append_branch_uri")
    proxy.worker.port.table_set(forking.WHERE, uri("101"), HOPS[1])
    assert aim(proxy, target, _101=1)
    assert sent(proxy, target, "", HOPS[1])[1]["X-KS-Arg"] == "tenant=1;to_kind=account;hop=3"
    # Not here and not known to be elsewhere: it is looked for at one proxy after the other, as a target of its own.
    proxy.worker.port.table_remove(forking.WHERE, uri("101"))
    assert not aim(proxy, target)


def test_what_another_proxy_asked_for_goes_no_further(proxy: FakeProxy) -> None:
    target = Target("account", uri("101"), username="101", also=uri("102"))
    assert aim(proxy, target, _102=1)
    assert not proxy.ksr.called("corex.append_branch_uri")
    assert not aim(proxy, target)


def test_where_phones_are_is_learnt_and_forgotten(proxy: FakeProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forking, "_told", set())
    here: dict[str, Any] = proxy.ksr.tables.setdefault(forking.WHERE, {})
    proxy.acd.results = [[Place(aor=uri("101"), hops=list(HOPS))], []]
    forking.follow(proxy.worker)
    assert here == {uri("101"): " ".join(HOPS)}
    proxy.acd.results.insert(0, [Place(aor=uri("102"), hops=[HOPS[0]])])
    forking.follow(proxy.worker)
    assert here == {uri("102"): HOPS[0]}
    proxy.acd.results.clear()  # the database is away
    forking.follow(proxy.worker)
    assert here == {uri("102"): HOPS[0]}
    proxy.acd.results = [[]]
    forking.follow(proxy.worker)
    assert here == {}
