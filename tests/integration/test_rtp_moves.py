"""Who is believed to be at a side of a call: real RTPProxy behind the controller, media bit by bit.

A side moves when a re-INVITE brings another address: direct media, a transfer behind a PBX, a phone in another network.
Both must hear each other then, however the call began.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from callcore.ids import uuid7
from tests.support.net_loop import NetLoop
from tests.support.rtp_peer import RtpPeer, build_rtp, compare, known_payload
from tests.support.rtp_system import RtpSystem

#: What a phone behind NAT believes to be: its packets come from elsewhere.
PRIVATE = "127.0.0.9"
#: A node believes for ten seconds after it was told that somebody is elsewhere.
SILENT_SECONDS = 11
FRAMES = 10
_seeds = itertools.count(5000)


@pytest.fixture(scope="module")
def system() -> Iterator[RtpSystem]:
    with RtpSystem(nodes=1, controllers=1) as running:
        yield running


class Relayed:
    """A call whose commands a test sends one by one; side a calls side b."""

    def __init__(self, system: RtpSystem, loop: NetLoop, stack: ExitStack) -> None:
        self._system, self._loop, self._stack = system, loop, stack
        call = str(uuid7(time.time_ns() // 1_000_000, os.urandom(10)))
        self.key = f"{call[-12:]}@phone;{call}"
        self.call = call
        self.peers = {"a": self.phone(), "b": self.phone()}
        #: Ports to which each side sends.
        self.ports: dict[str, int] = {}

    def phone(self) -> RtpPeer:
        return self._stack.enter_context(RtpPeer(self._loop, symmetric=False))

    def offer(self, ip: str = "127.0.0.1", port: int = 0, *, by: str = "a", up: bool = False) -> None:
        """Send U: of the first INVITE, or (up) of a re-INVITE by either side."""
        tags = "F;1" if not up else "F;1 T;1" if by == "a" else "T;1 F;1"
        port = port or self.peers[by].port
        answer = self._system.ports(f"Uc8,101 {self.key} {ip} {port} {tags}")
        self.ports["b" if by == "a" else "a"] = answer.port

    def answer(self, ip: str = "127.0.0.1", port: int = 0, *, by: str = "b") -> None:
        """Send L: of a reply with SDP to an INVITE of the other side."""
        tags = "F;1 T;1" if by == "b" else "T;1 F;1"
        answer = self._system.ports(f"Lc8,101 {self.key} {ip} {port or self.peers[by].port} {tags}")
        self.ports["a" if by == "b" else "b"] = answer.port

    def move(self, by: str, ip: str = "127.0.0.1") -> RtpPeer:
        """Put a new phone in the place of a side, by a re-INVITE; return the one before."""
        before, self.peers[by] = self.peers[by], self.phone()
        other = "a" if by == "b" else "b"
        self.offer(ip, by=by, up=True)
        self.answer(by=other)
        return before

    def talk(self, first: str) -> None:
        """Let a side speak, then the other one, and see every frame arrive."""
        for speaker in (first, "a" if first == "b" else "b"):
            self.say(speaker)

    def say(self, speaker: str) -> None:
        """Let a side speak and see every frame arrive."""
        listener = self.peers["a" if speaker == "b" else "b"]
        sent, before = known_payload(FRAMES / 50, next(_seeds)), len(listener.received)
        self.peers[speaker].play(sent, to=("127.0.0.1", self.ports[speaker]))
        heard = listener.wait_received(before + FRAMES)[before:]
        compare(sent, heard).assert_exact(FRAMES)

    def packet(self, peer: RtpPeer, side: str) -> None:
        """Send one packet from any phone in the place of a side."""
        peer.send_raw(build_rtp(1, 160, peer.ssrc, bytes(160)), ("127.0.0.1", self.ports[side]))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.fixture
def relayed(system: RtpSystem, net_loop: NetLoop, stack: ExitStack) -> Relayed:
    return Relayed(system, net_loop, stack)


def discarded(system: RtpSystem) -> int:
    """How many packets the node has thrown away."""
    return int(system.ask("G npkts_discard"))


@pytest.mark.parametrize("mover", ["a", "b"])
@pytest.mark.parametrize("ip", ["127.0.0.1", PRIVATE])
def test_callee_may_speak_before_his_answer(system: RtpSystem, relayed: Relayed, ip: str, mover: str) -> None:
    """What he says before L is thrown away, and nothing else comes of it."""
    relayed.offer()
    before = discarded(system)
    relayed.peers["b"].play(known_payload(1, 1), to=("127.0.0.1", relayed.ports["b"]), repeat=True)
    system.wait(lambda: discarded(system) >= before + 5, "early packets thrown away")
    relayed.answer(ip)
    relayed.peers["a"].wait_received(5)
    relayed.peers["b"].stop()
    relayed.move(mover, ip)
    relayed.talk(mover)


@pytest.mark.parametrize("mover", ["a", "b"])
@pytest.mark.parametrize("ip", ["127.0.0.1", PRIVATE, "0.0.0.0", "pbx.example"])
@pytest.mark.parametrize("times", [1, 2])
def test_side_may_move_however_it_was_told_before(relayed: Relayed, mover: str, ip: str, times: int) -> None:
    """Told twice: 183 and 200 for the callee, the next gateway for the caller. A name is told as it is each time."""
    for _ in range(times if mover == "a" else 1):
        relayed.offer(ip if mover == "a" else "127.0.0.1")
    for _ in range(times if mover == "b" else 1):
        relayed.answer(ip if mover == "b" else "127.0.0.1")
    other = "a" if mover == "b" else "b"
    for _ in range(3):  # lost, where the mover is not known to be
        relayed.packet(relayed.peers[other], other)
    if ip == "127.0.0.1":
        relayed.peers[mover].wait_received(3)
    relayed.talk(mover)
    for _ in range(2):
        relayed.move(mover, "127.0.0.1" if ip == "0.0.0.0" else ip)
        relayed.talk(mover)


def test_answer_may_come_from_elsewhere_than_early_media(relayed: Relayed) -> None:
    """The gateway's announcements come from a machine of their own; its SDP says nothing of it."""
    relayed.offer()
    relayed.answer()
    answering, relayed.peers["b"] = relayed.peers["b"], relayed.phone()
    relayed.say("b")
    relayed.peers["b"] = answering
    relayed.answer()
    relayed.talk("b")


def test_who_was_silent_is_told_again_after_a_restart(
    system: RtpSystem, net_loop: NetLoop, stack: ExitStack
) -> None:
    relayed = Relayed(system, net_loop, stack)
    relayed.offer()
    relayed.answer(PRIVATE)
    state = system.config.rtp_state_directory / "rtpc-1.jsonl"
    system.wait(
        lambda: any(relayed.call in line and PRIVATE in line for line in state.read_text().splitlines()),
        "state written",
    )
    system.kill("rtpc-1")
    system.start("rtpc-1")
    system.wait_ready("rtpc-1")
    relayed.answer(PRIVATE)
    relayed.talk("b")
    relayed.move("b")
    relayed.talk("b")


def test_silent_side_is_heard_when_it_speaks_at_last(
    system: RtpSystem, net_loop: NetLoop, stack: ExitStack
) -> None:
    """Behind NAT, told once or twice, or moved; also where a late packet came from its old place."""
    once, twice, moved, late = (Relayed(system, net_loop, stack) for _ in range(4))
    for call in (once, twice, moved, late):
        call.offer()
        call.answer(PRIVATE if call in (once, twice) else "127.0.0.1")
    twice.answer(PRIVATE)
    for call in (moved, late):
        call.talk("b")
    moved.move("b", PRIVATE)
    late.packet(late.move("b"), "b")
    clock = once.peers["a"]
    clock.play(known_payload(SILENT_SECONDS, 3), to=("127.0.0.1", once.ports["a"]))
    clock.wait_played()
    for call in (once, twice, moved, late):
        call.talk("b")
        call.move("b")
        call.talk("b")


def test_nothing_but_the_phones_is_counted(system: RtpSystem, relayed: Relayed) -> None:
    relayed.offer("0.0.0.0")
    relayed.answer()
    relayed.answer()
    relayed.talk("a")
    assert system.ask(f"D {relayed.key} F T") == "0"
    told = system.wait(
        lambda: next((event for event in system.events("call.media") if event["call"] == relayed.call), None),
        "call.media",
    )
    assert (told["a_packets"], told["b_packets"]) == (FRAMES, FRAMES)
