"""MP3: the same from memory and from the file, whole or not at all."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from kalibri import recording_encode
from kalibri.files import sha256_of
from kalibri.recording_encode import EncodeError, encode_mp3
from tests.support.recordings import tone


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    path = tmp_path / "x.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(np.stack((tone(440, 2), tone(900, 2)), axis=1).tobytes())
    return path


def test_a_long_recording_is_encoded_as_a_short_one(
    wav: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long ones go around pydub, which would take them into memory as a whole."""
    encode_mp3(wav, tmp_path / "short.mp3", 32)
    monkeypatch.setattr(recording_encode, "PYDUB_BYTES", 0)
    encode_mp3(wav, tmp_path / "long.mp3", 32)
    assert sha256_of(tmp_path / "short.mp3") == sha256_of(tmp_path / "long.mp3")


@pytest.mark.parametrize("limit", [0, 10**9])
def test_what_cannot_be_encoded_leaves_nothing(
    wav: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(recording_encode, "PYDUB_BYTES", limit)
    monkeypatch.setattr(recording_encode, "_PARAMETERS", ("-no_such_option", "1"))
    with pytest.raises(EncodeError):
        encode_mp3(wav, tmp_path / "x.mp3", 32)
    assert [path.name for path in tmp_path.iterdir()] == ["x.wav"]
