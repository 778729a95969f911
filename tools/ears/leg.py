"""One leg that is listened to: its packets become verdicts, and what nobody knew is kept for clustering.

No socket and no clock: datagrams and time are arguments. Keeps at most some seconds of audio.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from callcore.ears import Ears, Library
from callcore.ears_rtp import Piece, RtpTrack
from callcore.ears_spectrum import RATE, Samples
from callcore.ears_tones import ToneSet
from callcore.ears_verdict import Heard, Verdict

#: Early media that is kept, from its beginning: enough to label it.
KEEP_SECONDS: Final = 12
#: Less than this cannot be clustered.
LEAST_SECONDS: Final = 2


class Leg:
    """What is heard on one leg."""

    def __init__(
        self, library: Library, tone_sets: Sequence[ToneSet], *, answered: bool, now: float, seconds: float
    ) -> None:
        """seconds: longest time to listen."""
        self._track = RtpTrack()
        self._ears = Ears(library, tone_sets, answered=answered)
        self._answered = answered
        self._early: list[Samples] = []
        self._early_samples = 0
        #: Something known was heard: there is nothing to learn from it.
        self._known = False
        self.ends_at = now + seconds
        #: A codec that is not understood was told.
        self.told_deaf = False

    @property
    def track(self) -> RtpTrack:
        """Counters of packets."""
        return self._track

    @property
    def seconds(self) -> float:
        """How much was listened to."""
        return self._ears.seconds

    @property
    def done(self) -> bool:
        """Whether the last word is said: further packets are not looked at."""
        return self._ears.done

    def packet(self, data: bytes, now: float) -> list[Verdict]:
        """Take a datagram; return what it tells."""
        return [] if self.done else self._hear(self._track.packet(data, now))

    def tick(self, now: float) -> list[Verdict]:
        """Notice silence without packets; return what it tells."""
        return [] if self.done else self._hear(self._track.idle(now))

    def answered(self) -> None:
        """Whoever was called has answered."""
        self._answered = True
        self._ears.answered()

    def unknown_early_media(self) -> Samples | None:
        """Return what was heard before the answer, if there was no answer and nobody knows it."""
        if self._answered or self._known or self._early_samples < LEAST_SECONDS * RATE:
            return None
        return np.concatenate(self._early)

    def _hear(self, pieces: Iterable[Piece]) -> list[Verdict]:
        told = []
        for samples, lost in pieces:
            if not self._answered and self._early_samples < KEEP_SECONDS * RATE:
                self._early.append(samples)
                self._early_samples += len(samples)
            verdict = self._ears.feed(samples, lost=lost)
            if verdict is not None:
                self._known = self._known or verdict.heard is Heard.MESSAGE or verdict.final
                told.append(verdict)
        return told
