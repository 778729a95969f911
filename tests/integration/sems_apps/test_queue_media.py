"""Queue calls on a real host: real sippy, real RTPProxy, callers and agents with real RTP; every frame is compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from callcore.call_queue import OfferOutcome
from sems_apps.actions import (
    AskPosition,
    LeaveQueue,
    ReportJoin,
    ReportOffer,
    ReportSurvey,
    ReportTalkEnd,
    ReportTransfer,
)
from sems_apps.events import CallbackDue, OfferClaimed, OfferMade, RecordAsked
from sems_apps.host.ports import Entry
from sems_apps.settings import AfterAgent, QueueSettings, WhileRinging
from tests.support.media_rig import MediaRig, media_rig
from tests.support.rtp_peer import compare, known_payload
from tests.support.sip_call import Call
from tests.support.sip_phone import Phone
from tests.support.sip_plan import Plan

MakePhone = Callable[..., Phone]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[MediaRig]:
    with media_rig(tmp_path) as running:
        yield running


@pytest.fixture
def alice(rig: MediaRig, make_phone: MakePhone) -> Phone:
    phone = make_phone("100", "kalibri.internal", proxy=rig.host.stack.address, media=True)
    phone.payload_types = (8, 0, 101)
    return phone


@pytest.fixture
def bob(make_phone: MakePhone) -> Phone:
    """An agent; his phone stands for the proxy as well."""
    phone = make_phone("agent", "kalibri.internal", media=True)
    phone.payload_types = (8, 101)
    return phone


def offer(phone: Phone, number: int = 1, *, ring_all: bool = False) -> OfferMade:
    host, port = phone.address
    return OfferMade(number, f"sip:agent@{host}:{port}", 20.0, ring_all)


def wait_music(call: Call, rig: MediaRig, name: str = "jazz", frames: int = 40) -> None:
    """Wait until the caller has heard this many frames of a prompt in a row."""
    wanted = rig.prompts[name] * 50
    call.phone.wait(
        lambda: sum(packet.payload in set(wanted) for packet in call.media.received) >= frames,
        15,
        f"{name} heard",
    )


def talk(call: Call, answered: Call, seconds: float = 0.6) -> None:
    """Speak both ways, from when they hear each other, and compare every frame."""
    greeting = known_payload(0.1, seed=90)
    for side in (call, answered):
        side.media.received.clear()
        side.media.play(greeting, repeat=True)
    for side in (call, answered):
        wait_frames(side, greeting, 5)
    said, heard = known_payload(seconds, seed=91), known_payload(seconds, seed=92)
    call.media.play(said)
    answered.media.play(heard)
    for side, frames in ((answered, said), (call, heard)):
        wait_frames(side, frames, len(frames))
        heard_so_far = [packet for packet in side.media.received if packet.payload not in greeting]
        first = next(i for i, packet in enumerate(heard_so_far) if packet.payload in frames)
        compare(frames, heard_so_far[first:]).assert_exact(len(frames))


def wait_frames(side: Call, frames: list[bytes], count: int) -> None:
    """Wait until a side has heard this many different frames."""
    wanted = set(frames)
    side.phone.wait(
        lambda: len({packet.payload for packet in side.media.received} & wanted) >= count, 15, "their voice"
    )


def queue_and_join(rig: MediaRig, alice: Phone, bob: Phone) -> tuple[Call, Call]:
    call = rig.call(alice).wait_answered()
    rig.acd.post(offer(bob))
    answered = bob.wait_call().wait_answered()
    rig.acd.wait_action(ReportJoin)
    return call, answered


def test_waiting_caller_hears_the_music_bit_exact(rig: MediaRig, alice: Phone) -> None:
    call = rig.call(alice).wait_answered()
    call.media.wait_received(150)
    loop = rig.prompts["jazz"] * 2
    whole = [packet for packet in call.media.received]
    assert {packet.payload for packet in whole} <= set(loop)
    assert len({packet.ssrc for packet in whole}) == 1
    compare(rig.prompts["jazz"], whole[:100]).assert_exact(100)
    call.hang_up()
    assert rig.acd.wait_action(LeaveQueue).cause == "caller hung up"
    alice.wait(lambda: rig.sessions_on_node() == 0, 10, "the session deleted")


def test_music_goes_on_while_the_agent_rings_and_both_talk_bit_exact(
    rig: MediaRig, alice: Phone, bob: Phone
) -> None:
    bob.plan = Plan.ring()
    call = rig.call(alice).wait_answered()
    wait_music(call, rig)
    rig.acd.post(offer(bob))
    ringing = bob.wait_call()
    before = len(call.media.received)
    call.media.wait_received(before + 40)
    assert ringing.invite.headers.get("X-KS-Leg") == "agent"
    assert ringing.invite.headers.get("X-KS-Offer") == "1"
    ringing.answer()
    ringing.wait_answered()
    rig.acd.wait_action(ReportJoin)
    talk(call, ringing)
    assert call.requests == []  # ports stay: the caller needs no re-INVITE
    assert ringing.hang_up().code == 200
    call.wait_ended()
    assert rig.acd.wait_action(ReportTalkEnd).by == "agent"


def test_free_agent_answers_before_the_caller_is_answered(rig: MediaRig, alice: Phone, bob: Phone) -> None:
    rig.acd.offer_at_once = offer(bob)
    bob.plan = Plan.answer(ring_after=0.05, final_after=0.2)
    call = rig.call(alice).wait_answered()
    assert [response.code for response in call.provisional] == [100, 180]
    talk(call, bob.calls[0])
    call.hang_up()
    bob.calls[0].wait_ended()
    assert rig.acd.wait_action(ReportTalkEnd).by == "caller"
    assert rig.story.kinds()[:3] == ["media.arrive", "media.dial", "media.ring"]


@pytest.mark.parametrize("code", [486, 603, 503])
def test_agent_who_fails_leaves_the_music_untouched(
    rig: MediaRig, alice: Phone, bob: Phone, code: int
) -> None:
    bob.plan = Plan.reject(code)
    call = rig.call(alice).wait_answered()
    wait_music(call, rig)
    rig.acd.post(offer(bob))
    assert rig.acd.wait_action(ReportOffer).code == code
    call.media.wait_received(len(call.media.received) + 40)
    assert len({packet.ssrc for packet in call.media.received}) == 1
    call.hang_up()


@pytest.mark.parametrize("state", ["waiting", "ringing", "whisper", "talking", "unanswered", "entering"])
def test_caller_gone_in_each_state_ends_every_leg(
    rig: MediaRig, alice: Phone, bob: Phone, state: str
) -> None:
    if state == "entering":
        rig.acd.perform = lambda entry, action: None  # type: ignore[method-assign]
    if state == "whisper":
        rig.acd.settings = QueueSettings(music="jazz", whisper="whisper")
    bob.plan = Plan.answer() if state in ("whisper", "talking") else Plan.ring()
    if state == "unanswered":
        rig.acd.offer_at_once = offer(bob)
    call = rig.call(alice)
    if state in ("unanswered", "entering"):
        if state == "unanswered":
            call.wait_ringing()
            bob.wait_call()
        call.cancel()
        assert call.code == 487
    else:
        call.wait_answered()
        if state != "waiting":
            rig.acd.post(offer(bob))
            bob.wait_call()
        if state in ("whisper", "talking"):
            bob.calls[0].wait_answered()
        if state == "talking":
            rig.acd.wait_action(ReportJoin)
        call.hang_up()
    for leg in bob.calls:
        leg.wait_ended()
    alice.wait(lambda: not rig.host.sessions and rig.sessions_on_node() == 0, 10, "nothing left")


def test_key_presses_come_by_rtp_and_by_info(rig: MediaRig, alice: Phone) -> None:
    rig.acd.settings = QueueSettings(music="jazz", position_key="9")
    call = rig.call(alice).wait_answered()
    wait_music(call, rig)
    call.media.press("9")
    rig.acd.wait_action(AskPosition)
    call.request("INFO", b"Signal=9\r\nDuration=160\r\n", [("Content-Type", "application/dtmf-relay")])
    rig.acd.wait_action(AskPosition, 2)
    call.hang_up()


def test_keys_while_the_join_happens_harm_nothing(rig: MediaRig, alice: Phone, bob: Phone) -> None:
    rig.acd.settings = QueueSettings(music="jazz", callback_key="1", exit_key="0", exit_target="900")
    call = rig.call(alice).wait_answered()
    wait_music(call, rig)
    rig.acd.post(offer(bob))
    answered = bob.wait_call()
    for _ in range(5):
        call.media.press("1")
    answered.wait_answered()
    rig.acd.wait_action(ReportJoin)
    for _ in range(5):
        call.media.press("1")
    talk(call, answered)
    call.hang_up()


def test_agent_hears_the_whisper_before_the_join(rig: MediaRig, alice: Phone, bob: Phone) -> None:
    rig.acd.settings = QueueSettings(music="jazz", whisper="whisper")
    call, answered = queue_and_join(rig, alice, bob)
    heard = [packet for packet in answered.media.received if packet.payload in set(rig.prompts["whisper"])]
    compare(rig.prompts["whisper"], heard).assert_exact(len(rig.prompts["whisper"]) - 1)
    talk(call, answered)
    call.hang_up()


def test_ringback_is_heard_while_the_agent_rings(rig: MediaRig, alice: Phone, bob: Phone) -> None:
    rig.acd.settings = QueueSettings(music="jazz", while_ringing=WhileRinging.RINGBACK)
    bob.plan = Plan.ring()
    call = rig.call(alice).wait_answered()
    wait_music(call, rig)
    rig.acd.post(offer(bob))
    wait_music(call, rig, "ringback")
    call.hang_up()


def test_survey_after_the_agent(rig: MediaRig, alice: Phone, bob: Phone) -> None:
    rig.acd.settings = QueueSettings(music="jazz", after_agent=AfterAgent.SURVEY)
    call, answered = queue_and_join(rig, alice, bob)
    answered.hang_up()
    wait_music(call, rig, "survey", frames=9)
    call.media.press("4")
    assert rig.acd.wait_action(ReportSurvey).score == 4
    call.wait_ended()
    assert call.ended_by == "remote"


def test_held_caller_hears_music_and_the_agent_comes_back(rig: MediaRig, alice: Phone, bob: Phone) -> None:
    call, answered = queue_and_join(rig, alice, bob)
    answered.hold()
    wait_music(call, rig)
    answered.resume()
    talk(call, answered)
    call.hang_up()


def test_ring_all_first_who_answers_wins(
    rig: MediaRig, alice: Phone, bob: Phone, make_phone: MakePhone
) -> None:
    carol = make_phone("agent", "kalibri.internal", media=True)
    bob.plan, carol.plan = Plan.ring(), Plan.ring()
    call = rig.call(alice).wait_answered()
    for number, phone in enumerate((bob, carol), 1):
        rig.acd.post(offer(phone, number, ring_all=True))
    bob.wait_call()
    winner = carol.wait_call()
    winner.answer()
    assert rig.acd.wait_action(ReportOffer).outcome is OfferOutcome.ANSWERED
    rig.acd.post(OfferClaimed(2, won=True))
    bob.calls[0].wait_ended()
    rig.acd.wait_action(ReportJoin)
    talk(call, winner)
    call.hang_up()


def test_second_agent_after_one_who_failed_talks_bit_exact(rig: MediaRig, alice: Phone, bob: Phone) -> None:
    """His port is a fresh one: nothing late of the first can be heard."""
    bob.plans = [Plan.reject(486), Plan.answer()]
    call = rig.call(alice).wait_answered()
    rig.acd.post(offer(bob, 1))
    rig.acd.wait_action(ReportOffer)
    rig.acd.post(offer(bob, 2))
    answered = bob.wait_call(2).wait_answered()
    assert bob.calls[0].remote_sdp is not None
    assert answered.remote_sdp is not None
    assert bob.calls[0].remote_sdp.port != answered.remote_sdp.port
    rig.acd.wait_action(ReportJoin)
    talk(call, answered)
    call.hang_up()


def test_blind_transfer_hands_the_caller_on(
    rig: MediaRig, alice: Phone, bob: Phone, make_phone: MakePhone
) -> None:
    carol = make_phone("200", "kalibri.internal", media=True)
    call, answered = queue_and_join(rig, alice, bob)
    answered.refer(f"sip:200@{carol.address[0]}:{carol.address[1]}")
    target = carol.wait_call().wait_answered()
    answered.wait_ended()
    assert [line.split()[1] for line in answered.refer_progress] == ["100", "180", "200"]
    talk(call, target)
    assert rig.acd.wait_action(ReportTransfer).succeeded
    call.hang_up()
    target.wait_ended()


@pytest.mark.parametrize("behind_nat", [False, True])
@pytest.mark.parametrize("begins", ["while it rings", "with the answer", "when they talk"])
def test_who_comes_after_an_agent_is_heard_whenever_the_agent_began_to_send(
    rig: MediaRig, alice: Phone, bob: Phone, make_phone: MakePhone, begins: str, behind_nat: bool
) -> None:
    """A node that got a packet of the agent before it was told of him believed no later address."""
    carol = make_phone("200", "kalibri.internal", media=True)
    if behind_nat:
        bob.media_ip = carol.media_ip = "127.0.0.9"
    call, ringing = ring(rig, alice, bob)
    noise = known_payload(0.1, seed=70)
    if begins == "while it rings":
        ringing.media.play(noise, repeat=True)
        rig.wait_packets(5)
    elif begins == "with the answer":
        ringing.media.play(noise, repeat=True)
    ringing.answer()
    ringing.wait_answered()
    rig.acd.wait_action(ReportJoin)
    talk(call, ringing)
    ringing.refer(f"sip:200@{carol.address[0]}:{carol.address[1]}")
    target = carol.wait_call().wait_answered()
    ringing.wait_ended()
    talk(call, target)
    call.hang_up()
    target.wait_ended()


def ring(rig: MediaRig, alice: Phone, bob: Phone, number: int = 1) -> tuple[Call, Call]:
    """Let a caller wait and an agent's phone ring, which answers when it is told to."""
    bob.plan = Plan.ring(183, early_media=True)
    call = rig.call(alice).wait_answered()
    rig.acd.post(offer(bob, number))
    return call, bob.wait_call()


def test_who_hears_ringing_tones_of_one_line_talks_to_the_next(
    rig: MediaRig, alice: Phone, bob: Phone, make_phone: MakePhone
) -> None:
    """An external number sends its ringing tone as RTP before anybody answers, and then nobody does."""
    call, ringing = ring(rig, alice, bob)
    ringing.media.play(known_payload(0.1, seed=70), repeat=True)
    rig.wait_packets(5)
    ringing.reject(486)
    rig.acd.wait_action(ReportOffer)
    carol = make_phone("200", "kalibri.internal", media=True)
    rig.acd.post(offer(carol, 2))
    answered = carol.wait_call().wait_answered()
    rig.acd.wait_action(ReportJoin)
    talk(call, answered)
    call.hang_up()
    answered.wait_ended()


def test_agent_behind_nat_may_listen_long_before_he_speaks(rig: MediaRig, alice: Phone, bob: Phone) -> None:
    """A phone that suppresses silence sends nothing; the node believes for ten seconds only that it is elsewhere."""
    bob.media_ip = "127.0.0.9"
    call, ringing = ring(rig, alice, bob)
    ringing.answer()
    ringing.wait_answered()
    rig.acd.wait_action(ReportJoin)
    call.media.play(known_payload(0.1, seed=71), repeat=True)
    begun = call.media.sent
    alice.wait(lambda: call.media.sent >= begun + 13 * 50, 20, "thirteen seconds of speech")
    assert ringing.media.received == []
    talk(call, ringing)
    call.hang_up()
    ringing.wait_ended()


def test_transfer_that_fails_gives_the_caller_back(
    rig: MediaRig, alice: Phone, bob: Phone, make_phone: MakePhone
) -> None:
    carol = make_phone("200", "kalibri.internal", plan=Plan.reject(486))
    call, answered = queue_and_join(rig, alice, bob)
    answered.refer(f"sip:200@{carol.address[0]}:{carol.address[1]}")
    bob.wait(lambda: len(answered.refer_progress) == 2, 10, "the failure told")
    talk(call, answered)
    call.hang_up()


def test_callback_agent_first(rig: MediaRig, alice: Phone, bob: Phone) -> None:
    entry = Entry("01890000-0000-7000-8000-000000000001", 1, 7, "+74951234567", is_callback=True)
    host, port = alice.address
    due = CallbackDue(
        f"sip:100@{host}:{port}", QueueSettings(music="jazz"), 5, "+74950000000", offer(bob).target
    )
    rig.loop.run_in_loop(lambda: rig.host.begin_callback(entry, due, bob.address))
    answered = bob.wait_call().wait_answered()
    call = alice.wait_call().wait_answered()
    rig.acd.wait_action(ReportJoin)
    talk(call, answered)
    call.hang_up()
    answered.wait_ended()


@pytest.mark.parametrize("who", ["caller", "agent"])
def test_far_end_that_vanishes_without_a_word_is_found_out(
    rig: MediaRig, alice: Phone, bob: Phone, who: str
) -> None:
    """His RTP stops, an OPTIONS in the dialog is not answered: within ten seconds the other is free."""
    call, answered = queue_and_join(rig, alice, bob)
    noise = known_payload(1.0, seed=5)
    for side in (call, answered):
        side.media.play(noise, repeat=True)
    wait_frames(call, noise, 40)
    gone, left = (call, answered) if who == "caller" else (answered, call)
    gone.media.stop()
    gone.phone.deaf = True
    left.wait_ended(12)
    assert rig.acd.wait_action(ReportTalkEnd).by == who


def test_recording_is_asked_of_the_controller(rig: MediaRig, alice: Phone, bob: Phone) -> None:
    call, _answered = queue_and_join(rig, alice, bob)
    rig.acd.post(RecordAsked(True))
    bob.wait(lambda: rig.rpc_calls, 10, "the request")
    assert rig.rpc_calls[0][0] == "record.start"
    call.hang_up()


def test_draining_host_takes_no_call_and_stops_when_the_last_has_ended(
    rig: MediaRig, alice: Phone, bob: Phone
) -> None:
    call, answered = queue_and_join(rig, alice, bob)
    waiting = rig.call(alice).wait_answered()
    stopped: list[bool] = []
    rig.loop.run_in_loop(lambda: rig.host.stop(30.0, lambda: stopped.append(True)))
    waiting.wait_ended()
    refused = rig.call(alice).wait_ended()
    assert refused.code == 503
    talk(call, answered)
    assert not stopped
    call.hang_up()
    alice.wait(lambda: stopped, 10, "stopped")
