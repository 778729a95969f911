"""Queue calls without Kamailio and database: agent, next agent, media host, next host, overflow, caller gone."""

from __future__ import annotations

import dataclasses
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kemi import acd_events, attempts, events, in_dialog, queue_calls, replies
from kemi.ks_acd.model import AcdAction, MediaHost
from kemi.ks_route.model import DestinationKind, RouteRow
from kemi.ks_route.table import RouteTable
from tests.support.fake_proxy import FakeProxy
from tests.support.index_files import account_record, gateway_record

HOSTS = [{"name": "m1", "address": "udp:127.0.0.1:7001"}, {"name": "m2", "address": "udp:127.0.0.1:7002"}]
PEER = {"name": "n2-proxy", "kind": "proxy", "host": "n2", "address": "udp:192.0.2.99:5066"}
OWN = {"name": "n1-proxy", "kind": "proxy", "host": "n1", "address": "udp:127.0.0.1:5066"}
NODES = [{"name": host["name"], "kind": "media", "host": "n1", "address": host["address"]} for host in HOSTS]
QUEUE = {"queue_id": 7, "tenant_id": 1, "name": "sales", "anchored": False, "settings": {"music": "jazz"}}
OUT = gateway_record(1, name="out", host="192.0.2.21")


@pytest.fixture
def proxy(tmp_path: Path) -> FakeProxy:
    proxy = FakeProxy(tmp_path, nodes=NODES, gateways={"1": OUT})
    agents = {
        f"a:1:{name}": account_record(
            account_id=int(name), username=name, tenant_id=1, domains=["demo.example"], agent_id=int(name)
        )
        for name in ("201", "202")
    }
    proxy.set_entries(
        agents | {"q:1:sales": QUEUE, "q:1:boxed": {**QUEUE, "name": "boxed", "anchored": True}}
    )
    rows = [
        ("^9$", "queue", "sales"),
        ("^8$", "queue", "boxed"),
        ("^7$", "queue", "none"),
        ("^849", "gateway", "out"),
    ]
    table = [
        RouteRow(
            route_id=number,
            tenant_id=1,
            priority=Decimal(number),
            b_pattern=pattern,
            destination_kind=DestinationKind(kind),
            destination=name,
        )
        for number, (pattern, kind, name) in enumerate(rows, 1)
    ]
    proxy.set_routes(RouteTable.from_rows(table))
    return proxy


def offer(agent: str = "201", offer_id: int = 11, **data: Any) -> AcdAction:
    told = {"to_kind": "account", "to": agent, "ring_seconds": 15, **data}
    return AcdAction(kind="offer_agent", tenant_id=1, entry_id=5, offer_id=offer_id, data=told)


def wait(hosts: list[dict[str, str]] | None = None) -> AcdAction:
    return AcdAction(kind="wait", tenant_id=1, entry_id=5, data={"hosts": HOSTS if hosts is None else hosts})


def call(proxy: FakeProxy, *answer: AcdAction, away: bool = False, b: str = "9", **pvs: Any) -> None:
    proxy.acd.answers.setdefault("enter", []).append(None if away else list(answer))
    proxy.send("INVITE", auth=("100", 1), rU=b, tU=b, **pvs)


def fail(proxy: FakeProxy, code: int, *, silent: bool = False, cancelled: bool = False) -> None:
    proxy.ksr.pvs["$T_reply_code"] = str(code)
    proxy.ksr.results |= {
        "tm.t_branch_timeout": 1 if silent else -1,
        "tm.t_is_canceled": 1 if cancelled else -1,
    }
    proxy.ksr.calls.clear()
    queue_calls.failure(proxy.worker)
    proxy.do_later()


def ring(proxy: FakeProxy, code: int = 180) -> None:
    proxy.ksr.pvs |= {"$rs": str(code)}
    replies.manage(proxy.worker)


def host_headers(proxy: FakeProxy) -> list[str]:
    proxy.ksr.calls.clear()
    queue_calls.branch(proxy.worker)
    return [line.rstrip("\r\n") for (line,) in proxy.ksr.called("hdr.append")]


def targets(proxy: FakeProxy) -> list[str]:
    return [uri for (uri,) in proxy.ksr.called("seturi")]


def test_a_free_agent_is_rung_directly(proxy: FakeProxy) -> None:
    call(proxy, offer())
    asked = proxy.acd.told("enter")[0]
    assert (asked["tenant"], asked["queue"], asked["caller"], asked["anchored"]) == (1, 7, "100", False)
    assert asked["call"] == proxy.ksr.dialog_vars["ks_call"]
    assert asked["holder"] == "n1-proxy"
    assert proxy.ksr.called("registrar.lookup_uri") == [("location", "sip:201@demo.example")]
    assert proxy.ksr.called("tm.t_set_fr") == [(15_000, 4_000)]
    assert proxy.ksr.called("tm.t_on_failure") == [("ksr_failure_queue",)]
    assert proxy.ksr.dialog_vars["ks_offer"] == "11"
    assert proxy.ksr.dialog_vars["ks_agent"] == ""
    # Our headers never reach a phone.
    assert host_headers(proxy) == []


@pytest.mark.parametrize(
    ("code", "silent", "rang", "outcome"),
    [
        (408, True, True, "no_answer"),
        (603, False, True, "rejected"),
        (486, False, False, "busy"),
        (408, True, False, "unreachable"),
        (488, False, False, "failed"),
    ],
)
def test_each_outcome_leads_to_the_next_agent(
    proxy: FakeProxy, code: int, silent: bool, rang: bool, outcome: str
) -> None:
    call(proxy, offer())
    if rang:
        ring(proxy)
    proxy.ksr.pvs["$avp(ks_relays)"] = "1"
    proxy.acd.answers["outcome"] = [[offer("202", 12)]]
    fail(proxy, code, silent=silent)
    told = proxy.acd.told("outcome")[0]
    assert (told["offer"], told["outcome"], told["code"]) == (11, outcome, code)
    assert targets(proxy) == ["sip:202@demo.example"]
    assert proxy.ksr.called("tm.t_relay")
    assert proxy.ksr.called("rtpproxy.rtpproxy_destroy")
    assert proxy.ksr.dialog_vars["ks_offer"] == "12"
    assert proxy.replies == []


def test_an_agent_without_contact_is_passed_over_at_once(proxy: FakeProxy) -> None:
    found = iter([-1, 1])
    proxy.ksr.results["registrar.lookup_uri"] = lambda *_: next(found)
    proxy.acd.answers["outcome"] = [[offer("202", 12)]]
    call(proxy, offer())
    assert proxy.acd.told("outcome")[0]["outcome"] == "unreachable"
    assert targets(proxy) == ["sip:201@demo.example", "sip:202@demo.example"]
    assert proxy.relayed


def test_an_agent_whose_media_relay_is_missing_is_not_to_blame(proxy: FakeProxy) -> None:
    proxy.ksr.results["tm.t_relay"] = -1
    proxy.acd.answers["outcome"] = [[wait([])]]
    proxy.acd.answers["end"] = [[AcdAction(kind="ended", entry_id=5)]]
    proxy.ksr.pvs["$avp(ks_no_media)"] = "1"
    call(proxy, offer(), **{"$avp(ks_no_media)": "1"})
    assert proxy.acd.told("outcome")[0]["outcome"] == "failed"


def test_nobody_is_free_so_a_media_host_takes_the_caller(proxy: FakeProxy) -> None:
    call(proxy, wait())
    assert targets(proxy) == ["sip:hold_queue@127.0.0.1:7001"]
    assert proxy.ksr.called("corex.set_send_socket_name") == [("internal",)]
    assert proxy.ksr.dialog_vars["ks_media"] == "host"
    assert proxy.ksr.dialog_vars["ks_relay"] == "0"
    lines = dict(line.split(": ", 1) for line in host_headers(proxy))
    assert lines["X-KS-Call"] == proxy.ksr.dialog_vars["ks_call"]
    assert lines["X-KS-App"] == "hold_queue"
    assert lines["X-KS-Arg"] == "music=jazz;tenant=1;queue=7;name=sales;caller=100;entry=5"
    assert lines["X-KS-Leg"] == "caller"
    assert proxy.ksr.dialog_vars["ks_host"] == "m1"


def test_a_host_is_not_asked_for_what_it_does_not_know(proxy: FakeProxy) -> None:
    call(
        proxy, wait(), **{"$hdr(Session-Expires)": "1800", "$(hdr(Supported)[0])": "timer, 100rel, replaces"}
    )
    host_headers(proxy)
    assert proxy.ksr.called("textops.remove_hf") == [("Supported",), ("Session-Expires",)]
    assert ("Supported: replaces\r\n",) in proxy.ksr.called("hdr.append")


def test_a_caller_behind_nat_shows_the_host_where_he_is(proxy: FakeProxy) -> None:
    proxy.ksr.results["nathelper.nat_uac_test"] = 1
    call(proxy, wait(), **{"$rb": "v=0"})
    host_headers(proxy)
    assert proxy.ksr.called("nathelper.fix_nated_sdp") == [(10,)]
    assert not proxy.ksr.called("rtpproxy.rtpproxy_offer")


def test_after_the_last_agent_the_caller_goes_to_a_host_with_his_entry(proxy: FakeProxy) -> None:
    call(proxy, offer())
    proxy.acd.answers["outcome"] = [[wait()]]
    fail(proxy, 486)
    assert targets(proxy) == ["sip:hold_queue@127.0.0.1:7001"]
    assert proxy.ksr.dialog_vars["ks_offer"] == ""
    assert "entry=5" in " ".join(host_headers(proxy))


def test_the_next_host_gets_the_call_when_one_is_silent_and_the_silent_one_rests(proxy: FakeProxy) -> None:
    call(proxy, wait())
    fail(proxy, 408, silent=True)
    assert targets(proxy) == ["sip:hold_queue@127.0.0.1:7002"]
    call(proxy, wait())
    assert targets(proxy) == ["sip:hold_queue@127.0.0.1:7002"]


def test_a_host_that_is_being_drained_is_followed_by_the_next(proxy: FakeProxy) -> None:
    call(proxy, wait())
    fail(proxy, 503)
    assert targets(proxy) == ["sip:hold_queue@127.0.0.1:7002"]
    assert not proxy.replies


def test_what_a_host_says_of_the_call_is_for_the_caller(proxy: FakeProxy) -> None:
    call(proxy, wait())
    fail(proxy, 480)
    assert not targets(proxy)
    assert proxy.events("call.end")[-1]["data"]["code"] == 480


def test_no_host_at_all_is_503_with_a_story(proxy: FakeProxy) -> None:
    call(proxy, wait(HOSTS[:1]))
    proxy.acd.answers["end"] = [[AcdAction(kind="ended", entry_id=5)]]
    fail(proxy, 408, silent=True)
    assert proxy.replies == [(503, "No Media Host")]
    assert proxy.acd.told("end") == [{"tenant": 1, "entry": 5, "reason": "failed"}]
    end = proxy.events("call.end")[-1]["data"]
    assert (end["code"], end["reason"]) == (503, "queue sales: failed")


def test_no_host_and_an_overflow_leads_elsewhere(proxy: FakeProxy) -> None:
    call(proxy, wait(HOSTS[:1]))
    leave = AcdAction(kind="leave", data={"reason": "failed", "to_kind": "account", "to": "101"})
    proxy.acd.answers["end"] = [[leave]]
    fail(proxy, 408, silent=True)
    assert targets(proxy) == ["sip:101@demo.example"]
    assert proxy.ksr.called("tm.t_on_failure") == [("ksr_failure_manage",)]


@pytest.mark.parametrize(
    ("to", "target"),
    [
        ({"to_kind": "account", "to": "101"}, "sip:101@demo.example"),
        ({"to_kind": "number", "to": "84951112233"}, "sip:84951112233@192.0.2.21:5060"),
        ({"to_kind": "gateway", "to": "out"}, "sip:out@192.0.2.21:5060"),
    ],
)
def test_overflow_leads_where_the_queue_says(proxy: FakeProxy, to: dict[str, str], target: str) -> None:
    call(proxy, AcdAction(kind="leave", data={"reason": "full", **to}))
    assert targets(proxy) == [target]
    assert proxy.events("call.queue_exit")[0]["data"]["reason"] == "full"


def test_overflow_without_target_is_a_response(proxy: FakeProxy) -> None:
    call(proxy, AcdAction(kind="leave", data={"reason": "full"}))
    assert proxy.replies == [(486, "Queue Full")]
    call(proxy, AcdAction(kind="leave", data={"reason": "closed", "to_kind": "reject", "to": "403 Not Now"}))
    assert proxy.replies == [(403, "Not Now")]
    call(proxy, AcdAction(kind="leave", data={"reason": "empty", "to_kind": "redirect", "to": "sip:a@b"}))
    assert proxy.replies == [(302, "Moved Temporarily")]


def test_the_database_is_away_and_the_call_goes_to_a_host_unasked(proxy: FakeProxy) -> None:
    call(proxy, away=True)
    assert targets(proxy)[0] in ("sip:hold_queue@127.0.0.1:7001", "sip:hold_queue@127.0.0.1:7002")
    arg = dict(line.split(": ", 1) for line in host_headers(proxy))["X-KS-Arg"]
    assert arg == "music=jazz;tenant=1;queue=7;name=sales;caller=100"
    assert proxy.events("acd.away")[0]["data"]["asked"] == "enter"


def test_the_database_goes_away_while_an_agent_rings(proxy: FakeProxy) -> None:
    call(proxy, offer())
    proxy.acd.answers["outcome"] = [None]
    fail(proxy, 486)
    assert targets(proxy)[0].startswith("sip:hold_queue@")
    assert proxy.replies == []


def test_an_outcome_that_came_too_late_leaves_the_caller_at_a_host(proxy: FakeProxy) -> None:
    call(proxy, offer())
    proxy.acd.answers["outcome"] = [[AcdAction(kind="too_late", data={"reason": "deadline"})]]
    fail(proxy, 486)
    assert targets(proxy)[0].startswith("sip:hold_queue@")


def test_a_queue_where_callers_wait_is_not_asked_for_a_second(proxy: FakeProxy) -> None:
    call(proxy, wait())
    proxy.send("INVITE", auth=("100", 1), rU="9", tU="9")
    assert len(proxy.acd.told("enter")) == 1
    assert targets(proxy)[0].startswith("sip:hold_queue@")
    proxy.ksr.tables["acd"]["jam:7"] = "1.0"
    call(proxy, offer())
    assert targets(proxy) == ["sip:201@demo.example"]


def test_an_anchored_queue_goes_to_a_living_host_unasked(proxy: FakeProxy) -> None:
    proxy.acd.living = (MediaHost("m2", "udp:127.0.0.1:7002"),)
    proxy.send("INVITE", auth=("100", 1), rU="8", tU="8")
    assert proxy.acd.told("enter") == []
    assert targets(proxy) == ["sip:hold_queue@127.0.0.1:7002"]


def test_a_queue_that_does_not_exist(proxy: FakeProxy) -> None:
    proxy.send("INVITE", auth=("100", 1), rU="7", tU="7")
    assert proxy.replies == [(503, "No queue Service")]


def test_the_caller_gives_up_while_an_agent_rings(proxy: FakeProxy) -> None:
    call(proxy, offer())
    ring(proxy)
    fail(proxy, 487, cancelled=True)
    assert proxy.acd.told("end") == [{"tenant": 1, "entry": 5, "reason": "abandoned"}]
    assert proxy.acd.told("outcome") == []
    assert proxy.events("call.end")[-1]["data"]["by"] == "caller"
    assert not proxy.ksr.called("tm.t_relay")


def test_the_caller_gives_up_between_two_agents(proxy: FakeProxy) -> None:
    call(proxy, offer())
    proxy.acd.answers["outcome"] = [[offer("202", 12)]]
    checks = iter([-1, 1])
    proxy.ksr.pvs["$T_reply_code"] = "486"
    proxy.ksr.results |= {
        "tm.t_branch_timeout": -1,
        "tm.t_relay": -1,
        "tm.t_is_canceled": lambda: next(checks),
    }
    queue_calls.failure(proxy.worker)
    proxy.do_later()
    assert len(proxy.acd.told("outcome")) == 1
    assert proxy.acd.told("end") == [{"tenant": 1, "entry": 5, "reason": "abandoned"}]


def test_a_caller_whom_a_host_has_is_ended_by_the_host(proxy: FakeProxy) -> None:
    call(proxy, wait())
    ring(proxy)
    fail(proxy, 487, cancelled=True)
    assert proxy.acd.told("end") == []
    call(proxy, wait())
    proxy.ksr.tables["acd"].pop("jam:7", None)
    fail(proxy, 487, cancelled=True)


def test_an_agents_number_is_called_through_the_routes(proxy: FakeProxy) -> None:
    call(proxy, offer("84951112233", to_kind="number"))
    assert targets(proxy) == ["sip:84951112233@192.0.2.21:5060"]
    assert proxy.ksr.called("tm.t_set_fr")[0][0] == 15_000
    proxy.acd.answers["outcome"] = [[wait()]]
    fail(proxy, 404)
    assert proxy.acd.told("outcome")[0]["outcome"] == "unreachable"


# ---- the dialog


def answered(proxy: FakeProxy) -> None:
    proxy.ksr.pvs |= {"$dlg(callid)": "dialog-1"}
    events.dialog(proxy.worker, "dialog:start")
    proxy.do_later()


def test_answer_and_end_of_a_direct_call_are_told(proxy: FakeProxy) -> None:
    call(proxy, offer())
    proxy.acd.answers["answer"] = [[AcdAction(kind="join", offer_id=11)]]
    answered(proxy)
    told = proxy.acd.told("answer")[0]
    assert (told["tenant"], told["offer"]) == (1, 11)
    assert told["legs"] == [{"kind": "agent", "sip_call_id": "dialog-1"}]
    proxy.ksr.pvs |= {"$rm": "BYE", "$ci": "dialog-1", "$ft": "x", "$dlg(from_tag)": "y"}
    events.dialog(proxy.worker, "dialog:end")
    proxy.do_later()
    assert proxy.acd.told("finish") == [{"tenant": 1, "offer": 11, "by": "agent", "cause": ""}]


def test_an_answer_after_the_deadline_ends_the_entry_that_waits_again(proxy: FakeProxy) -> None:
    call(proxy, offer())
    proxy.acd.answers["answer"] = [[wait()]]
    answered(proxy)
    assert proxy.acd.told("end") == [{"tenant": 1, "entry": 5, "reason": "served"}]
    assert proxy.ksr.dialog_vars["ks_agent"] == "201"


@pytest.mark.parametrize("answer", [None, [AcdAction(kind="too_late")]])
def test_an_answer_that_the_acd_does_not_take_makes_the_agent_busy_all_the_same(
    proxy: FakeProxy, answer: list[AcdAction] | None
) -> None:
    call(proxy, offer())
    proxy.acd.answers["answer"] = [answer]
    answered(proxy)
    assert (proxy.ksr.dialog_vars["ks_offer"], proxy.ksr.dialog_vars["ks_agent"]) == ("", "201")
    assert proxy.acd.told("leg_start")[0]["confirmed"] is True
    events.dialog(proxy.worker, "dialog:end")
    proxy.do_later()
    assert proxy.acd.told("leg_end")[0]["account"] == 201
    assert proxy.acd.told("finish") == []


def test_refer_within_a_direct_queue_call_is_declined(
    proxy: FakeProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(proxy, offer())
    parameter = proxy.ksr.called("rr.add_rr_param")[0][0]
    proxy.acd.answers["answer"] = [[AcdAction(kind="join", offer_id=11)]]
    answered(proxy)
    pvs = {"$tt": "t", "$(hdr(Route)[0])": f"<sip:127.0.0.1;lr{parameter}>", "$ci": proxy.ksr.pvs["$ci"]}
    proxy.send("REFER", **pvs, **{"$hdr(Refer-To)": "<sip:1@x>"})
    assert proxy.replies == [(603, "Queue Is Not Transferable")]
    assert "transferable" in proxy.events("call.refer")[0]["data"]["refused"]
    assert not proxy.relayed


def test_an_agents_ordinary_call_makes_him_busy(proxy: FakeProxy) -> None:
    proxy.send("INVITE", auth=("100", 1), rU="201", tU="201")
    (told,) = proxy.acd.told("leg_start")
    assert (told["account"], told["direction"], told["confirmed"], told["proxy"]) == (
        201,
        "in",
        False,
        "n1-proxy",
    )
    assert proxy.ksr.dialog_vars["ks_agent"] == "201"
    # told after the call was sent on
    answered(proxy)
    assert proxy.acd.told("leg_start")[1]["confirmed"] is True
    events.dialog(proxy.worker, "dialog:end")
    proxy.do_later()
    (ended,) = proxy.acd.told("leg_end")
    assert ended["account"] == 201


def test_an_agent_who_calls_out_is_busy_and_a_colleague_too(proxy: FakeProxy) -> None:
    proxy.send("INVITE", auth=("202", 1), fU="202", rU="201", tU="201")
    assert [(told["account"], told["direction"]) for told in proxy.acd.told("leg_start")] == [
        (202, "out"),
        (201, "in"),
    ]
    events.dialog(proxy.worker, "dialog:failed")
    proxy.do_later()
    assert [told["account"] for told in proxy.acd.told("leg_end")] == [202, 201]


def test_a_call_that_ended_while_its_beginning_was_told_is_told_as_ended(proxy: FakeProxy) -> None:
    proxy.send("INVITE", auth=("100", 1), rU="201", tU="201")
    proxy.acd.asked.clear()
    proxy.ksr.pvs |= {"$dlg(callid)": "dialog-1"}
    events.dialog(proxy.worker, "dialog:start")
    # Another process served the BYE, and was quicker.
    proxy.ksr.dialog_vars["ks_acd"] = "over"
    proxy.do_later()
    assert [name for name, _ in proxy.acd.asked] == ["leg_start", "leg_end"]


def test_an_ordinary_call_asks_the_acd_nothing(proxy: FakeProxy) -> None:
    proxy.send("INVITE", auth=("100", 1), rU="101", tU="101")
    answered(proxy)
    assert proxy.acd.asked == []


def test_the_mark_of_a_dialog_is_read_back() -> None:
    for told in (
        acd_events.AgentDialog("offer", 1, 11, ((201, "in"),), "+7 495"),
        acd_events.AgentDialog("legs", 1, 0, ((202, "out"), (201, "in")), ""),
        acd_events.AgentDialog("offer", 1, 11, (), ""),
    ):
        assert acd_events.decode(told.encode()) == told
    assert acd_events.decode("") is None
    assert acd_events.decode("nonsense") is None


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
    assert (told["X-KS-Leg"], told["X-KS-Arg"]) == ("peer", "tenant=1;to_kind=account;hop=1")
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
    host_call(proxy, "201", leg=leg, arg="tenant=1;to_kind=account;hop=1", **source, **pvs)


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


def test_the_state_of_a_queue_call_survives_in_the_transaction(proxy: FakeProxy) -> None:
    call(proxy, wait())
    state = attempts.load(proxy.worker)
    assert state is not None
    assert state.queue is not None
    assert (state.queue.entry_id, state.queue.caller, state.host_headers[1]) == (
        5,
        "100",
        "X-KS-App: hold_queue",
    )
    assert json.loads(proxy.ksr.pvs["$avp(ks_state)"])
    assert in_dialog  # the module that refuses REFER
