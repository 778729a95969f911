"""MP3 for listening, by pydub and ffmpeg: left and right stay apart, and the same WAV gives the same file.

One function; nothing else in the product knows pydub.
"""

from __future__ import annotations

import os
import subprocess
import warnings
import wave
from pathlib import Path
from typing import Any, Final

from callcore.errors import KalibriError
from kalibri.files import sync_directory

#: A longer WAV is not taken into memory as a whole, which is pydub's way, but read by ffmpeg itself.
PYDUB_BYTES: Final = 128 * 1024 * 1024
#: No joint stereo: what one side says must not leak into the other. No encoder name, no date: the same input
#: gives the same octets, so whoever makes the file a second time changes nothing.
_PARAMETERS: Final = (
    *("-joint_stereo", "0", "-compression_level", "5", "-threads", "1"),
    *("-fflags", "+bitexact", "-flags:a", "+bitexact", "-write_xing", "1", "-id3v2_version", "0"),
)


class EncodeError(KalibriError):
    """ffmpeg could not make the MP3."""

    error_id = "encode-failed"


def encode_mp3(wav: Path, mp3: Path, kbps: int) -> None:
    """Write the MP3 of a WAV, whole or not at all; raises EncodeError, OSError.

    A killed process leaves `.<name>.<pid>.tmp` behind.
    """
    temporary = mp3.parent / f".{mp3.name}.{os.getpid()}.tmp"
    try:
        if wav.stat().st_size <= PYDUB_BYTES:
            _by_pydub(wav, temporary, kbps)
        else:
            _by_ffmpeg(wav, temporary, kbps)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.rename(mp3)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(mp3.parent)


def _by_pydub(wav: Path, temporary: Path, kbps: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydub uses audioop, which says that it is old
        from pydub import AudioSegment
        from pydub.exceptions import CouldntEncodeError
    # Not AudioSegment.from_wav: it asks ffprobe what a WAV of ours says by itself.
    with wave.open(str(wav), "rb") as source:
        facts: dict[str, Any] = {
            "sample_width": source.getsampwidth(),
            "frame_rate": source.getframerate(),
            "channels": source.getnchannels(),
        }
        audio = AudioSegment(data=source.readframes(source.getnframes()), **facts)
    try:
        with temporary.open("wb+") as out:  # pydub leaves open what it opens itself
            audio.export(
                out, format="mp3", codec="libmp3lame", bitrate=f"{kbps}k", parameters=list(_PARAMETERS)
            )
    except CouldntEncodeError as error:
        raise EncodeError(" ".join(str(error).split())[-300:]) from error


def _by_ffmpeg(wav: Path, temporary: Path, kbps: int) -> None:
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", str(wav), "-c:a", "libmp3lame"]
    command += ["-b:a", f"{kbps}k", *_PARAMETERS, "-f", "mp3", str(temporary)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EncodeError(" ".join(done.stderr.split())[-300:] or f"ffmpeg ended with {done.returncode}")
