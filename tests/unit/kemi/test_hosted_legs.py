"""Legs that a media host or another proxy asks for."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from kemi import attempts
from kemi.ks_acd.model import MediaHost
from tests.support.fake_proxy import FakeProxy
from tests.support.queue_calls import (
    NODES,
    OWN,
    PEER,
    call,
    fail,
    host_headers,
    offer,
    queue_proxy,
    targets,
    wait,
)


@pytest.fixture
def proxy(tmp_path: Path) -> FakeProxy:
    return queue_proxy(tmp_path)


# ---- legs that a media host asks for


def host_call(proxy: FakeProxy, user: str, *, leg: str, arg: str = "tenant=1", **pvs: Any) -> None:
    headers = {
        "$hdr(X-KS-Call)": "01890000-0000-7000-8000-000000000001",
        "$hdr(X-KS-Leg)": leg,
        "$hdr(X-KS-Arg)": arg,
        "$si": "127.0.0.1",
        "$sp": 7001,
        "$Rp": 5066,
    }
    proxy.send("INVITE", rU=user, tU=user, **{**headers, **pvs})


def test_an_agents_leg_goes_to_his_phone_and_is_anchored_by_the_host(proxy: FakeProxy) -> None:
    host_call(
        proxy, "201", leg="agent", arg="tenant=1;to_kind=account", **{"$hdr(X-KS-Offer)": "11", "$rb": "v=0"}
    )
    assert targets(proxy) == ["sip:201@demo.example"]
    assert proxy.ksr.called("tm.t_on_reply") == [("ksr_onreply_hosted",)]
    assert proxy.ksr.called("corex.set_send_socket_name") == [("public",)]
    assert proxy.ksr.dialog_vars["ks_leg"] == "01890000-0000-7000-8000-000000000001/agent"
    assert "ks_call" not in proxy.ksr.dialog_vars
    assert proxy.ksr.dialog_vars["ks_host"] == "m1"
    assert proxy.acd.asked == []
    attempts.branch(proxy.worker)
    assert not proxy.ksr.called("rtpproxy.rtpproxy_offer")
    kinds = [event["kind"] for event in proxy.events() if event["call"]]
    assert kinds == ["leg.start", "leg.route", "leg.attempt"]


def test_an_agent_is_named_by_his_domain_and_a_number_by_none(proxy: FakeProxy) -> None:
    host_call(proxy, "201", leg="agent", rd="demo.example")
    assert targets(proxy) == ["sip:201@demo.example"]
    host_call(proxy, "84951112233", leg="agent", rd="127.0.0.1")
    assert targets(proxy) == ["sip:84951112233@192.0.2.21:5060"]


def test_a_callee_leg_follows_the_routes_and_an_agents_phone_is_busy_by_it(proxy: FakeProxy) -> None:
    host_call(proxy, "84951112233", leg="callee")
    assert targets(proxy) == ["sip:84951112233@192.0.2.21:5060"]
    host_call(proxy, "201", leg="callee", arg="tenant=1;to_kind=account")
    assert proxy.acd.told("leg_start")[0]["account"] == 201


def test_a_leg_into_a_queue_is_a_call_of_its_own(proxy: FakeProxy) -> None:
    proxy.acd.living = (MediaHost("m2", "udp:127.0.0.1:7002"),)
    host_call(proxy, "sales", leg="callee", arg="tenant=1;to_kind=queue")
    assert targets(proxy) == ["sip:hold_queue@127.0.0.1:7002"]
    line = next(line for line in host_headers(proxy) if line.startswith("X-KS-Call"))
    assert "01890000-0000-7000-8000-000000000001" not in line


def test_a_media_host_that_talks_nonsense_is_refused(proxy: FakeProxy) -> None:
    host_call(proxy, "201", leg="wizard")
    assert proxy.replies == [(400, "Bad X-KS Header")]


def test_a_stranger_at_the_internal_socket_is_refused(proxy: FakeProxy) -> None:
    host_call(proxy, "201", leg="agent", **{"$sp": 9999})
    assert proxy.replies == [(403, "Forbidden")]


def test_an_agents_phone_that_points_elsewhere_is_not_followed(proxy: FakeProxy) -> None:
    host_call(proxy, "201", leg="agent", arg="tenant=1;to_kind=account")
    proxy.ksr.pvs["$T_reply_code"] = "302"
    proxy.ksr.results["tm.t_branch_timeout"] = -1
    proxy.ksr.calls.clear()
    attempts.failure(proxy.worker)
    assert proxy.replies == [(480, "Temporarily Unavailable")]


# ---- other proxies


@pytest.fixture
def pair(proxy: FakeProxy) -> FakeProxy:
    """Two proxies; phones are registered at the other one."""
    served = proxy.worker.directory._served
    system = dataclasses.replace(served.system, nodes=(*NODES, PEER, OWN))
    proxy.worker.directory._served = dataclasses.replace(served, system=system)
    proxy.ksr.results["registrar.lookup_uri"] = -1
    return proxy


def appended(proxy: FakeProxy) -> dict[str, str]:
    proxy.ksr.calls.clear()
    attempts.branch(proxy.worker)
    lines = [line.rstrip("\r\n") for (line,) in proxy.ksr.called("hdr.append")]
    return dict(line.split(": ", 1) for line in lines)


def test_a_phone_that_is_not_here_is_looked_for_at_the_other_proxy(pair: FakeProxy) -> None:
    pair.send("INVITE", auth=("100", 1), rU="101", tU="101")
    assert pair.ksr.called("setdsturi") == [("sip:192.0.2.99:5066",)]
    assert targets(pair)[-1] == "sip:101@demo.example"
    assert pair.ksr.called("corex.set_send_socket_name") == [("internal",)]
    told = appended(pair)
    assert (told["X-KS-Leg"], told["X-KS-Arg"]) == ("peer", "tenant=1;to_kind=account;hop=2")
    assert told["X-KS-Call"] == pair.ksr.dialog_vars["ks_call"]


def test_an_agent_at_the_other_proxy_is_rung_there_for_his_offer(pair: FakeProxy) -> None:
    call(pair, offer())
    assert pair.ksr.called("setdsturi") == [("sip:192.0.2.99:5066",)]
    assert pair.acd.told("outcome") == []
    assert appended(pair)["X-KS-Offer"] == "11"


def test_the_other_proxy_has_no_contact_either(pair: FakeProxy) -> None:
    call(pair, offer())
    pair.acd.answers["outcome"] = [[wait()]]
    fail(pair, 480)
    assert pair.acd.told("outcome")[0]["outcome"] == "unreachable"


def from_peer(proxy: FakeProxy, leg: str = "peer", **pvs: Any) -> None:
    source = {"$si": "192.0.2.99", "$sp": 5066}
    host_call(proxy, "201", leg=leg, arg="tenant=1;to_kind=account;hop=2", **source, **pvs)


def test_a_call_from_another_proxy_rings_here_or_nowhere(pair: FakeProxy) -> None:
    from_peer(pair)
    assert pair.replies == [(480, "Temporarily Unavailable")]
    assert not pair.ksr.called("setdsturi")
    pair.ksr.results["registrar.lookup_uri"] = 1
    from_peer(pair)
    assert pair.relayed
    assert pair.acd.told("leg_start")[0]["account"] == 201
    # It is no media host's: its media may need our relay.
    assert "ks_media" not in pair.ksr.dialog_vars
    assert pair.ksr.called("tm.t_on_reply") == [("ksr_onreply_manage",)]


def test_a_hosted_leg_through_another_proxy_stays_hosted(pair: FakeProxy) -> None:
    pair.ksr.results["registrar.lookup_uri"] = 1
    from_peer(pair, "agent", **{"$hdr(X-KS-Offer)": "11"})
    assert pair.ksr.dialog_vars["ks_media"] == "host"
    assert pair.acd.asked == []
