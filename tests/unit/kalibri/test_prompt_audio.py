"""Frames of prompts: whole, at one loudness, and what was put in comes out again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from G722 import G722
from hypothesis import given
from hypothesis import strategies as st

from callcore import synthesis
from callcore.g711 import ALAW_DECODED, ULAW_DECODED
from callcore.resample import change_rate
from callcore.synthesis import WIDE
from kalibri.prompt_audio import (
    BadPrompt,
    decode,
    encode,
    encode_gsm,
    from_wav,
    loudness_dbfs,
    master,
    speak,
    to_wav,
    trim,
)


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """The best correlation within 5 ms."""
    size = min(len(one), len(other)) - 100
    middle = one[50 : 50 + size].astype(float)
    return max(float(np.corrcoef(middle, other[at : at + size].astype(float))[0, 1]) for at in range(100))


@given(st.floats(0.01, 3), st.floats(0.02, 0.9))
def test_frames_are_whole_in_every_codec(seconds: float, loudness: float) -> None:
    samples = master(synthesis.tone(seconds, 440) * np.float32(loudness), -20)
    coded = encode(samples)
    frames = len(samples) // 320
    assert len(samples) % 320 == 0
    assert {kind: len(octets) for kind, octets in coded.items()} == dict.fromkeys((0, 8, 9), frames * 160)


def test_gsm_frames_of_several_prompts_are_told_apart() -> None:
    masters = [master(synthesis.tone(seconds, 440), -20) for seconds in (0.1, 1.0, 0.33)]
    assert [len(octets) for octets in encode_gsm(masters)] == [
        len(samples) // 320 * 33 for samples in masters
    ]


@pytest.mark.parametrize("loudness", [0.001, 0.05, 0.9])
def test_every_source_gets_the_same_loudness(loudness: float) -> None:
    speech = synthesis.tone(1.0, 300, 800) * np.float32(loudness)
    signal = np.concatenate((synthesis.silence(1.0), speech, synthesis.silence(2.0)))
    told = loudness_dbfs(master(signal, -20).astype(np.float32) / 32768)
    assert abs(told + 20) < 0.5


def test_silence_stays_silence() -> None:
    assert not master(synthesis.silence(0.5), -20).any()


def test_what_is_coded_is_what_was_given() -> None:
    samples = master(synthesis.music()[: 3 * WIDE], -20)
    coded = encode(samples)
    narrow = change_rate(samples.astype(np.float32), 16_000, 8000)
    for table, kind in ((ULAW_DECODED, 0), (ALAW_DECODED, 8)):
        assert correlation(narrow, table[np.frombuffer(coded[kind], np.uint8)]) > 0.99
    wide = np.frombuffer(G722(16_000, 64_000).decode(coded[9]), np.int16)
    assert correlation(samples, wide) > 0.99


def test_the_master_survives_the_database() -> None:
    samples = master(synthesis.TONES["beep"](), -20)
    assert np.array_equal(from_wav(to_wav(samples)), samples)
    with pytest.raises(BadPrompt):
        from_wav(b"nonsense")


def test_music_loops_without_a_seam() -> None:
    music = synthesis.music()
    seam = abs(float(music[0] - music[-1]))
    assert seam < 3 * float(np.abs(np.diff(music)).max())
    assert seam < 0.05 * float(np.abs(music).max())


def test_text_is_spoken_in_both_languages() -> None:
    for text, voice in (("двадцать один", "ru"), ("twenty one", "en-gb")):
        signal = speak(text, voice=voice)
        assert 0.4 < len(signal) / WIDE < 3
        assert loudness_dbfs(signal) > -40


@pytest.mark.parametrize(
    ("text", "voice"), [("", "ru"), ("x" * 6000, "ru"), ("hello", "--help"), ("hello", "xx")]
)
def test_what_cannot_be_spoken_is_refused(text: str, voice: str) -> None:
    with pytest.raises(BadPrompt):
        speak(text, voice=voice)


def test_a_file_without_audio_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "photo.jpg"
    file.write_bytes(b"this is no audio")
    with pytest.raises(BadPrompt, match="no audio"):
        decode(file)


def test_a_playlist_cannot_make_us_fetch_an_address(tmp_path: Path) -> None:
    file = tmp_path / "list.m3u8"
    file.write_text("#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:1/x.ts\n")
    with pytest.raises(BadPrompt):
        decode(file)


def test_an_uploaded_file_of_another_rate_is_read(tmp_path: Path) -> None:
    file = tmp_path / "tone.wav"
    file.write_bytes(to_wav(master(synthesis.tone(1.0, 700), -10)))
    signal = decode(file)
    assert abs(len(signal) - WIDE) < 400
    assert np.argmax(np.abs(np.fft.rfft(signal[:WIDE]))) == pytest.approx(700, abs=3)


def test_silence_around_speech_is_cut() -> None:
    signal = np.concatenate((synthesis.silence(1), synthesis.tone(0.5, 500), synthesis.silence(1)))
    assert 0.5 <= len(trim(signal)) / WIDE <= 0.65
