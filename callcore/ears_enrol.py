"""From a whole piece of audio to a print, and which known recording it is. Pure.

Tones and silence around a message are no part of it: two networks play the same tone before different messages. What
can be enrolled and recognised later must have sound enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from callcore.ears_fingerprint import FingerprintIndex, Match, Print, Recogniser, make_print
from callcore.ears_spectrum import HOP, RATE, Flags, Samples, SpectrumFrames
from callcore.ears_tones import ToneDetector, ToneSet
from callcore.errors import BadInput

#: Less sound than this is not recognised safely.
LEAST_SECONDS: Final = 2.0
#: What comes later is never waited for.
LONGEST_SECONDS: Final = 30.0
_BLOCK: Final = 640
#: A tone is muted with its edges, which a window of a word would hear.
_MARGIN: Final = RATE // 8


class TooShort(BadInput):
    """There is too little sound in it to recognise it again."""

    error_id = "too-short"


def print_of(samples: Samples, tone_sets: Sequence[ToneSet]) -> Print:
    """Return the print of a recording without the tones in it; only its beginning counts."""
    samples = samples[: round(LONGEST_SECONDS * RATE)]
    return make_print(samples, _tones(samples, tone_sets))


def enrol(samples: Samples, tone_sets: Sequence[ToneSet]) -> Print:
    """Return the print of a recording that is to be recognised; raises TooShort."""
    made = print_of(samples, tone_sets)
    if made.sounding_seconds < LEAST_SECONDS:
        raise TooShort(
            f"{made.sounding_seconds:.1f} s of sound without tones and pauses: {LEAST_SECONDS:.0f} s are needed"
        )
    return made


def recognise(index: FingerprintIndex, samples: Samples) -> Match | None:
    """Return the recording of the index that is heard in a piece of audio, the surest one."""
    recogniser = Recogniser(index)
    found = [recogniser.push(block)[:1] for block in _blocks(samples)]
    return min((match for some in found for match in some), key=lambda match: match.distance, default=None)


def nearest(index: FingerprintIndex, samples: Samples) -> Match | None:
    """Return the recording of the index that comes nearest to a piece of audio, also when it is not the same."""
    recogniser = Recogniser(index)
    best: Match | None = None
    for block in _blocks(samples):
        recogniser.push(block)
        match = recogniser.nearest()
        if match is not None and (best is None or match.distance < best.distance):
            best = match
    return best


def _blocks(samples: Samples) -> list[Samples]:
    return [samples[begin : begin + _BLOCK] for begin in range(0, len(samples) - _BLOCK + 1, _BLOCK)]


def _tones(samples: Samples, tone_sets: Sequence[ToneSet]) -> Flags:
    """Return which samples are a tone of the network: longer than any vowel."""
    power, lost = SpectrumFrames().push(samples, np.zeros(len(samples), np.bool_))
    _, tonal = ToneDetector(tone_sets).push(power, lost)
    mute = np.zeros(len(samples), np.bool_)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], tonal, [False])).astype(np.int8)))
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if (end - start) * HOP >= RATE // 7:
            mute[max(start * HOP - _MARGIN, 0) : end * HOP + _MARGIN] = True
    return mute
