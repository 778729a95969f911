"""Fingerprints with real PostgreSQL and ffmpeg: enrolled, recognised, clustered, labelled; by ksctl and services."""

from __future__ import annotations

import random
import uuid
import wave
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import psycopg
import pytest

from callcore.ears_enrol import TooShort
from callcore.ears_tones import ToneSet
from callcore.ears_verdict import HangupReason
from callcore.errors import AlreadyExists, NotFound
from callcore.ids import uuid7
from kalibri.config import Config
from kalibri.services import early_media
from kalibri.services import fingerprint as fingerprints
from kalibri.services.early_media import EarlyMedia
from tests.support.builders import make_tenant
from tests.support.ears_sounds import (
    RATE,
    Samples,
    Signal,
    Speaker,
    sentence,
    silence,
    through_g711,
    tone,
    with_noise,
)
from tests.support.fix_ears import listen
from tests.support.fix_ksctl import Ksctl

START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def wav(path: Path, samples: Samples) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


@pytest.fixture(scope="module")
def messages(speaker: Speaker) -> list[Samples]:
    voices = ("ru", "en-us+f3", "de+f1")
    return [speaker.say(sentence(voice, "operator", 10), voice) for voice in voices]


def heard(number: int, samples: Samples, noise: Callable[[int, int], Signal], **more: object) -> EarlyMedia:
    """The samples after ringing, with noise, as another call heard them."""
    chooser = random.Random(number)
    clip = np.concatenate([tone(1.0, 425), silence(chooser.uniform(0.2, 1.5)), samples])
    noisy = through_g711(with_noise(clip, 18, noise(len(clip), number)), alaw=bool(number % 2))
    moment = START + timedelta(minutes=number)
    return EarlyMedia(
        early_media_id=uuid7(int(moment.timestamp() * 1000), bytes(9) + bytes([number])),
        samples=noisy,
        heard_at=moment,
        **more,  # type: ignore[arg-type]
    )


def test_ksctl_adds_tests_lists_and_removes(ksctl: Ksctl, messages: list[Samples], tmp_path: Path) -> None:
    file = wav(tmp_path / "vacant.wav", messages[0])
    ksctl.ok("fingerprint", "add", "vacant", str(file), "--reason", "not_existing", "--note", "seen at mts")
    row = ksctl.ok("fingerprint list -o json").json[0]
    assert (row["name"], row["reason"], row["tenant"], row["note"]) == (
        "vacant",
        "not_existing",
        "system",
        "seen at mts",
    )
    assert row["duration_ms"] == pytest.approx(len(messages[0]) * 1000 / RATE, abs=1)
    ksctl.ok("tenant add acme")
    for clip, expected in ((messages[0], ["vacant"]), (messages[1], [])):
        told = ksctl.ok("fingerprint", "test", str(wav(tmp_path / "q.wav", clip)), "-t", "acme", "-o", "json")
        assert [one["name"] for one in told.json] == expected
    ksctl.fails(4, "fingerprint", "add", "vacant", str(file), "--reason", "busy")
    ksctl.ok("fingerprint rm vacant")
    ksctl.fails(3, "fingerprint rm vacant")
    assert ksctl.ok("fingerprint list -o json").json == []


def test_what_has_too_little_sound_is_refused(ksctl: Ksctl, messages: list[Samples], tmp_path: Path) -> None:
    tones = np.concatenate([tone(4, 425), messages[0][: RATE // 2], silence(4)])
    said = ksctl.fails(
        1, "fingerprint", "add", "tones", str(wav(tmp_path / "t.wav", tones)), "--reason", "busy"
    )
    assert "2 s are needed" in said


def test_a_tenant_hears_its_own_and_the_systems(
    db: psycopg.Connection,
    pg_config: Config,
    messages: list[Samples],
    tmp_path: Path,
    tone_sets: dict[str, ToneSet],
) -> None:
    acme, other = (make_tenant(db, name) for name in ("acme", "other"))
    for tenant_id, message in ((0, 0), (acme, 1), (other, 2)):
        fingerprints.add(
            db,
            pg_config,
            tenant_id=tenant_id,
            name=f"m{message}",
            reason=HangupReason.BARRED,
            file=wav(tmp_path / "m.wav", messages[message]),
        )
    library = fingerprints.library_of(fingerprints.load(db, tenant_id=acme))
    assert [one.name for one in library.recordings] == ["m0", "m1"]
    for number, message in enumerate(messages):
        told = listen(np.concatenate([silence(0.3), message]), tone_sets["ru"], library)
        assert [one.name for one in told] == ([f"m{number}"] if number < 2 else [])
    before = fingerprints.state(db)
    fingerprints.remove(db, tenant_id=0, name="m0")
    assert fingerprints.state(db) != before


def test_words_of_an_old_version_are_made_anew(
    db: psycopg.Connection,
    pg_config: Config,
    messages: list[Samples],
    tmp_path: Path,
    tone_sets: dict[str, ToneSet],
) -> None:
    file = wav(tmp_path / "m.wav", messages[0])
    fingerprints.add(db, pg_config, tenant_id=0, name="old", reason=HangupReason.BUSY, file=file)
    db.execute("UPDATE fingerprint SET version = 0, words = '\\x00000000', sounds = '\\x80'")
    library = fingerprints.library_of(fingerprints.load(db))
    assert [one.name for one in listen(messages[0], tone_sets["ru"], library)] == ["old"]


def test_unknown_early_media_is_clustered_and_one_label_covers_its_calls(
    db: psycopg.Connection,
    pg_config: Config,
    ksctl: Ksctl,
    messages: list[Samples],
    noise: Callable[[int, int], Signal],
    tone_sets: dict[str, ToneSet],
    tmp_path: Path,
) -> None:
    acme = make_tenant(db, "acme")
    sets = list(tone_sets.values())
    call_id = uuid.UUID("01980000-0000-7000-8000-000000000001")
    for number in range(9):
        media = heard(
            number, messages[number % 3], noise, tenant_id=acme, code=404 + number % 2, call_id=call_id
        )
        first = early_media.learn(db, media, tone_sets=sets)
        assert early_media.learn(db, media, tone_sets=sets) == first
    clusters = early_media.list_clusters(db, tenant_id=acme)
    assert [(one.calls, one.label) for one in clusters] == [(3, None)] * 3
    chosen = min(clusters, key=lambda one: one.cluster_id)
    assert (chosen.first_at, chosen.last_at) == (START, START + timedelta(minutes=6))
    assert list(chosen.codes or ()) == [404, 405]
    rows = ksctl.ok("fingerprint", "cluster", str(chosen.cluster_id), "--calls", "-o", "json").json
    assert [row["call_id"] for row in rows] == [str(call_id)] * 3

    ksctl.ok("fingerprint", "label", str(chosen.cluster_id), "vacant", "--reason", "not_existing")
    ksctl.fails(4, "fingerprint", "label", str(chosen.cluster_id), "again", "--reason", "busy")
    assert len(ksctl.ok("fingerprint cluster -o json").json) == 2
    assert fingerprints.find(db, tenant_id=acme, name="vacant").clustered_calls == 3
    library = fingerprints.library_of(fingerprints.load(db, tenant_id=acme))
    told = listen(heard(20, messages[0], noise, tenant_id=acme).samples, tone_sets["ru"], library)
    assert [one.name for one in told if one.final] == ["vacant"]
    ksctl.ok("fingerprint", "cluster", str(chosen.cluster_id), "--to", str(tmp_path / "c.wav"))
    with wave.open(str(tmp_path / "c.wav")) as file:
        assert file.getnframes() * 1000 // RATE == chosen.duration_ms

    fingerprints.remove(db, tenant_id=acme, name="vacant")
    assert early_media.list_clusters(db, cluster_id=chosen.cluster_id)[0].label is None


def test_a_longer_sample_stands_for_its_cluster_until_it_is_labelled(
    db: psycopg.Connection,
    pg_config: Config,
    speaker: Speaker,
    noise: Callable[[int, int], Signal],
    tone_sets: dict[str, ToneSet],
) -> None:
    acme = make_tenant(db, "acme")
    long = speaker.say(sentence("en-us", "long", 24), "en-us")
    sets = list(tone_sets.values())
    for number, seconds in enumerate((4, 3, 7)):
        early_media.learn(db, heard(number, long[: seconds * RATE], noise, tenant_id=acme), tone_sets=sets)
    (cluster,) = early_media.list_clusters(db, tenant_id=acme)
    assert cluster.calls == 3
    assert cluster.duration_ms > 8000
    early_media.label(db, pg_config, cluster_id=cluster.cluster_id, name="x", reason=HangupReason.OTHER)
    early_media.learn(db, heard(9, long, noise, tenant_id=acme), tone_sets=sets)
    (after,) = early_media.list_clusters(db, tenant_id=acme)
    assert (after.calls, after.duration_ms) == (4, cluster.duration_ms)


def test_clusters_and_their_calls_stay_within_limits(
    db: psycopg.Connection,
    messages: list[Samples],
    noise: Callable[[int, int], Signal],
    tone_sets: dict[str, ToneSet],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(early_media, "KEEP_CLUSTERS", 2)
    monkeypatch.setattr(early_media, "KEEP_CALLS", 1)
    acme = make_tenant(db, "acme")
    sets = list(tone_sets.values())
    for number, message in enumerate((0, 0, 1, 2)):
        early_media.learn(db, heard(number, messages[message], noise, tenant_id=acme), tone_sets=sets)
    clusters = early_media.list_clusters(db, tenant_id=acme)
    assert [one.calls for one in clusters] == [2, 1]
    assert clusters[1].first_at == START + timedelta(minutes=3)
    assert len(early_media.cluster_calls(db, cluster_id=clusters[0].cluster_id)) == 1


def test_what_does_not_exist_or_is_too_short_is_refused(
    db: psycopg.Connection, pg_config: Config, noise: Callable[[int, int], Signal], messages: list[Samples]
) -> None:
    with pytest.raises(TooShort):
        early_media.learn(db, heard(1, messages[0][:4000], noise, tenant_id=0), tone_sets=())
    with pytest.raises(NotFound):
        early_media.learn(db, heard(1, messages[0], noise, tenant_id=99), tone_sets=())
    with pytest.raises(NotFound):
        early_media.cluster_calls(db, cluster_id=7)
    with pytest.raises(NotFound):
        early_media.label(db, pg_config, cluster_id=7, name="x", reason=HangupReason.BUSY)
    cluster_id = early_media.learn(db, heard(1, messages[0], noise, tenant_id=0), tone_sets=())
    early_media.label(db, pg_config, cluster_id=cluster_id, name="x", reason=HangupReason.BUSY)
    with pytest.raises(AlreadyExists):
        early_media.label(db, pg_config, cluster_id=cluster_id, name="y", reason=HangupReason.BUSY)
