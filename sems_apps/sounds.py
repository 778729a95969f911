"""What can be heard, by name: a machine says what, the host finds the files (and the words of a number)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SoundKind(StrEnum):
    """Kinds of sound."""

    #: Music by name; mostly looped.
    MUSIC = "music"
    #: A recorded prompt by name.
    PROMPT = "prompt"
    #: A tone by name: "ringback", "busy".
    TONE = "tone"
    #: "You are number N in the queue."
    POSITION = "position"
    #: "The wait is about LOW to HIGH minutes"; both 0: less than a minute.
    WAIT = "wait"
    #: Digits one by one.
    DIGITS = "digits"
    #: A compiled file that only this call hears; its path without the payload type.
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Sound:
    """One thing to hear."""

    kind: SoundKind
    #: Name of music, prompt or tone; digits to say.
    text: str = ""
    #: Position, or the lower end of the wait in minutes.
    number: int = 0
    #: Upper end of the wait in minutes.
    upper: int = 0


def music(name: str) -> Sound:
    """Return music by name."""
    return Sound(SoundKind.MUSIC, name)


def prompt(name: str) -> Sound:
    """Return a recorded prompt by name."""
    return Sound(SoundKind.PROMPT, name)


def tone(name: str) -> Sound:
    """Return a tone by name."""
    return Sound(SoundKind.TONE, name)


def position(number: int) -> Sound:
    """Say a place in the queue, 1 being the next to be served."""
    return Sound(SoundKind.POSITION, number=number)


def wait(low_minutes: int, high_minutes: int) -> Sound:
    """Say how long it will take; (0, 0) means less than a minute."""
    return Sound(SoundKind.WAIT, number=low_minutes, upper=high_minutes)


def digits(text: str) -> Sound:
    """Say digits one by one."""
    return Sound(SoundKind.DIGITS, text)


def file(path: str) -> Sound:
    """Return a compiled file of this call's own."""
    return Sound(SoundKind.FILE, path)
