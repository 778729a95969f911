"""What the ears hear: known messages, tones, people and machines, in noise; how soon, and at what cost.

    python -m bench.ears [--scale 0.1] [--cache FOLDER]

All sound is made now: espeak-ng, computed tones, half pink noise and half people who talk at once, A-law and u-law,
1 % of the packets lost, levels from -12 to +3 dB. Who is enrolled and who is not have voices of their own, and half of
the impostors speak with the voices of the messages. Prints a table, writes bench/out/ears.json.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as ks-ears has it

import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np

from bench.ears_greetings import human, machine
from bench.report import write_report
from callcore.ears import Library, Recording
from callcore.ears_enrol import enrol
from callcore.ears_fingerprint import FingerprintIndex
from callcore.ears_tones import ToneSet
from callcore.ears_verdict import HangupReason, Heard, Verdict
from kalibri.config import PROJECT_ROOT
from kalibri.tone_sets import read_tone_sets
from tests.support.ears_process import packet
from tests.support.ears_sounds import (
    ENROLLED_VOICES,
    FRAME,
    OTHER_VOICES,
    RATE,
    Samples,
    Speaker,
    cadence,
    gained,
    sentence,
    silence,
    through_g711,
    tone,
    with_noise,
)
from tests.support.fix_ears import Noise, listen
from tools.ears.leg import Leg

MESSAGES = 100
WORDS = 9
#: Words in a row that an impostor does not share with a message of its voice: a synthetic voice says them alike, sample
#: for sample, for up to two seconds, and so much of the same recording is the same recording.
SHARED_WORDS = 2
NEVER = 9.9
#: CPU is measured so often, and the least counts: what else runs on the machine only ever adds to it.
PASSES = 5
LOSS = 0.01
#: Country, tone, frequencies, beats, how much of it is heard in seconds.
TONES: tuple[tuple[str, str, tuple[float, ...], tuple[tuple[float, float], ...], float], ...] = (
    ("ru", "busy", (425,), ((0.35, 0.35),), 6),
    ("ru", "congestion", (425,), ((0.175, 0.175),), 6),
    ("ru", "ringback", (425,), ((1.0, 4.0),), 8),
    ("eu", "busy", (425,), ((0.5, 0.5),), 6),
    ("us", "busy", (480, 620), ((0.5, 0.5),), 6),
    ("us", "congestion", (480, 620), ((0.25, 0.25),), 6),
    ("us", "ringback", (440, 480), ((2.0, 4.0),), 12),
    ("uk", "ringback", (400, 450), ((0.4, 0.2), (0.4, 2.0)), 8),
)
SIT = (950, 1400, 1800)


class Studio:
    """Speech, noise and lines."""

    def __init__(self, folder: Path, scale: float) -> None:
        self.speaker = Speaker(folder)
        self.noise = Noise(self.speaker)
        self.scale = scale
        self.tone_sets: dict[str, ToneSet] = read_tone_sets(PROJECT_ROOT / "conf" / "tones.yaml")
        self.texts = [
            (voice, sentence(voice, number, WORDS))
            for number, voice in enumerate(
                ENROLLED_VOICES[number % len(ENROLLED_VOICES)] for number in range(MESSAGES)
            )
        ]
        self.messages = [self.speaker.say(text, voice) for voice, text in self.texts]

    def count(self, whole: int) -> int:
        """Return how many of so many are tried at this scale."""
        return max(round(whole * self.scale), 8)

    def line(self, clip: Samples, snr_db: float | None, seed: int) -> Samples:
        """Return what arrives of a sound."""
        clip = gained(clip, random.Random(seed).uniform(-12, 3))
        return through_g711(with_noise(clip, snr_db, self.noise.of(len(clip), seed)), alaw=bool(seed % 2))

    def library(self) -> Library:
        """Return the messages as they are enrolled: through A-law, without noise."""
        sets = list(self.tone_sets.values())
        known = tuple(
            Recording(fingerprint_id=number, name=str(number), reason=HangupReason.UNREACHABLE)
            for number in range(MESSAGES)
        )
        prints = [enrol(through_g711(one, alaw=True), sets) for one in self.messages]
        return Library(known, FingerprintIndex(prints))

    def impostors(self, count: int, seconds: int) -> Iterator[Samples]:
        """Yield stretches of other speech, half of it by the voices of the messages."""
        mine: dict[str, set[tuple[str, ...]]] = {}
        for voice, text in self.texts:
            mine.setdefault(voice, set()).update(_runs(text))
        voices = [voice for pair in zip(ENROLLED_VOICES, OTHER_VOICES, strict=True) for voice in pair]
        made = number = 0
        while made < count:
            voice = voices[number % len(voices)]
            text = sentence(voice, ("impostor", number), 4 * seconds)
            number += 1
            if mine.get(voice, set()) & _runs(text):
                continue
            speech = self.speaker.say(text, voice)
            if len(speech) >= seconds * RATE:
                made += 1
                yield speech[: seconds * RATE]


def _runs(text: str) -> set[tuple[str, ...]]:
    words = text.replace(".", "").split()
    return {tuple(words[at : at + SHARED_WORDS]) for at in range(len(words) - SHARED_WORDS + 1)}


def messages_told(told: list[Verdict]) -> list[Verdict]:
    """Return what was said of messages."""
    return [one for one in told if one.heard is Heard.MESSAGE]


def identified(studio: Studio, library: Library, seconds: float, snr_db: float) -> tuple[float, int]:
    """Return the percentage of stretches from anywhere in a message that are recognised, and how many wrongly."""
    right = wrong = 0
    count = studio.count(300)
    for query in range(count):
        chooser = random.Random(f"{query}/{seconds}/{snr_db}")
        number = chooser.randrange(MESSAGES)
        length = round(seconds * RATE)
        message = studio.messages[number]
        start = chooser.randrange(max(len(message) - length, 1))
        clip = studio.line(message[start : start + length], snr_db, query)
        told = messages_told(listen(clip, studio.tone_sets["ru"], library, loss=LOSS, seed=query))
        right += bool(told) and told[-1].fingerprint_id == number
        wrong += bool(told) and told[-1].fingerprint_id != number
    return 100 * right / count, wrong


def impostor_verdicts(studio: Studio, library: Library) -> tuple[int, int, int]:
    """Return how many clips of other speech were taken for a message, how many for a tone, and of how many."""
    messages = tones = count = 0
    for number, clip in enumerate(studio.impostors(studio.count(1008), seconds=4)):
        count += 1
        heard = studio.line(clip, (None, 20, 10)[number % 3], number)
        country = ("ru", "us", "eu", "uk")[number % 4]
        told = listen(heard, studio.tone_sets[country], library, loss=LOSS, seed=number)
        messages += any(one.heard is Heard.MESSAGE for one in told)
        tones += any(one.heard is Heard.TONE for one in told)
    return messages, tones, count


def verdict_seconds(studio: Studio, library: Library) -> list[float]:
    """Return how long after its beginning each message is told, behind up to three seconds of ringing."""
    taken = []
    for query in range(studio.count(200)):
        chooser = random.Random(query)
        number = chooser.randrange(MESSAGES)
        lead = chooser.uniform(0, 3)
        clip = np.concatenate([silence(0.2), tone(lead, 425), studio.messages[number]])
        told = messages_told(
            listen(studio.line(clip, 15, query), studio.tone_sets["ru"], library, loss=LOSS, seed=query)
        )
        good = bool(told) and told[-1].final and told[-1].fingerprint_id == number
        taken.append(told[-1].at_seconds - 0.2 - lead if good else NEVER)
    return taken


def tones_identified(studio: Studio, snr_db: float) -> dict[str, tuple[float, float]]:
    """Return for each tone the percentage that is recognised, and the median time to the verdict."""
    found: dict[str, tuple[float, float]] = {}
    count = studio.count(60)
    for country, name, hertz, beats, seconds in TONES:
        taken = []
        for trial in range(count):
            chooser = random.Random(f"{country}/{name}/{trial}")
            drift = chooser.uniform(-20, 20)
            whole = cadence(2 * seconds + 8, [one + drift for one in hertz], beats)
            start = chooser.randrange(5 * RATE)
            taken.append(
                _tone_seconds(
                    studio, country, name, whole[start : start + round(seconds * RATE)], snr_db, trial
                )
            )
        found[f"{country} {name}"] = _summary(taken)
    taken = []
    for trial in range(count):
        drift = random.Random(trial).uniform(-20, 20)
        clip = np.concatenate([silence(0.3), *(tone(0.33, one + drift) for one in SIT), silence(1)])
        taken.append(_tone_seconds(studio, "ru", "sit", clip, snr_db, trial))
    found["sit"] = _summary(taken)
    return found


def _tone_seconds(studio: Studio, country: str, name: str, clip: Samples, snr_db: float, seed: int) -> float:
    told = listen(studio.line(clip, snr_db, seed), studio.tone_sets[country], loss=LOSS, seed=seed)
    right = bool(told) and told[0].heard is Heard.TONE and told[0].name.split("-")[0] == name
    return told[0].at_seconds if right else NEVER


def _summary(taken: list[float]) -> tuple[float, float]:
    return 100 * sum(one < NEVER for one in taken) / len(taken), float(np.median(taken))


def greetings(studio: Studio, snr_db: float) -> dict[str, float]:
    """Return how people and machines are told from each other."""
    wrong, found, first, last = 0, 0, [], []
    humans, machines = studio.count(300), studio.count(150)
    for number in range(humans):
        clip = studio.line(human(studio.speaker, number), snr_db, number)
        told = listen(clip, studio.tone_sets["ru"], answered=True, loss=LOSS, seed=number)
        wrong += any(one.heard is not Heard.HUMAN for one in told)
        first.append(told[0].at_seconds if told else NEVER)
    for number in range(machines):
        clip = studio.line(machine(studio.speaker, number), snr_db, number)
        told = listen(clip, studio.tone_sets["ru"], answered=True, loss=LOSS, seed=number)
        if told and told[-1].heard is Heard.MACHINE:
            found += 1
            last.append(told[-1].at_seconds)
    return {
        f"human_as_machine_pct_{snr_db:.0f}db": 100 * wrong / humans,
        f"machine_found_pct_{snr_db:.0f}db": 100 * found / machines,
        "human_first_verdict_p95_s": float(np.percentile(first, 95)),
        "machine_verdict_median_s": float(np.median(last)) if last else NEVER,
    }


def cpu_ms_per_second(studio: Studio, library: Library) -> float:
    """Return CPU for a second of one leg, RTP included, while nothing is recognised (which costs most)."""
    clips = [
        studio.line(clip, 15, number)
        for number, clip in enumerate(studio.impostors(studio.count(48), seconds=6))
    ]
    return min(_cpu_of(studio, library, clips) for _ in range(PASSES))


def _cpu_of(studio: Studio, library: Library, clips: list[Samples]) -> float:
    spent = heard = 0.0
    for number, clip in enumerate(clips):
        leg = Leg(library, [studio.tone_sets["ru"]], answered=bool(number % 2), now=0.0, seconds=60)
        packets = [packet(clip[at : at + FRAME], at // FRAME) for at in range(0, len(clip) - FRAME, FRAME)]
        begin = time.process_time()
        for at, data in enumerate(packets):
            leg.packet(data, at * 0.02)
        spent += time.process_time() - begin
        heard += leg.seconds
    return spent * 1000 / heard


@click.command(help=__doc__)
@click.option(
    "--scale", default=1.0, show_default=True, help="Part of the sample; 0.1 takes some ten seconds."
)
@click.option("--cache", type=click.Path(path_type=Path), help="Keep spoken sound here for the next run.")
def main(scale: float, cache: Path | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        studio = Studio(cache or Path(folder), scale)
        begin = time.process_time()
        library = studio.library()
        enrol_ms = (time.process_time() - begin) * 1000 / MESSAGES
        metrics: dict[str, float] = {}
        for seconds, snr_db in ((2, 15), (2, 10), (3, 5)):
            right, wrong = identified(studio, library, seconds, snr_db)
            metrics[f"fingerprint_id_pct_{seconds}s_{snr_db}db"] = right
            metrics[f"fingerprint_wrong_{seconds}s_{snr_db}db"] = wrong
        false_messages, false_tones, clips = impostor_verdicts(studio, library)
        metrics |= {
            "fingerprint_false_positives": false_messages,
            "tone_false_positives": false_tones,
            "impostor_clips": clips,
        }
        taken = verdict_seconds(studio, library)
        metrics["verdict_p50_s"], metrics["verdict_p95_s"] = (
            float(one) for one in np.percentile(taken, (50, 95))
        )
        tones = tones_identified(studio, 6)
        for name, (percent, seconds) in tones.items():
            click.echo(f"  {name:<16} {percent:5.1f} % at 6 dB, {seconds:.2f} s")
        metrics["tone_id_pct_6db"] = float(np.mean([percent for percent, _ in tones.values()]))
        metrics["tone_id_worst_pct_6db"] = min(percent for percent, _ in tones.values())
        metrics |= greetings(studio, 15)
        metrics["cpu_ms_per_audio_s"] = cpu_ms_per_second(studio, library)
        metrics["enrol_ms_per_message"] = enrol_ms
        metrics["scale"] = scale
        write_report("ears", metrics)


if __name__ == "__main__":
    main()
