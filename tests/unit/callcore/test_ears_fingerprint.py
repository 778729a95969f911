"""Known recordings are found again in noise, at another level, from the middle; others are not taken for them."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callcore.ears import APART_SECONDS, Library, Recording
from callcore.ears_fingerprint import (
    BITS,
    LONGEST,
    SHORTEST,
    WINDOW,
    FingerprintIndex,
    Hasher,
    Print,
    Recogniser,
    limits_of,
    make_print,
)
from callcore.ears_tones import ToneSet
from callcore.ears_verdict import HangupReason, Heard
from tests.support.ears_sounds import (
    ENROLLED_VOICES,
    RATE,
    Samples,
    Signal,
    Speaker,
    gained,
    sentence,
    silence,
    through_g711,
    tone,
    with_noise,
)
from tests.support.fix_ears import listen

MESSAGES = 16


@pytest.fixture(scope="module")
def messages(speaker: Speaker) -> list[Samples]:
    voices = [ENROLLED_VOICES[number % len(ENROLLED_VOICES)] for number in range(MESSAGES)]
    return [speaker.say(sentence(voice, number, 9), voice) for number, voice in enumerate(voices)]


@pytest.fixture(scope="module")
def library(messages: list[Samples]) -> Library:
    reasons = list(HangupReason)
    known = tuple(
        Recording(fingerprint_id=100 + number, name=f"m{number}", reason=reasons[number % 4])
        for number in range(MESSAGES)
    )
    return Library(known, FingerprintIndex([make_print(through_g711(one, alaw=True)) for one in messages]))


def test_two_seconds_from_anywhere_at_10_db_are_recognised(
    messages: list[Samples],
    library: Library,
    noise: Callable[[int, int], Signal],
    tone_sets: dict[str, ToneSet],
) -> None:
    for number, message in enumerate(messages):
        chooser = random.Random(number)
        start = chooser.randrange(len(message) - 2 * RATE)
        clip = gained(message[start : start + 2 * RATE], chooser.uniform(-10, 3))
        clip = through_g711(with_noise(clip, 10, noise(len(clip), number)), alaw=bool(number % 2))
        told = listen(clip, tone_sets["ru"], library, loss=0.01, seed=number)
        assert [(one.heard, one.fingerprint_id) for one in told] == [(Heard.MESSAGE, 100 + number)]
        assert told[0].final
        assert told[0].at_seconds <= 2.0


def test_a_thousand_recordings_more_hide_none_and_are_none(
    messages: list[Samples],
    library: Library,
    noise: Callable[[int, int], Signal],
    tone_sets: dict[str, ToneSet],
    speaker: Speaker,
) -> None:
    """Each of the others is made of pieces of real speech in an order of its own."""
    chooser = random.Random(1000)
    pieces = [
        one[start : start + RATE // 2] for one in messages[8:] for start in range(0, len(one), RATE // 2)
    ]
    others = [make_print(np.concatenate(chooser.choices(pieces, k=8))) for _ in range(1000)]
    known = [make_print(through_g711(one, alaw=True)) for one in messages[:8]]
    crowd = tuple(
        Recording(fingerprint_id=1000 + number, name="other", reason=HangupReason.OTHER)
        for number in range(1000)
    )
    full = Library(library.recordings[:8] + crowd, FingerprintIndex([*known, *others]))
    for number, message in enumerate(messages[:8]):
        clip = through_g711(with_noise(message[: 3 * RATE], 10, noise(3 * RATE, number)), alaw=True)
        told = listen(clip, tone_sets["ru"], full, loss=0.01, seed=number)
        assert [one.fingerprint_id for one in told] == [100 + number]
    strange = speaker.say(sentence("fr-fr+f1", "strange", 25), "fr-fr+f1")
    assert listen(strange, tone_sets["ru"], full) == []


def test_a_message_after_ringing_is_told_in_time(
    messages: list[Samples], library: Library, tone_sets: dict[str, ToneSet]
) -> None:
    clip = np.concatenate([silence(0.3), tone(1.0, 425), silence(0.7), messages[3], silence(1)])
    told = [one for one in listen(clip, tone_sets["ru"], library) if one.heard is Heard.MESSAGE]
    assert [one.name for one in told] == ["m3"]
    assert told[0].at_seconds - 2.0 <= 1.7
    assert told[0].since_seconds == pytest.approx(2.0, abs=0.2)


def test_other_speech_of_the_same_voices_is_not_recognised(
    speaker: Speaker, library: Library, tone_sets: dict[str, ToneSet]
) -> None:
    for number, voice in enumerate(ENROLLED_VOICES):
        clip = speaker.say(sentence(voice, ("other", number), 25), voice)
        assert listen(clip, tone_sets["ru"], library) == []


def test_messages_that_begin_alike_are_told_apart_before_the_last_word(
    speaker: Speaker, tone_sets: dict[str, ToneSet]
) -> None:
    """While only the common beginning was heard, the verdict says that it is a message, and not finally which."""
    begin = speaker.say("The number you have dialled, in the city of Springfield,", "en-us")
    ends = [
        speaker.say(text, "en-us")
        for text in ("is not in service, please check it.", "has changed to one two.")
    ]
    both = [np.concatenate([begin, end]) for end in ends]
    known = (
        Recording(fingerprint_id=1, name="vacant", reason=HangupReason.NOT_EXISTING),
        Recording(fingerprint_id=2, name="changed", reason=HangupReason.CHANGED),
    )
    library = Library(known, FingerprintIndex([make_print(one) for one in both]))
    for number, clip in enumerate(both):
        told = listen(np.concatenate([silence(0.2), clip, silence(3)]), tone_sets["ru"], library)
        assert told[-1].final
        assert told[-1].fingerprint_id == number + 1
        assert all(one.doubtful for one in told[:-1])
        assert told[-1].at_seconds > len(begin) / RATE
        assert told[-1].at_seconds - told[0].at_seconds <= APART_SECONDS + 0.1


def test_a_message_that_is_no_end_is_told_and_waiting_goes_on(
    messages: list[Samples], library: Library, tone_sets: dict[str, ToneSet]
) -> None:
    known = [*library.recordings]
    known[5] = Recording(fingerprint_id=5, name="music", reason=HangupReason.WAIT)
    clip = np.concatenate([messages[5], silence(0.5), messages[6]])
    told = listen(clip, tone_sets["ru"], Library(tuple(known), library.index))
    assert [(one.name, one.final) for one in told] == [("music", False), ("m6", True)]


def test_pieces_of_any_size_make_the_same_words(messages: list[Samples]) -> None:
    whole = make_print(messages[0]).words
    hasher, cut, at = Hasher(), [], 0
    for size in (1, 99, 5000, 160, 640, 10**6):
        cut.append(hasher.push(messages[0][at : at + size])[0])
        at += size
    assert np.array_equal(np.concatenate(cut), whole)


def test_level_does_not_change_the_words(messages: list[Samples]) -> None:
    loud, soft = make_print(messages[1]), make_print(gained(messages[1], -6))
    both = loud.sounds & soft.sounds
    wrong = np.bitwise_count(loud.words[both] ^ soft.words[both]).sum() / (BITS * both.sum())
    assert wrong < 0.01


def test_tones_and_pauses_have_no_words(messages: list[Samples]) -> None:
    clip = np.concatenate([messages[0], silence(2)])
    made = make_print(clip)
    assert not made.sounds[-100:].any()
    mute = np.zeros(len(clip), np.bool_)
    mute[: len(messages[0])] = True
    assert not make_print(clip, mute).sounds[: len(messages[0]) // 100 - 25].any()


def test_too_little_is_never_recognised() -> None:
    assert limits_of(SHORTEST - 1) == (0.0, 0.0)
    whole, part = limits_of(LONGEST)
    assert limits_of(SHORTEST) < (whole, part)
    assert whole < part < 0.4


def test_an_empty_index_and_an_empty_recording_do_no_harm(messages: list[Samples]) -> None:
    empty = Print(np.zeros(0, np.uint32), np.zeros(0, np.bool_))
    for index in (
        FingerprintIndex([]),
        FingerprintIndex([empty]),
        FingerprintIndex([make_print(silence(3))]),
    ):
        assert Recogniser(index).push(messages[0]) == []
    assert make_print(silence(0.1)).sounding_seconds == 0


def _random_print(seed: int, words: int) -> Print:
    generator = np.random.default_rng(seed)
    return Print(generator.integers(0, 1 << 32, words, dtype=np.uint32), np.ones(words, np.bool_))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    lengths=st.lists(st.integers(SHORTEST, 400), min_size=1, max_size=6),
    data=st.data(),
)
def test_a_word_of_the_index_is_found_at_its_place(
    seed: int, lengths: list[int], data: st.DataObject
) -> None:
    """Also with one bit of a half turned, if that bit is told to be uncertain."""
    prints = [_random_print(seed + number, length) for number, length in enumerate(lengths)]
    index = FingerprintIndex(prints)
    number = data.draw(st.integers(0, len(lengths) - 1))
    word = data.draw(st.integers(0, lengths[number] - 1))
    bit = data.draw(st.integers(0, BITS - 1))
    certainty = np.ones((1, BITS), np.float32)
    certainty[0, bit] = 0
    turned = prints[number].words[word : word + 1] ^ np.uint32(1 << bit)
    found = {index.match(int(place), 0, 0) for place, _ in index.places(turned, certainty)}
    assert any(
        one.number == number and round((one.played_seconds - WINDOW / RATE) * 80) == word for one in found
    )


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), rate=st.sampled_from([0.0, 0.1, 0.2, 0.45]), start=st.integers(0, 250))
def test_distance_is_the_share_of_turned_bits(seed: int, rate: float, start: int) -> None:
    index = FingerprintIndex([_random_print(seed, 300), _random_print(seed + 1, 400)])
    generator = np.random.default_rng(seed + 7)
    flips = (generator.random((150, BITS)) < rate).astype(np.uint32) @ (1 << np.arange(BITS, dtype=np.uint32))
    words = _random_print(seed + 1, 400).words[start : start + 150] ^ flips.astype(np.uint32)
    place = LONGEST + 300 + LONGEST + start + 149
    distance, compared = index.distances(np.array([place]), words)
    assert compared.tolist() == [150]
    assert distance[0] == pytest.approx(
        np.bitwise_count(flips.astype(np.uint32)).sum() / (150 * BITS), abs=1e-6
    )
    assert index.worst_part(place, words) >= distance[0] - 1e-6
    assert index.match(place, 0, 0).number == 1
