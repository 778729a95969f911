"""Prompts as RTPProxy plays them: headerless frames of 20 ms, one file for each payload type.

Takes any audio that ffmpeg reads, or text that espeak-ng speaks, brings it to one loudness at 16 kHz (the
master), and encodes that. Keeps no names, versions or folders: kalibri/services/prompt.py does.
"""

from __future__ import annotations

import io
import re
import subprocess
import wave
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from G722 import G722
from numpy.typing import NDArray

from callcore.errors import BadInput, Unavailable
from callcore.g711 import alaw_encode, ulaw_encode
from callcore.resample import Signal, change_rate, halve
from callcore.synthesis import WIDE

Samples = NDArray[np.int16]

#: Payload type → name, in the order in which they are tried for a caller.
PAYLOAD_TYPES: Final[Mapping[int, str]] = {9: "G722", 8: "PCMA", 0: "PCMU", 3: "GSM"}
FRAME_SECONDS: Final = 0.02
_FRAME: Final = round(WIDE * FRAME_SECONDS)
_GSM_FRAME_BYTES: Final = 33
#: An hour of music is enough, and a file that never ends must end.
LONGEST_SECONDS: Final = 3600
CONVERT_SECONDS: Final = 300
SPEAK_SECONDS: Final = 60
LONGEST_TEXT: Final = 5000
#: What is this much below the loudest tenth of a second counts as silence.
_GATE_DB: Final = 30.0
_BLOCK: Final = WIDE // 10
_PEAK: Final = 0.89


class BadPrompt(BadInput):
    """No prompt can be made of this."""

    error_id = "bad-prompt"


# ------------------------------------------------------------------------------------------------- sources


def decode(source: Path) -> Signal:
    """Read an audio file of any format; raises BadPrompt, Unavailable."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-protocol_whitelist", "file", "-t", str(LONGEST_SECONDS)]
    command += ["-i", f"file:{source}", "-vn", "-ac", "1", "-ar", str(WIDE), "-f", "f32le", "-"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=CONVERT_SECONDS
        )
    except FileNotFoundError as error:
        raise Unavailable("ffmpeg is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise BadPrompt(f"{source.name}: cannot be read in {CONVERT_SECONDS} s") from error
    signal = np.frombuffer(done.stdout[: len(done.stdout) // 4 * 4], "<f4")
    if done.returncode or not len(signal):
        told = " ".join(done.stderr.decode("utf-8", "replace").split())[-200:]
        raise BadPrompt(f"{source.name}: ffmpeg finds no audio in it{': ' if told else ''}{told}")
    return np.asarray(np.nan_to_num(np.clip(signal, -4, 4)), np.float32)


def speak(text: str, *, voice: str, words_per_minute: int = 150) -> Signal:
    """Let espeak-ng speak a text; silence around it is cut off. Raises BadPrompt, Unavailable."""
    if not text.strip() or len(text) > LONGEST_TEXT:
        raise BadPrompt(f"text: 1 to {LONGEST_TEXT} characters")
    if not re.fullmatch(r"[a-z]{2,3}([-+][a-zA-Z0-9+-]{1,32})?", voice):
        raise BadPrompt(f"{voice!r} is no voice of espeak-ng")
    command = ["espeak-ng", "-v", voice, "-s", str(words_per_minute), "--stdin", "--stdout"]
    try:
        done = subprocess.run(
            command, input=text.encode(), capture_output=True, check=False, timeout=SPEAK_SECONDS
        )
    except FileNotFoundError as error:
        raise Unavailable("espeak-ng is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise BadPrompt("espeak-ng does not finish") from error
    if done.returncode or len(done.stdout) <= 44:
        told = " ".join(done.stderr.decode("utf-8", "replace").split())[-200:]
        raise BadPrompt(f"espeak-ng: {told or 'nothing was said'}")
    # Into a pipe espeak-ng writes a header without a length.
    rate = int.from_bytes(done.stdout[24:28], "little")
    samples = np.frombuffer(done.stdout[44 : 44 + (len(done.stdout) - 44) // 2 * 2], "<i2")
    return trim(change_rate(np.asarray(samples / 32768, np.float32), rate, WIDE))


def trim(signal: Signal, *, before_seconds: float = 0.02, after_seconds: float = 0.08) -> Signal:
    """Cut off silence around speech, but for a breath."""
    loud = np.flatnonzero(np.abs(signal) > 0.01)
    if not len(loud):
        return signal
    start = max(int(loud[0]) - round(before_seconds * WIDE), 0)
    return signal[start : int(loud[-1]) + round(after_seconds * WIDE)]


# ------------------------------------------------------------------------------------------------- loudness


def loudness_dbfs(signal: Signal) -> float:
    """Return the loudness of what is not silence, in dB below full scale; -inf for silence."""
    blocks = signal[: max(len(signal) // _BLOCK, 1) * _BLOCK]
    count = max(len(blocks) // _BLOCK, 1)
    power = np.array([float(np.mean(np.square(part))) for part in np.array_split(blocks, count)])
    loud = power[power > power.max(initial=0) * 10 ** (-_GATE_DB / 10)]
    return float(10 * np.log10(loud.mean())) if len(loud) else float("-inf")


def master(signal: Signal, dbfs: float) -> Samples:
    """Bring a signal to a loudness and return it as samples of whole frames.

    Single peaks that would clip are bent, not the whole made softer.
    """
    now = loudness_dbfs(signal)
    gain = 10 ** ((dbfs - now) / 20) if np.isfinite(now) else 1.0
    loud = signal * np.float32(gain)
    over = np.abs(loud) > _PEAK / 2
    loud[over] = np.sign(loud[over]) * (_PEAK / 2) * (1 + np.tanh(np.abs(loud[over]) / (_PEAK / 2) - 1))
    samples = np.rint(loud * 32767).astype(np.int16)
    return np.pad(samples, (0, -len(samples) % _FRAME))


# -------------------------------------------------------------------------------------------------- frames


def encode(samples: Samples) -> dict[int, bytes]:
    """Return the frames of a master for each payload type that is computed here (all but GSM)."""
    narrow = halve(samples)
    return {
        0: ulaw_encode(narrow).tobytes(),
        8: alaw_encode(narrow).tobytes(),
        9: bytes(G722(WIDE, 64_000).encode(samples)),
    }


def encode_gsm(masters: Sequence[Samples]) -> list[bytes]:
    """Return GSM frames of several masters; one run of ffmpeg for all. Raises Unavailable."""
    if not masters:
        return []
    narrow = [halve(samples) for samples in masters]
    command = ["ffmpeg", "-nostdin", "-v", "error", "-f", "s16le", "-ar", "8000", "-ac", "1", "-i", "-"]
    command += ["-c:a", "libgsm", "-f", "gsm", "-"]
    joined = np.concatenate(narrow).astype("<i2").tobytes()
    try:
        done = subprocess.run(
            command, input=joined, capture_output=True, check=False, timeout=CONVERT_SECONDS
        )
    except FileNotFoundError as error:
        raise Unavailable("ffmpeg is not installed") from error
    sizes = [len(samples) // 160 * _GSM_FRAME_BYTES for samples in narrow]
    if done.returncode or len(done.stdout) < sum(sizes):
        raise Unavailable("ffmpeg cannot make GSM")
    ends = np.cumsum(sizes)
    return [done.stdout[end - size : end] for end, size in zip(ends.tolist(), sizes, strict=True)]


def to_wav(samples: Samples) -> bytes:
    """Return a master as a WAV file, for the database and for listening."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(WIDE)
        file.writeframes(samples.astype("<i2").tobytes())
    return buffer.getvalue()


def from_wav(data: bytes) -> Samples:
    """Read what `to_wav` wrote; raises BadPrompt."""
    try:
        with wave.open(io.BytesIO(data), "rb") as file:
            return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.int16)
    except (wave.Error, EOFError) as error:
        raise BadPrompt(f"the master is damaged: {error}") from error
