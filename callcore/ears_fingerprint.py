"""Recognises known recordings by the signs of differences between the energies of neighbouring bands. Pure.

Each 12.5 ms a window of 256 ms is split into 33 bands between 300 and 3000 Hz; a bit says whether the energy of a band
over its neighbour grows or shrinks. The 32 bits of a moment are its word. Level, codec and language do not matter;
noise turns single bits. Two recordings are the same where their words, laid beside each other, differ in few bits.
An index finds the places to lay them by halves of words, with their least certain bits either way. Decides what is
the same recording, never what it means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from callcore.ears_spectrum import RATE, Floats, Samples, overlapping

Words = NDArray[np.uint32]
Flags = NDArray[np.bool_]
Numbers = NDArray[np.intp]

#: Of the way words are made: stored words of another version are made anew from their audio.
VERSION: Final = 1
WINDOW: Final = 2048
HOP: Final = 100
HOP_SECONDS: Final = HOP / RATE
BITS: Final = 32
#: Words that a comparison looks back over, at most and at least: 2.7 s and 1.4 s of sound.
LONGEST: Final = 200
SHORTEST: Final = 96
#: Words compared → share of different bits up to which two stretches are the same recording, over all of them and in
#: the worst third. Chance is one half, the same recording at 10 dB of noise differs in a fifth everywhere; two
#: recordings that share a word or two are alike there and differ by chance elsewhere: hence the thirds.
_LIMITS: Final = (
    (96, 0.26, 0.305),
    (112, 0.285, 0.325),
    (128, 0.30, 0.345),
    (160, 0.315, 0.35),
    (190, 0.325, 0.36),
)
_PARTS: Final = 3
#: A place that differs more than this over some words is not looked at again.
_HOPELESS: Final = 0.42
_GLANCE: Final = 8
#: A half word that is so frequent in the index tells nothing.
_COMMON: Final = 200
#: Two recordings that both fit and differ by less are not told apart yet.
CLEAR: Final = 0.08
#: Frames softer than this part of the loudest are pauses: they have no words.
_PAUSE: Final = 10 ** (-25 / 10)
_SILENCE: Final = 1e-9

_HERTZ: Final = np.fft.rfftfreq(WINDOW, 1 / RATE)
_EDGES: Final[Numbers] = np.searchsorted(_HERTZ, np.geomspace(300, 3000, BITS + 2)).astype(np.intp)
_LOW, _HIGH = int(_EDGES[0]), int(_EDGES[-1])
_HANN: Final[Floats] = np.asarray(np.hanning(WINDOW + 1)[:-1] / 32768, np.float32)
_POWERS: Final[Words] = np.left_shift(np.uint32(1), np.arange(BITS, dtype=np.uint32))
#: Which of the least certain bits of a half word are turned: none, the first, the second, both.
_TURNS: Final = ((False, False), (True, False), (False, True), (True, True))


@dataclass(frozen=True)
class Print:
    """The words of a stretch of audio, one each 12.5 ms."""

    words: Words
    #: Which of them are sound, not a pause or a tone; the others do not count.
    sounds: Flags

    @property
    def sounding_seconds(self) -> float:
        """How much of it can be recognised."""
        return float(self.sounds.sum()) * HOP_SECONDS


class Hasher:
    """Makes words of audio as it comes in; remembers only what the next word needs."""

    def __init__(self) -> None:
        self._rest: Floats = np.zeros(0, np.float32)
        self._before: Floats | None = None

    def push(self, samples: Samples) -> tuple[Words, Floats, Floats]:
        """Return the words that are complete now, how certain each bit is (words x 32), and the power of each."""
        signal = np.concatenate((self._rest, samples.astype(np.float32)))
        count = max((len(signal) - WINDOW) // HOP + 1, 0)
        self._rest = signal[count * HOP :]
        if not count:
            return np.zeros(0, np.uint32), np.zeros((0, BITS), np.float32), np.zeros(0, np.float32)
        spectrum = np.fft.rfft(overlapping(signal, count, WINDOW, HOP) * _HANN, axis=1)[:, _LOW:_HIGH]
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        bands = np.add.reduceat(power, _EDGES[:-1] - _LOW, axis=1)
        slopes = bands[:, :-1] - bands[:, 1:]
        before = slopes[:1] if self._before is None else self._before
        growth = np.diff(slopes, axis=0, prepend=before)
        self._before = slopes[-1:]
        words = ((growth > 0).astype(np.uint32) * _POWERS).sum(axis=1, dtype=np.uint32)
        total = bands.sum(axis=1)
        return words, np.asarray(np.abs(growth), np.float32), np.asarray(total, np.float32)


def make_print(samples: Samples, mute: Flags | None = None) -> Print:
    """Return the print of a whole recording (8000 samples a second).

    mute: which samples do not count, tones for example.
    """
    words, _, power = Hasher().push(samples)
    sounds = power > max(float(np.percentile(power, 95)) * _PAUSE, _SILENCE) if len(power) else power > 0
    if mute is not None and len(words):
        middle = np.arange(len(words)) * HOP + WINDOW // 2
        sounds = sounds & ~mute[np.minimum(middle, len(mute) - 1)]
    return Print(words, np.asarray(sounds, np.bool_))


def limits_of(compared: int) -> tuple[float, float]:
    """Return up to which share of different bits so many words are the same recording: over all, in the worst third.

    Too few words are never the same: (0, 0).
    """
    found = [limits for words, *limits in _LIMITS if compared >= words]
    return (found[-1][0], found[-1][1]) if found else (0.0, 0.0)


@dataclass(frozen=True)
class Match:
    """A recording of the index that is heard now."""

    #: Which one, counted from 0 in the order in which the index was built.
    number: int
    #: Share of different bits, and over how many words.
    distance: float
    compared: int
    #: How much of the recording was played when the newest word ended, in seconds.
    played_seconds: float


class FingerprintIndex:
    """Recordings that can be recognised; never changes once built, so that many listeners share it."""

    def __init__(self, prints: Sequence[Print]) -> None:
        # Words that do not count, before each recording and behind the last: looking back never leaves it.
        gap, silent = np.zeros(LONGEST, np.uint32), np.zeros(LONGEST, np.bool_)
        words, sounds, number = [gap], [silent], [np.zeros(LONGEST, np.intp)]
        self._starts: list[int] = []
        start = LONGEST
        for index, one in enumerate(prints):
            self._starts.append(start)
            words += [one.words, gap]
            sounds += [one.sounds, silent]
            number.append(np.full(len(one.words) + LONGEST, index, np.intp))
            start += len(one.words) + LONGEST
        self._words: Words = np.concatenate(words)
        self._sounds: Flags = np.concatenate(sounds)
        self._number: Numbers = np.concatenate(number)
        places = np.flatnonzero(self._sounds)
        keys = [self._words[places] & 0xFFFF, self._words[places] >> 16]
        self._lists = [_Lists(key.astype(np.intp), places) for key in keys]

    def __len__(self) -> int:
        """Return how many recordings there are."""
        return len(self._starts)

    def places(self, words: Words, certainty: Floats) -> Numbers:
        """Return (place, which of the words) pairs where the index has a half of a word; certainty: see Hasher."""
        found = [np.zeros((0, 2), np.intp)]
        for half, lists in enumerate(self._lists):
            key = (words >> (16 * half) & 0xFFFF).astype(np.intp)
            unsure = np.argpartition(certainty[:, 16 * half : 16 * half + 16], 2, axis=1)[:, :2]
            bits = np.left_shift(1, unsure)
            turned = [key ^ (bits[:, 0] * one) ^ (bits[:, 1] * two) for one, two in _TURNS]
            which = np.tile(np.arange(len(words)), len(_TURNS))
            found.append(lists.look_up(np.concatenate(turned), which))
        return np.concatenate(found)

    def distances(self, places: Numbers, words: Words) -> tuple[Floats, Numbers]:
        """Lay the words (oldest first) so that the last one falls on each place.

        Returns the share of different bits and how many words of the recording were compared.
        """
        at = places[:, None] - np.arange(len(words) - 1, -1, -1)[None, :]
        sounds = self._sounds[at]
        wrong = np.bitwise_count(self._words[at] ^ words[None, :])
        compared = sounds.sum(axis=1)
        bits = np.where(sounds, wrong, 0).sum(axis=1, dtype=np.int64)
        share = bits / (BITS * np.maximum(compared, 1))
        return np.asarray(share, np.float32), np.asarray(compared, np.intp)

    def worst_part(self, place: int, words: Words) -> float:
        """Return the share of different bits in the worst third of a comparison."""
        at = place - np.arange(len(words) - 1, -1, -1)
        sounds = self._sounds[at]
        wrong = np.bitwise_count(self._words[at[sounds]] ^ words[sounds])
        return max(float(part.mean()) for part in np.array_split(wrong, _PARTS)) / BITS

    def glance(self, places: Numbers, words: Words) -> Numbers:
        """Keep the places that every eighth word, counted from the newest, does not make hopeless."""
        some = words[::-_GLANCE]
        at = places[:, None] - _GLANCE * np.arange(len(some))[None, :]
        sounds = self._sounds[at]
        wrong = np.bitwise_count(self._words[at] ^ some[None, :])
        compared = sounds.sum(axis=1)
        bits = (wrong * sounds).sum(axis=1, dtype=np.int64)
        kept: Flags = (bits <= _HOPELESS * BITS * compared) & (compared > 0)
        return places[kept]

    def inside(self, places: Numbers) -> Flags:
        """Tell which places lie in the index."""
        return np.asarray((places >= LONGEST) & (places < len(self._words)), np.bool_)

    def match(self, place: int, distance: float, compared: int) -> Match:
        """Say which recording lies at a place."""
        number = int(self._number[place])
        played = (place - self._starts[number]) * HOP_SECONDS + WINDOW / RATE
        return Match(number, distance, compared, played)


class _Lists:
    """For each half word the places that have it, in one array."""

    def __init__(self, keys: Numbers, places: Numbers) -> None:
        order = np.argsort(keys, kind="stable")
        self._places = places[order]
        counts = np.bincount(keys, minlength=1 << 16)
        self._begin = np.concatenate(([0], np.cumsum(counts)[:-1])).astype(np.intp)
        self._count = np.where(counts <= max(_COMMON, len(places) // 2000), counts, 0).astype(np.intp)

    def look_up(self, keys: Numbers, which: Numbers) -> Numbers:
        """Return pairs of a place and what `which` says of its key."""
        counts = self._count[keys]
        total = int(counts.sum())
        if not total:
            return np.zeros((0, 2), np.intp)
        ends = np.cumsum(counts)
        inner = np.arange(total) - np.repeat(ends - counts, counts)
        place = self._places[np.repeat(self._begin[keys], counts) + inner]
        return np.stack((place, np.repeat(which, counts)), axis=1)


def _each_once(places: Numbers) -> Numbers:
    """Return places in order without repetitions; some times faster than numpy.unique for so few."""
    ordered = np.sort(places)
    if not len(ordered):
        return ordered
    new: Flags = np.concatenate(([True], ordered[1:] != ordered[:-1]))
    return ordered[new]


class Recogniser:
    """Compares what one call hears with an index, block by block."""

    def __init__(self, index: FingerprintIndex) -> None:
        self._index = index
        self._hasher = Hasher()
        self._words: Words = np.zeros(0, np.uint32)
        #: Where the newest word may lie.
        self._hopeful: Numbers = np.zeros(0, np.intp)
        self._loudest = 0.0

    def push(self, samples: Samples, mute: bool = False) -> list[Match]:
        """Listen on; return the recordings that fit, the best one first, each once.

        mute: this is a tone; it is remembered, but nothing is looked up.
        """
        words, certainty, power = self._hasher.push(samples)
        if not len(words) or not len(self._index):
            return []
        self._words = np.concatenate((self._words, words))[-LONGEST:]
        self._loudest = max(self._loudest, float(power.max()))
        hopeful = self._hopeful + len(words)
        # Neighbouring words are nearly the same sound: every other one is enough to look up.
        loud = np.flatnonzero(power > max(self._loudest * _PAUSE, _SILENCE))[::2]
        if len(loud) and not mute:
            pairs = self._index.places(words[loud], certainty[loud])
            # All are told as places of the newest word.
            hopeful = np.concatenate((hopeful, pairs[:, 0] + (len(words) - 1 - loud[pairs[:, 1]])))
        hopeful = _each_once(hopeful[self._index.inside(hopeful)])
        if len(self._words) < SHORTEST:
            self._hopeful = hopeful
            return []
        self._hopeful = self._index.glance(hopeful, self._words)
        return self._matches()

    def nearest(self) -> Match | None:
        """Return what is likest to what was heard last, whether or not it is like enough; None: nothing at all."""
        if len(self._words) < SHORTEST or not len(self._hopeful):
            return None
        distance, compared = self._index.distances(self._hopeful, self._words)
        distance = np.where(compared >= SHORTEST, distance, np.float32(1.0))
        best = int(np.argmin(distance))
        if compared[best] < SHORTEST:
            return None
        return self._index.match(int(self._hopeful[best]), float(distance[best]), int(compared[best]))

    def _matches(self) -> list[Match]:
        """Return what fits over the longest stretch that the recording reaches back."""
        distance, compared = self._index.distances(self._hopeful, self._words)
        best: dict[int, Match] = {}
        for at in np.argsort(distance):
            if distance[at] > _LIMITS[-1][1]:
                break
            place = int(self._hopeful[at])
            whole, part = limits_of(int(compared[at]))
            if distance[at] <= whole and self._index.worst_part(place, self._words) <= part:
                found = self._index.match(place, float(distance[at]), int(compared[at]))
                best.setdefault(found.number, found)
        return list(best.values())
