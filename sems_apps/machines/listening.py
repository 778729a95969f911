"""What a waiting caller hears, and what his keys mean: music, announcements, the callback dialogue. Pure.

Runs beside the phases of the call: agents are rung and joined whatever is being said. It decides nothing about the
call itself; what it wants it returns as a Wish.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sems_apps.actions import (
    CALLER,
    Action,
    AskCallback,
    AskPosition,
    Play,
    StartTimer,
    StopPlaying,
    StopTimer,
)
from sems_apps.machines.wait_estimate import wait_range
from sems_apps.settings import QueueSettings, WhileRinging
from sems_apps.sounds import Sound, digits, music, position, prompt, tone, wait

#: Between the greeting and the first announcement: who is served at once hears neither.
FIRST_ANNOUNCEMENT_SECONDS = 3.0
#: Silence after which a dialogue is given up.
KEY_SECONDS = 8.0
#: Silence after which digits count as complete, and how many a number may have.
SHORTEST_NUMBER = 3
LONGEST_NUMBER = 15
#: The dialogue may be repeated this often before the caller simply goes on waiting.
LONGEST_DIALOGUE = 3

ANNOUNCE, PERIODIC, COMFORT, KEYS = "announce", "periodic", "comfort", "keys"
TIMERS = (ANNOUNCE, PERIODIC, COMFORT, KEYS)
SAID = "said"


class Hearing(StrEnum):
    """What the caller hears."""

    #: Nothing from us: not waiting, or talking.
    NOTHING = "nothing"
    #: Music, or the ringing of an agent's phone.
    MUSIC = "music"
    #: An announcement; music comes back by itself.
    SAYING = "saying"
    #: "Press 1 to be called back at 123…, 2 to give another number."
    CONFIRMING = "confirming"
    #: The caller types another number.
    TYPING = "typing"
    #: The ACD is being asked for the callback.
    ASKING = "asking"


class Wish(StrEnum):
    """What the caller chose."""

    EXIT = "exit"


@dataclass(frozen=True, slots=True)
class Wished:
    """A wish among the actions."""

    wish: Wish


Step = list[Action | Wished]


class Listening:
    """The ear of one waiting caller."""

    def __init__(self, settings: QueueSettings, number: str) -> None:
        self.settings = settings
        #: The number to call back: the caller's own, until he types another.
        self.number = number
        self.hearing = Hearing.NOTHING
        #: An agent's phone rings.
        self.ringing = False
        self._typed = ""
        self._rounds = 0
        self._on_demand = False
        self._greeted = False

    # ---- beginning and end

    def begin(self) -> Step:
        """Begin to play: the greeting if there is one and it was not said yet, then music."""
        greets = bool(self.settings.greeting) and not self._greeted
        self._greeted = True
        return [*(self._say((prompt(self.settings.greeting),)) if greets else self._music()), *self._timers()]

    def stop(self) -> Step:
        """Stop all of it: somebody else talks to the caller now."""
        self.ringing = self._on_demand = False
        if self.hearing is Hearing.NOTHING:
            return []
        self.hearing = Hearing.NOTHING
        return [StopPlaying(CALLER), *(StopTimer(name) for name in TIMERS)]

    def change(self, settings: QueueSettings) -> Step:
        """Follow the caller into another queue, or a changed one."""
        if settings == self.settings:  # somebody changed what callers do not hear
            return []
        other_music = settings.music != self.settings.music
        self.settings = settings
        if self.hearing is Hearing.NOTHING:
            return []
        return [*(self._music() if other_music and self.hearing is Hearing.MUSIC else ()), *self._timers()]

    def ring(self, ringing: bool) -> Step:
        """Follow the agent's phone: it rings, or no more."""
        changed = ringing != self.ringing
        self.ringing = ringing
        by_ringback = self.settings.while_ringing is WhileRinging.RINGBACK
        return self._music() if changed and by_ringback and self.hearing is Hearing.MUSIC else []

    # ---- events

    def timer(self, name: str) -> Step:
        """Take one of our TIMERS."""
        if self.hearing is Hearing.NOTHING:
            return []
        if name == KEYS:
            return self._keys_ended()
        again = self._timer(name)
        if self.hearing is not Hearing.MUSIC or self._rings_audibly():
            return again
        if name == ANNOUNCE:
            return [AskPosition(), *again]
        text = self.settings.periodic_prompt if name == PERIODIC else self.settings.comfort_prompt
        return [*self._say((prompt(text),)), *again]

    def prompt_ended(self) -> Step:
        """Take the end of what was being said."""
        if self.hearing is Hearing.SAYING:
            return [*self._music(), *self._timer(COMFORT)]
        if self.hearing in (Hearing.CONFIRMING, Hearing.TYPING):
            return [StartTimer(KEYS, KEY_SECONDS)]
        return []

    def position_known(self, place: int, wait_seconds: float | None) -> Step:
        """Say the position, if it is still wanted."""
        on_demand, self._on_demand = self._on_demand, False
        free = self.hearing is Hearing.MUSIC and not self._rings_audibly()
        if not free and not (on_demand and self.hearing in (Hearing.MUSIC, Hearing.SAYING)):
            return []
        said: list[Sound] = []
        if self.settings.announce_position or on_demand:
            said.append(position(max(1, place)))
        if (self.settings.announce_wait or on_demand) and wait_seconds is not None:
            said.append(wait(*wait_range(wait_seconds)))
        if self.settings.callback_key and not on_demand:
            said.append(prompt("callback-offer"))
        return self._say(tuple(said)) if said else []

    def key(self, digit: str) -> Step:
        """Take a key of the caller."""
        if self.hearing in (Hearing.MUSIC, Hearing.SAYING):
            return self._key_while_waiting(digit)
        if self.hearing is Hearing.CONFIRMING:
            return self._key_confirming(digit)
        if self.hearing is Hearing.TYPING:
            return self._key_typing(digit)
        return []

    def say(self, name: str) -> Step:
        """Say a prompt, if nothing is being asked of the caller."""
        return self._say((prompt(name),)) if self.hearing in (Hearing.MUSIC, Hearing.SAYING) else []

    def callback_refused(self) -> Step:
        """The ACD did not take the callback: say so and go on waiting."""
        if self.hearing is not Hearing.ASKING:
            return []
        return self._say((prompt("callback-refused"),))

    # ---- keys

    def _key_while_waiting(self, digit: str) -> Step:
        if digit == self.settings.exit_key:
            return [Wished(Wish.EXIT)]
        if digit == self.settings.callback_key:
            self._rounds = 0
            return self._confirm() if self.number else self._type()
        if digit == self.settings.position_key:
            self._on_demand = True  # the answer may interrupt what is being said
            return [AskPosition()]
        return []

    def _key_confirming(self, digit: str) -> Step:
        if digit == "1":
            return self._ask()
        if digit == "2":
            return self._type()
        if digit == "*":
            return [StopTimer(KEYS), *self._music()]
        return self._confirm()

    def _key_typing(self, digit: str) -> Step:
        if digit == "*":
            return [StopTimer(KEYS), *self._music()]
        if digit != "#" and digit.isdigit():
            self._typed += digit
        if digit == "#" or len(self._typed) >= LONGEST_NUMBER:
            return self._typed_whole()
        return [StopPlaying(CALLER), StartTimer(KEYS, KEY_SECONDS)]

    def _keys_ended(self) -> Step:
        if self.hearing is Hearing.TYPING and self._typed:
            return self._typed_whole()
        if self.hearing is Hearing.CONFIRMING:
            return self._confirm()
        return self._type() if self.hearing is Hearing.TYPING else []

    def _typed_whole(self) -> Step:
        if len(self._typed) < SHORTEST_NUMBER:
            return self._type()
        self.number = self._typed
        return self._confirm()

    # ---- saying

    def _confirm(self) -> Step:
        """Read the number back; after some rounds without a clear answer the caller goes on waiting."""
        if self._too_long():
            return [StopTimer(KEYS), *self._music()]
        self.hearing = Hearing.CONFIRMING
        said = (prompt("callback-your-number"), digits(self.number), prompt("callback-confirm"))
        return [StopTimer(KEYS), self._play(said)]

    def _type(self) -> Step:
        if self._too_long():
            return [StopTimer(KEYS), *self._music()]
        self.hearing, self._typed = Hearing.TYPING, ""
        return [StopTimer(KEYS), self._play((prompt("callback-number"),))]

    def _too_long(self) -> bool:
        self._rounds += 1
        return self._rounds > 2 * LONGEST_DIALOGUE

    def _ask(self) -> Step:
        self.hearing = Hearing.ASKING
        return [
            StopTimer(KEYS),
            Play(CALLER, (music(self.settings.music),), self.settings.language, loop=True),
            AskCallback(self.number),
        ]

    def _say(self, sounds: tuple[Sound, ...]) -> Step:
        self.hearing = Hearing.SAYING
        return [self._play(sounds)]

    def _play(self, sounds: tuple[Sound, ...]) -> Action:
        return Play(CALLER, sounds, self.settings.language, token=SAID)

    def _music(self) -> Step:
        self.hearing = Hearing.MUSIC
        sound = tone("ringback") if self._rings_audibly() else music(self.settings.music)
        return [Play(CALLER, (sound,), self.settings.language, loop=True)]

    def _rings_audibly(self) -> bool:
        return self.ringing and self.settings.while_ringing is WhileRinging.RINGBACK

    # ---- timers

    def _timers(self) -> Step:
        begun: Step = [*self._timer(PERIODIC), *self._timer(COMFORT)]
        if self._announces():
            return [StartTimer(ANNOUNCE, FIRST_ANNOUNCEMENT_SECONDS), *begun]
        return [StopTimer(ANNOUNCE), *begun]

    def _timer(self, name: str) -> Step:
        settings = self.settings
        seconds = {
            ANNOUNCE: settings.announce_every_seconds if self._announces() else 0.0,
            PERIODIC: settings.periodic_every_seconds if settings.periodic_prompt else 0.0,
            COMFORT: settings.comfort_every_seconds if settings.comfort_prompt else 0.0,
        }[name]
        return [StartTimer(name, seconds)] if seconds > 0 else [StopTimer(name)]

    def _announces(self) -> bool:
        return self.settings.announce_position or self.settings.announce_wait
