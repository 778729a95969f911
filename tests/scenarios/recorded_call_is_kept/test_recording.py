"""Calls recorded by route, account, tenant and on demand: what the phones said is in `ksctl recording list`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from callcore.g711 import ALAW_DECODED
from tests.support.net_loop import NetLoop
from tests.support.recordings import read_wav
from tests.support.rtp_peer import known_payload
from tests.support.sip_call import Call
from tests.support.sip_plan import Plan
from tests.support.switch import Switch

CALLER, CALLEE = "100", "101"


@contextmanager
def talking(switch: Switch, loop: NetLoop, number: str = "101") -> Iterator[tuple[Call, Call]]:
    """A call that is answered; both phones have media."""
    with switch.phone(loop, CALLER, media=True) as alice, switch.phone(loop, CALLEE, media=True) as bob:
        alice.register()
        bob.register()
        bob.plan = Plan.answer(ring_after=0.05)
        call = alice.call(f"sip:{number}@{switch.DOMAIN}")
        yield call, bob.calls[0]
        alice.unregister()
        bob.unregister()


def speak(call: Call, other: Call, seconds: float, seed: int) -> tuple[list[bytes], list[bytes]]:
    """Let both say something, and wait until both have heard it; return what they said."""
    said = known_payload(seconds, seed), known_payload(seconds, seed + 1)
    goals = [len(side.media.received) + len(frames) for side, frames in ((other, said[0]), (call, said[1]))]
    call.media.play(said[0])
    other.media.play(said[1])
    other.media.wait_received(goals[0], 60)
    call.media.wait_received(goals[1], 60)
    return said


def end(call: Call, other: Call) -> None:
    call.hang_up()
    other.wait_ended()


def call_of(switch: Switch, call: Call) -> str:
    return str(switch.cdr(call.call_id)["call_id"])


def recordings(switch: Switch, call_id: str) -> list[dict[str, Any]]:
    return switch.rows("SELECT * FROM recording WHERE call_id = %s", [call_id])


def finished(switch: Switch, call_id: str) -> dict[str, Any]:
    """Wait until the recording of a call is finished; return it as ksctl shows it."""
    switch.wait(
        lambda: [row for row in recordings(switch, call_id) if row["state"] == "indexed"],
        60,
        f"the recording of {call_id}",
    )
    found: dict[str, Any] = switch.ksctl_json("recording", "show", call_id)
    return found


def heard(switch: Switch, shown: dict[str, Any], side: int) -> bytes:
    """Return the samples of one side of the kept WAV."""
    (wav,) = [file for file in shown["files"] if file["name"] == "wav"]
    samples, rate = read_wav(switch.config.recording_directory / wav["path"])
    assert rate == 8000
    return samples[:, side].tobytes()


def samples_of(frames: list[bytes]) -> bytes:
    return ALAW_DECODED[np.frombuffer(b"".join(frames), np.uint8)].tobytes()


@pytest.fixture(autouse=True)
def keep_the_wav(switch: Switch) -> Iterator[None]:
    switch.ksctl("recording", "policy", "--keep-wav", "--keep-original")
    yield
    switch.ksctl("recording", "policy", "-t", "demo", "--default")
    switch.ksctl("account", "set", CALLEE, "-t", "demo", "--record", "none")
    switch.save()


def test_an_account_that_wants_it_is_recorded_when_called(switch: Switch, net_loop: NetLoop) -> None:
    switch.ksctl("account", "set", CALLEE, "-t", "demo", "--record", "yes")
    switch.save()
    with talking(switch, net_loop) as (call, other):
        said, answered = speak(call, other, 2, seed=1)
        end(call, other)
    shown = finished(switch, call_of(switch, call))
    assert (shown["reason"], shown["tenant"]) == ("account", "demo")
    assert (shown["a_number"], shown["b_number"]) == (CALLER, CALLEE)
    assert samples_of(said) in heard(switch, shown, 0)
    assert samples_of(answered) in heard(switch, shown, 1)
    assert [event["kind"] for event in switch.events(shown["call_id"]) if "recording" in event["kind"]] == [
        *("recording.started", "recording.stopped", "recording.stored")
    ]


def test_a_tenant_may_have_all_its_calls_recorded(switch: Switch, net_loop: NetLoop) -> None:
    switch.ksctl("recording", "policy", "-t", "demo", "--record", "--keep-wav")
    switch.save()
    with talking(switch, net_loop) as (call, other):
        said, _ = speak(call, other, 1, seed=3)
        end(call, other)
    shown = finished(switch, call_of(switch, call))
    assert samples_of(said) in heard(switch, shown, 0)


def test_a_call_that_nobody_wants_recorded_is_not(switch: Switch, net_loop: NetLoop) -> None:
    switch.save()
    with talking(switch, net_loop) as (call, other):
        speak(call, other, 0.5, seed=5)
        end(call, other)
    call_id = call_of(switch, call)
    assert recordings(switch, call_id) == []
    assert list(switch.config.rtp_manifest_directory.glob("*.jsonl")) == []


def test_on_demand_with_a_pause_in_which_nothing_is_written(switch: Switch, net_loop: NetLoop) -> None:
    switch.ksctl("account", "set", CALLEE, "-t", "demo", "--media-relay", "always")
    switch.save()
    with talking(switch, net_loop) as (call, other):
        (live,) = switch.ksctl_json("call", "live")
        speak(call, other, 0.4, seed=10)
        switch.ksctl("recording", "start", live["call_id"])
        before, _ = speak(call, other, 1, seed=11)
        switch.ksctl("recording", "pause", live["call_id"])
        secret, card = speak(call, other, 1, seed=13)
        switch.ksctl("recording", "resume", live["call_id"])
        after, _ = speak(call, other, 1, seed=15)
        _nowhere(secret + card, switch.instance.home)
        end(call, other)
    call_id = call_of(switch, call)
    shown = finished(switch, call_id)
    _nowhere(secret + card, switch.instance.home)
    assert (shown["reason"], shown["a_number"]) == ("demand", CALLER)
    assert [mark["kind"] for mark in shown["marks"]] == ["pause"]
    left = heard(switch, shown, 0)
    assert samples_of(before) in left
    assert samples_of(after) in left
    assert samples_of(secret[:5]) not in left


def _nowhere(secrets: list[bytes], home: Path) -> None:
    """No frame of these lies in any file of the instance."""
    for folder in ("rtp", "recordings"):
        for path in (path for path in (home / folder).rglob("*") if path.is_file()):
            content = path.read_bytes()
            assert not any(frame in content for frame in secrets), path
