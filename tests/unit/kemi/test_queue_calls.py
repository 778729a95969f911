"""Queue calls without Kamailio and database: agent, next agent, media host, next host, overflow, caller gone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kemi import acd_events, attempts, events, in_dialog, media_hosts, queue_calls
from kemi.ks_acd.model import AcdAction, MediaHost
from tests.support.fake_proxy import FakeProxy
from tests.support.queue_calls import (
    HOSTS,
    call,
    fail,
    host_headers,
    offer,
    queue_proxy,
    ring,
    targets,
    wait,
)


@pytest.fixture
def proxy(tmp_path: Path) -> FakeProxy:
    return queue_proxy(tmp_path)


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
    assert not proxy.ksr.dialog_vars.get("ks_agent")
    # Our headers never reach a phone.
    assert host_headers(proxy) == []


def test_a_direct_call_of_a_queue_that_records_is_relayed_and_recorded_from_the_answer(
    proxy: FakeProxy,
) -> None:
    call(proxy, offer(), b="6", rb="v=0")
    queue_calls.branch(proxy.worker)
    assert proxy.ksr.called("rtpproxy.rtpproxy_offer")
    ring(proxy)
    assert proxy.rtp.told == []  # a media host may yet take the caller: waiting is not recorded
    ring(proxy, 200)
    ((method, params),) = proxy.rtp.told
    assert (method, params["call"]) == ("record.start", proxy.ksr.dialog_vars["ks_call"])
    assert (params["by"], params["tenant"], params["a"], params["b"]) == ("queue", 1, "100", "201")


def test_a_direct_call_of_another_queue_is_not_recorded(proxy: FakeProxy) -> None:
    call(proxy, offer())
    ring(proxy, 200)
    assert proxy.rtp.told == []


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
    assert lines["X-KS-Arg"] == "music=jazz;tenant=1;queue=7;name=sales;caller=100;called=9;entry=5"
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


def test_what_is_said_before_is_said_by_a_media_host_who_then_sends_the_caller_on(proxy: FakeProxy) -> None:
    to = {"to_kind": "account", "to": "101", "announcement": "sorry"}
    call(proxy, AcdAction(kind="leave", data={"reason": "closed", **to}))
    assert targets(proxy)[0].startswith("sip:ivr_menu@127.0.0.1:")
    arg = dict(line.split(": ", 1) for line in host_headers(proxy))["X-KS-Arg"]
    assert arg == "tenant=1;prompt=sorry;caller=100;called=9;then=account:101"
    assert proxy.replies == []


def test_without_a_media_host_the_caller_is_sent_on_unsaid(
    proxy: FakeProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media_hosts, "choose", lambda *_, **__: ())
    to = {"to_kind": "account", "to": "101", "announcement": "sorry"}
    call(proxy, AcdAction(kind="leave", data={"reason": "closed", **to}))
    assert targets(proxy) == ["sip:101@demo.example"]


def test_the_database_is_away_and_the_call_goes_to_a_host_unasked(proxy: FakeProxy) -> None:
    call(proxy, away=True)
    assert targets(proxy)[0] in ("sip:hold_queue@127.0.0.1:7001", "sip:hold_queue@127.0.0.1:7002")
    arg = dict(line.split(": ", 1) for line in host_headers(proxy))["X-KS-Arg"]
    assert arg == "music=jazz;tenant=1;queue=7;name=sales;caller=100;called=9"
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
