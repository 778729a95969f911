"""A queue that records: both sides of its calls are kept, whichever way the call reached the agent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from callcore.g711 import ALAW_DECODED
from tests.support.call_centre import CallCentre, assert_music
from tests.support.recordings import read_wav
from tests.support.rtp_peer import known_payload
from tests.support.sip_call import Call
from tests.support.switch import Switch

SECONDS = 1.5


@pytest.fixture
def centre(live_centre: CallCentre) -> Iterator[CallCentre]:
    live_centre.switch.ksctl("recording", "policy", "--keep-wav", "--keep-original")
    yield live_centre
    live_centre.switch.ksctl("recording", "policy", "-t", "demo", "--default")


def speak(call: Call, other: Call, seed: int) -> tuple[bytes, bytes]:
    """Let both say something until both have heard all of it; return it as A-law."""
    said = known_payload(SECONDS, seed), known_payload(SECONDS, seed + 1)
    for (mouth, ear), frames in zip(((call, other), (other, call)), said, strict=True):
        mouth.media.play(frames)
        ear.phone.wait(
            lambda ear=ear, frames=frames: set(frames) <= {packet.payload for packet in ear.media.received},
            60,
            "everything that was said",
        )
    return b"".join(said[0]), b"".join(said[1])


def kept(switch: Switch, call_id: str) -> dict[str, Any]:
    """Wait until the recording of a call is finished, and return it as ksctl shows it."""
    statement = "SELECT 1 FROM recording WHERE call_id = %s AND state = 'indexed'"
    switch.wait(lambda: switch.rows(statement, [call_id]), 60, f"the recording of {call_id}")
    shown: dict[str, Any] = switch.ksctl_json("recording", "show", call_id)
    return shown


def sides(switch: Switch, shown: dict[str, Any]) -> tuple[bytes, bytes]:
    """Return the samples of caller and agent."""
    (wav,) = [file for file in shown["files"] if file["name"] == "wav"]
    samples, _ = read_wav(switch.config.recording_directory / wav["path"])
    return samples[:, 0].tobytes(), samples[:, 1].tobytes()


def decoded(alaw: bytes) -> bytes:
    return ALAW_DECODED[np.frombuffer(alaw, np.uint8)].tobytes()


@pytest.mark.parametrize("anchor", ["never", "always"])
def test_both_sides_of_a_queue_call_are_kept(centre: CallCentre, anchor: str) -> None:
    """never: the agent is called directly by the proxy; always: a media host stands between."""
    switch = centre.switch
    agent = centre.agent(media=True)
    sales = centre.queue([agent], anchor=anchor, record=True, wrapup_seconds=0)
    call = centre.caller(media=True).invite(sales.uri)
    other = agent.call().wait_answered(20)
    call.wait_answered(20)
    agent.wait("busy")
    said, answered = speak(call, other, 31)
    call.hang_up()
    other.wait_ended()
    shown = kept(
        switch, str(sales.entries[0]["call_id"] if sales.entries else switch.cdr(call.call_id)["call_id"])
    )
    left, right = sides(switch, shown)
    assert decoded(said) in left
    assert decoded(answered) in right
    assert (shown["reason"], shown["tenant"]) == ("queue", "demo")


def test_a_caller_who_waited_is_recorded_once_he_is_joined(centre: CallCentre) -> None:
    """The music that he heard before is nobody's words: the recording begins with the offer to the agent."""
    switch = centre.switch
    agent = centre.agent(login=False, media=True)
    sales = centre.queue([agent], record=True, wrapup_seconds=0)
    call = centre.caller(media=True).call(sales.uri)
    assert_music(switch, call.media)
    agent.phone.register()
    agent.do("login", "test")
    other = agent.call().wait_answered(20)
    agent.wait("busy")
    said, answered = speak(call, other, 41)
    other.hang_up()
    call.wait_ended()
    left, right = sides(switch, kept(switch, str(sales.entries[0]["call_id"])))
    assert decoded(said) in left
    assert decoded(answered) in right
