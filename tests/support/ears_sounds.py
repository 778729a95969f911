"""Sound for the ears: speech of espeak-ng, tones, noise, G.711 and packet loss. Made when needed, from a seed.

Speech is kept in a folder, so that a second run need not speak it again. Samples are 16-bit, 8000 a second.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from callcore.g711 import ALAW_DECODED, ULAW_DECODED, alaw_encode, ulaw_encode
from callcore.resample import halve
from kalibri.prompt_audio import speak

RATE: Final = 8000
FRAME: Final = 160
Samples = NDArray[np.int16]
Signal = NDArray[np.float32]

#: Voices of messages that are enrolled, and others, which are never enrolled.
ENROLLED_VOICES: Final = ("ru", "ru+f2", "en-us", "en-us+f3", "en-gb+m3", "de+f1", "kk+f4", "uk+m2")
OTHER_VOICES: Final = ("en-gb-x-rp+m7", "ru+m5", "en-us+f4", "de+m4", "ru+f5", "fr-fr+f1", "es+m1", "pl+f2")

_WORDS: Final = {
    "ru": "абонент номер вызов аппарат сеть временно недоступен набран неправильно позвоните позже оставьте "
    "сообщение после сигнала линия занята перегружена изменён обслуживание прекращено справочная услуга "
    "подключена баланс пополните телефон выключен находится вне зоны действия ждите ответа оператора спасибо "
    "компания сегодня работаем утром вечером завтра погода дорога город музыка книга окно река",
    "en": "the subscriber number you have dialled is not in service at present please check and call again later "
    "leave a message after the tone all lines are busy temporarily restricted account balance network cannot "
    "connect switched off outside coverage area customer support company today morning garden river window "
    "music yellow station paper mountain council another evening thank stay moment department",
    "de": "der teilnehmer ist vorübergehend nicht erreichbar bitte rufen sie später an diese nummer wurde geändert "
    "kein anschluss unter dieser nummer hinterlassen eine nachricht nach dem ton alle leitungen sind belegt "
    "garten fenster abend musik straße morgen wetter danke moment",
    "kk": "абонент қазір байланыс аясынан тыс жерде немесе телефоны өшірулі кейінірек қоңырау шалыңыз нөмір қате "
    "терілді хабарлама қалдырыңыз желі бос емес рахмет күте тұрыңыз компания бүгін ертең қала өзен",
    "uk": "абонент поза зоною досяжності або вимкнений зателефонуйте пізніше номер набрано неправильно залиште "
    "повідомлення після сигналу лінія зайнята мережа перевантажена дякуємо зачекайте сьогодні місто ріка",
    "fr": "le numéro que vous avez demandé n'est pas attribué veuillez consulter laissez un message après le bip "
    "occupé réseau bonjour société demain fenêtre jardin musique rivière",
    "es": "el número marcado no existe por favor verifique y llame más tarde deje un mensaje después del tono "
    "ocupado red hola compañía mañana ventana jardín música río",
    "pl": "abonent jest czasowo niedostępny proszę zadzwonić później wybrany numer nie istnieje zostaw wiadomość "
    "po sygnale zajęty sieć dzień dobry firma jutro okno ogród muzyka rzeka",
}


def sentence(voice: str, seed: object, words: int) -> str:
    """Return so many words in the language of a voice, without sense, always the same for a seed."""
    pool = _WORDS[voice.partition("+")[0].partition("-")[0]].split()
    chooser = random.Random(f"{voice}/{seed}")
    said = [chooser.choice(pool) for _ in range(words)]
    for place in range(chooser.randrange(4, 8), words - 1, 7):
        said[place] += "."
    return " ".join(said) + "."


class Speaker:
    """Speaks text once and keeps it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def say(self, text: str, voice: str, words_per_minute: int = 160) -> Samples:
        """Return a text spoken by a voice of espeak-ng, about as loud as a telephone."""
        name = hashlib.sha256(f"{voice}/{words_per_minute}/{text}".encode()).hexdigest()[:24]
        path = self._folder / f"{name}.npy"
        if not path.exists():
            wide = speak(text, voice=voice, words_per_minute=words_per_minute)
            part = path.with_name(f"{name}.part.npy")
            np.save(part, halve(at_level(wide, -20.0)))
            part.rename(path)
        loaded: Samples = np.load(path)
        return loaded


def at_level(signal: Signal, dbfs: float) -> Samples:
    """Return a signal whose loud part has this level."""
    loud = np.abs(signal) > 0.02 * np.abs(signal).max(initial=1e-6)
    rms = float(np.sqrt(np.mean(np.square(signal[loud])))) if loud.any() else 1.0
    return _samples(signal * (32767 * 10 ** (dbfs / 20) / rms))


def _samples(signal: NDArray[Any]) -> Samples:
    return np.asarray(np.clip(signal, -32767, 32767), np.int16)


def silence(seconds: float) -> Samples:
    """Return silence."""
    return np.zeros(round(seconds * RATE), np.int16)


def tone(seconds: float, *hertz: float, dbfs: float = -15.0, phase: float = 0.0) -> Samples:
    """Return frequencies that sound together, with edges of 2 ms."""
    at = np.arange(round(seconds * RATE)) / RATE
    signal = sum((np.sin(2 * np.pi * one * at + phase) for one in hertz), np.zeros(len(at)))
    edge = np.minimum(1.0, np.minimum(at, at[::-1]) / 0.002)
    return _samples(signal * edge * (32767 * 10 ** (dbfs / 20) * np.sqrt(2 / len(hertz))))


def cadence(
    seconds: float, hertz: Sequence[float], beats: Sequence[tuple[float, float]], dbfs: float = -15.0
) -> Samples:
    """Return bursts and pauses (on, off, in seconds) in turn, cut to a length."""
    period = [part for on, off in beats for part in (tone(on, *hertz, dbfs=dbfs), silence(off))]
    once = np.concatenate(period)
    return np.asarray(np.resize(once, round(seconds * RATE)), np.int16)


def pink(samples: int, seed: int) -> Signal:
    """Return noise that falls by 3 dB an octave."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(samples))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    spectrum[: max(int(100 * samples / RATE), 1)] = 0
    return np.asarray(np.fft.irfft(spectrum, samples), np.float32)


def level_of(signal: Signal | Samples) -> float:
    """Return the effective value of what is not silence."""
    signal = np.asarray(signal, np.float32)
    loud = signal[np.abs(signal) > 0.02 * np.abs(signal).max(initial=1e-6)]
    return float(np.sqrt(np.mean(np.square(loud)))) if len(loud) else 1.0


def with_noise(samples: Samples, snr_db: float | None, noise: Signal) -> Samples:
    """Return samples with noise, so many dB below what is not silence in them; None: clean."""
    if snr_db is None:
        return samples
    noise = noise[: len(samples)]
    gain = level_of(samples) / (float(np.sqrt(np.mean(np.square(noise)))) + 1e-9) * 10 ** (-snr_db / 20)
    return _samples(samples + gain * noise)


def gained(samples: Samples, db: float) -> Samples:
    """Return samples louder or softer."""
    return _samples(samples.astype(np.float32) * 10 ** (db / 20))


def through_g711(samples: Samples, alaw: bool) -> Samples:
    """Return what comes out of a telephone line."""
    return ALAW_DECODED[alaw_encode(samples)] if alaw else ULAW_DECODED[ulaw_encode(samples)]


def frames(samples: Samples, *, loss: float = 0.0, seed: int = 0) -> list[tuple[Samples, bool]]:
    """Return frames of 20 ms, and which of them are lost."""
    chooser = random.Random(seed)
    cut = []
    for begin in range(0, len(samples) - FRAME + 1, FRAME):
        lost = chooser.random() < loss
        cut.append((np.zeros(FRAME, np.int16) if lost else samples[begin : begin + FRAME], lost))
    return cut
