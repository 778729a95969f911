"""A call from INVITE to its end, without Kamailio: identity, decision, limits, attempts, replies, failover, story."""

from __future__ import annotations

import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kemi import attempts, events, proxy_start, replies
from kemi.call_state import CallState, Target
from kemi.ks_route.model import DestinationKind, RouteRow
from kemi.ks_route.table import RouteTable
from kemi.proxy_start import RECOVERED
from tests.support.fake_proxy import FakeProxy
from tests.support.index_files import account_record, gateway_record

GATEWAYS = {
    "1": gateway_record(1, name="near", host="192.0.2.21", source_networks=["192.0.2.21/32"]),
    "2": gateway_record(2, name="far", host="192.0.2.22", max_calls=1),
}
GROUP = {
    "group_id": 1,
    "tenant_id": 0,
    "name": "out",
    "members": [{"gateway_id": 1, "weight": 1}, {"gateway_id": 2, "weight": 1}],
}


@pytest.fixture
def proxy(tmp_path: Path) -> FakeProxy:
    return FakeProxy(tmp_path, gateways=GATEWAYS, groups={"1": GROUP})


def routes(proxy: FakeProxy, *rows: tuple[str, str, dict[str, Any]]) -> None:
    table = []
    for number, (b_pattern, destination, more) in enumerate(rows, 1):
        kind, _, value = destination.partition(":")
        table.append(
            RouteRow(
                route_id=number,
                tenant_id=1,
                priority=Decimal(number),
                b_pattern=b_pattern,
                destination_kind=DestinationKind(kind),
                destination=value,
                **more,
            )
        )
    proxy.set_routes(RouteTable.from_rows(table))


def call(proxy: FakeProxy, b_number: str, **pvs: Any) -> None:
    proxy.send("INVITE", auth=("100", 1), rU=b_number, tU=b_number, **pvs)


def fail(proxy: FakeProxy, code: int, *, ours: bool = False, **results: Any) -> None:
    """Let the current attempt end with a final response."""
    proxy.ksr.pvs["$T_reply_code"] = str(code)
    proxy.ksr.results |= {"tm.t_branch_timeout": 1 if ours else -1, **results}
    proxy.ksr.calls.clear()
    attempts.failure(proxy.worker)


def kinds(proxy: FakeProxy) -> list[str]:
    return [event["kind"] for event in proxy.events("call.")]


def last(proxy: FakeProxy, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = proxy.events(kind)[-1]["data"]
    return found


def test_an_account_calls_a_colleague(proxy: FakeProxy) -> None:
    call(proxy, "101")
    assert proxy.relayed
    assert proxy.ksr.called("registrar.lookup_uri") == [("location", "sip:101@demo.example")]
    assert kinds(proxy) == ["call.start", "call.route", "call.attempt"]
    assert {event["call"] for event in proxy.events("call.")} == {proxy.ksr.dialog_vars["ks_call"]}
    parameter = proxy.ksr.called("rr.add_rr_param")[0][0]
    assert proxy.ksr.dialog_vars["ks_call"].replace("-", "") in parameter


def test_a_colleague_who_is_not_registered(proxy: FakeProxy) -> None:
    proxy.ksr.results["registrar.lookup_uri"] = -1
    call(proxy, "101")
    assert proxy.replies == [(480, "Temporarily Unavailable")]
    assert (last(proxy, "call.end")["code"], last(proxy, "call.attempt_end")["reason"]) == (
        480,
        "not registered",
    )


def test_a_call_without_credentials_leaves_no_story(proxy: FakeProxy) -> None:
    proxy.send("INVITE")
    assert proxy.challenged
    assert proxy.events() == []


def test_a_from_that_is_not_the_accounts_own_is_refused(proxy: FakeProxy) -> None:
    call(proxy, "101", fU="101")
    assert proxy.replies == [(403, "Not Your Identity")]


def test_reject_redirect_and_services_that_do_not_exist_yet(proxy: FakeProxy) -> None:
    routes(
        proxy,
        ("^1$", "reject:486 Busy Here", {}),
        ("^2$", "redirect:sip:a@b", {}),
        ("^3$", "queue:sales", {}),
    )
    call(proxy, "1")
    assert proxy.replies == [(486, "Busy Here")]
    call(proxy, "2")
    assert proxy.replies == [(302, "Moved Temporarily")]
    assert proxy.ksr.called("hdr.append_to_reply") == [("Contact: <sip:a@b>\r\n",)]
    call(proxy, "3")
    assert proxy.replies == [(503, "No queue Service")]
    assert [event["data"]["method"] for event in proxy.events("call.end")] == ["reject"] * 3


def test_a_gateway_that_fails_is_followed_by_the_next(proxy: FakeProxy) -> None:
    routes(proxy, ("^7", "group:out", {}))
    call(proxy, "74951234567")
    first = last(proxy, "call.attempt")["gateway_id"]
    fail(proxy, 503)
    assert proxy.relayed
    second = last(proxy, "call.attempt")
    assert (second["n"], {first, second["gateway_id"]}) == (2, {1, 2})
    fail(proxy, 500)
    assert not proxy.relayed
    assert (last(proxy, "call.end")["code"], last(proxy, "call.end")["by"]) == (500, "callee")


def test_each_attempt_is_judged_by_its_own_response(proxy: FakeProxy) -> None:
    routes(proxy, ("^7", "group:out", {}))
    call(proxy, "7495")
    fail(proxy, 408, ours=True)
    assert proxy.ksr.called("tm.t_drop_replies") == [("a",)]


def test_a_challenge_that_we_cannot_answer_is_no_business_of_the_caller(proxy: FakeProxy) -> None:
    routes(proxy, ("^7", "gateway:near", {}))
    call(proxy, "7495")
    fail(proxy, 407)
    assert proxy.replies == [(503, "Service Unavailable")]
    end = last(proxy, "call.end")
    assert (end["code"], end["cause"], end["by"]) == (503, "unavailable", "callee")


def test_a_503_of_the_last_gateway_reaches_the_caller_as_500(proxy: FakeProxy) -> None:
    routes(proxy, ("^7", "gateway:near", {}))
    call(proxy, "7495")
    fail(proxy, 503)
    assert (last(proxy, "call.end")["code"], last(proxy, "call.attempt_end")["code"]) == (500, 503)


@pytest.mark.parametrize("code", [404, 486, 603, 480])
def test_an_answer_about_the_call_is_not_failed_over(proxy: FakeProxy, code: int) -> None:
    routes(proxy, ("^7", "group:out", {}))
    call(proxy, "7495")
    fail(proxy, code)
    assert not proxy.relayed
    assert last(proxy, "call.end")["code"] == code


def test_silence_is_failed_over_but_not_after_ringing(proxy: FakeProxy) -> None:
    routes(proxy, ("^7", "group:out", {}))
    call(proxy, "7495")
    fail(proxy, 408, ours=True)
    assert proxy.relayed
    proxy.ksr.pvs["$rs"] = "180"
    replies.manage(proxy.worker)
    fail(proxy, 408, ours=True)
    assert not proxy.relayed
    assert last(proxy, "call.end")["cause"] == "no_answer"


def test_a_caller_who_cancels_ends_everything(proxy: FakeProxy) -> None:
    routes(proxy, ("^7", "group:out", {}))
    call(proxy, "7495")
    fail(proxy, 487, **{"tm.t_is_canceled": 1})
    assert not proxy.relayed
    assert (last(proxy, "call.end")["by"], last(proxy, "call.end")["code"]) == ("caller", 487)


def test_retry_after_takes_the_gateway_out(proxy: FakeProxy) -> None:
    routes(proxy, ("^7", "gateway:near", {}))
    call(proxy, "7495")
    proxy.ksr.pvs["$T_rpl($hdr(Retry-After))"] = "120 (maintenance)"
    fail(proxy, 503)
    assert float(proxy.ksr.tables["gw"]["penalty:1"]) > 0
    call(proxy, "7495")
    assert proxy.replies == [(503, "Service Unavailable")]


def test_just_after_a_start_no_gateway_is_blamed(proxy: FakeProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_start, "STARTED_AT", time.time())
    routes(proxy, ("^7", "gateway:near", {}))
    for _ in range(proxy.worker.config.routing.gateway_failure_limit + 1):
        call(proxy, "7495")
        fail(proxy, 500)
    assert "gw" not in proxy.ksr.tables


def test_failures_in_a_row_take_a_gateway_out_and_a_success_forgives(
    proxy: FakeProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy_start, "STARTED_AT", time.time() - 60)
    routes(proxy, ("^7", "gateway:near", {}))
    limit = proxy.worker.config.routing.gateway_failure_limit
    for number in range(limit):
        assert "penalty:1" not in proxy.ksr.tables.get("gw", {}), number
        call(proxy, "7495")
        fail(proxy, 500)
    assert "penalty:1" in proxy.ksr.tables["gw"]


def test_a_full_gateway_is_passed_over(proxy: FakeProxy) -> None:
    proxy.ksr.tables["profile:gateway"] = {"2": 1}
    routes(proxy, ("^7", "gateway:far", {}))
    call(proxy, "7495")
    assert proxy.replies == [(503, "Service Unavailable")]


def test_the_limit_of_an_account_and_that_an_emergency_call_passes_it(tmp_path: Path) -> None:
    proxy = FakeProxy(tmp_path, gateways=GATEWAYS)
    proxy.set_entries(
        {"a:1:100": account_record(username="100", tenant_id=1, domains=["demo.example"], max_calls=1)}
    )
    routes(proxy, ("^112$", "gateway:near", {"options": {"emergency": True}}), ("^7", "gateway:near", {}))
    proxy.ksr.tables["profile:account"] = {"1:100": 1}
    call(proxy, "7495")
    assert proxy.replies == [(403, "Call Limit Reached")]
    assert "limit of 1 calls" in last(proxy, "call.end")["reason"]
    call(proxy, "112")
    assert proxy.relayed
    assert last(proxy, "call.start")["emergency"] is True


def test_a_gateway_is_known_by_its_address_and_needs_no_digest(proxy: FakeProxy) -> None:
    proxy.set_entries(
        {
            "n:74951234567": {
                "number": "74951234567",
                "state": "assigned",
                "tenant_id": 1,
                "destination_kind": "account",
                "destination": "101",
                "gateway_id": 1,
            }
        }
    )
    proxy.send("INVITE", si="192.0.2.21", rU="74951234567", fU="79990000000", fd="carrier.example")
    assert not proxy.challenged
    assert proxy.ksr.called("registrar.lookup_uri") == [("location", "sip:101@demo.example")]
    assert (last(proxy, "call.start")["direction"], last(proxy, "call.start")["gateway"]) == ("gateway", 1)


def test_no_relay_to_be_had_is_never_half_a_relay(proxy: FakeProxy) -> None:
    routes(proxy, ("^7", "gateway:near", {"options": {"relay": "always"}}))
    call(proxy, "7495", rb="v=0")
    proxy.ksr.results["rtpproxy.rtpproxy_offer"] = -1
    attempts.branch(proxy.worker)
    assert proxy.ksr.called("set_drop") == [()]
    assert proxy.events("media.unavailable")
    proxy.ksr.results["tm.t_relay"] = -1
    attempts.try_next(
        proxy.worker, CallState(call_id="c1", tenant_id=1, remaining=(Target("uri", "sip:7@192.0.2.9"),))
    )
    assert proxy.replies[-1] == (503, "No Media Relay")


def test_only_the_branch_that_was_relayed_is_answered_through_the_relay(proxy: FakeProxy) -> None:
    routes(proxy, ("^7", "gateway:near", {"options": {"relay": "always"}}))
    call(proxy, "7495", rb="v=0")
    attempts.branch(proxy.worker)
    proxy.ksr.pvs |= {"$rs": "200", "$T_branch_idx": "1"}
    replies.manage(proxy.worker)
    assert proxy.ksr.called("rtpproxy.rtpproxy_answer") == []
    proxy.ksr.pvs["$T_branch_idx"] = "0"
    replies.manage(proxy.worker)
    assert proxy.ksr.called("rtpproxy.rtpproxy_answer") == [("bcor",)]
    assert proxy.ksr.dialog_vars["ks_relay"] in ("1", "2")


def test_a_route_that_records_is_relayed_and_tells_the_controllers(proxy: FakeProxy) -> None:
    routes(proxy, ("^7", "gateway:near", {"options": {"record": True}}))
    call(proxy, "7495", rb="v=0")
    ((method, params),) = proxy.rtp.told
    assert (method, params["by"], params["tenant"], params["b"]) == ("record.start", "route", 1, "7495")
    attempts.branch(proxy.worker)
    assert proxy.ksr.called("rtpproxy.rtpproxy_offer") == [("bcor",)]
    (start,) = proxy.events("call.start")
    assert params["call"] == start["call"]


def test_ringing_is_told_once_for_each_code(proxy: FakeProxy) -> None:
    call(proxy, "101")
    for code in ("100", "180", "180", "183", "183"):
        proxy.ksr.pvs["$rs"] = code
        replies.manage(proxy.worker)
    assert [event["data"]["code"] for event in proxy.events("call.ring")] == [180, 183]


def test_answer_and_end_are_told_from_the_dialog(proxy: FakeProxy) -> None:
    call(proxy, "101")
    proxy.ksr.pvs["$rs"] = "200"
    replies.manage(proxy.worker)
    events.dialog(proxy.worker, "dialog:start")
    proxy.ksr.pvs |= {"$rm": "BYE", "$ci": "x", "$ft": "b", "$dlg(callid)": "x", "$dlg(from_tag)": "a"}
    events.dialog(proxy.worker, "dialog:end")
    assert kinds(proxy)[-2:] == ["call.answer", "call.end"]
    assert last(proxy, "call.end")["by"] == "callee"


def test_a_dialog_that_times_out_is_ended_by_the_system(proxy: FakeProxy) -> None:
    call(proxy, "101")
    proxy.ksr.pvs |= {"$rm": "OPTIONS", "$ci": "123", "$dlg(callid)": "x"}
    events.dialog(proxy.worker, "dialog:end")
    assert (last(proxy, "call.end")["by"], last(proxy, "call.end")["method"]) == ("system", "timeout")


def test_a_failure_that_was_told_is_not_told_again_by_the_dialog(proxy: FakeProxy) -> None:
    call(proxy, "101")
    fail(proxy, 486)
    events.dialog(proxy.worker, "dialog:failed")
    assert len(proxy.events("call.end")) == 1


def test_an_orphaned_200_after_a_restart_is_part_of_its_call(proxy: FakeProxy) -> None:
    call(proxy, "101")
    parameter = proxy.ksr.called("rr.add_rr_param")[0][0]
    call_id = proxy.ksr.dialog_vars["ks_call"]
    proxy.ksr.pvs |= {
        "$rs": "200",
        "$rm": "INVITE",
        "$(hdr(Record-Route)[0])": f"<sip:192.0.2.1;lr{parameter}>",
    }
    [(key, _)] = proxy.ksr.tables["seen"].items()
    proxy.ksr.tables["seen"][key] = RECOVERED + call_id
    for _ in range(2):
        replies.orphan(proxy.worker)
    assert proxy.ksr.tables["seen"][key] == RECOVERED + call_id
    answers = proxy.events("call.answer")
    assert [(event["call"], event["data"]["recovered"]) for event in answers] == [(call_id, True)]


@pytest.mark.parametrize("method", ["INVITE", "BYE", b"\xff"])
def test_a_reply_to_nothing_is_dropped(proxy: FakeProxy, method: str | bytes) -> None:
    call(proxy, "101")
    proxy.ksr.pvs |= {"$rs": "200", "$rm": method, "$(hdr(Record-Route)[0])": None}
    replies.orphan(proxy.worker)
    assert proxy.ksr.called("set_drop") == [()]
    assert proxy.events("call.answer") == []
