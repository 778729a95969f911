"""Fixtures for the ears: a speaker whose speech is kept for the session, the tone sets, noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from callcore.ears import Ears, Library
from callcore.ears_tones import ToneSet
from callcore.ears_verdict import Verdict
from kalibri.config import PROJECT_ROOT
from kalibri.tone_sets import read_tone_sets
from tests.support.ears_sounds import OTHER_VOICES, RATE, Samples, Signal, Speaker, frames, pink, sentence


@pytest.fixture(scope="session")
def speaker(tmp_path_factory: pytest.TempPathFactory) -> Speaker:
    """Speech, spoken once in a session."""
    return Speaker(tmp_path_factory.mktemp("speech"))


@pytest.fixture(scope="session")
def tone_sets() -> dict[str, ToneSet]:
    """The tones that Kalibri brings along."""
    return read_tone_sets(PROJECT_ROOT / "conf" / "tones.yaml")


@pytest.fixture(scope="session")
def noise(speaker: Speaker) -> Callable[[int, int], Signal]:
    """Half pink noise, half people who talk at once: so many samples, from a seed."""
    return Noise(speaker).of


class Noise:
    """Half pink noise, half six people who talk at once."""

    def __init__(self, speaker: Speaker, seconds: int = 15) -> None:
        self._babble = np.zeros(seconds * RATE, np.float32)
        for voice in OTHER_VOICES[:6]:
            self._babble += np.resize(speaker.say(sentence(voice, "babble", 40), voice), len(self._babble))

    def of(self, samples: int, seed: int) -> Signal:
        """Return so many samples."""
        start = int(np.random.default_rng(seed).integers(len(self._babble)))
        babble = np.resize(np.roll(self._babble, -start), samples)
        return _unit(pink(samples, seed)) + _unit(babble)


def _unit(signal: Signal) -> Signal:
    return np.asarray(signal / (np.sqrt(np.mean(np.square(signal))) + 1e-9), np.float32)


def listen(
    clip: Samples,
    tone_set: ToneSet,
    library: Library | None = None,
    *,
    answered: bool = False,
    loss: float = 0.0,
    seed: int = 0,
) -> list[Verdict]:
    """Return everything that the ears say of a clip."""
    ears = Ears(library or Library(), [tone_set], answered=answered)
    told = [ears.feed(frame, lost=lost) for frame, lost in frames(clip, loss=loss, seed=seed)]
    return [verdict for verdict in told if verdict is not None]
