"""Who answers in the ears' bench: people who say hello, companies, voice mail. Made of speech, silence and beeps."""

from __future__ import annotations

import random

import numpy as np

from tests.support.ears_sounds import RATE, Samples, Speaker, silence, tone

LISTENED_SECONDS = 14

HUMANS = {
    "ru": (
        "Алло",
        "Да",
        "Да, алло",
        "Слушаю вас",
        "Алло, кто это?",
        "Да, я слушаю, говорите",
        "Добрый день, отдел продаж, чем могу помочь?",
        "Компания Ромашка, добрый день, меня зовут Анна, слушаю вас",
    ),
    "en": (
        "Hello",
        "Yes?",
        "Hello, who is this?",
        "Smith residence",
        "Hello, Anna speaking",
        "Yes, good morning, who is calling please?",
        "Acme support, good afternoon, what can I do for you?",
        "Good morning, Miller and partners, this is Anna, how may I help you?",
    ),
    "de": (
        "Hallo",
        "Ja bitte",
        "Müller",
        "Schmidt, guten Tag",
        "Hallo, wer ist da?",
        "Guten Tag, Firma Schmidt, mein Name ist Weber, was kann ich für Sie tun?",
    ),
}
AGAIN = {
    "ru": ("Алло?", "Говорите", "Кто это?"),
    "en": ("Hello?", "Who is there?"),
    "de": ("Hallo?", "Wer ist da?"),
}
MACHINES = {
    "ru": (
        "Здравствуйте, вы позвонили Ивану. К сожалению, сейчас я не могу ответить на ваш звонок. Пожалуйста, оставьте "
        "сообщение после сигнала, и я вам обязательно перезвоню.",
        "Абонент не может ответить на ваш звонок. Вы можете оставить голосовое сообщение после звукового сигнала. По "
        "окончании записи нажмите решётку или положите трубку.",
    ),
    "en": (
        "Hi, you have reached the voice mail of Peter. I am not able to take your call right now. Please leave your "
        "name and number after the tone and I will call you back.",
        "You have been forwarded to an automatic voice message system. The person you are calling is not available. "
        "At the tone please record your message.",
    ),
    "de": (
        "Guten Tag, dies ist der Anrufbeantworter der Familie Schneider. Leider sind wir zur Zeit nicht zu Hause. "
        "Bitte hinterlassen Sie eine Nachricht nach dem Signalton.",
    ),
}
VOICES = {"ru": ("ru",), "en": ("en-us", "en-gb", "en-gb-x-rp"), "de": ("de",)}
VARIANTS = ("", "+f1", "+f2", "+f4", "+m2", "+m3", "+m5", "+m7")
SPEEDS = (140, 160, 185)


def human(speaker: Speaker, number: int) -> Samples:
    """Return somebody who answers, waits, and half of the time asks again."""
    chooser, language, voice = _who("human", number)
    parts = [
        silence(chooser.uniform(0.1, 1.5)),
        speaker.say(chooser.choice(HUMANS[language]), voice, chooser.choice(SPEEDS)),
    ]
    if chooser.random() < 0.5:
        parts += [silence(chooser.uniform(1.1, 3)), speaker.say(chooser.choice(AGAIN[language]), voice)]
    return _whole(parts)


def machine(speaker: Speaker, number: int) -> Samples:
    """Return an answering machine: greeting, most often a beep, then silence."""
    chooser, language, voice = _who("machine", number)
    parts = [
        silence(chooser.uniform(0.1, 1.5)),
        speaker.say(chooser.choice(MACHINES[language]), voice, chooser.choice(SPEEDS)),
    ]
    if chooser.random() < 0.8:
        parts += [
            silence(chooser.uniform(0.2, 0.9)),
            tone(chooser.choice((0.3, 0.6)), chooser.choice((440, 1000, 1400))),
        ]
    return _whole(parts)


def _who(kind: str, number: int) -> tuple[random.Random, str, str]:
    chooser = random.Random(f"{kind}/{number}")
    language = chooser.choice(sorted(VOICES))
    return chooser, language, chooser.choice(VOICES[language]) + chooser.choice(VARIANTS)


def _whole(parts: list[Samples]) -> Samples:
    clip = np.concatenate(parts)[: LISTENED_SECONDS * RATE]
    return np.pad(clip, (0, LISTENED_SECONDS * RATE - len(clip)))
