"""Codes, pickup and hidden numbers on a strict fake of Kamailio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kalibri.services.presence import AgentOnLine
from kemi import attempts
from tests.support.fake_proxy import TENANT, FakeProxy

DESK = {"p:1:desk": {"members": ["100", "101"]}}


@pytest.fixture
def proxy(tmp_path: Path) -> FakeProxy:
    return FakeProxy(tmp_path)


def dial(proxy: FakeProxy, number: str, **pvs: Any) -> None:
    proxy.send("INVITE", auth=("100", 1), rU=number, tU=number, **pvs)


def branch_headers(proxy: FakeProxy) -> list[str]:
    proxy.ksr.calls.clear()
    attempts.branch(proxy.worker)
    return [line.strip() for (line,) in proxy.ksr.called("hdr.append")]


def test_a_change_is_stored_and_answered(proxy: FakeProxy) -> None:
    proxy.acd.results = [None]
    dial(proxy, "*78")
    assert proxy.replies == [(480, "Do Not Disturb Is On")]
    (event,) = proxy.events("service.code")
    assert (event["data"]["account"], event["data"]["action"]) == ("100", "dnd_on")
    assert not proxy.events("call.")


def test_nothing_is_changed_while_the_database_is_away(proxy: FakeProxy) -> None:
    dial(proxy, "*72101")
    assert proxy.replies == [(503, "Services Cannot Be Changed Now")]


def test_a_tenant_that_forbids_forwarding_forbids_the_code(tmp_path: Path) -> None:
    policy = {"to_numbers": False, "max_calls": 1, "max_cost": None, "max_seconds": 60}
    tenants = {"0": {**TENANT, "realm": "system.invalid"}, "1": {**TENANT, "forward": policy}}
    proxy = FakeProxy(tmp_path, tenants=tenants)
    dial(proxy, "*7279161234567")
    assert proxy.replies == [(403, "Forwarding Not Allowed")]
    proxy.acd.results = [None]
    dial(proxy, "*72101")
    assert proxy.replies == [(480, "Forwarding To 101")]


def test_an_account_named_like_a_code_is_called(proxy: FakeProxy) -> None:
    named = {**proxy.accounts["a:1:101"], "username": "*78"}
    proxy.set_entries({"a:1:*78": named})
    dial(proxy, "*78")
    assert proxy.relayed


def test_what_is_no_code_goes_by_the_routes(proxy: FakeProxy) -> None:
    dial(proxy, "*55")
    assert proxy.replies == [(404, "Not Found")]


@pytest.mark.parametrize("code", ["*67101", "*67*101"])
def test_a_caller_hides_in_one_call(proxy: FakeProxy, code: str) -> None:
    dial(proxy, code)
    assert proxy.ksr.called("uac.uac_replace_from") == [('"Anonymous"', "sip:anonymous@anonymous.invalid")]
    assert proxy.relayed


def test_a_hidden_account_shows_itself_in_one_call(proxy: FakeProxy) -> None:
    proxy.set_entries({"s:1:100": {"hide_number": True}})
    dial(proxy, "101")
    assert proxy.ksr.called("uac.uac_replace_from")
    dial(proxy, "*82101")
    assert not proxy.ksr.called("uac.uac_replace_from")


def test_an_anonymous_phone_says_who_it_is_to_us_alone(proxy: FakeProxy) -> None:
    anonymous = {"fU": "anonymous", "fd": "anonymous.invalid"}
    dial(proxy, "101", **anonymous, **{"$hdr(P-Preferred-Identity)": "<sip:100@demo.example>"})
    assert proxy.relayed
    assert ("P-Preferred-Identity",) in proxy.ksr.called("textops.remove_hf")
    dial(proxy, "101", **anonymous, **{"$hdr(P-Preferred-Identity)": "<sip:101@demo.example>"})
    assert proxy.replies == [(403, "Not Your Identity")]
    dial(proxy, "101", **anonymous)
    assert proxy.replies == [(403, "Domain Not Served")]


def test_speed_dial(proxy: FakeProxy) -> None:
    proxy.set_entries({"s:1:100": {"speed_dial": {"5": "101"}}})
    dial(proxy, "*05")
    assert proxy.relayed
    dial(proxy, "*06")
    assert proxy.replies == [(404, "Speed Dial Is Empty")]


def test_a_ringing_call_gets_a_branch_to_who_picks_it_up(proxy: FakeProxy) -> None:
    proxy.set_entries({"s:1:101": {"pickup_group": "desk"}, "s:1:100": {"pickup_group": "desk"}, **DESK})
    ids = {"$T(id_index)": "7", "$T(id_label)": "9"}
    dial(proxy, "101", **ids)
    told: list[str] = []

    def append(index: int, label: int, table: str, uri: str) -> int:
        assert (index, label, table, uri) == (7, 9, "location", "sip:100@demo.example")
        told.extend(branch_headers(proxy))
        return 1

    state = proxy.ksr.pvs["$avp(ks_state)"]
    proxy.ksr.results["tsilo.ts_append_to_uri"] = append
    dial(proxy, "**101", **{"$avp(ks_state)": state})
    assert any("answer-after=0" in line for line in told)
    assert proxy.events("call.pickup")[-1]["data"] == {"by": "100", "account": "101"}
    dial(proxy, "*8")
    assert proxy.replies == [(404, "No Call To Pick Up")]


def test_a_member_of_a_hunt_group_has_a_call_only_while_his_phone_rings(proxy: FakeProxy) -> None:
    group = {"name": "600", "mode": "serial", "ring_seconds": 5, "members": ["101", "102"], "fallback": None}
    third = {"a:1:102": {**proxy.accounts["a:1:101"], "username": "102"}}
    services = {f"s:1:{name}": {"pickup_group": "desk"} for name in ("100", "101")}
    proxy.set_entries({"h:1:600": group, **third, **services, **DESK})
    dial(proxy, "600", **{"$T(id_index)": "7"})
    assert list(proxy.ksr.tables["ring"]) == ["1:101"]
    proxy.ksr.pvs["$T_reply_code"] = "486"
    attempts.failure(proxy.worker)
    assert proxy.ksr.tables["ring"] == {}  # 102, whose turn it is, is in no pickup group
    dial(proxy, "**101")
    assert proxy.replies == [(404, "No Call To Pick Up")]


@pytest.mark.parametrize(
    ("state", "answer"),
    [("ringing", (403, "Queue Calls Are Not Picked Up")), ("free", (404, "No Call To Pick Up"))],
)
def test_a_call_that_a_queue_offers_is_not_picked_up(
    proxy: FakeProxy, state: str, answer: tuple[int, str]
) -> None:
    agent = {"a:1:101": {**proxy.accounts["a:1:101"], "agent_id": 5}}
    services = {f"s:1:{name}": {"pickup_group": "desk"} for name in ("100", "101")}
    proxy.set_entries({**agent, **services, **DESK})
    proxy.acd.results = [[AgentOnLine(tenant_id=1, username="101", state=state)]]
    dial(proxy, "**101")
    assert proxy.replies == [answer]
    dial(proxy, "**101")  # the database is away
    assert proxy.replies == [(404, "No Call To Pick Up")]


def test_who_is_in_no_group_picks_nothing_up(proxy: FakeProxy) -> None:
    dial(proxy, "*8")
    assert proxy.replies == [(403, "Not In Your Pickup Group")]


def test_without_media_hosts_voice_mail_cannot_be_heard(proxy: FakeProxy) -> None:
    dial(proxy, "*98")
    assert proxy.replies == [(503, "Voice Mail Cannot Be Heard Here")]
