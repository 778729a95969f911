"""Call-progress tones: which one is heard, from short-time spectra and their cadence. Pure.

A frame is a tone if most of its energy lies around the frequencies of one entry of the tone plan, and about as loud as
the tone was before (that finds the edges to some ms, with and without noise). Frames become spells of one sound; the
last spells are held against the cadences of the plan. Speech hits a frequency now and then, hardly ever a cadence.
Never listens to what a voice says, and knows tones only: kalibri/tone_sets.py reads the plans.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from callcore.ears_spectrum import HERTZ, HOP_SECONDS, IN_BAND, Flags, Floats
from callcore.ears_verdict import HangupReason, Heard, Verdict
from callcore.errors import BadInput

#: A tone's frequencies may be off by 20 Hz, and a frame's spectrum is 50 Hz wide on both sides.
_REACH_HERTZ: Final = 62.5
_PART_REACH_HERTZ: Final = 37.5
#: Share of the energy of a frame that must lie in the tone, and in each of its frequencies.
_SHARE: Final = 0.5
_PART_SHARE: Final = 0.1
#: A frame whose tone is below this part of its loudest is past an edge: half of the window is a quarter of the power.
_EDGE: Final = 0.25
#: How fast the loudest is forgotten, per frame: by half in two seconds.
_FORGET: Final = 0.5 ** (HOP_SECONDS / 2.0)
#: Middles of tones nearer than this are one label, and bursts of a cadence differ by less than the other.
_TWIN_HERTZ: Final = 40.0
_SAME_HERTZ: Final = 14.0
#: Changes that last less are a lost packet or a click.
_STEADY_FRAMES: Final = 5
#: A frame below this power has no sound at all (-60 dBFS).
_SILENCE: Final = 1e-6 * 0.375 * 320 * 320 / 8
#: A spell's frequency stands still; that of a voice does not.
_SPREAD_HERTZ: Final = 14.0
_SPELLS_KEPT: Final = 16

_CODE: Final = re.compile(r"[1-9][0-9]{0,2}")

#: ITU-T E.180: three rising tones.
SIT_HERTZ: Final = (950.0, 1400.0, 1800.0)
SIT: Final = "sit"
FAX: Final = "fax"
RINGBACK: Final = "ringback"
_SIT_SECONDS: Final = (0.2, 0.45)
_SIT_GAP_SECONDS: Final = 0.09
#: The third one need not be waited for.
_SIT_LAST_SECONDS: Final = 0.18

#: Frequencies of the first two tones and their length (long or short) → what North American networks mean by them.
#: Frequencies that fit none of these within 14 Hz are the international SIT, which only says that a message comes.
_SIT_MEANINGS: Final[Mapping[tuple[tuple[float, bool], tuple[float, bool]], tuple[str, HangupReason]]] = {
    ((913.8, False), (1370.6, False)): ("sit-intercept", HangupReason.NOT_EXISTING),
    ((985.2, True), (1370.6, False)): ("sit-vacant", HangupReason.NOT_EXISTING),
    ((913.8, False), (1428.5, True)): ("sit-reorder", HangupReason.CONGESTION),
    ((985.2, False), (1370.6, True)): ("sit-reorder", HangupReason.CONGESTION),
    ((985.2, True), (1428.5, True)): ("sit-no-circuit", HangupReason.CONGESTION),
    ((913.8, True), (1370.6, False)): ("sit-no-circuit", HangupReason.CONGESTION),
}
_SIT_OFF_HERTZ: Final = 14.0
#: Short is 274 ms, long is 380 ms; the international tones of 330 ms are neither.
_SIT_SHORT_SECONDS: Final = (0.235, 0.305)
_SIT_LONG_SECONDS: Final = (0.35, 0.42)

_REASONS: Final[Mapping[str, HangupReason | None]] = {
    "busy": HangupReason.BUSY,
    "congestion": HangupReason.CONGESTION,
    "unobtainable": HangupReason.NOT_EXISTING,
    FAX: HangupReason.FAX,
    SIT: HangupReason.OTHER,
    RINGBACK: None,
    "dial": HangupReason.OTHER,
}


class Beat(NamedTuple):
    """One burst and the pause after it, in seconds."""

    on_min: float
    on_max: float
    off_min: float
    off_max: float


@dataclass(frozen=True, kw_only=True)
class Tone:
    """One tone of a plan: either a cadence, or continuous."""

    name: str
    hertz: tuple[float, ...]
    beats: tuple[Beat, ...] = ()
    #: How many periods must be heard.
    periods: int = 2
    #: Silence after the last burst that is enough, in seconds; None: the shortest last pause.
    after: float | None = None
    #: Seconds without a pause; None: it has a cadence.
    continuous: float | None = None


@dataclass(frozen=True, kw_only=True)
class ToneSet:
    """The tones of a country."""

    country: str
    tones: tuple[Tone, ...]
    #: Country codes of the numbers behind which these tones are heard, as "44".
    codes: tuple[str, ...] = ()


def country_of(number: str, sets: Mapping[str, ToneSet]) -> str | None:
    """Return whose tones are heard behind a number (digits, country code first); None: nobody says."""
    digits = number.removeprefix("+")
    known = {code: tones.country for tones in sets.values() for code in tones.codes}
    return next((known[digits[:size]] for size in (3, 2, 1) if digits[:size] in known), None)


def parse_tone_sets(table: object) -> dict[str, ToneSet]:
    """Return the tone sets of a table as conf/tones.yaml has it; raises BadInput, which names the entry."""
    if not isinstance(table, Mapping):
        raise BadInput("tones: a table of countries is expected")
    return {str(country): _parse_set(str(country), tones) for country, tones in table.items()}


def _parse_set(country: str, tones: object) -> ToneSet:
    if not isinstance(tones, Mapping):
        raise BadInput(f"tones: {country}: a table of tones is expected")
    codes = tones.get("codes", ())
    if not isinstance(codes, list | tuple) or not all(_CODE.fullmatch(str(code)) for code in codes):
        raise BadInput(f"tones: {country}: codes: a list of country codes of 1 to 3 digits is expected")
    parsed = []
    for name, entry in tones.items():
        if name == "codes":
            continue
        try:
            parsed.append(_parse_tone(str(name), entry))
        except (TypeError, ValueError, KeyError) as error:
            raise BadInput(f"tones: {country}: {name}: {error}") from error
    return ToneSet(country=country, tones=tuple(parsed), codes=tuple(str(code) for code in codes))


def _parse_tone(name: str, entry: Mapping[str, Any]) -> Tone:
    unknown = set(entry) - {"hertz", "beats", "periods", "after", "continuous"}
    if unknown:
        raise ValueError(f"unknown key {min(unknown)}")
    hertz = tuple(float(one) for one in entry["hertz"])
    if not 1 <= len(hertz) <= 4 or not all(250 <= one <= 3500 for one in hertz):
        raise ValueError("hertz: 1 to 4 frequencies between 250 and 3500")
    beats = tuple(Beat(*(float(value) for value in beat)) for beat in entry.get("beats", ()))
    for beat in beats:
        if not 0.1 <= beat.on_min <= beat.on_max <= 6 or not 0.1 <= beat.off_min <= beat.off_max <= 10:
            raise ValueError("beats: 0.1 s or longer, shortest before longest")
    continuous = entry.get("continuous")
    if bool(beats) == (continuous is not None):
        raise ValueError("either beats or continuous")
    periods = int(entry.get("periods", 2))
    if not 1 <= periods * max(len(beats), 1) <= _SPELLS_KEPT // 2 - 1:
        raise ValueError("periods: 1 to 7 bursts altogether")
    after = entry.get("after")
    return Tone(
        name=name,
        hertz=hertz,
        beats=beats,
        periods=periods,
        after=None if after is None else float(after),
        continuous=None if continuous is None else float(continuous),
    )


@dataclass(slots=True)
class _Spell:
    """A stretch of one sound: a tone of the alphabet, or none of them (-1)."""

    label: int
    #: Frame in which it began; the spell after it says where it ended.
    first: int
    #: Of its frames: how many, sum and sum of squares of the frequency, sum of the share.
    frames: int = 0
    hertz: float = 0.0
    hertz_squared: float = 0.0
    share: float = 0.0

    def add(self, hertz: float, share: float) -> None:
        self.frames += 1
        self.hertz += hertz
        self.hertz_squared += hertz * hertz
        self.share += share

    @property
    def mean_hertz(self) -> float:
        return self.hertz / max(self.frames, 1)

    @property
    def mean_share(self) -> float:
        return self.share / max(self.frames, 1)

    @property
    def stands_still(self) -> bool:
        spread = self.hertz_squared / max(self.frames, 1) - self.mean_hertz**2
        return spread <= _SPREAD_HERTZ**2


class ToneDetector:
    """Hears the tones of one or more sets; feed it every frame in order."""

    def __init__(self, sets: Sequence[ToneSet]) -> None:
        own = tuple(tone for one in sets for tone in one.tones)
        self._tones = (*own, Tone(name=FAX, hertz=(2100.0,), continuous=1.0))
        self._labels: dict[tuple[float, ...], int] = {}
        alphabet: list[tuple[float, ...]] = []
        for hertz in [*(tone.hertz for tone in self._tones), *((one,) for one in SIT_HERTZ)]:
            # What lies so near cannot be told apart in 40 ms: one label; the cadence tells.
            near = (
                n for n, other in enumerate(alphabet) if abs(_middle(other) - _middle(hertz)) < _TWIN_HERTZ
            )
            self._labels.setdefault(hertz, next(near, len(alphabet)))
            if self._labels[hertz] == len(alphabet):
                alphabet.append(hertz)
        self._alphabet = tuple(alphabet)
        self._sit = tuple(self._labels[(one,)] for one in SIT_HERTZ)
        around = [[np.abs(HERTZ - one) <= _REACH_HERTZ for one in tone] for tone in self._alphabet]
        self._around: Floats = np.asarray([np.any(each, axis=0) for each in around], np.float32).T.copy()
        self._moment: Floats = np.asarray(self._around * HERTZ[:, None], np.float32)
        parts = [
            (label, one) for label, hertz in enumerate(self._alphabet) for one in hertz if len(hertz) > 1
        ]
        self._part_label = np.array([label for label, _ in parts], np.intp)
        reach = [(np.abs(HERTZ - one) <= _PART_REACH_HERTZ).astype(np.float32) for _, one in parts]
        self._parts: Floats = np.asarray(reach, np.float32).reshape(len(parts), len(HERTZ)).T.copy()
        self._loudest = np.zeros(len(self._alphabet))
        self._spells: deque[_Spell] = deque([_Spell(-1, 0)], maxlen=_SPELLS_KEPT)
        self._frame = 0
        #: A change that has not lasted long enough yet.
        self._next: _Spell | None = None
        self._told: set[str] = set()

    def push(self, power: Floats, lost: Flags) -> tuple[Verdict | None, Flags]:
        """Listen to further frames; return what was recognised, and which frames are a tone (True) or silence.

        A tone that is no end (ring-back) is told once.
        """
        labels, hertz, share = self._classify(power)
        if self._next is None and self._spells[-1].label == -1 and not (labels >= 0).any():
            self._frame += len(labels)  # most of a call: no tone, as before
            return (self._recognise() if len(self._spells) > 1 else None), labels >= 0
        verdict: Verdict | None = None
        for frame in range(len(labels)):
            if lost[frame]:  # it sounds as before, and says nothing of the frequency
                self._frame += 1
                continue
            changed = self._advance(int(labels[frame]), float(hertz[frame]), float(share[frame]))
            if verdict is None and (changed or self._frame % _STEADY_FRAMES == 0):
                verdict = self._recognise()
        return verdict, labels >= 0

    def _classify(
        self, power: Floats
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Return label (-1: none), frequency and share of each frame."""
        total = power[:, IN_BAND].sum(axis=1) + np.float32(1e-12)
        inside = power @ self._around
        share = inside / total[:, None]
        good = (share >= _SHARE) & (total[:, None] > _SILENCE)
        if len(self._part_label):
            parts = power @ self._parts < _PART_SHARE * total[:, None]
            for column, label in enumerate(self._part_label):
                good[:, label] &= ~parts[:, column]
        if not good.any():
            self._loudest *= _FORGET ** len(power)
            return np.full(len(power), -1), np.zeros(len(power)), np.zeros(len(power))
        for frame in range(len(power)):
            np.maximum(self._loudest * _FORGET, np.where(good[frame], inside[frame], 0.0), out=self._loudest)
            good[frame] &= inside[frame] >= _EDGE * self._loudest
        label = np.where(good.any(axis=1), np.argmax(np.where(good, share, 0.0), axis=1), -1)
        rows = np.arange(len(power))
        hertz = (power @ self._moment)[rows, label] / (inside[rows, label] + np.float32(1e-12))
        return label, hertz, share[rows, label]

    def _advance(self, label: int, hertz: float, share: float) -> bool:
        """Put one frame into the spells; tell whether a new spell began."""
        now, self._frame = self._frame, self._frame + 1
        current = self._spells[-1]
        if label == current.label:
            self._next = None
            current.add(hertz, share)
            return False
        if self._next is None or self._next.label != label:
            self._next = _Spell(label, now)
        self._next.add(hertz, share)
        if self._next.frames < _STEADY_FRAMES:
            return False
        self._spells.append(self._next)
        self._next = None
        return True

    def _recognise(self) -> Verdict | None:
        spells = list(self._spells)
        ends = [*(spell.first for spell in spells[1:]), self._frame]
        seconds = [(end - spell.first) * HOP_SECONDS for spell, end in zip(spells, ends, strict=True)]
        found = self._recognise_sit(spells, seconds)
        if found is not None:
            return found
        for tone in self._tones:
            begin = self._fits(tone, spells, seconds)
            if begin is not None and tone.name not in self._told:
                return self._verdict(tone.name, _REASONS.get(tone.name, HangupReason.OTHER), spells[begin])
        return None

    def _verdict(self, name: str, reason: HangupReason | None, first: _Spell) -> Verdict:
        self._told.add(name)
        return Verdict(
            heard=Heard.TONE,
            name=name,
            reason=reason,
            final=reason is not None,
            at_seconds=self._frame * HOP_SECONDS,
            since_seconds=first.first * HOP_SECONDS,
            likeness=round(min(first.mean_share, 1.0), 3),
        )

    def _fits(self, tone: Tone, spells: list[_Spell], seconds: list[float]) -> int | None:
        """Return where the tone began among the spells, None if the last spells are not it."""
        label = self._labels[tone.hertz]
        if tone.continuous is not None:
            last = spells[-1]
            steady = last.label == label and last.stands_still and seconds[-1] >= tone.continuous
            return len(spells) - 1 if steady else None
        beats = tone.beats * tone.periods
        begin = len(spells) - 2 * len(beats)
        if begin < 0 or spells[-1].label != -1:
            return None
        hertz = [spells[at].mean_hertz for at in range(begin, len(spells), 2)]
        if max(hertz) - min(hertz) > _SAME_HERTZ:  # music
            return None
        for number, beat in enumerate(beats):
            on, off = begin + 2 * number, begin + 2 * number + 1
            if spells[on].label != label or spells[off].label != -1 or not spells[on].stands_still:
                return None
            is_last = off == len(spells) - 1
            enough = tone.after if is_last and tone.after is not None else beat.off_min
            if not beat.on_min <= seconds[on] <= beat.on_max or not enough <= seconds[off] <= beat.off_max:
                return None
        return begin

    def _recognise_sit(self, spells: list[_Spell], seconds: list[float]) -> Verdict | None:
        """Find three rising tones at the end; short gaps between them do not count."""
        if spells[-1].label != self._sit[2] or seconds[-1] < _SIT_LAST_SECONDS:
            return None
        kept = [
            (spell, length)
            for spell, length in zip(spells, seconds, strict=True)
            if spell.label != -1 or length > _SIT_GAP_SECONDS
        ]
        if SIT in self._told or len(kept) < 3 or tuple(spell.label for spell, _ in kept[-3:]) != self._sit:
            return None
        low, high = _SIT_SECONDS
        if not all(low <= length <= high for _, length in kept[-3:-1]) or kept[-1][1] > high + 0.1:
            return None
        first, second = kept[-3], kept[-2]
        name, reason = _sit_meaning(first[0].mean_hertz, first[1], second[0].mean_hertz, second[1])
        return self._verdict(name, reason, first[0])


def _middle(hertz: tuple[float, ...]) -> float:
    return sum(hertz) / len(hertz)


def _sit_meaning(
    first_hertz: float, first_seconds: float, second_hertz: float, second_seconds: float
) -> tuple[str, HangupReason]:
    heard = ((first_hertz, first_seconds), (second_hertz, second_seconds))
    for tones, meaning in _SIT_MEANINGS.items():
        if all(_is_tone(*tone, *one) for tone, one in zip(tones, heard, strict=True)):
            return meaning
    return SIT, HangupReason.OTHER


def _is_tone(hertz: float, is_long: bool, heard_hertz: float, seconds: float) -> bool:
    shortest, longest = _SIT_LONG_SECONDS if is_long else _SIT_SHORT_SECONDS
    return abs(heard_hertz - hertz) <= _SIT_OFF_HERTZ and shortest <= seconds <= longest
