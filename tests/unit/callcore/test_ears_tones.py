"""Tones are told by their cadence, in noise and with loss; voices and music are none."""

from __future__ import annotations

import random

import numpy as np
import pytest

from callcore.ears_tones import ToneSet, country_of, parse_tone_sets
from callcore.ears_verdict import HangupReason, Heard
from callcore.errors import BadInput
from callcore.synthesis import music
from tests.support.ears_sounds import (
    FRAME,
    RATE,
    Speaker,
    at_level,
    cadence,
    gained,
    pink,
    sentence,
    silence,
    through_g711,
    tone,
    with_noise,
)
from tests.support.fix_ears import listen

CASES = [
    ("ru", "busy", [425], [(0.35, 0.35)]),
    ("ru", "congestion", [425], [(0.175, 0.175)]),
    ("ru", "ringback", [425], [(1.0, 4.0)]),
    ("eu", "busy", [425], [(0.5, 0.5)]),
    ("eu", "congestion", [425], [(0.25, 0.25)]),
    ("us", "busy", [480, 620], [(0.5, 0.5)]),
    ("us", "congestion", [480, 620], [(0.25, 0.25)]),
    ("us", "ringback", [440, 480], [(2.0, 4.0)]),
    ("uk", "ringback", [400, 450], [(0.4, 0.2), (0.4, 2.0)]),
    ("uk", "busy", [400], [(0.375, 0.375)]),
    ("uk", "congestion", [400], [(0.4, 0.35), (0.225, 0.525)]),
    ("uk", "unobtainable", [400], [(6.0, 0.0)]),
    ("fr", "busy", [440], [(0.5, 0.5)]),
    ("cn", "congestion", [450], [(0.7, 0.7)]),
    ("jp", "ringback", [400], [(1.0, 2.0)]),
    ("il", "busy", [400], [(0.5, 0.5)]),
]
IDS = [f"{country}-{name}" for country, name, _, _ in CASES]


@pytest.mark.parametrize(("country", "name", "hertz", "beats"), CASES, ids=IDS)
def test_each_tone_of_each_country_is_recognised_clean(
    country: str,
    name: str,
    hertz: list[float],
    beats: list[tuple[float, float]],
    tone_sets: dict[str, ToneSet],
) -> None:
    told = listen(cadence(9, hertz, beats), tone_sets[country])
    assert [(one.heard, one.name) for one in told] == [(Heard.TONE, name)]
    assert told[0].final == (name != "ringback")


@pytest.mark.parametrize(("country", "name", "hertz", "beats"), CASES[:8], ids=IDS[:8])
def test_tones_are_recognised_with_noise_drift_and_loss(
    country: str,
    name: str,
    hertz: list[float],
    beats: list[tuple[float, float]],
    tone_sets: dict[str, ToneSet],
) -> None:
    for seed in range(3):
        chooser = random.Random(seed)
        drift = chooser.uniform(-18, 18)
        clip = cadence(14, [one + drift for one in hertz], beats)[chooser.randrange(4 * RATE) :][: 9 * RATE]
        noisy = with_noise(gained(clip, chooser.uniform(-15, 3)), 8, pink(len(clip), seed))
        told = listen(through_g711(noisy, alaw=bool(seed % 2)), tone_sets[country], loss=0.01, seed=seed)
        assert [one.name for one in told] == [name], seed


def test_sit_is_told_at_once_and_is_final_when_no_message_follows(tone_sets: dict[str, ToneSet]) -> None:
    sit = [tone(0.33, hertz) for hertz in (950, 1400, 1800)]
    told = listen(np.concatenate([silence(0.5), *sit, silence(10)]), tone_sets["ru"])
    assert [(one.name, one.final) for one in told] == [("sit", False), ("sit", True)]
    assert told[0].at_seconds < 1.6
    assert told[0].since_seconds == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("tones", "name", "reason"),
    [
        (((985.2, 0.38), (1370.6, 0.274)), "sit-vacant", HangupReason.NOT_EXISTING),
        (((913.8, 0.274), (1370.6, 0.274)), "sit-intercept", HangupReason.NOT_EXISTING),
        (((985.2, 0.38), (1428.5, 0.38)), "sit-no-circuit", HangupReason.CONGESTION),
        (((913.8, 0.274), (1428.5, 0.38)), "sit-reorder", HangupReason.CONGESTION),
    ],
)
def test_sit_segments_say_what_they_mean(
    tones: tuple[tuple[float, float], ...], name: str, reason: HangupReason, tone_sets: dict[str, ToneSet]
) -> None:
    segments = [tone(seconds, hertz) for hertz, seconds in (*tones, (1776.7, 0.38))]
    told = listen(np.concatenate([silence(0.3), *segments, silence(1)]), tone_sets["us"])
    assert [(one.name, one.reason, one.final) for one in told] == [(name, reason, True)]


def test_order_of_sit_tones_matters(tone_sets: dict[str, ToneSet]) -> None:
    falling = [tone(0.33, hertz) for hertz in (1800, 1400, 950)]
    assert listen(np.concatenate([silence(0.5), *falling, silence(2)]), tone_sets["ru"]) == []


def test_fax_is_recognised(tone_sets: dict[str, ToneSet]) -> None:
    told = listen(np.concatenate([silence(0.5), tone(3, 2100)]), tone_sets["ru"], answered=True)
    assert [one.reason for one in told] == [HangupReason.FAX]


def test_a_tone_outside_its_limits_is_none(tone_sets: dict[str, ToneSet]) -> None:
    for beats in ([(0.6, 0.6)], [(0.35, 0.9)], [(0.05, 0.3)]):
        assert listen(cadence(6, [425], beats), tone_sets["ru"]) == []
    assert listen(cadence(6, [700], [(0.35, 0.35)]), tone_sets["ru"]) == []


def test_voices_music_and_noise_are_no_tones(speaker: Speaker, tone_sets: dict[str, ToneSet]) -> None:
    clips = [speaker.say(sentence(voice, 1, 25), voice) for voice in ("en-us", "ru+f2", "de+m3")]
    clips += [at_level(music()[: 20 * 16000 : 2], -20), at_level(pink(8 * RATE, 3), -25)]
    for country in ("ru", "us", "uk"):
        for clip in clips:
            assert [one for one in listen(clip, tone_sets[country]) if one.heard is Heard.TONE] == []


def test_nothing_depends_on_how_the_audio_is_cut(tone_sets: dict[str, ToneSet]) -> None:
    from callcore.ears import Ears, Library

    clip = cadence(4, [425], [(0.35, 0.35)])
    expected = listen(clip, tone_sets["ru"])
    chooser = random.Random(4)
    ears, told, at = Ears(Library(), [tone_sets["ru"]]), [], 0
    while at < len(clip):
        size = chooser.choice([1, 7, FRAME, 333, 4000])
        found = ears.feed(clip[at : at + size])
        told += [found] if found else []
        at += size
    assert told == expected


@pytest.mark.parametrize(
    ("number", "country"),
    [
        ("74951234567", "ru"),
        ("+12125550100", "us"),
        ("97231234567", "il"),
        ("998712345678", None),
        ("", None),
    ],
)
def test_the_country_code_of_a_number_says_whose_tones_are_heard(
    number: str, country: str | None, tone_sets: dict[str, ToneSet]
) -> None:
    assert country_of(number, tone_sets) == country


@pytest.mark.parametrize(
    "table",
    [
        [],
        {"xx": []},
        {"xx": {"busy": {"hertz": []}}},
        {"xx": {"busy": {"hertz": [425]}}},
        {"xx": {"busy": {"hertz": [425], "beats": [[0.3, 0.2, 0.3, 0.4]]}}},
        {"xx": {"busy": {"hertz": [425], "beats": [[0.3, 0.4, 0.3]]}}},
        {"xx": {"busy": {"hertz": [425], "continuous": 2, "colour": "red"}}},
        {"xx": {"busy": {"hertz": [425], "beats": [[0.3, 0.4, 0.3, 0.4]], "periods": 20}}},
        {"xx": {"busy": 7}},
        {"xx": {"codes": "44"}},
        {"xx": {"codes": [0]}},
    ],
)
def test_a_bad_table_is_refused(table: object) -> None:
    with pytest.raises(BadInput):
        parse_tone_sets(table)
