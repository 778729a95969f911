"""Sample rates: 8 to 16 kHz for recordings that hold both kinds of codec, and any rate for prompts. Pure."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]
Signal = NDArray[np.float32]

#: Samples on each side that a new one between two old ones is computed from.
REACH: Final = 8


def _between() -> Signal:
    """Return the taps of the sample half-way between two: a windowed sinc."""
    at = np.arange(-REACH, REACH) + 0.5
    taps = np.sinc(at) * np.hanning(2 * REACH + 2)[1:-1]
    return np.asarray(taps / taps.sum(), np.float32)


_TAPS: Final = _between()


def double(samples: Samples) -> Samples:
    """Return twice as many samples: each old one as it was, and between two the one that fits.

    The first and last REACH samples are only context: of n samples, 2 * (n - 2 * REACH) come back.
    """
    inner = len(samples) - 2 * REACH
    out = np.empty(2 * inner, np.int16)
    out[0::2] = samples[REACH : REACH + inner]
    between = np.convolve(samples.astype(np.float32), _TAPS, "valid")[1 : 1 + inner]
    out[1::2] = np.clip(np.rint(between), -32768, 32767)
    return out


def change_rate(signal: Signal, rate: int, wanted: int) -> Signal:
    """Return a short signal at another rate, by its spectrum; what does not fit below the new limit is lost."""
    if rate == wanted or not len(signal):
        return signal
    count = max(round(len(signal) * wanted / rate), 1)
    spectrum = np.fft.rfft(signal)
    kept = np.zeros(count // 2 + 1, np.complex128)
    shared = min(len(kept), len(spectrum))
    kept[:shared] = spectrum[:shared]
    return np.asarray(np.fft.irfft(kept, count) * (count / len(signal)), np.float32)


def _half_band(reach: int = 31) -> Signal:
    """Return the taps of a low-pass at a quarter of the rate."""
    at = np.arange(-reach, reach + 1)
    taps = np.sinc(at / 2 * 0.94) * np.blackman(2 * reach + 3)[1:-1]
    return np.asarray(taps / taps.sum(), np.float32)


_HALF_BAND: Final = _half_band()


def halve(samples: Samples) -> Samples:
    """Return half as many samples, without what the lower rate cannot hold."""
    filtered = np.convolve(samples.astype(np.float32), _HALF_BAND, "same") if len(samples) else samples
    return np.clip(np.rint(filtered[::2]), -32768, 32767).astype(np.int16)
