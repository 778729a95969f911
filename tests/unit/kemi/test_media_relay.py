"""Which relay serves a call, when relays die and come back at any moment: never half a relay."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from kemi import attempts, events, replies
from kemi.call_state import CallState, Target
from kemi.call_token import CallToken, seal
from kemi.ks_route.model import DestinationKind, RouteRow
from kemi.ks_route.table import RouteTable
from tests.support.fake_ksr import FakeKsr
from tests.support.fake_proxy import SECRET, FakeProxy
from tests.support.index_files import gateway_record

CALL = "01890000-0000-7000-8000-000000000001"
SDP = "v=0\r\nc=IN IP4 10.0.0.9\r\nm=audio 4000 RTP/AVP 0\r\n"
VIDEO = SDP + "m=video 4002 RTP/AVP 99\r\n"


class Relays:
    """Two relays as Kamailio's module shows them: a session is on the relay that took the offer, until that dies."""

    def __init__(self, ksr: FakeKsr) -> None:
        self.alive = {1: True, 2: True}
        self.sessions: set[int] = set()
        self.used = 0
        self._ksr = ksr
        ksr.results |= {
            "rtpproxy.set_rtpproxy_set": self._use,
            "rtpproxy.rtpproxy_offer": lambda flags: self._offer(),
            "rtpproxy.rtpproxy_answer": lambda flags: 1 if self._has_session() else -1,
            "rtpproxy.rtpproxy_destroy": lambda flags: self._destroy(),
        }

    def kill(self, number: int) -> None:
        self.alive[number] = False
        self.sessions.discard(number)

    def _use(self, number: int) -> int:
        self.used = number
        counters = "20 1 2 3 0" if self._has_session() else "E50"
        self._ksr.pvs["$rtpstat"] = counters if self.alive[number] else None
        return 1

    def _has_session(self) -> bool:
        return self.alive[self.used] and self.used in self.sessions

    def _offer(self) -> int:
        if not self.alive[self.used]:
            return -3
        self.sessions.add(self.used)
        return 1

    def _destroy(self) -> int:
        self.sessions.discard(self.used)
        return 1


@pytest.fixture
def proxy(tmp_path: Path) -> FakeProxy:
    made = FakeProxy(tmp_path, gateways={"1": gateway_record(1, name="near", host="192.0.2.21")})
    row = RouteRow(
        route_id=1,
        tenant_id=1,
        priority=Decimal(1),
        b_pattern="^7",
        destination_kind=DestinationKind("gateway"),
        destination="near",
        options={"relay": "always"},
    )
    made.set_routes(RouteTable.from_rows([row]))
    return made


@pytest.fixture
def relays(proxy: FakeProxy) -> Relays:
    return Relays(proxy.ksr)


def offer(proxy: FakeProxy, relays: Relays, sdp: str = SDP) -> int:
    """Let a call through to its first branch; return the relay that serves it."""
    proxy.send("INVITE", auth=("100", 1), rU="7495", tU="7495", rb=sdp)
    attempts.branch(proxy.worker)
    return relays.used


def answered(proxy: FakeProxy, code: int = 200) -> None:
    proxy.ksr.calls.clear()
    proxy.ksr.pvs |= {"$rs": str(code), "$rm": "INVITE", "$T_branch_idx": "0"}
    replies.manage(proxy.worker)


def in_dialog(proxy: FakeProxy, method: str, sdp: str | None = None) -> None:
    route = f"<sip:192.0.2.1;lr{seal(SECRET, CallToken(CALL), 'c@phone')}>"
    dialog = {"$dlg(to_contact)": "sip:101@192.0.2.11", "$dlg(from_cseq)": "7", "$dlg(to_rs)": "<sip:r1;lr>"}
    proxy.send(method, ci="c@phone", tt="callee", rb=sdp, **{"$(hdr(Route)[0])": route}, **dialog)


def answered_again(proxy: FakeProxy) -> None:
    """The 200 of a re-INVITE or UPDATE."""
    proxy.ksr.calls.clear()
    proxy.ksr.pvs |= {"$rs": "200", "$rb": SDP}
    replies.in_dialog(proxy.worker)


def sdp_sent_on(proxy: FakeProxy) -> list[str]:
    return [text for text, _ in proxy.ksr.called("textops.set_body")]


def test_the_answer_goes_to_the_relay_of_the_offer_though_another_came_back(
    proxy: FakeProxy, relays: Relays
) -> None:
    home = offer(proxy, relays)
    relays.kill(home)
    proxy.ksr.pvs.pop("$avp(ks_relays)", None)
    proxy.send("INVITE", auth=("100", 1), rU="7495", tU="7495", rb=SDP, ci=proxy.ksr.pvs["$ci"], cs="2")
    attempts.branch(proxy.worker)
    other = relays.used
    assert other != home
    relays.alive[home] = True
    answered(proxy)
    assert (relays.used, proxy.ksr.dialog_vars["ks_relay"]) == (other, str(other))
    assert sdp_sent_on(proxy) == []


def test_calls_are_shared_out_among_the_relays(proxy: FakeProxy, relays: Relays) -> None:
    assert {offer(proxy, relays) for _ in range(40)} == {1, 2}


def test_without_any_relay_the_branch_is_not_sent(proxy: FakeProxy, relays: Relays) -> None:
    relays.alive = {1: False, 2: False}
    offer(proxy, relays)
    assert proxy.ksr.called("set_drop") == [()]


def test_an_answer_that_cannot_be_relayed_refuses_media_and_ends_the_call_at_its_ack(
    proxy: FakeProxy, relays: Relays
) -> None:
    relays.kill(offer(proxy, relays))
    answered(proxy)
    (refused,) = sdp_sent_on(proxy)
    assert "m=audio 0 RTP/AVP 0" in refused
    (event,) = proxy.events("media.unavailable")
    assert (event["call"], event["tenant"]) == (proxy.ksr.dialog_vars["ks_call"], 1)
    assert proxy.ksr.called("dialog.dlg_bye") == [], "the caller may get no BYE before its ACK"
    for _ in range(2):
        in_dialog(proxy, "ACK")
        assert proxy.relayed
    events.dialog(proxy.worker, "dialog:end")
    (end,) = proxy.events("call.end")
    assert (end["data"]["by"], end["data"]["cause"]) == ("system", "unavailable")
    assert "no media relay" in end["data"]["reason"]


def test_both_sides_get_one_bye(proxy: FakeProxy, relays: Relays) -> None:
    relays.kill(offer(proxy, relays))
    answered(proxy)
    in_dialog(proxy, "ACK")
    assert proxy.ksr.called("dialog.dlg_bye") == [("caller",)]
    ((method, uri, next_hop, _, headers, body),) = proxy.ksr.called("tm.t_uac_send")
    assert (method, uri, next_hop, body) == ("BYE", "sip:101@192.0.2.11", "sip:r1;lr", "")
    assert {"CSeq: 8 BYE", "Route: <sip:r1;lr>"} < set(headers.split("\r\n"))
    answered(proxy)  # a 200 that was sent again
    in_dialog(proxy, "ACK")
    assert proxy.ksr.called("dialog.dlg_bye") == []


def test_a_relay_that_was_slow_once_is_asked_again_for_the_answer(proxy: FakeProxy, relays: Relays) -> None:
    home = offer(proxy, relays)
    tries = iter([-3, -3, 1])
    proxy.ksr.results["rtpproxy.rtpproxy_answer"] = lambda flags: next(tries)
    answered(proxy)
    assert (relays.used, sdp_sent_on(proxy)) == (home, [])
    (command,) = proxy.ksr.called("jsonrpcs.exec")
    assert json.loads(command[0])["params"] == [f"udp:127.0.0.1:{22090 + 10 * home}", 1]


def test_another_controller_that_finds_the_session_takes_the_answer(proxy: FakeProxy, relays: Relays) -> None:
    home = offer(proxy, relays)
    relays.kill(home)
    relays.sessions = {3 - home}
    answered(proxy)
    assert (relays.used, sdp_sent_on(proxy)) == (3 - home, [])


def test_early_media_that_cannot_be_relayed_does_not_end_the_call(proxy: FakeProxy, relays: Relays) -> None:
    home = offer(proxy, relays)
    relays.kill(home)
    answered(proxy, 183)
    assert "m=audio 0" in sdp_sent_on(proxy)[0]
    in_dialog(proxy, "ACK")
    assert proxy.ksr.called("dialog.dlg_bye") == []


def test_a_session_of_an_earlier_attempt_elsewhere_is_not_taken_for_this_one(
    proxy: FakeProxy, relays: Relays
) -> None:
    first = offer(proxy, relays)
    relays.alive[first] = False  # frozen: its session stays
    attempts.store(
        proxy.worker,
        CallState(call_id=CALL, tenant_id=1, current=Target("uri", "sip:x"), media_relay="always"),
    )
    attempts.branch(proxy.worker)
    second = relays.used
    assert second != first
    relays.alive[first] = True
    relays.kill(second)
    answered(proxy)
    assert proxy.events("media.unavailable")


def test_a_failed_call_ends_every_session_it_opened(proxy: FakeProxy, relays: Relays) -> None:
    first = offer(proxy, relays)
    relays.alive[first] = False
    attempts.branch(proxy.worker)
    relays.alive[first] = True
    assert relays.sessions == {1, 2}
    proxy.ksr.pvs["$T_reply_code"] = "486"
    proxy.ksr.results["tm.t_branch_timeout"] = -1
    attempts.failure(proxy.worker)
    assert relays.sessions == set()


def test_a_relay_that_dies_between_two_streams_is_not_mended_by_another(
    proxy: FakeProxy, relays: Relays
) -> None:
    proxy.ksr.results["rtpproxy.rtpproxy_offer"] = -3  # both answer Q, the command itself fails
    offer(proxy, relays, VIDEO)
    assert len(proxy.ksr.called("rtpproxy.rtpproxy_offer")) == 1
    assert proxy.ksr.called("set_drop") == [()]


def test_several_streams_find_the_relay_that_lives(proxy: FakeProxy, relays: Relays) -> None:
    relays.alive[1] = False
    for _ in range(8):
        assert offer(proxy, relays, VIDEO) == 2


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_change_of_the_session_moves_to_a_living_relay(
    proxy: FakeProxy, relays: Relays, method: str
) -> None:
    proxy.ksr.dialog_vars["ks_relay"] = "1"
    relays.alive[1] = False
    in_dialog(proxy, method, SDP)
    answered_again(proxy)
    assert (proxy.ksr.dialog_vars["ks_relay"], relays.used, sdp_sent_on(proxy)) == ("2", 2, [])


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_change_of_the_session_without_relay_is_refused(
    proxy: FakeProxy, relays: Relays, method: str
) -> None:
    proxy.ksr.dialog_vars["ks_relay"] = "1"
    relays.alive = {1: False, 2: False}
    in_dialog(proxy, method, SDP)
    assert (proxy.relayed, proxy.replies) == (False, [(503, "No Media Relay")])


def test_a_call_without_relay_needs_none_in_a_re_invite(proxy: FakeProxy, relays: Relays) -> None:
    proxy.ksr.dialog_vars["ks_relay"] = "0"
    relays.alive = {1: False, 2: False}
    in_dialog(proxy, "INVITE", SDP)
    assert proxy.relayed
    answered_again(proxy)
    assert proxy.ksr.called("rtpproxy.rtpproxy_answer") == []


def test_an_answer_to_a_change_that_cannot_be_relayed_ends_the_call(proxy: FakeProxy, relays: Relays) -> None:
    proxy.ksr.dialog_vars["ks_relay"] = "1"
    in_dialog(proxy, "INVITE", SDP)
    relays.kill(1)
    answered_again(proxy)
    assert "m=audio 0" in sdp_sent_on(proxy)[0]
    in_dialog(proxy, "ACK")
    assert proxy.ksr.called("dialog.dlg_bye") == [("caller",)]


def test_update_has_no_ack_to_wait_for(proxy: FakeProxy, relays: Relays) -> None:
    proxy.ksr.dialog_vars["ks_relay"] = "1"
    in_dialog(proxy, "UPDATE", SDP)
    relays.kill(1)
    answered_again(proxy)
    assert proxy.ksr.called("dialog.dlg_bye") == [("caller",)]


def test_an_offer_in_the_200_is_answered_in_ack_at_the_same_relay(proxy: FakeProxy, relays: Relays) -> None:
    proxy.ksr.dialog_vars["ks_relay"] = "1"
    relays.alive[1] = False
    in_dialog(proxy, "INVITE")
    answered_again(proxy)
    assert proxy.ksr.dialog_vars["ks_relay"] == "2"
    relays.alive[1] = True
    in_dialog(proxy, "ACK", SDP)
    assert relays.used == 2
    assert proxy.ksr.called("rtpproxy.rtpproxy_answer") == [("bcor",)]


def test_an_offer_in_the_first_200_is_relayed_and_its_answer_in_ack_too(
    proxy: FakeProxy, relays: Relays
) -> None:
    proxy.send("INVITE", auth=("100", 1), rU="7495", tU="7495")
    attempts.branch(proxy.worker)
    assert proxy.ksr.called("rtpproxy.rtpproxy_offer") == []
    for _ in range(2):  # the 200 may be sent again
        proxy.ksr.pvs["$rb"] = SDP
        answered(proxy)
        assert len(proxy.ksr.called("rtpproxy.rtpproxy_offer")) == 1
    home = relays.used
    assert proxy.ksr.dialog_vars["ks_relay"] == str(home)
    in_dialog(proxy, "ACK", SDP)
    assert (relays.used, proxy.ksr.called("rtpproxy.rtpproxy_answer")) == (home, [("bcor",)])


def test_an_offer_in_the_first_200_without_any_relay_ends_the_call(proxy: FakeProxy, relays: Relays) -> None:
    proxy.send("INVITE", auth=("100", 1), rU="7495", tU="7495")
    attempts.branch(proxy.worker)
    relays.alive = {1: False, 2: False}
    proxy.ksr.pvs["$rb"] = SDP
    answered(proxy)
    assert "m=audio 0" in sdp_sent_on(proxy)[0]
    in_dialog(proxy, "ACK", SDP)
    assert proxy.ksr.called("dialog.dlg_bye") == [("caller",)]


def test_bye_ends_the_session_where_it_is(proxy: FakeProxy, relays: Relays) -> None:
    proxy.ksr.dialog_vars["ks_relay"] = "2"
    relays.sessions = {2}
    in_dialog(proxy, "BYE")
    assert relays.sessions == set()


def test_a_dialog_that_a_restart_forgot_is_looked_for_everywhere(proxy: FakeProxy, relays: Relays) -> None:
    proxy.ksr.results["dialog.is_known_dlg"] = -1
    for number in (1, 2):
        relays.sessions = {number}
        in_dialog(proxy, "BYE")
        assert relays.sessions == set()
