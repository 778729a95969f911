"""Listens to one call leg: tone first, then known recordings, then human or machine. Pure; time is an argument.

Before the answer a final verdict lets the engine give up without cost. After the answer people are told from
machines, and what is doubtful is a human. Audio is 16-bit, 8000 samples a second, in pieces of any length; a piece may
say that it never arrived. Decides what is heard, never what to do about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from callcore.ears_fingerprint import CLEAR, FingerprintIndex, Match, Recogniser
from callcore.ears_spectrum import RATE, Flags, Samples, SpectrumFrames
from callcore.ears_tones import RINGBACK, SIT, ToneDetector, ToneSet
from callcore.ears_verdict import PASSING, HangupReason, Heard, Verdict
from callcore.ears_voice import VoiceSettings, VoiceTimer

#: Samples that are looked at together: less costs more, more tells later.
BLOCK: Final = 800
#: Two recordings with different reasons begin alike: how long it is listened which one it is.
APART_SECONDS: Final = 4.0
#: The message behind an international SIT must have been recognised by then.
AFTER_SIT_SECONDS: Final = 8.0


@dataclass(frozen=True, kw_only=True)
class Recording:
    """An enrolled recording, in the order of the index."""

    fingerprint_id: int
    name: str
    reason: HangupReason


@dataclass(frozen=True)
class Library:
    """Everything that is known; shared by all calls of a process, never changed."""

    recordings: tuple[Recording, ...] = ()
    index: FingerprintIndex = field(default_factory=lambda: FingerprintIndex([]))


class Ears:
    """One call leg that is listened to."""

    def __init__(
        self,
        library: Library,
        tone_sets: Sequence[ToneSet],
        *,
        answered: bool = False,
        voice: VoiceSettings | None = None,
    ) -> None:
        """answered: whoever was called has answered already; voice: how people are told from machines."""
        self._library = library
        self._frames = SpectrumFrames()
        self._tones = ToneDetector(tone_sets)
        self._recogniser = Recogniser(library.index)
        self._settings = voice or VoiceSettings()
        self._voice: VoiceTimer | None = None
        self._voice_since = 0.0
        self._pieces: list[Samples] = []
        self._lost: list[bool] = []
        self._waiting = 0
        self._samples = 0
        #: Numbers of recordings that were told already.
        self._told: set[int] = set()
        self._first_match_at: float | None = None
        #: An international SIT, until its message is known.
        self._sit: Verdict | None = None
        self.verdict: Verdict | None = None
        if answered:
            self.answered()

    @property
    def seconds(self) -> float:
        """How much was listened to."""
        return self._samples / RATE

    @property
    def done(self) -> bool:
        """Whether the last word is said."""
        return self.verdict is not None and self.verdict.final

    def answered(self) -> None:
        """Whoever was called has answered: from here on people are told from machines."""
        if self._voice is None:
            self._voice = VoiceTimer(self._settings)
            self._voice_since = self.seconds

    def feed(self, samples: Samples, *, lost: bool = False) -> Verdict | None:
        """Listen to a further piece of audio; return what is known now and was not known before.

        lost: it never arrived; the samples are zero and only say how long it was.
        """
        if self.done:
            return None
        self._pieces.append(samples)
        self._lost.append(lost)
        self._waiting += len(samples)
        if self._waiting < BLOCK:
            return None
        audio = np.concatenate(self._pieces)
        missing: Flags = np.repeat(self._lost, [len(piece) for piece in self._pieces])
        whole = len(audio) // BLOCK * BLOCK
        # The rest is a part of the newest piece.
        self._pieces, self._lost = [audio[whole:]], [lost]
        self._waiting = len(audio) - whole
        told: Verdict | None = None
        for begin in range(0, whole, BLOCK):
            found = self._listen(audio[begin : begin + BLOCK], missing[begin : begin + BLOCK])
            if found is not None:
                told = self.verdict = found
                if found.final:
                    break
        return told

    def _listen(self, audio: Samples, missing: Flags) -> Verdict | None:
        self._samples += len(audio)
        power, lost = self._frames.push(audio, missing)
        tone, tonal = self._tones.push(power, lost)
        matches = self._recogniser.push(audio, mute=bool(tonal.sum() > len(tonal) // 2))
        spoken = self._voice.push(power, lost, tonal) if self._voice is not None else None
        return self._tone(tone) or self._message(matches) or self._speech(spoken) or self._sit_alone()

    def _tone(self, tone: Verdict | None) -> Verdict | None:
        if tone is None:
            return None
        if tone.name == SIT:
            self._sit = tone
            return replace(tone, final=False)
        if tone.name == RINGBACK and self._voice is not None:
            return None  # he has answered: this is his music, or a second call of his
        return tone

    def _sit_alone(self) -> Verdict | None:
        """Return a SIT whose message nobody knows, once it was waited for."""
        if self._sit is None or self.seconds - self._sit.at_seconds < AFTER_SIT_SECONDS:
            return None
        return replace(self._sit, final=True, at_seconds=self.seconds)

    def _message(self, matches: list[Match]) -> Verdict | None:
        if not matches:
            return None
        if self._first_match_at is None:
            self._first_match_at = self.seconds
        best = matches[0]
        recording = self._library.recordings[best.number]
        rivals = [
            match
            for match in matches[1:]
            if match.distance < best.distance + CLEAR
            and self._library.recordings[match.number].reason is not recording.reason
        ]
        waited = self.seconds - self._first_match_at >= APART_SECONDS
        final = (not rivals or waited) and recording.reason not in PASSING
        if not final and best.number in self._told:
            return None
        self._told.add(best.number)
        return Verdict(
            heard=Heard.MESSAGE,
            name=recording.name,
            reason=recording.reason,
            final=final,
            doubtful=bool(rivals),
            at_seconds=self.seconds,
            since_seconds=max(self.seconds - best.played_seconds, 0.0),
            likeness=round(1 - best.distance, 3),
            fingerprint_id=recording.fingerprint_id,
        )

    def _speech(self, spoken: Verdict | None) -> Verdict | None:
        """Count the times of a voice from the beginning of listening, not from the answer."""
        if spoken is None or self._sit is not None:
            return None
        return replace(
            spoken,
            at_seconds=spoken.at_seconds + self._voice_since,
            since_seconds=spoken.since_seconds + self._voice_since,
        )
