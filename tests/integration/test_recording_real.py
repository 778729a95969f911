"""Recordings of real RTPProxy nodes: what was said comes out, sample for sample, whatever happens to the call."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psycopg
import pytest

from callcore.g711 import ALAW_DECODED, ULAW_DECODED, alaw_encode, ulaw_encode
from callcore.recording import RecordingState
from kalibri.config import Config
from kalibri.services import recording as recordings
from kalibri.services.recording import Recording
from tests.support.net_loop import NetLoop
from tests.support.rec_node import RecNode, RecordedSession, files_below
from tests.support.recordings import Samples, frames, read_wav, tone
from tests.support.rtp_peer import build_rtp
from tools.ks_rec import settle


@pytest.fixture
def loop() -> Iterator[NetLoop]:
    with NetLoop() as one:
        yield one


@pytest.fixture
def node(pg_config: Config, db: psycopg.Connection) -> Iterator[RecNode]:
    recordings.set_policy(db, tenant_id=0, keep_wav=True, keep_original=True)
    one = RecNode(pg_config)
    yield one
    if one.process.poll() is None:
        one.end(signal.SIGKILL)


Session = Callable[[], RecordedSession]


@pytest.fixture
def session(pg_config: Config, node: RecNode, loop: NetLoop) -> Iterator[Session]:
    """Make a recorded call."""
    made: list[RecordedSession] = []

    def make() -> RecordedSession:
        made.append(RecordedSession(pg_config, node, loop))
        made[-1].begin()
        return made[-1]

    yield make
    for one in made:
        one.close()


def ulaw(samples: Samples) -> list[bytes]:
    return frames(ulaw_encode(samples).tobytes())


def alaw(samples: Samples) -> list[bytes]:
    return frames(alaw_encode(samples).tobytes())


def decoded(said: list[bytes], table: Samples = ULAW_DECODED) -> Samples:
    return table[np.frombuffer(b"".join(said), np.uint8)]


def finished(conn: psycopg.Connection, config: Config, call: RecordedSession) -> Recording:
    """Let the pipeline work until the recording is finished."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        settle(config)
        found = recordings.list_recordings(conn, recording_ids=[call.call.recording_id])
        if found and found[0].state is RecordingState.INDEXED:
            return found[0]
        time.sleep(0.3)
    raise AssertionError(found)


def audio(conn: psycopg.Connection, config: Config, recording: Recording, name: str) -> Path:
    return recordings.audio(
        conn, config, recording_id=recording.recording_id, name=name, by="test", use="play"
    )


def begins_at(heard: Samples, expected: Samples) -> int:
    """Say where `expected` is in `heard`, to the sample; -1: nowhere."""
    for at in np.flatnonzero(heard[: len(heard) - len(expected) + 1] == expected[0]).tolist():
        if np.array_equal(heard[at : at + len(expected)], expected):
            return int(at)
    return -1


def from_mp3(path: Path) -> Samples:
    command = [
        "ffmpeg",
        "-nostdin",
        "-v",
        "error",
        "-i",
        str(path),
        "-f",
        "s16le",
        "-ac",
        "2",
        "-ar",
        "8000",
        "-",
    ]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    return np.frombuffer(done.stdout, np.int16).reshape(-1, 2)


def test_what_was_said_is_what_is_kept(session: Session, pg_config: Config, db: psycopg.Connection) -> None:
    """Both sides, with a re-INVITE that moves the caller and a change of codec in the middle."""
    call = session()
    first, second = tone(440, 1.5, seed=1), tone(523, 1.5, seed=2)
    other, later = tone(1000, 1.5, seed=3), tone(1400, 1.5, seed=4)
    call.speak(ulaw(first), ulaw(other))
    call.move_caller()
    call.caller.payload_type = 8
    call.speak(alaw(second), ulaw(later))
    call.delete()
    recording = finished(db, pg_config, call)
    samples, rate = read_wav(audio(db, pg_config, recording, "wav"))
    assert rate == 8000
    left, right = samples[:, 0], samples[:, 1]
    one = begins_at(left, decoded(ulaw(first)))
    two = begins_at(left, decoded(alaw(second), ALAW_DECODED))
    assert one >= 0
    assert two >= one + len(first)
    assert begins_at(right, decoded(ulaw(other))) >= 0
    assert begins_at(right, decoded(ulaw(later))) > 0
    # Nothing else is to be heard.
    assert np.count_nonzero(left) <= len(first) + len(second)
    assert recording.quality["caller"]["codecs"] == {"PCMU": 75, "PCMA": 75}
    assert recording.quality["caller"]["streams"] == 2


def test_the_mp3_sounds_like_it_and_keeps_the_sides_apart(
    session: Session, pg_config: Config, db: psycopg.Connection
) -> None:
    call = session()
    call.speak(ulaw(tone(440, 3, seed=1)), ulaw(tone(1100, 3, seed=2)))
    call.delete()
    recording = finished(db, pg_config, call)
    samples, _ = read_wav(audio(db, pg_config, recording, "wav"))
    mp3 = from_mp3(audio(db, pg_config, recording, "mp3"))
    assert abs(len(mp3) - len(samples)) < 8000 // 4
    for side, (own, foreign) in enumerate(((440, 1100), (1100, 440))):
        wav_side, mp3_side = samples[4000:20_000, side].astype(float), mp3[:, side].astype(float)
        lags = range(3000, 5000)
        best = max(lags, key=lambda lag: float(np.dot(wav_side, mp3_side[lag : lag + len(wav_side)])))
        assert np.corrcoef(wav_side, mp3_side[best : best + len(wav_side)])[0, 1] > 0.98
        assert abs(best - 4000) < 800  # a tenth of a second
        spectrum = np.abs(np.fft.rfft(mp3_side[4000:12_000]))
        assert spectrum[own] > 300 * spectrum[foreign - 20 : foreign + 20].max()


def test_nothing_of_a_pause_is_on_the_disk(
    session: Session, pg_config: Config, db: psycopg.Connection
) -> None:
    call = session()
    before, secret, after = (tone(440, 1, seed=seed) for seed in (1, 2, 3))
    reply, card, thanks = (tone(900, 1, seed=seed) for seed in (4, 5, 6))
    call.speak(ulaw(before), ulaw(reply))
    call.pause()
    call.speak(ulaw(secret), ulaw(card))
    call.resume()
    call.speak(ulaw(after), ulaw(thanks))
    call.delete()
    secrets = [frame for side in (secret, card) for frame in ulaw(side)]
    _nowhere(secrets, pg_config)
    recording = finished(db, pg_config, call)
    _nowhere(secrets, pg_config)
    assert [file.name for file in recordings.files(db, recording_ids=[recording.recording_id])] == [
        *("mp3", "pcap-1", "pcap-2", "wav")
    ]
    (mark,) = recording.marks
    assert mark["kind"] == "pause"
    assert 900 < mark["to_ms"] - mark["from_ms"] < 20_000
    samples, _ = read_wav(audio(db, pg_config, recording, "wav"))
    start, end = (mark[name] * 8 for name in ("from_ms", "to_ms"))
    assert not samples[start:end].any()
    assert begins_at(samples[:, 0], decoded(ulaw(before))) >= 0
    assert begins_at(samples[:, 0], decoded(ulaw(after))) >= end
    assert begins_at(samples[:, 1], decoded(ulaw(thanks))) >= end


def _nowhere(secrets: list[bytes], config: Config) -> None:
    for path in files_below(config.home):
        content = path.read_bytes()
        assert not any(frame in content for frame in secrets), path


def test_a_node_killed_in_mid_call_leaves_what_was_on_the_disk(
    session: Session, node: RecNode, pg_config: Config, db: psycopg.Connection
) -> None:
    call = session()
    said = ulaw(tone(440, 6, seed=1))
    call.speak(said, ulaw(tone(900, 6, seed=2)))
    node.end(signal.SIGKILL)
    call.tell("stop", reason="node_dead")
    node.start()  # its start moves what it finds in the spool
    recording = finished(db, pg_config, call)
    assert recording.stop_reason == "node_dead"
    samples, _ = read_wav(audio(db, pg_config, recording, "wav"))
    # RTPProxy writes in pieces of some kilobytes: the last of it may be missing.
    assert 5 < recording.duration_ms / 1000 <= 6.5
    assert begins_at(samples[:, 0], decoded(said[:250])) >= 0
    assert files_below(node.spool) == files_below(node.final) == []


def test_a_node_that_never_comes_back_leaves_its_spool(
    session: Session,
    node: RecNode,
    pg_config: Config,
    db: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("callcore.recording.QUIET_SECONDS", 2.0)
    call = session()
    call.speak(ulaw(tone(440, 4, seed=1)), ulaw(tone(900, 4, seed=2)))
    node.end(signal.SIGKILL)
    recording = finished(db, pg_config, call)  # its controller died, too: no line says stop
    assert recording.stop_reason == "controller_restart"
    assert recording.duration_ms > 3000
    assert files_below(node.spool) == []


def test_a_full_disk_ends_the_recording_and_not_the_call(
    pg_config: Config, node: RecNode, loop: NetLoop, db: psycopg.Connection
) -> None:
    """The node may write no more than 40 kB: the relay goes on, and what was written is kept."""
    node.end(signal.SIGTERM)
    node.start(file_limit_bytes=40_000)
    call = RecordedSession(pg_config, node, loop)
    try:
        call.begin()
        said = ulaw(tone(440, 4, seed=1))
        call.speak(said, ulaw(tone(900, 4, seed=2)))  # it waits until every frame was relayed
        assert [packet.payload for packet in call.callee.received] == said
        call.delete("disk_full")
    finally:
        call.close()
    recording = finished(db, pg_config, call)
    assert recording.stop_reason == "disk_full"
    samples, _ = read_wav(audio(db, pg_config, recording, "wav"))
    assert begins_at(samples[:, 0], decoded(said[:60])) >= 0


def test_lost_and_late_packets_on_the_way_to_the_node(
    session: Session, pg_config: Config, db: psycopg.Connection
) -> None:
    call = session()
    rng = random.Random(3)
    said = ulaw(tone(440, 4, seed=1))
    lost = set(rng.sample(range(5, 195), 4))
    order = sorted(range(len(said)), key=lambda n: n + (rng.random() * 1.6 if n > 2 else 0))
    assert call.caller.remote is not None
    begun = time.monotonic()
    for slot, n in enumerate(order):
        time.sleep(max(begun + slot * 0.02 - time.monotonic(), 0))  # the pace of a phone
        if n not in lost:
            call.caller.send_raw(build_rtp(n, n * 160, 77, said[n], 0), call.caller.remote)
    call.callee.wait_received(len(said) - len(lost))
    call.delete()
    recording = finished(db, pg_config, call)
    samples, _ = read_wav(audio(db, pg_config, recording, "wav"))
    expected = decoded(said).copy()
    for n in lost:
        expected[n * 160 : (n + 1) * 160] = 0
    whole = expected[: max(n for n in range(len(said)) if n not in lost) * 160 + 160]
    assert begins_at(samples[:, 0], whole) >= 0
    assert recording.quality["caller"]["lost"] == len(lost)
