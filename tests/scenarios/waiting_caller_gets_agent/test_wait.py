"""A caller waits with music at a real media host and talks with the agent who frees; all media real."""

from __future__ import annotations

from tests.support.call_centre import Agent, CallCentre, assert_music
from tests.support.rtp_peer import RtpPeer, compare, known_payload
from tests.support.sip_call import Call
from tests.support.sip_plan import Plan

FRAMES = {name: known_payload(20, seed) for seed, name in enumerate(("caller", "agent"))}


def assert_talk(call: Call, other: Call, *, frames: int = 30) -> None:
    """Both sides speak, and each hears every frame of the other bit by bit from some moment on."""
    call.media.play(FRAMES["caller"])
    other.media.play(FRAMES["agent"])
    for peer, spoken in ((call.media, FRAMES["agent"]), (other.media, FRAMES["caller"])):
        known = set(spoken)

        def joined(peer: RtpPeer = peer, known: set[bytes] = known) -> bool:
            return sum(packet.payload in known for packet in peer.received) >= frames

        call.phone.wait(joined, 10, "both hear each other")
        voice = [packet for packet in peer.received if packet.payload in known]
        compare(spoken, voice).assert_exact(frames // 2, max_lost=3)


def talks(agent: Agent, number: int = 1) -> Call:
    return agent.call(number).wait_answered()


def test_music_bit_exact_then_the_agent_then_the_end(live_centre: CallCentre) -> None:
    eve = live_centre.agent(login=False, media=True)
    sales = live_centre.queue([eve], wrapup_seconds=0)
    call = live_centre.caller(media=True).call(sales.uri)
    assert_music(live_centre.switch, call.media)
    entry = sales.wait_entry("waiting")
    assert entry["holder"].startswith("n1-media-")
    eve.phone.register()
    eve.do("login", "test")
    other = talks(eve)
    assert other.call_id != call.call_id
    assert other.invite.headers.starting_with("X-KS-") == []
    assert other.invite.from_addr.uri.user == "100"
    eve.wait("busy")
    assert_talk(call, other)
    call.hang_up()
    other.wait_ended()
    eve.wait("free")
    assert sales.outcomes == ["answered"]
    assert sales.wait_entry("ended")["end_reason"] == "served"


def test_the_agent_hangs_up_and_the_caller_too(live_centre: CallCentre) -> None:
    eve = live_centre.agent(login=False)
    sales = live_centre.queue([eve], wrapup_seconds=0)
    call = live_centre.caller().call(sales.uri)
    eve.phone.register()
    eve.do("login", "test")
    talks(eve).hang_up()
    call.wait_ended()
    eve.wait("free")
    assert sales.offers[0]["hung_up_by"] == "agent"


def test_the_music_goes_on_while_agents_do_not_answer(live_centre: CallCentre) -> None:
    eve, adam = live_centre.agent(login=False, media=True), live_centre.agent(login=False, media=True)
    sales = live_centre.queue([eve, adam], strategy="linear", ring_seconds=2, wrapup_seconds=0)
    call = live_centre.caller(media=True).call(sales.uri)
    eve.phone.plan = Plan.reject(486)
    adam.phone.plan = Plan.by_test()
    for agent in (eve, adam):
        agent.phone.register()
        agent.do("login", "test")
    adam.call().ring()
    assert_music(live_centre.switch, call.media)
    assert sales.outcomes == ["busy", ""]
    adam.call().answer()
    assert_talk(call, talks(adam))
    call.hang_up()
    adam.wait("free")


def test_an_anchored_queue_rings_the_free_agent_through_the_host(live_centre: CallCentre) -> None:
    eve = live_centre.agent(media=True)
    sales = live_centre.queue([eve], anchor="always", wrapup_seconds=0)
    call = live_centre.caller(media=True).call(sales.uri)
    other = talks(eve)
    assert_talk(call, other)
    call.hold()
    call.resume()
    other.hold()
    other.resume()
    other.hang_up()
    call.wait_ended()
    eve.wait("free")


def test_keys_during_the_join_are_not_lost(live_centre: CallCentre) -> None:
    eve = live_centre.agent(login=False, media=True)
    sales = live_centre.queue([eve], wrapup_seconds=0)
    call = live_centre.caller(media=True).call(sales.uri)
    assert_music(live_centre.switch, call.media, frames=20)
    eve.phone.register()
    eve.do("login", "test")
    for key in "135":
        call.media.press(key)
    other = talks(eve)
    assert_talk(call, other)
    call.media.press("9")
    events = live_centre.phone_events(other, "9")
    assert events
    call.hang_up()
    eve.wait("free")
