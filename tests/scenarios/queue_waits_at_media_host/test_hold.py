"""No agent is free: the caller is brought to a media host; one that does not answer is followed by the next.

A test phone plays the media host here: what is tested is the proxy's part.
"""

from __future__ import annotations

import pytest

from kemi.ks_acd.media_host import read_arg
from tests.support.call_centre import CallCentre
from tests.support.sip_message import SipRequest
from tests.support.sip_phone import Nat
from tests.support.sip_plan import Plan


def told(invite: SipRequest) -> dict[str, str]:
    return {name: value for name, value in invite.headers.starting_with("X-KS-")}


def test_the_caller_waits_at_the_least_loaded_host(call_centre: CallCentre) -> None:
    sales = call_centre.queue([], media={"music": "jazz"})
    busy, idle = call_centre.host(load=0.9), call_centre.host(load=0.1)
    call = call_centre.caller().call(sales.uri)
    invite = idle.wait_call().invite
    headers = told(invite)
    (entry,) = sales.entries
    assert (headers["X-KS-App"], headers["X-KS-Leg"]) == ("hold_queue", "caller")
    assert headers["X-KS-Call"] == str(entry["call_id"])
    arg = read_arg(headers["X-KS-Arg"])
    assert (arg["tenant"], arg["queue"]) == (str(call_centre.switch.tenant_id), str(sales.queue_id))
    assert (arg["caller"], arg["entry"], arg["music"]) == ("100", str(entry["entry_id"]), "jazz")
    assert arg["called"] == sales.uri.removeprefix("sip:").partition("@")[0]
    assert busy.calls == []
    (waiting,) = idle.enter(headers["X-KS-Call"], int(arg["tenant"]), sales.queue_id, "100")
    assert waiting["kind"] == "wait"
    assert sales.wait_entry("waiting")["holder"] == idle.name
    call.hold()
    call.resume()
    call.hang_up()
    idle.calls[0].wait_ended()


def test_what_the_caller_sends_of_ours_does_not_reach_the_host(call_centre: CallCentre) -> None:
    sales = call_centre.queue()
    host = call_centre.host()
    lies = [
        ("X-KS-Call", "01890000-0000-7000-8000-000000000000"),
        ("X-KS-Arg", "queue=1"),
        ("Supported", "timer, replaces"),
        ("Session-Expires", "1800"),
    ]
    call = call_centre.caller().invite(sales.uri, headers=lies)
    call.wait_answered()
    invite = host.wait_call().invite
    assert len(invite.headers.starting_with("X-KS-")) == 4
    assert told(invite)["X-KS-Call"] == str(sales.entries[0]["call_id"])
    assert invite.headers.get("Session-Expires") is None
    assert [tag.lower() for tag in invite.headers.values("Supported")] == ["replaces"]
    call.hang_up()


def test_a_dead_host_is_followed_by_the_next_and_rests(call_centre: CallCentre) -> None:
    sales = call_centre.queue()
    dead, alive = call_centre.host(load=0.1), call_centre.host(load=0.9)
    dead.deaf = True
    call_centre.caller().call(sales.uri).hang_up()
    assert len(alive.calls) == 1
    seen = len(dead.requests("INVITE"))
    assert seen >= 1
    # The database still holds it for the least loaded one that lives; this proxy knows better.
    call_centre.caller("101").call(sales.uri).hang_up()
    assert len(alive.calls) == 2
    assert len(dead.requests("INVITE")) == seen


def test_a_host_that_is_being_drained_is_followed_by_the_next(call_centre: CallCentre) -> None:
    sales = call_centre.queue()
    first, second = call_centre.host(load=0.1), call_centre.host(load=0.9)
    first.plan = Plan.reject(503)
    call_centre.caller().call(sales.uri).hang_up()
    assert (len(first.calls), len(second.calls)) == (1, 1)


def test_the_host_ends_the_waiting_and_the_caller_hears_how(call_centre: CallCentre) -> None:
    sales = call_centre.queue()
    host = call_centre.host()
    host.plan = Plan.reject(480, "Closed", ring_code=180)
    call = call_centre.caller().invite(sales.uri).wait_ended()
    assert call.code == 480


def test_no_host_lives(call_centre: CallCentre) -> None:
    sales = call_centre.queue()
    call = call_centre.caller().invite(sales.uri).wait_ended()
    assert (call.code, call.final.reason if call.final else "") == (503, "No Media Host")
    row = call_centre.switch.cdr(call.call_id)
    ends = [e for e in call_centre.switch.events(row["call_id"]) if e["kind"] == "call.end"]
    assert ends[0]["data"]["reason"] == f"queue {sales.name}: failed"
    assert sales.wait_entry("ended")["end_reason"] == "failed"


def test_no_host_lives_and_the_queue_leads_elsewhere(call_centre: CallCentre) -> None:
    sales = call_centre.queue([], overflow={"failed": {"kind": "account", "value": "101"}})
    other = call_centre.phone("101")
    other.register()
    call = call_centre.caller().call(sales.uri)
    assert other.calls[0].call_id == call.call_id
    call.hang_up()
    other.unregister()


@pytest.mark.parametrize(
    ("columns", "code"),
    [({"enabled": False}, 480), ({"join_when": "logged_in"}, 480), ({"max_size": 0}, 486)],
    ids=["closed", "empty", "full"],
)
def test_a_queue_that_takes_nobody_says_so(
    call_centre: CallCentre, columns: dict[str, object], code: int
) -> None:
    sales = call_centre.queue([], **columns)
    call = call_centre.caller().invite(sales.uri).wait_ended()
    assert call.code == code


def test_a_full_queue_leads_to_a_number(call_centre: CallCentre) -> None:
    other = call_centre.phone("102")
    other.register()
    call_centre.switch.add_route("^84950000002$", "account:102", priority=2)
    overflow = {"full": {"kind": "account", "value": "102"}}
    sales = call_centre.queue([], max_size=0, overflow=overflow)
    call = call_centre.caller().call(sales.uri)
    assert other.calls[0].call_id == call.call_id
    call.hang_up()
    other.unregister()


def test_after_the_only_agent_the_caller_waits_with_his_place(call_centre: CallCentre) -> None:
    eve = call_centre.agent()
    sales = call_centre.queue([eve], ring_seconds=2)
    host = call_centre.host()
    eve.phone.plan = Plan.ring()
    call = call_centre.caller().call(sales.uri, timeout=15)
    entry = read_arg(told(host.calls[0].invite)["X-KS-Arg"])["entry"]
    assert [row["entry_id"] for row in sales.entries] == [int(entry)]
    assert sales.outcomes == ["no_answer"]
    # The caller has heard the agent's phone ring before; the host may ring or answer.
    assert call.provisional
    call.hang_up()


def test_the_caller_gives_up_before_the_host_answers(call_centre: CallCentre) -> None:
    sales = call_centre.queue()
    host = call_centre.host()
    host.plan = Plan.ring()
    call = call_centre.caller().invite(sales.uri).wait_ringing()
    call.cancel()
    assert host.calls[0].wait_ended().cancelled


def test_the_caller_gives_up_while_the_host_is_silent(call_centre: CallCentre) -> None:
    sales = call_centre.queue()
    host = call_centre.host()
    host.deaf = True
    call = call_centre.caller().invite(sales.uri)
    host.wait_request("INVITE")
    call.cancel()
    assert sales.wait_entry("ended")["end_reason"] == "abandoned"


def test_a_caller_behind_nat_shows_the_host_a_public_address(call_centre: CallCentre) -> None:
    sales = call_centre.queue()
    host = call_centre.host()
    call = call_centre.caller(nat=Nat()).call(sales.uri)
    sdp = host.calls[0].remote_sdp
    assert sdp is not None
    assert sdp.ip == "127.0.0.1"
    call.hold()
    held = host.calls[0].remote_sdp
    assert held is not None
    assert held.ip == "127.0.0.1"
    call.hang_up()


def test_an_anchored_queue_goes_to_a_host_although_an_agent_is_free(call_centre: CallCentre) -> None:
    eve = call_centre.agent()
    sales = call_centre.queue([eve], anchor="always")
    host = call_centre.host()
    call = call_centre.caller().call(sales.uri)
    assert len(host.calls) == 1
    assert eve.phone.calls == []
    call.hang_up()
