"""Watching lines, and messages that wait, on a strict fake of Kamailio."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kalibri.services.park import TakenSlot
from kalibri.services.presence import AgentOnLine, MessagesWaiting
from kalibri.services.stored_message import DueMessage
from kemi import events, messages, presence, replies, slot_lamps, stored_messages
from tests.support.fake_proxy import FakeProxy

WATCH = {"$hdr(Event)": "dialog;sla", "$(ct{nameaddr.uri})": "sip:100@192.0.2.10:5062", "ci": "watch-1@phone"}


@pytest.fixture
def proxy(tmp_path: Path) -> FakeProxy:
    return FakeProxy(tmp_path)


def notified(proxy: FakeProxy) -> list[tuple[str, str]]:
    """Return target and body of each NOTIFY of the last request."""
    return [
        (target, body)
        for method, target, _, _, _, body in proxy.ksr.called("tm.t_uac_send")
        if method == "NOTIFY"
    ]


def answer(proxy: FakeProxy) -> None:
    """Let the call of the last INVITE be answered."""
    proxy.ksr.pvs |= {"$rs": "200", "$T_branch_idx": "0"}
    replies.manage(proxy.worker)
    proxy.do_later()


def watch(proxy: FakeProxy, **pvs: Any) -> None:
    proxy.send("SUBSCRIBE", auth=("100", 1), **{"rU": "101", **WATCH, **pvs})


def test_a_watcher_is_told_at_once_and_at_each_change(proxy: FakeProxy) -> None:
    watch(proxy)
    assert proxy.replies == [(200, "OK")]
    ((target, body),) = notified(proxy)
    assert target == "sip:100@192.0.2.10:5062"
    assert "dialog-info" in body
    assert "<dialog " not in body
    proxy.send("INVITE", auth=("100", 1))
    assert "early" in notified(proxy)[0][1]
    proxy.ksr.calls.clear()
    answer(proxy)
    assert "confirmed" in notified(proxy)[0][1]
    proxy.ksr.calls.clear()
    events.dialog(proxy.worker, "dialog:end")
    proxy.do_later()
    assert "<dialog " not in notified(proxy)[0][1]
    assert proxy.ksr.tables["line"] == {}
    assert proxy.ksr.tables["talk"] == {}


def test_lines_that_nobody_watches_are_not_kept(proxy: FakeProxy) -> None:
    proxy.send("INVITE", auth=("100", 1))
    answer(proxy)
    assert "line" not in proxy.ksr.tables
    assert len(proxy.ksr.tables["talk"]) == 1


def test_a_refresh_keeps_everything_alive(proxy: FakeProxy) -> None:
    watch(proxy, **{"$hdr(Event)": "presence"})
    tag = json.loads(proxy.ksr.tables["watch"]["s:watch-1@phone"])[5]
    proxy.ksr.tables["watch"] = {"s:watch-1@phone": proxy.ksr.tables["watch"]["s:watch-1@phone"]}
    from_tag = proxy.ksr.pvs["$ft"]
    watch(proxy, tt=tag, ft=from_tag, **{"$hdr(Expires)": "120"})
    assert proxy.replies == [(200, "OK")]
    assert json.loads(proxy.ksr.tables["watch"]["w:1:101"]) == ["watch-1@phone"]
    assert json.loads(proxy.ksr.tables["watch"]["agents"]) == [[1, "101"]]
    watch(proxy, tt="wrong", ft=from_tag)
    assert proxy.replies == [(481, "Call/Transaction Does Not Exist")]


@pytest.mark.parametrize(
    ("pvs", "code"),
    [
        ({"$hdr(Event)": "winfo"}, 489),
        ({"rU": "999"}, 404),
        ({"rd": "other.example"}, 404),
        ({"$hdr(Expires)": "10"}, 423),
    ],
)
def test_what_is_refused(proxy: FakeProxy, pvs: dict[str, Any], code: int) -> None:
    watch(proxy, **pvs)
    assert [reply[0] for reply in proxy.replies] == [code]


def test_a_line_has_no_more_watchers_than_it_may(proxy: FakeProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "MOST_WATCHERS", 1)
    watch(proxy)
    watch(proxy, ci="watch-2@phone")
    assert proxy.replies == [(403, "Too Many Watchers")]


def test_states_of_agents_are_told_when_they_change(proxy: FakeProxy) -> None:
    watch(proxy, **{"$hdr(Event)": "presence"})
    for state, told in (("paused", 1), ("paused", 0), ("free", 1)):
        proxy.ksr.calls.clear()
        proxy.acd.results = [[AgentOnLine(tenant_id=1, username="101", state=state)]]
        presence.follow_agents(proxy.worker)
        assert len(notified(proxy)) == told
    proxy.ksr.calls.clear()
    presence.follow_agents(proxy.worker)  # the database is away
    assert notified(proxy) == []


# ------------------------------------------------------------------------------------------- voice mail


def mailbox(proxy: FakeProxy, **pvs: Any) -> None:
    """Subscribe to the own mailbox."""
    watch(proxy, **{"rU": "100", "$hdr(Event)": "message-summary", **pvs})


def waiting(new: int, old: int) -> list[MessagesWaiting]:
    return [MessagesWaiting(tenant_id=1, username="100", new_count=new, old_count=old)]


def test_a_phone_is_told_of_messages_at_once_and_at_each_change(proxy: FakeProxy) -> None:
    proxy.acd.results = [waiting(2, 1)]
    mailbox(proxy)
    assert proxy.replies == [(200, "OK")]
    ((target, body),) = notified(proxy)
    assert target == "sip:100@192.0.2.10:5062"
    assert body.splitlines()[0] == "Messages-Waiting: yes"
    assert body.splitlines()[2] == "Voice-Message: 2/1 (0/0)"
    for counted, told in (
        (waiting(2, 1), []),
        (waiting(0, 3), ["Messages-Waiting: no"]),
        (waiting(0, 3), []),
    ):
        proxy.ksr.calls.clear()
        proxy.acd.results = [counted]
        presence.follow_mailboxes(proxy.worker)
        assert [body.splitlines()[0] for _, body in notified(proxy)] == told


def test_a_mailbox_that_cannot_be_counted_leaves_the_lamp_alone(proxy: FakeProxy) -> None:
    mailbox(proxy)  # the database is away
    assert proxy.replies == [(200, "OK")]
    assert [body for _, body in notified(proxy)] == [""]
    proxy.ksr.calls.clear()
    presence.follow_mailboxes(proxy.worker)
    assert notified(proxy) == []
    proxy.acd.results = [waiting(1, 0)]
    presence.follow_mailboxes(proxy.worker)
    assert "Voice-Message: 1/0 (0/0)" in notified(proxy)[0][1]


def test_a_new_subscription_is_told_what_is_so_now(proxy: FakeProxy) -> None:
    proxy.acd.results = [waiting(1, 0)]
    mailbox(proxy)
    proxy.acd.results = [waiting(0, 1)]  # heard while nobody watched
    mailbox(proxy, ci="watch-2@phone")
    assert "Voice-Message: 0/1" in notified(proxy)[0][1]


def test_a_restart_forgets_a_mailbox_and_the_phone_asks_anew(proxy: FakeProxy) -> None:
    proxy.acd.results = [waiting(1, 0)]
    mailbox(proxy)
    tag = json.loads(proxy.ksr.tables["watch"]["s:watch-1@phone"])[5]
    from_tag = proxy.ksr.pvs["$ft"]
    for table in ("watch", "line"):
        proxy.ksr.tables[table].clear()
    mailbox(proxy, tt=tag, ft=from_tag)
    assert proxy.replies == [(481, "Call/Transaction Does Not Exist")]
    proxy.acd.results = [waiting(2, 0)]
    mailbox(proxy, tt=None, ci="watch-2@phone")
    assert "Voice-Message: 2/0" in notified(proxy)[0][1]


def test_calls_are_not_told_to_who_watches_the_mailbox(proxy: FakeProxy) -> None:
    proxy.acd.results = [waiting(0, 0)]
    mailbox(proxy)
    proxy.send("INVITE", auth=("101", 1), rU="100")
    assert notified(proxy) == []


def test_a_mailbox_is_for_its_owner(proxy: FakeProxy) -> None:
    mailbox(proxy, rU="101")
    assert proxy.replies == [(403, "Mailbox Of Somebody Else")]
    mailbox(proxy, rd="other.example")
    assert proxy.replies == [(404, "Not Found")]
    mailbox(proxy, rU="999")
    assert proxy.replies == [(404, "Not Found")]


def test_nobody_asks_for_mailboxes_that_nobody_watches(proxy: FakeProxy) -> None:
    proxy.acd.results = [waiting(1, 0)]
    watch(proxy)
    presence.follow_mailboxes(proxy.worker)
    assert len(proxy.acd.results) == 1


def test_the_lamp_of_a_park_slot_tells_who_waits_there(proxy: FakeProxy) -> None:
    watch(proxy, rU="*713")
    assert proxy.replies == [(200, "OK")]
    waiting = TakenSlot(tenant_id=1, slot=3, call_id="c", caller="84951112233")
    for taken, told in (([], 0), ([waiting], 1), ([waiting], 0), ([], 1)):
        proxy.ksr.calls.clear()
        proxy.acd.results = [taken]
        slot_lamps.follow(proxy.worker)
        bodies = [body for _, body in notified(proxy)]
        assert len(bodies) == told
        if told:
            assert ("sip:84951112233@demo.example" in bodies[0]) == bool(taken)
            assert 'entity="sip:*713@demo.example"' in bodies[0]
    watch(proxy, rU="*713", **{"$hdr(Event)": "presence"})
    assert [reply[0] for reply in proxy.replies] == [404]


# ------------------------------------------------------------------------------------------------- messages


def say(proxy: FakeProxy) -> None:
    proxy.send("MESSAGE", auth=("100", 1), **{"$rb": "hello"})


@pytest.mark.parametrize(
    ("results", "answer"),
    [
        ([True], (202, "Accepted")),
        ([False], (480, "Too Many Messages Wait")),
        ([], (480, "Not Registered")),
    ],
)
def test_a_message_for_a_phone_that_is_off(
    proxy: FakeProxy, results: list[bool], answer: tuple[int, str]
) -> None:
    proxy.ksr.results["registrar.lookup_uri"] = -1
    proxy.acd.results = list(results)
    say(proxy)
    assert proxy.replies == [answer]
    assert len(proxy.events("message.kept")) == (answer[0] == 202)


@pytest.mark.parametrize(("code", "kept"), [("408", True), ("503", True), ("403", False)])
def test_a_message_that_no_phone_took(proxy: FakeProxy, code: str, kept: bool) -> None:
    say(proxy)
    assert proxy.relayed
    proxy.ksr.calls.clear()
    proxy.ksr.pvs["$T_reply_code"] = code
    proxy.acd.results = [True]
    messages.failure(proxy.worker)
    assert proxy.replies == ([(202, "Accepted")] if kept else [])


def test_what_is_due_is_sent_by_who_claimed_it(proxy: FakeProxy) -> None:
    first, second = (
        DueMessage(
            message_id=number,
            tenant_id=1,
            realm="demo.example",
            username="101",
            sender="100",
            content_type="text/plain",
            body="hello",
        )
        for number in (1, 2)
    )
    proxy.acd.results = [[first, second], {2}]
    stored_messages.deliver(proxy.worker)
    assert len(proxy.ksr.called("uac.uac_req_send")) == 1
    assert proxy.ksr.pvs["$uac_req(evparam)"] == "message 1 2"
    proxy.ksr.pvs["$uac_req(evcode)"] = 200
    proxy.acd.results = [None]
    stored_messages.reply(proxy.worker)
    assert proxy.events("message.delivered")[0]["data"] == {"message": 2}
    assert proxy.acd.results == []
