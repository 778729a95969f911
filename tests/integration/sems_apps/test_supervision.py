"""Supervisors in a real conversation: who hears whom, bit-exact where one speaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sems_apps.actions import ReportJoin, SupervisionMode
from sems_apps.events import OfferMade, SuperviseAsked, SupervisionEnded
from tests.support.media_rig import MediaRig, media_rig
from tests.support.rtp_peer import known_payload
from tests.support.sip_call import Call
from tests.support.sip_phone import Phone

MakePhone = Callable[..., Phone]
LEG = "supervisor:7"
#: Frames of one speaker that must arrive one after the other; the first and the last of a fork may be cut.
EXACT = 25


class Conversation:
    """A caller and an agent who talk, and a supervisor's phone."""

    def __init__(self, rig: MediaRig, make_phone: MakePhone) -> None:
        self.rig = rig
        alice = make_phone("100", "kalibri.internal", proxy=rig.host.stack.address, media=True)
        bob = make_phone("agent", "kalibri.internal", media=True)
        self.boss = make_phone("boss", "kalibri.internal", media=True)
        for phone in (alice, bob, self.boss):
            phone.payload_types = (8, 101)
        self.call = rig.call(alice).wait_answered()
        rig.acd.post(OfferMade(1, _uri(bob), 20.0))
        self.agent = bob.wait_call().wait_answered()
        rig.acd.wait_action(ReportJoin)

    def supervise(self, mode: SupervisionMode) -> Call:
        """Let the supervisor take part, or change how."""
        self.rig.acd.post(SuperviseAsked(LEG, _uri(self.boss), mode))
        return self.boss.wait_call().wait_answered()

    def speak(self, speaker: Call, seed: int) -> dict[str, int]:
        """Let one speak; return how many of his frames each of the others heard in a row, bit-exact."""
        frames = known_payload(1.2, seed=seed)
        others = {"caller": self.call, "agent": self.agent}
        if self.boss.calls and self.boss.calls[0].state == "answered":
            others["boss"] = self.boss.calls[0]
        for side in others.values():
            side.media.received.clear()
        speaker.media.play(frames)
        speaker.media.wait_played()
        return {name: _longest(frames, side) for name, side in others.items() if side is not speaker}

    def wait_heard(self, speaker: Call, seed: int, *names: str) -> dict[str, int]:
        """Let one speak until these hear him whole: what leads there (re-INVITE, forks) takes its time."""
        heard: dict[str, int] = {}
        for attempt in range(10):
            heard = self.speak(speaker, seed + attempt)
            if all(heard.get(name, 0) >= EXACT for name in names):
                return heard
        raise AssertionError(f"{names} do not hear him: {heard}")


def _uri(phone: Phone) -> str:
    return f"sip:{phone.username}@{phone.address[0]}:{phone.address[1]}"


def _longest(frames: list[bytes], side: Call) -> int:
    index = {frame: number for number, frame in enumerate(frames)}
    best = run = 0
    last = -2
    for packet in list(side.media.received):
        number = index.get(packet.payload, -2)
        run = run + 1 if number == last + 1 and number >= 0 else int(number >= 0)
        best, last = max(best, run), number
    return best


@pytest.fixture
def talk(tmp_path: Path, make_phone: MakePhone) -> Iterator[Conversation]:
    with media_rig(tmp_path) as rig:
        yield Conversation(rig, make_phone)


def test_listener_hears_both_and_is_heard_by_nobody(talk: Conversation) -> None:
    boss = talk.supervise(SupervisionMode.LISTEN)
    talk.wait_heard(talk.call, 100, "boss", "agent")
    talk.wait_heard(talk.agent, 200, "boss", "caller")
    assert talk.speak(boss, 300) == {"caller": 0, "agent": 0}
    assert talk.rig.acd.supervisions == [(LEG, "")]


def test_whisper_is_heard_by_the_agent_only(talk: Conversation) -> None:
    boss = talk.supervise(SupervisionMode.WHISPER)
    assert talk.wait_heard(boss, 100, "agent")["caller"] == 0
    talk.wait_heard(talk.call, 200, "agent", "boss")
    talk.wait_heard(talk.agent, 300, "caller", "boss")


def test_barge_is_heard_by_both_and_all_is_as_before_when_he_leaves(talk: Conversation) -> None:
    talk.supervise(SupervisionMode.LISTEN)
    talk.wait_heard(talk.call, 100, "boss")
    boss = talk.supervise(SupervisionMode.BARGE)
    talk.wait_heard(boss, 200, "agent", "caller")
    talk.rig.acd.post(SupervisionEnded(LEG))
    boss.wait_ended()
    talk.wait_heard(talk.call, 300, "agent")
    talk.wait_heard(talk.agent, 400, "caller")
    assert len(talk.agent.requests) >= 2  # moved there and back by re-INVITE
    talk.call.hang_up()
    talk.agent.wait_ended()
    talk.boss.wait(lambda: talk.rig.sessions_on_node() == 0, 10, "every session deleted")


def test_supervisor_who_hangs_up_leaves_the_others_talking(talk: Conversation) -> None:
    boss = talk.supervise(SupervisionMode.WHISPER)
    talk.wait_heard(boss, 100, "agent")
    boss.hang_up()
    talk.wait_heard(talk.call, 300, "agent")
    talk.wait_heard(talk.agent, 400, "caller")
    talk.call.hang_up()
    talk.agent.wait_ended()


def test_end_of_the_call_ends_the_supervision(talk: Conversation) -> None:
    boss = talk.supervise(SupervisionMode.BARGE)
    talk.wait_heard(boss, 100, "agent", "caller")
    talk.call.hang_up()
    boss.wait_ended()
    talk.agent.wait_ended()
    talk.boss.wait(lambda: talk.rig.sessions_on_node() == 0, 10, "every session deleted")
