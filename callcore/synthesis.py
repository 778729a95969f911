"""Sounds that are computed: tones of the network, a beep, and music for those who wait. Pure; nothing is copied.

Signals are float arrays of WIDE samples a second, full scale 1. The music is a slow broken-chord piece over a
fixed progression; its last notes ring into its beginning, so it loops without a seam, and it stays below
3.4 kHz, so a telephone loses nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from callcore.resample import Signal

WIDE: Final = 16_000
#: Changed whenever a sound here sounds otherwise: what was compiled before is made anew.
VERSION: Final = 1

#: Chords of the music as semitones above A3 (220 Hz), one a bar; composed for this project.
_BARS: Final = (
    (0, 4, 7, 11, 14),
    (-3, 0, 4, 7, 12),
    (-7, -3, 0, 4, 9),
    (-5, -1, 2, 7, 11),
    (0, 4, 7, 11, 16),
    (2, 5, 9, 12, 17),
    (-7, -3, 2, 5, 9),
    (-5, 0, 2, 7, 11),
)
#: Order in which the notes of a chord are struck, one an eighth; None: a rest.
_FIGURES: Final = ((0, 2, 3, 1, 4, 2, 3, None), (0, 1, 3, 2, 4, 3, 1, 2), (0, 3, 2, 4, 1, 3, None, 2))
_EIGHTH_SECONDS: Final = 0.375
_NOTE_SECONDS: Final = 2.4
_REPEATS: Final = 2


def silence(seconds: float) -> Signal:
    """Return silence."""
    return np.zeros(round(seconds * WIDE), np.float32)


def tone(seconds: float, *hertz: float) -> Signal:
    """Return one or more sines together, with soft edges of 5 ms."""
    at = np.arange(round(seconds * WIDE)) / WIDE
    signal = sum((np.sin(2 * np.pi * one * at) for one in hertz), np.zeros(len(at))) / len(hertz)
    edge = np.minimum(1.0, np.minimum(at, at[::-1]) / 0.005)
    return np.asarray(signal * edge, np.float32)


def _cadence(on_seconds: float, off_seconds: float) -> Signal:
    return np.concatenate((tone(on_seconds, 425), silence(off_seconds)))


def _note(hertz: float, loudness: float) -> Signal:
    """Return one struck note: a few partials, the higher the shorter."""
    at = np.arange(round(_NOTE_SECONDS * WIDE)) / WIDE
    signal = np.zeros(len(at))
    for partial, weight in ((1, 1.0), (2, 0.32), (3, 0.12), (4, 0.05)):
        if hertz * partial < 3400:
            signal += weight * np.sin(2 * np.pi * hertz * partial * at) * np.exp(-at * (1.6 + 0.9 * partial))
    attack = np.minimum(1.0, at / 0.008)
    release = np.minimum(1.0, (_NOTE_SECONDS - at) / 0.3)
    return np.asarray(signal * attack * release * loudness, np.float32)


def music() -> Signal:
    """Return the music for those who wait, about 48 seconds, to be played in a loop."""
    struck = [
        (bar * 8 + eighth, chord[note], bar, eighth)
        for bar, chord in enumerate(_BARS * _REPEATS)
        for eighth, note in enumerate(_FIGURES[bar % len(_FIGURES)])
        if note is not None
    ]
    length = round(len(_BARS) * _REPEATS * 8 * _EIGHTH_SECONDS * WIDE)
    out = np.zeros(length, np.float32)
    for place, semitone, bar, eighth in struck:
        loudness = (1.0 if eighth == 0 else 0.72) * (0.85 + 0.15 * np.sin(2 * np.pi * bar / len(_BARS)))
        note = _note(220 * 2 ** (semitone / 12), float(loudness))
        at = (round(place * _EIGHTH_SECONDS * WIDE) + np.arange(len(note))) % length
        np.add.at(out, at, note)
    return out


#: Name → how it is made. Tones are those of most of Europe and of Russia (ITU-T E.180).
TONES: Final[Mapping[str, Callable[[], Signal]]] = {
    "beep": lambda: tone(0.4, 1000),
    "ringback": lambda: _cadence(1.0, 4.0),
    "busy": lambda: _cadence(0.35, 0.35),
    "congestion": lambda: _cadence(0.175, 0.175),
    "silence": lambda: silence(1.0),
}
MUSIC: Final[Mapping[str, Callable[[], Signal]]] = {"music-default": music}
