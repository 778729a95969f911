"""ks-ears as a process with real PostgreSQL and RTP: verdicts, learning, and whatever else comes in does no harm."""

from __future__ import annotations

import random
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psycopg
import pytest

from callcore.ears_verdict import HangupReason
from kalibri.config import Config
from kalibri.services import early_media
from kalibri.services import fingerprint as fingerprints
from tests.support.builders import make_tenant
from tests.support.ears_process import Asker, EarsProcess, send
from tests.support.ears_sounds import Samples, Speaker, cadence, sentence, silence, tone
from tests.support.waiting import wait_until
from tools.instance.probes import probe

CALL = "01980000-0000-7000-8000-000000000001"


@pytest.fixture
def ears(pg_dsn: str, tmp_path: Path) -> Iterator[EarsProcess]:
    process = EarsProcess(tmp_path, pg_dsn)
    process.start()
    yield process
    if process.is_alive:
        assert process.stop() == 0


@pytest.fixture
def asker(ears: EarsProcess) -> Iterator[Asker]:
    asker = Asker(ears.socket)
    yield asker
    asker.close()


@pytest.fixture(scope="module")
def message(speaker: Speaker) -> Samples:
    return np.concatenate([silence(0.4), speaker.say(sentence("ru", "operator", 10), "ru"), silence(0.3)])


def until(asker: Asker, text: str) -> None:
    """Wait until ks-ears says this of itself."""
    wait_until(lambda: text in asker.detail(), f"ks-ears says {text}")


def enrol(db: psycopg.Connection, message: Samples, name: str = "vacant") -> None:
    fingerprints.store(
        db, tenant_id=0, name=name, reason=HangupReason.NOT_EXISTING, samples=message, tone_sets=()
    )


def test_tones_messages_and_people_are_told(
    db: psycopg.Connection, asker: Asker, message: Samples, speaker: Speaker
) -> None:
    enrol(db, message)
    until(asker, "1 recordings known")
    hello = np.concatenate([silence(0.5), speaker.say("Hello", "en-us"), silence(3)])
    for name, clip, more, expected in (
        ("busy", cadence(4, [425], [(0.35, 0.35)]), {}, ("tone", "busy", "busy")),
        ("us", cadence(4, [480, 620], [(0.5, 0.5)]), {"tones": "us"}, ("tone", "busy", "busy")),
        (
            "new-york",
            cadence(4, [480, 620], [(0.5, 0.5)]),
            {"number": "12125550100"},
            ("tone", "busy", "busy"),
        ),
        ("vacant", message, {"tenant": 5}, ("message", "vacant", "not_existing")),
        ("hello", hello, {"answered": True}, ("human", "", None)),
    ):
        send(clip, asker.listen(name, **more), alaw=name != "us")
        verdict = asker.told("verdict")
        assert (verdict["id"], verdict["final"]) == (name, True)
        assert (verdict["heard"], verdict["name"], verdict["reason"]) == expected
        asker.ask("stop", id=name)
        stopped = asker.told("stopped")
        assert stopped["id"] == name
        assert stopped["packets"] > 0


def test_ksinit_hears_that_it_is_ready(ears: EarsProcess, pg_config: Config) -> None:
    assert probe(pg_config, "ks-ears").ready
    assert ears.stop() == 0
    assert not probe(pg_config, "ks-ears").ready


def test_an_answer_in_the_middle_changes_what_is_listened_for(asker: Asker, speaker: Speaker) -> None:
    target = asker.listen("a")
    ringing = np.concatenate([tone(1, 425), silence(2)])
    send(ringing, target)
    assert asker.told("verdict")["name"] == "ringback"
    asker.ask("answered", id="a")
    send(np.concatenate([silence(0.4), speaker.say("Hello", "en-us"), silence(3)]), target, source=8)
    assert asker.told("verdict")["heard"] == "human"


def test_a_sender_that_sends_nothing_in_silence_is_heard_too(asker: Asker, speaker: Speaker) -> None:
    """Silence suppression: after the greeting no packet comes; the clock tells that he waits for us."""
    target = asker.listen("dtx", answered=True)
    send(np.concatenate([silence(0.3), speaker.say("Hello", "en-us")]), target, pace=0.02)
    assert asker.told("verdict")["heard"] == "human"


def test_what_nobody_knows_is_learned_and_then_known(
    db: psycopg.Connection, pg_config: Config, asker: Asker, message: Samples
) -> None:
    acme = make_tenant(db, "acme")
    target = asker.listen("first", tenant=acme)
    send(message, target)
    asker.ask("stop", id="first", failed={"call": CALL, "number": "74951234567", "code": 404})
    assert asker.told("stopped")["id"] == "first"
    clusters = wait_until(lambda: early_media.list_clusters(db, tenant_id=acme), "something is learned")
    (call,) = early_media.cluster_calls(db, cluster_id=clusters[0].cluster_id)
    assert (str(call.call_id), call.number, call.code) == (CALL, "74951234567", 404)
    early_media.label(
        db, pg_config, cluster_id=clusters[0].cluster_id, name="vacant", reason=HangupReason.NOT_EXISTING
    )
    until(asker, "1 recordings known")
    target = asker.listen("second", tenant=acme)
    send(message, target)
    assert asker.told("verdict")["name"] == "vacant"
    asker.ask("stop", id="second", failed={"code": 404})
    asker.told("stopped")
    target = asker.listen("other tenant")
    send(message, target)
    asker.ask("stop", id="other tenant")
    assert asker.told("stopped")["seconds"] > 3


def test_bad_lines_and_packets_do_no_harm(ears: EarsProcess, asker: Asker) -> None:
    target = asker.listen("a")
    chooser = random.Random(5)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _ in range(500):
            sock.sendto(chooser.randbytes(chooser.randrange(400)), target)
            sock.sendto(b"\x80\x08" + chooser.randbytes(chooser.randrange(400)), target)
    for line in (
        b"no json\n",
        b"[]\n",
        b'{"op": "fly", "id": "a"}\n',
        b'{"op": "stop", "id": "b"}\n',
        b"\xff\n",
    ):
        asker.raw(line)
        assert asker.told("refused")["error"] in ("bad-request", "unknown")
    asker.ask("listen", id="a")
    assert asker.told("refused")["error"] == "exists"
    asker.ask("listen", id="b", tones="atlantis")
    assert asker.told("refused")["error"] == "bad-request"
    rude = Asker(ears.socket)
    rude.listen("rude")
    with pytest.raises(ConnectionError):
        _be_rude(rude)
    rude.close()
    until(asker, "1 legs")
    asker.ask("stop", id="a")
    assert asker.told("stopped")["id"] == "a"


def _be_rude(asker: Asker) -> None:
    """Send a line that never ends, until it is not read any more."""
    asker.raw(b"x" * 100_000)
    while True:
        asker.line()


def test_legs_go_with_their_client_and_the_limit_holds(pg_dsn: str, tmp_path: Path) -> None:
    process = EarsProcess(tmp_path, pg_dsn, max_calls=2)
    process.start()
    first, second = Asker(process.socket), Asker(process.socket)
    first.listen("a")
    first.listen("b")
    second.ask("listen", id="c")
    assert second.told("refused")["error"] == "full"
    second.ask("stop", id="a")
    assert second.told("refused")["error"] == "unknown"
    first.close()
    until(second, "0 legs")
    second.listen("a", seconds=1)
    assert second.told("ended") == {"op": "ended", "id": "a", "why": "time"}
    second.close()
    assert process.stop() == 0
    assert not process.socket.exists()


def test_another_codec_is_told(asker: Asker) -> None:
    target = asker.listen("opus")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for number in range(5):
            sock.sendto(b"\x80\x12" + number.to_bytes(2, "big") + bytes(40), target)
    assert asker.told("deaf") == {"op": "deaf", "id": "opus", "codec": 18}


def test_killed_and_without_database_it_knows_what_it_knew(
    db: psycopg.Connection, pg_dsn: str, tmp_path: Path, message: Samples
) -> None:
    process = EarsProcess(tmp_path, pg_dsn)
    process.start()
    asker = Asker(process.socket)
    enrol(db, message)
    until(asker, "1 recordings known")
    asker.close()
    process.stop(signal.SIGKILL)
    alone = EarsProcess(tmp_path, "host=127.0.0.1 port=1 dbname=kalibri")
    alone.start()
    asker = Asker(alone.socket)
    until(asker, "without the database")
    send(message, asker.listen("a"))
    assert asker.told("verdict")["name"] == "vacant"
    asker.close()
    assert alone.stop() == 0
