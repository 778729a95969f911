"""Prints of recordings as they are stored: words little-endian, a bit for each word that counts, audio as A-law.

Never decides what is the same recording: callcore/ears_fingerprint.py does.
"""

from __future__ import annotations

import io
import wave
from pathlib import Path

import numpy as np

from callcore.ears_enrol import print_of
from callcore.ears_fingerprint import VERSION, Print
from callcore.ears_spectrum import RATE, Samples
from callcore.g711 import ALAW_DECODED, alaw_encode
from callcore.resample import halve
from kalibri.prompt_audio import decode


def pack_words(made: Print) -> bytes:
    """Return the words of a print."""
    return made.words.astype("<u4").tobytes()


def pack_sounds(made: Print) -> bytes:
    """Return which words of a print count."""
    return np.packbits(made.sounds).tobytes()


def unpack(words: bytes, sounds: bytes, version: int, audio: bytes | None) -> Print:
    """Return a print as it was stored; one of another version is made anew from its audio."""
    if version != VERSION and audio is not None:
        return print_of(from_alaw(audio), ())
    numbers = np.frombuffer(words, "<u4").astype(np.uint32)
    flags = np.unpackbits(np.frombuffer(sounds, np.uint8))[: len(numbers)].astype(np.bool_)
    return Print(numbers, flags)


def from_alaw(audio: bytes) -> Samples:
    """Return the samples of stored audio."""
    return ALAW_DECODED[np.frombuffer(audio, np.uint8)]


def to_alaw(samples: Samples) -> bytes:
    """Return audio as it is stored."""
    return alaw_encode(samples).tobytes()


def alaw_wav(audio: bytes) -> bytes:
    """Return stored audio as a WAV file, to be listened to."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(from_alaw(audio).astype("<i2").tobytes())
    return buffer.getvalue()


def read_audio(file: Path) -> Samples:
    """Return an audio file of any format as a telephone hears it; raises BadInput, Unavailable."""
    wide = decode(file)
    return halve(np.clip(np.rint(wide * 32767), -32768, 32767).astype(np.int16))
