"""A call is parked by transfer, hears music, and is taken at another phone; or comes back, or goes on."""

from __future__ import annotations

import pytest

from tests.scenarios.calls_wait_at_park_slots.conftest import ParkField
from tests.support.call_centre import music_frames
from tests.support.ivr_centre import IvrCentre
from tests.support.rtp_peer import known_payload
from tests.support.sip_call import Call
from tests.support.sip_plan import Plan


def hears(listener: Call, speaker: Call, seed: int) -> None:
    """Wait until one has heard what the other says, bit by bit."""
    sent = known_payload(0.5, seed)
    speaker.media.play(sent, repeat=True)
    listener.phone.wait(lambda: set(sent) <= {p.payload for p in listener.media.received}, 20, "he is heard")
    speaker.media.stop()


def hears_music(field: ParkField, call: Call) -> None:
    """Wait until half a second of nothing but music has come; what was said before may still be under way."""
    known, before = set(music_frames(field.switch)), len(call.media.received)

    def heard() -> bool:
        latest = call.media.received[before:][-25:]
        return len(latest) == 25 and all(packet.payload in known for packet in latest)

    call.phone.wait(heard, 20, "music")


def test_who_dials_the_slot_has_the_call(field: ParkField) -> None:
    caller, parker, other = field.phone("100"), field.phone("101"), field.phone("102")
    call, talk = field.park(caller, parker)
    call.wait_answered()
    (waiting,) = field.wait_parked(1)
    assert (waiting.slot, waiting.parker, waiting.caller) == (1, "101", "100")
    talk.hang_up()  # the parker goes; the call does not
    hears_music(field, call)
    told = parker.wait_request("MESSAGE")
    assert told.body == b"100: *711"
    (row,) = field.switch.ksctl_json("call", "parked", "-t", "demo")
    assert (row["slot"], row["parker"], row["call_id"]) == (1, "101", waiting.call_id)
    taken = other.call("sip:*711@demo.test")
    hears(call, taken, 1)
    hears(taken, call, 2)
    field.wait_parked(0)
    taken.hang_up()
    call.wait_ended()
    story = field.story(call)
    assert [kind for kind, _ in story] == ["park.parked", "park.picked_up"]
    assert story[0][1] == {"slot": 1, "by": "101", "chosen": False}
    assert story[1][1]["by"] == "102"
    (of_taker,) = field.story(taken)
    assert of_taker == ("park.pickup", {"parked": waiting.call_id})


def test_two_who_dial_it_at_once_do_not_both_get_it(field: ParkField) -> None:
    caller, parker = field.phone("100"), field.phone("101")
    others = [field.phone("102"), field.phone("103")]
    call, talk = field.park(caller, parker, "*70*5")
    call.wait_answered()
    talk.hang_up()
    assert field.wait_parked(1)[0].slot == 5
    made = [phone.invite("sip:*71*5@demo.test") for phone in others]
    field.wait_parked(0)
    loser = field.switch.wait(
        lambda: next((one for one in made if one.state.value == "ended"), None), 30, "one loses"
    )
    (winner,) = (one for one in made if one is not loser)
    hears(call, winner.wait_answered(), 3)
    hears(winner, call, 4)
    call.hang_up()
    winner.wait_ended()
    (taken,) = [data for kind, data in field.story(call) if kind == "park.picked_up"]
    assert taken["by_call"] == str(field.switch.cdr(winner.call_id)["call_id"])


def test_an_empty_slot_says_so(field: ParkField) -> None:
    call = field.phone("102").invite("sip:*719@demo.test")
    call.wait_answered()  # a voice tells it
    call.wait_ended()
    field.switch.wait_stored()
    rows = field.switch.rows(
        "SELECT data FROM call_event WHERE kind = 'service.code' ORDER BY at DESC LIMIT 1"
    )
    assert rows[0]["data"]["answer"] == "Nobody Is Parked There"


def test_a_slot_that_is_taken_leaves_the_call_with_the_parker(field: ParkField) -> None:
    first, second, parker = field.phone("100"), field.phone("102"), field.phone("101")
    call, talk = field.park(
        first, parker, "*717"
    )  # the number of a slot parks there, too, when it is transferred to
    call.wait_answered()
    talk.hang_up()
    refused, kept = field.park(second, parker, "*717")
    assert refused.wait_ended().code == 486
    field.policy(slots=6)
    nowhere, again = field.park(second, parker, "*70*8")
    assert nowhere.wait_ended().code == 404
    for each in (kept, again):
        assert each.state.value == "answered"
        each.hang_up()
    call.hang_up()
    field.wait_parked(0)
    assert [kind for kind, _ in field.story(call)] == ["park.parked", "park.abandoned"]


def test_no_more_calls_wait_than_the_tenant_may_park(field: ParkField) -> None:
    field.policy(slots=1)
    first, second, parker = field.phone("100"), field.phone("102"), field.phone("101")
    call, talk = field.park(first, parker)
    call.wait_answered()
    refused, kept = field.park(second, parker)
    assert refused.wait_ended().code == 486
    call.hang_up()
    field.wait_parked(0)
    for each in (talk, kept):
        each.hang_up()


def test_a_call_that_nobody_takes_comes_back_to_the_parker(field: ParkField) -> None:
    field.policy(wait_seconds=1)
    caller, parker = field.phone("100"), field.phone("101")
    call, talk = field.park(caller, parker)
    call.wait_answered()
    talk.hang_up()
    back = parker.wait_call(2).wait_answered()
    assert back.invite.from_addr.uri.user == "100"
    hears(call, back, 4)
    field.wait_parked(0)
    back.hang_up()
    call.wait_ended()
    assert [kind for kind, _ in field.story(call)] == ["park.parked", "park.ring_back", "park.taken_back"]


@pytest.mark.parametrize("overflow", ["account:103", None])
def test_nobody_there_the_call_goes_on_or_ends(field: ParkField, overflow: str | None) -> None:
    field.policy(wait_seconds=1, ring_seconds=1, overflow=overflow)
    caller, parker, third = field.phone("100"), field.phone("101"), field.phone("103")
    call, talk = field.park(caller, parker)
    call.wait_answered()
    talk.hang_up()
    parker.plan = Plan.ring()
    if overflow is None:
        call.wait_ended()
        assert [kind for kind, _ in field.story(call)] == ["park.parked", "park.ring_back", "park.ended"]
        assert field.story(call)[-1][1]["reason"] == "nobody took the parked call"
    else:
        taken = third.wait_call().wait_answered()
        hears(call, taken, 5)
        call.hang_up()
        taken.wait_ended()
        assert field.story(call)[-1][0] == "park.overflowed"
    field.wait_parked(0)


def test_who_took_a_call_may_hold_it_and_park_it_again(field: ParkField) -> None:
    caller, parker, other = field.phone("100"), field.phone("101"), field.phone("102")
    call, talk = field.park(caller, parker)
    call.wait_answered()
    talk.hang_up()
    field.wait_parked(1)
    taken = other.call("sip:*711@demo.test")
    hears(call, taken, 6)
    assert taken.hold().code == 200
    hears_music(field, call)
    assert taken.resume().code == 200
    assert taken.refer("sip:*70@demo.test").code == 202
    other.wait(lambda: any("200" in line for line in taken.refer_progress), 20, "it is parked again")
    taken.wait_ended()
    assert field.wait_parked(1)[0].parker == "102"
    hears_music(field, call)
    again = parker.call("sip:*711@demo.test")
    hears(again, call, 7)
    hears(call, again, 9)
    call.hang_up()
    again.wait_ended()
    field.wait_parked(0)


def test_an_agent_parks_the_caller_of_a_queue(field: ParkField) -> None:
    eve, other = field.centre.agent(media=True), field.phone("102")
    sales = field.centre.queue([eve], transferable=True, wrapup_seconds=0)
    call = field.centre.caller("103", media=True).call(sales.uri)
    agent = eve.call().wait_answered()
    assert agent.refer("sip:*70@demo.test").code == 202
    agent.wait_ended()
    (waiting,) = field.wait_parked(1)
    assert (waiting.parker, waiting.caller) == (eve.phone.username, "103")
    eve.wait("free")
    taken = other.call("sip:*711@demo.test")
    hears(call, taken, 8)
    taken.hang_up()
    call.wait_ended()


def test_what_is_no_transfer_parks_nobody(field: ParkField) -> None:
    caller = field.phone("100")
    call = caller.invite("sip:*70@demo.test")
    call.wait_answered()  # a voice says that it was refused
    call.wait_ended()
    assert caller.invite("sip:park-1-0-00000000000000000000-101@demo.test").wait_ended().code == 404
    assert field.parked() == []


def test_the_lamp_of_the_slot_is_lit_while_a_call_waits(field: ParkField) -> None:
    caller, parker, watcher = field.phone("100"), field.phone("101"), field.phone("102")
    watcher.watches = True
    assert watcher.request("SUBSCRIBE", "sip:*714@demo.test", headers=[("Event", "dialog")]).code == 200

    def lit() -> bool:
        return b"confirmed" in watcher.requests("NOTIFY")[-1].body

    watcher.wait_request("NOTIFY")
    assert not lit()
    call, talk = field.park(caller, parker, "*714")
    call.wait_answered()
    watcher.wait(lit, 20, "the lamp is lit")
    assert b"sip:100@demo.test" in watcher.requests("NOTIFY")[-1].body
    talk.hang_up()
    taken = watcher.call("sip:*714@demo.test")
    watcher.wait(lambda: not lit(), 20, "the lamp is dark")
    taken.hang_up()
    call.wait_ended()


def test_a_host_that_drains_gives_its_parked_calls_away(field: ParkField) -> None:
    caller, parker, other = field.phone("100"), field.phone("101"), field.phone("102")
    call, talk = field.park(caller, parker)
    call.wait_answered()
    talk.hang_up()
    (waiting,) = field.wait_parked(1)
    field.switch.ksctl("node", "drain", waiting.host)
    try:
        drains = "SELECT FROM acd_hosts() WHERE name = %s AND draining"
        field.switch.wait(lambda: field.switch.rows(drains, [waiting.host]), 20, "the host drains")
        taken = other.call("sip:*711@demo.test")
        hears(call, taken, 1)
        call.hang_up()
        taken.wait_ended()
    finally:
        field.switch.ksctl("node", "undrain", waiting.host)
    field.switch.wait(lambda: not field.switch.rows(drains, [waiting.host]), 20, "the host serves again")


SCENARIO = """
nodes:
  desk: {kind: transfer, to: "account:101", next: after, on_failure: after}
  after: {kind: hangup, code: 486}
"""


def test_a_caller_of_a_scenario_is_handed_on_and_parked(field: ParkField) -> None:
    desk, other = field.phone("101"), field.phone("102")
    ivr = IvrCentre(field.centre)
    call = field.centre.caller("103", media=True).invite(ivr.scenario(SCENARIO))
    talk = desk.wait_call().wait_answered()
    call.wait_answered()
    assert talk.refer("sip:nobody@demo.test").code == 202
    desk.wait(lambda: any("SIP/2.0 4" in line for line in talk.refer_progress), 20, "it failed")
    hears(call, talk, 1)  # he has the caller back
    assert talk.refer("sip:102@demo.test").code == 202
    taken = other.wait_call().wait_answered()
    talk.wait_ended()
    assert any("200" in line for line in talk.refer_progress)
    hears(call, taken, 2)
    assert taken.refer("sip:*708@demo.test").code == 202
    taken.wait_ended()
    (waiting,) = field.wait_parked(1)
    assert (waiting.slot, waiting.parker, waiting.caller) == (8, "102", "103")
    hears_music(field, call)
    again = desk.call("sip:*718@demo.test")
    hears(again, call, 3)
    again.hang_up()
    call.wait_ended()  # by the scenario, which has nothing more to do
    field.wait_parked(0)
