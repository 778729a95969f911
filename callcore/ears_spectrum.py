"""Short-time spectra of telephone audio as it comes in, shared by the tone and the voice detectors. Pure.

A frame is 40 ms under a Hann window, a new one begins each 10 ms. That is short enough for the shortest cadence of the
tone plans (150 ms) and long enough to tell 425 Hz from its neighbours. Decides nothing.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]
Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]

RATE: Final = 8000
#: Samples of a frame, and from one frame to the next.
WINDOW: Final = 320
HOP: Final = 80
HOP_SECONDS: Final = HOP / RATE
#: Frequency of each bin, in Hz.
HERTZ: Final[Floats] = np.asarray(np.fft.rfftfreq(WINDOW, 1 / RATE), np.float32)
#: What a telephone line carries, without mains hum below.
IN_BAND: Final[Flags] = (HERTZ >= 200) & (HERTZ <= 3600)

_HANN: Final[Floats] = np.asarray(np.hanning(WINDOW + 1)[:-1] / 32768, np.float32)


def overlapping(signal: Floats, count: int, window: int, hop: int) -> Floats:
    """Return views of a contiguous signal as rows, each so many samples after the one before.

    What numpy offers for this takes longer than what is done with the rows.
    """
    step = signal.itemsize
    return np.ndarray((count, window), np.float32, signal, strides=(hop * step, step))


class SpectrumFrames:
    """Cuts samples into frames; remembers only what the next frame needs."""

    def __init__(self) -> None:
        self._rest: Floats = np.zeros(0, np.float32)
        self._rest_lost: Flags = np.zeros(0, np.bool_)

    def push(self, samples: Samples, lost: Flags) -> tuple[Floats, Flags]:
        """Return the power spectra (frames x bins) that are complete now, and which frames heard mostly nothing.

        lost: which samples never arrived (they are zero).
        """
        signal = np.concatenate((self._rest, samples.astype(np.float32)))
        missing = np.concatenate((self._rest_lost, lost))
        count = max((len(signal) - WINDOW) // HOP + 1, 0)
        self._rest, self._rest_lost = signal[count * HOP :], missing[count * HOP :]
        if not count:
            return np.zeros((0, len(HERTZ)), np.float32), np.zeros(0, np.bool_)
        spectrum = np.fft.rfft(overlapping(signal, count, WINDOW, HOP) * _HANN, axis=1)
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        return np.asarray(power, np.float32), _mostly(missing, count)


def _mostly(missing: Flags, count: int) -> Flags:
    """Tell for each frame whether more than a quarter of it is missing."""
    if not missing.any():
        return np.zeros(count, np.bool_)
    frames = np.lib.stride_tricks.sliding_window_view(missing, WINDOW)[::HOP][:count]
    return np.asarray(frames.sum(axis=1) > WINDOW // 4, np.bool_)
