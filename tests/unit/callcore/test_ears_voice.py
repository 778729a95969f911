"""People say little and wait, machines talk on or beep; what is doubtful is a human."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from callcore.ears_tones import ToneSet
from callcore.ears_verdict import HangupReason, Heard, Verdict
from callcore.ears_voice import VoiceSettings
from tests.support.ears_sounds import RATE, Samples, Signal, Speaker, silence, through_g711, tone, with_noise
from tests.support.fix_ears import listen

GREETING = (
    "Hello, you have reached the voice mail of Peter and Mary. We are not able to take your call right now. "
    "Please leave your name and your number and we will call you back."
)
LINE = 15


@pytest.fixture
def hear(tone_sets: dict[str, ToneSet], noise: Callable[[int, int], Signal]) -> Callable[..., list[Verdict]]:
    """Listen to an answered call with noise on the line."""

    def heard(*parts: Samples, snr_db: float | None = 15) -> list[Verdict]:
        clip = np.concatenate(parts)
        clip = np.pad(clip, (0, max(LINE * RATE - len(clip), 0)))
        noisy = through_g711(with_noise(clip, snr_db, noise(len(clip), 5)), alaw=True)
        return listen(noisy, tone_sets["ru"], answered=True, loss=0.01)

    return heard


@pytest.mark.parametrize("snr_db", [None, 15])
@pytest.mark.parametrize(
    ("text", "voice"), [("Hello", "en-us"), ("Алло, слушаю вас", "ru+f2"), ("Müller, guten Tag", "de+m3")]
)
def test_a_short_greeting_and_silence_is_a_human(
    text: str, voice: str, snr_db: float | None, hear: Callable[..., list[Verdict]], speaker: Speaker
) -> None:
    told = hear(silence(0.6), speaker.say(text, voice), snr_db=snr_db)
    assert {(one.heard, one.reason) for one in told} == {(Heard.HUMAN, None)}
    assert (told[-1].final, told[-1].doubtful) == (True, False)
    assert told[-1].at_seconds < 3.2
    assert told[-1].since_seconds == pytest.approx(0.6, abs=0.15)


def test_a_long_greeting_of_a_company_is_a_human_at_first_doubtful(
    hear: Callable[..., list[Verdict]], speaker: Speaker
) -> None:
    text = "Good morning, Miller and partners, this is Anna, how may I help you?"
    told = hear(silence(0.4), speaker.say(text, "en-gb"))
    assert [one.heard for one in told] == [Heard.HUMAN, Heard.HUMAN]
    assert [(one.final, one.doubtful) for one in told] == [(False, True), (True, False)]
    assert told[0].at_seconds == pytest.approx(VoiceSettings().provisional, abs=0.15)


def test_who_talks_on_is_a_machine(hear: Callable[..., list[Verdict]], speaker: Speaker) -> None:
    told = hear(silence(0.4), speaker.say(GREETING, "en-us+f3"))
    assert [one.heard for one in told] == [Heard.HUMAN, Heard.MACHINE]
    assert (told[-1].final, told[-1].reason) == (True, HangupReason.VOICEMAIL)


def test_a_beep_after_a_greeting_is_a_machine(hear: Callable[..., list[Verdict]], speaker: Speaker) -> None:
    told = hear(silence(0.4), speaker.say("Please leave a message.", "en-us"), silence(0.4), tone(0.5, 1000))
    assert told[-1].heard is Heard.MACHINE
    assert told[-1].at_seconds < 4.5


def test_a_beep_without_a_greeting_is_not(hear: Callable[..., list[Verdict]], speaker: Speaker) -> None:
    told = hear(silence(0.4), tone(0.3, 1000), silence(0.5), speaker.say("Hello?", "en-us"))
    assert told[-1].heard is Heard.HUMAN


def test_who_says_nothing_is_a_doubtful_human(hear: Callable[..., list[Verdict]]) -> None:
    told = hear(silence(8), snr_db=None)
    assert [(one.heard, one.final, one.doubtful) for one in told] == [(Heard.HUMAN, True, True)]
    assert told[0].at_seconds == pytest.approx(VoiceSettings().silent, abs=0.2)


def test_nobody_is_judged_before_the_answer(speaker: Speaker, tone_sets: dict[str, ToneSet]) -> None:
    assert listen(np.concatenate([speaker.say(GREETING, "en-us"), silence(2)]), tone_sets["ru"]) == []
