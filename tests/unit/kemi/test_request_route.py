"""Every way of a request that is no call, without Kamailio: what is served, refused, and never believed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from callcore.ids import uuid7
from kemi.call_token import CallToken, seal
from tests.support.fake_proxy import SECRET, FakeProxy

CALL = "01890a5d-ac96-774b-bcce-b302099a8057"


@pytest.fixture
def proxy(tmp_path: Path) -> FakeProxy:
    return FakeProxy(tmp_path)


def test_options_to_the_proxy_is_answered(proxy: FakeProxy) -> None:
    proxy.send("OPTIONS", rU=None)
    assert proxy.replies == [(200, "OK")]


def test_an_unknown_method_is_not_implemented(proxy: FakeProxy) -> None:
    proxy.send("BREW")
    assert proxy.replies == [(501, "Not Implemented")]


def test_a_huge_message_is_refused(proxy: FakeProxy) -> None:
    proxy.send("INVITE", ml=60_000)
    assert proxy.replies == [(513, "Message Too Large")]


def test_used_up_max_forwards(proxy: FakeProxy) -> None:
    proxy.ksr.results["maxfwd.process_maxfwd"] = -1
    proxy.send("INVITE")
    assert proxy.replies == [(483, "Too Many Hops")]


@pytest.mark.parametrize("name", ["$rU", "$fU", "$ci", "$ft", "$au"])
def test_bytes_that_are_no_utf8_are_answered_400(proxy: FakeProxy, name: str) -> None:
    proxy.send("INVITE", **{name: b"\xff'--"})
    assert proxy.replies == [(400, "Not UTF-8")]


@pytest.mark.parametrize("user", ["a" * 129, "10\r\n0", "1\x000", "1\x7f"])
def test_a_user_that_is_no_user_is_refused(proxy: FakeProxy, user: str) -> None:
    proxy.send("INVITE", rU=user)
    assert proxy.replies[0][0] == 400


@pytest.mark.parametrize("name", ["$rU", "$fU", "$tU", "$ci", "$ft", "$au", "$fd"])
def test_a_nul_is_refused_before_it_becomes_a_key(proxy: FakeProxy, name: str) -> None:
    proxy.send("INVITE", **{name: "a\x00b"})
    assert proxy.replies == [(400, "Control Characters")]


@pytest.mark.parametrize("uri", ["soap.beep://192.0.2.103:3002", "nobodyKnowsThisScheme:opaque", "http:x"])
def test_a_scheme_that_nobody_knows_is_answered_416(proxy: FakeProxy, uri: str) -> None:
    proxy.send("INVITE", ru=None, rU=None, **{"$(mb{line.at,0})": f"INVITE {uri} SIP/2.0"})
    assert proxy.replies == [(416, "Unsupported URI Scheme")]


@pytest.mark.parametrize("uri", ["SIPS:100@demo.example", "tel:+74951234567", "urn:service:sos"])
def test_other_schemes_go_on(proxy: FakeProxy, uri: str) -> None:
    proxy.send("INVITE", ru=uri)
    assert proxy.challenged


def test_a_flood_gets_silence(proxy: FakeProxy) -> None:
    proxy.ksr.results["pike.pike_check_req"] = -1
    proxy.send("INVITE")
    assert proxy.replies == []
    assert not proxy.challenged


def test_internal_headers_of_strangers_are_gone_before_anything_is_read(proxy: FakeProxy) -> None:
    proxy.send("OPTIONS", **{"$hdr(X-KS-Call)": CALL, "$hdr(x-ks-arg)": "a"})
    assert proxy.ksr.called("textopsx.msg_apply_changes") == [()]
    assert not [name for name in proxy.ksr.pvs if "ks-" in name.lower()]


def test_register_without_credentials_is_challenged(proxy: FakeProxy) -> None:
    proxy.send("REGISTER", tU="100")
    assert proxy.challenged
    assert proxy.events() == []


def test_register_with_right_credentials_is_stored_under_the_realm(proxy: FakeProxy) -> None:
    proxy.send("REGISTER", auth=("100", 1), tU="100")
    assert proxy.ksr.called("registrar.save_uri") == [("location", 0, "sip:100@demo.example")]
    assert proxy.events()[0]["kind"] == "account.registered"


def test_unknown_user_and_wrong_password_look_the_same(proxy: FakeProxy) -> None:
    proxy.send("REGISTER", auth=("100", -2), tU="100")
    wrong = (proxy.challenged, proxy.replies)
    proxy.send("REGISTER", auth=("ghost", -2), tU="ghost")
    assert (proxy.challenged, proxy.replies) == wrong == (True, [])
    assert [line["data"]["username"] for line in proxy.events("auth.failed")] == ["100", "ghost"]


def test_a_stale_nonce_is_no_failed_password(proxy: FakeProxy) -> None:
    proxy.send("REGISTER", auth=("100", -4), tU="100")
    assert proxy.challenged
    assert proxy.events("auth.failed") == []


def test_an_account_registers_only_itself(proxy: FakeProxy) -> None:
    proxy.send("REGISTER", auth=("100", 1), tU="101")
    assert proxy.replies == [(403, "Not Your Identity")]


def test_a_domain_that_is_not_ours(proxy: FakeProxy) -> None:
    proxy.send("REGISTER", td="other.example")
    assert proxy.replies == [(403, "Domain Not Served")]


def test_without_an_index_nothing_is_refused_for_good(tmp_path: Path) -> None:
    proxy = FakeProxy(tmp_path)
    for file in proxy.index.iterdir():
        file.unlink()
    fresh = FakeProxy.__new__(FakeProxy)
    fresh.__dict__ |= proxy.__dict__
    fresh.worker.directory = type(proxy.worker.directory).open(proxy.index)
    fresh.send("REGISTER")
    assert fresh.replies == [(503, "Not Ready")]


def test_a_message_goes_to_an_account_of_the_tenant(proxy: FakeProxy) -> None:
    proxy.send("MESSAGE", auth=("100", 1))
    assert proxy.relayed
    proxy.send("MESSAGE", auth=("100", 1), rU="nobody")
    assert proxy.replies == [(404, "Not Found")]
    proxy.ksr.results["registrar.lookup_uri"] = -1
    proxy.send("MESSAGE", auth=("100", 1))
    assert proxy.replies == [(480, "Not Registered")]


def in_dialog(
    proxy: FakeProxy, method: str, sip_call_id: str = "c@phone", token_for: str = "c@phone"
) -> None:
    parameter = seal(SECRET, CallToken(CALL), token_for)
    proxy.send(method, ci=sip_call_id, tt="callee", **{"$(hdr(Route)[0])": f"<sip:192.0.2.1;lr{parameter}>"})


def test_a_request_in_a_dialog_with_our_token_is_relayed(proxy: FakeProxy) -> None:
    for method in ("BYE", "INVITE", "UPDATE", "REFER", "INFO", "PRACK", "ACK"):
        in_dialog(proxy, method)
        assert proxy.relayed, method


def test_an_invented_dialog_is_no_open_relay(proxy: FakeProxy) -> None:
    proxy.send("BYE", tt="x", **{"$(hdr(Route)[0])": "<sip:192.0.2.1;lr>"})
    assert (proxy.relayed, proxy.replies) == (False, [(481, "Call/Transaction Does Not Exist")])
    in_dialog(proxy, "BYE", token_for="another@phone")
    assert (proxy.relayed, proxy.replies) == (False, [(481, "Call/Transaction Does Not Exist")])
    in_dialog(proxy, "ACK", token_for="another@phone")
    assert (proxy.relayed, proxy.replies) == (False, [])


@pytest.mark.parametrize("method", ["INVITE", "REFER", "INFO", "UPDATE", "MESSAGE"])
def test_our_token_alone_opens_nothing(proxy: FakeProxy, method: str) -> None:
    proxy.ksr.results["dialog.is_known_dlg"] = -1
    recent = str(uuid7(time.time_ns() // 1_000_000 + 1000, bytes(10)))
    route = f"<sip:192.0.2.1;lr{seal(SECRET, CallToken(recent), 'c@phone')}>"
    proxy.send(method, ci="c@phone", tt="forged", **{"$(hdr(Route)[0])": route})
    assert (proxy.relayed, proxy.replies) == (False, [(481, "Call/Transaction Does Not Exist")])
    in_dialog(proxy, method)
    assert proxy.relayed, "the call is older than this run of the proxy, which may have forgotten its dialog"


def test_bye_of_a_dialog_that_a_restart_forgot_still_ends_the_story(proxy: FakeProxy) -> None:
    proxy.ksr.results["dialog.is_known_dlg"] = -1
    in_dialog(proxy, "BYE")
    (end,) = proxy.events("call.end")
    assert (end["call"], end["data"]["by"], end["data"]["method"]) == (CALL, "caller", "BYE")


def test_bye_ends_the_relay_under_the_id_of_the_call(proxy: FakeProxy) -> None:
    proxy.ksr.dialog_vars["ks_relay"] = "1"
    parameter = seal(SECRET, CallToken(CALL), "c@phone")
    proxy.send("BYE", ci="c@phone", tt="callee", **{"$(hdr(Route)[0])": f"<sip:192.0.2.1;lr{parameter}>"})
    assert proxy.ksr.called("rtpproxy.rtpproxy_destroy") == [("b",)]


def test_hold_of_a_relayed_call_is_told_to_the_controllers(proxy: FakeProxy) -> None:
    proxy.ksr.dialog_vars["ks_relay"] = "1"
    proxy.ksr.results |= {"textops.has_body_type": 1, "textops.is_audio_on_hold": 1}
    in_dialog(proxy, "INVITE")
    assert proxy.rtp.told == [("call.hold", {"call": str(CALL), "side": "caller", "hold": True})]


def test_cancel_without_invite(proxy: FakeProxy) -> None:
    proxy.send("CANCEL")
    assert proxy.replies == [(481, "Call/Transaction Does Not Exist")]
