"""Human or machine, from when somebody talks and when he is silent after the answer. Pure.

People who pick up say a little and wait; machines talk on, or beep. Timing tells no more than that, so whatever is not
clearly a machine is a human: a person who is called a machine hears silence, which is worse than an agent who
hears a machine. The level that counts as talking is found anew from all that was heard so far, so noise matters little.
Never looks at words or at known recordings.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import numpy as np

from callcore.ears_spectrum import HERTZ, HOP_SECONDS, Flags, Floats
from callcore.ears_verdict import HangupReason, Heard, Verdict


@dataclass(frozen=True, kw_only=True)
class VoiceSettings:
    """What counts as a greeting; times in seconds."""

    #: After this time agents may be given the call: a doubtful human, if nothing was clear.
    provisional: float = 2.5
    #: Nobody has said anything: a doubtful human, finally.
    silent: float = 5.0
    #: Silence that ends a greeting: now it is our turn.
    turn: float = 0.8
    #: A greeting of a human is at most this long before it is our turn.
    longest_greeting: float = 6.0
    #: Whatever is not clear by then stays a human.
    listen: float = 12.0


#: Silence below this does not part one utterance from the next.
_JOIN_SECONDS: Final = 0.25
#: Shorter sounds are clicks.
_CLICK_SECONDS: Final = 0.08
#: A shorter tone is a vowel.
_TONE_SECONDS: Final = 0.14
#: Of a greeting without a turn this share must be talk, else it is a person who waits for us.
_TALK_SHARE: Final = 0.6
#: Speech rises and falls at least so much, in dB; what does not is a noise.
_LEAST_RANGE_DB: Final = 9.0
#: Where between the softest and the loudest talking begins.
_THRESHOLD: Final = 0.5
#: How often it is judged anew who talked when.
_JUDGE_FRAMES: Final = 20
_FLOOR_DB: Final = -62.0
#: A beep: nearly all energy in one bin and its neighbours, at one frequency, for so long.
_BEEP_SHARE: Final = 0.85
_BEEP_SECONDS: Final = (0.16, 1.6)
_BEEP_BINS: Final = (int(np.searchsorted(HERTZ, 350)), int(np.searchsorted(HERTZ, 2300)))
_VOICE_BAND: Final[Flags] = (HERTZ >= 250) & (HERTZ <= 3400)
_FULL_SCALE: Final = 0.375 * 320 * 320 / 8


@dataclass(frozen=True)
class Utterance:
    """Somebody talks, from one second to another of what was listened to."""

    start: float
    end: float
    #: It is no voice but a tone of the network: no greeting, and no silence either.
    tone: bool = False


class VoiceTimer:
    """Listens to one call from its answer on."""

    def __init__(self, settings: VoiceSettings) -> None:
        self._settings = settings
        self._levels: list[Floats] = []
        self._tonal: list[Flags] = []
        self._frames = self._judged_at = 0
        self._provisional_told = False
        self._beep_bin = -1
        self._beep_frames = 0

    def push(self, power: Floats, lost: Flags, tonal: Flags) -> Verdict | None:
        """Listen to further frames of spectra; tonal: those that are a tone of the network."""
        if not len(power):
            return None
        level = 10 * np.log10(power[:, _VOICE_BAND].sum(axis=1) / _FULL_SCALE + 1e-12)
        level = np.maximum(level, _FLOOR_DB)
        if lost.any():  # what never arrived is as loud as what came before it
            before = self._levels[-1][-1] if self._levels else np.float32(_FLOOR_DB)
            keep = np.maximum.accumulate(np.where(lost, -1, np.arange(len(level))))
            level = np.where(keep >= 0, level[keep], before)
        self._levels.append(np.asarray(level, np.float32))
        self._tonal.append(tonal)
        self._frames += len(power)
        beep = self._beep(power, lost)
        if beep is not None:
            return self._verdict(Heard.MACHINE, since=beep, final=True)
        promised = self._judged_at * HOP_SECONDS < self._settings.provisional <= self.seconds
        if self._frames < self._judged_at + _JUDGE_FRAMES and not promised:
            return None
        self._judged_at = self._frames
        return self._judge()

    def utterances(self) -> list[Utterance]:
        """Return who talked when so far."""
        levels = np.concatenate(self._levels) if self._levels else np.zeros(0, np.float32)
        tonal = np.concatenate(self._tonal) if self._tonal else np.zeros(0, np.bool_)
        return find_utterances(levels, tonal)

    @property
    def seconds(self) -> float:
        """How long it has listened."""
        return self._frames * HOP_SECONDS

    def _judge(self) -> Verdict | None:
        limits, now = self._settings, self.seconds
        sounds = self.utterances()
        talk = [one for one in sounds if not one.tone]
        if not talk:
            return (
                self._verdict(Heard.HUMAN, since=0.0, final=True, doubtful=True)
                if now >= limits.silent
                else None
            )
        first = talk[0].start
        turn = next((one for one in _turns(sounds, talk[0], now) if one[1] - one[0] >= limits.turn), None)
        greeting_end = turn[0] if turn else talk[-1].end
        if greeting_end - first >= limits.longest_greeting:
            said = sum(min(one.end, greeting_end) - one.start for one in talk if one.start < greeting_end)
            if said >= _TALK_SHARE * (greeting_end - first):
                return self._verdict(Heard.MACHINE, since=first, final=True)
        if turn:
            return self._verdict(Heard.HUMAN, since=first, final=True)
        if now >= limits.listen:
            return self._verdict(Heard.HUMAN, since=first, final=True, doubtful=True)
        if now >= limits.provisional and not self._provisional_told:
            self._provisional_told = True
            return self._verdict(Heard.HUMAN, since=first, final=False, doubtful=True)
        return None

    def _beep(self, power: Floats, lost: Flags) -> float | None:
        """Return when a beep began that has ended now, None: there is none."""
        low, high = _BEEP_BINS
        peak = np.argmax(power[:, low:high], axis=1) + low
        total = power[:, _VOICE_BAND].sum(axis=1)
        rows = np.arange(len(power))
        near = sum(power[rows, peak + step] for step in (-2, -1, 0, 1, 2))
        pure = (near >= _BEEP_SHARE * total) & (total > _FULL_SCALE * 1e-5) & ~lost
        for frame in range(len(power)):
            if pure[frame] and abs(int(peak[frame]) - self._beep_bin) <= 1:
                self._beep_frames += 1
                continue
            seconds = self._beep_frames * HOP_SECONDS
            self._beep_bin = int(peak[frame]) if pure[frame] else -1
            self._beep_frames = 1 if pure[frame] else 0
            if _BEEP_SECONDS[0] <= seconds <= _BEEP_SECONDS[1] and not pure[frame]:
                end = (self._frames - len(power) + frame) * HOP_SECONDS
                if self._talked_before(end - seconds):
                    return end - seconds
        return None

    def _talked_before(self, moment: float) -> bool:
        """Tell whether somebody talked before a beep: the first sound of a call is no beep after a greeting."""
        return any(
            one.end - one.start >= 0.5 and one.end <= moment + 0.1 and not one.tone
            for one in self.utterances()
        )

    def _verdict(self, heard: Heard, *, since: float, final: bool, doubtful: bool = False) -> Verdict:
        return Verdict(
            heard=heard,
            reason=HangupReason.VOICEMAIL if heard is Heard.MACHINE else None,
            final=final,
            doubtful=doubtful,
            at_seconds=self.seconds,
            since_seconds=since,
        )


def _turns(sounds: list[Utterance], first: Utterance, now: float) -> list[tuple[float, float]]:
    """Return the silences between sounds from the first utterance on, and after the last."""
    after = [one for one in sounds if one.start >= first.start]
    ends = accumulate((one.end for one in after), max)
    starts = [one.start for one in after[1:]] + [now]
    return list(zip(ends, starts, strict=True))


def find_utterances(levels: Floats, tonal: Flags) -> list[Utterance]:
    """Return where somebody talks, from the level of each frame in dB below full scale."""
    if len(levels) < 20:
        return []
    smooth = np.convolve(levels, np.full(3, 1 / 3, np.float32), "same")
    smooth[0], smooth[-1] = levels[0], levels[-1]
    heard = smooth[~tonal] if (~tonal).sum() >= 20 else smooth
    low, high = (float(one) for one in np.percentile(heard, (8, 95)))
    if high - low < _LEAST_RANGE_DB or high < _FLOOR_DB + _LEAST_RANGE_DB:
        return []
    talking = (smooth > low + _THRESHOLD * (min(high, low + 40) - low)) & ~tonal
    found = [
        Utterance(start, end)
        for start, end in _spans(talking, _JOIN_SECONDS)
        if end - start >= _CLICK_SECONDS
    ]
    tones = [
        Utterance(start, end, tone=True) for start, end in _spans(tonal, 0.0) if end - start >= _TONE_SECONDS
    ]
    return sorted(found + tones, key=lambda one: one.start)


def _spans(flags: Flags, join_seconds: float) -> list[tuple[float, float]]:
    """Return from when to when flags are set, in seconds; shorter gaps do not part."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8))) * HOP_SECONDS
    spans: list[tuple[float, float]] = []
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if spans and start - spans[-1][1] < join_seconds:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return spans
