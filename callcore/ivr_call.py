"""One call in a scenario: where it stands, its variables, and what every node needs to act. Pure.

What nodes do is in ivr_nodes.py; the steps are made by ivr_run.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum

from callcore import ivr_events as ev
from callcore.ivr_events import Action
from callcore.ivr_model import Node, Record, Scenario
from callcore.ivr_say import SayItem, render
from callcore.ivr_values import clean, fill
from callcore.schedule import Schedule, time_zone

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
#: A timer that fires earlier than this would be no wait.
SHORTEST_TIMER_SECONDS = 0.05

#: Where to go at once, and by which exit; None: the call waits, or has ended.
Way = tuple[str, str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of a scenario."""

    name: str
    version: int
    scenario: Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What a call keeps from its beginning to its end: the scenario, all that it leads through, the schedules."""

    scenarios: Mapping[str, Version]
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    zone: tzinfo = UTC


class Stage(StrEnum):
    """What a call waits for."""

    NEW = "new"
    #: A prompt ends.
    SAYING = "saying"
    #: A key of a menu.
    MENU = "menu"
    #: Digits.
    COLLECT = "collect"
    #: Yes or no to the digits.
    CONFIRM = "confirm"
    #: A web server, the database.
    ASKING = "asking"
    #: An agent, or the end of the talk with him.
    QUEUED = "queued"
    #: The caller listens to his messages.
    LISTENING = "listening"
    #: Who was dialled answers.
    DIALLING = "dialling"
    #: Who was reached leaves.
    TALKING = "talking"
    #: The invitation and the beep end.
    BEEPING = "beeping"
    #: The message ends.
    RECORDING = "recording"
    #: The last words end.
    LEAVING = "leaving"
    ENDED = "ended"


#: Stages in which somebody else has the caller: the clock of the scenario stands still.
AWAY = frozenset({Stage.QUEUED, Stage.TALKING, Stage.LISTENING})


class Call:
    """The state of one call. `out` collects the actions of the step that is being made."""

    def __init__(self, bundle: Bundle, name: str, given: Mapping[str, str]) -> None:
        """given: caller, called, caller_name. Raises KeyError for a scenario that the bundle has not."""
        self.bundle = bundle
        self.at = bundle.scenarios[name]
        #: Scenario and node to go back to.
        self.frames: list[tuple[Version, str]] = []
        self.node: Node | None = None
        self.stage = Stage.NEW
        self.variables: dict[str, str] = {"language": self.at.scenario.language, "failure": ""}
        self.variables |= {key: clean(value) for key, value in given.items()}
        self.set_initial()
        self.steps = 0
        #: Tells what is said and timed now from what was before.
        self.token = 0
        self.tries = 0
        self.typed = ""
        #: Keys that came before anybody asked.
        self.buffer = ""
        #: What asks for keys was said to its end, or stopped by a key.
        self.said_all = False
        self.now = datetime.min.replace(tzinfo=UTC)
        #: Moment at which the scenario ends whatever happens; moved by what time others have the caller.
        self.deadline: datetime | None = None
        self.recording_since: datetime | None = None
        self.out: list[Action] = []

    @property
    def ended(self) -> bool:
        """Whether nothing follows."""
        return self.stage is Stage.ENDED

    @property
    def scenario(self) -> str:
        """The scenario that the call is in now."""
        return self.at.name

    # ---- telling the host

    def do(self, *actions: Action) -> None:
        """Add to what the host is told."""
        self.out.extend(actions)

    def tell(self, kind: str, **data: object) -> None:
        """Add a line to the call's story, with the place."""
        node = self.node.name if self.node is not None else None
        place = {"scenario": self.at.name, "version": self.at.version, "node": node}
        self.do(ev.Tell(kind, {**place, **data}))

    def say(self, items: tuple[SayItem, ...], *more: str) -> None:
        """Say items and then prompts; Said comes in any case, at once where there is nothing to say."""
        spoken = render(items, self.readable(), self.variables["language"])
        if spoken.left_out:
            self.tell("ivr.unsaid", why="; ".join(spoken.left_out)[:300])
        self.said_all = False
        self.token += 1
        self.do(ev.Say((*spoken.prompts, *more), self.variables["language"], self.token))

    def hush(self) -> None:
        """Stop what is being said; it was heard far enough."""
        if not self.said_all:
            self.said_all = True
            self.token += 1
            self.do(ev.BeQuiet())

    def timer(self, seconds: float) -> None:
        """Start the timer, never for longer than the scenario may last."""
        left = (self.deadline - self.now).total_seconds() if self.deadline else seconds
        self.token += 1
        self.do(
            ev.SetTimer(self.token, max(SHORTEST_TIMER_SECONDS, min(seconds, left + SHORTEST_TIMER_SECONDS)))
        )

    def is_current(self, token: int) -> bool:
        """Whether a token is the latest one: what else comes is late."""
        return token == self.token

    # ---- variables

    def set_initial(self) -> None:
        """Set what a scenario begins with, unless it is set already."""
        for name, value in self.at.scenario.variables.items():
            self.variables.setdefault(name, clean(value))

    @property
    def zone(self) -> tzinfo:
        """The zone in which the scenario tells the time."""
        name = self.at.scenario.time_zone
        return time_zone(name) if name else self.bundle.zone

    def readable(self) -> dict[str, str]:
        """Return all variables, with those that the clock makes."""
        local = self.now.astimezone(self.zone)
        return self.variables | {
            "today": local.date().isoformat(),
            "clock": f"{local:%H:%M}",
            "weekday": WEEKDAYS[local.weekday()],
        }

    def fill(self, template: str) -> str:
        """Return a template with its variables' values."""
        return fill(template, self.readable())

    # ---- ways out of a node

    def next(self) -> Way:
        """Return the ordinary way on."""
        assert self.node is not None
        return self.node.next, "next"

    def failed(self, reason: str) -> Way:
        """Return the failure branch; what failed is told, and can be read as {failure}."""
        assert self.node is not None
        self.variables["failure"] = clean(reason)[:200]
        self.tell("ivr.failure", why=reason[:200])
        return self.node.on_failure, "on_failure"

    def end(self, code: int, cause: str, by: str = "scenario") -> None:
        """End the call, and with it what is under way."""
        if self.stage is Stage.RECORDING:
            self.end_message()
        elif self.stage is Stage.DIALLING:
            self.do(ev.GiveUpDial())
        self.do(ev.ClearTimer())
        self.tell("ivr.end", cause=cause, by=by, code=code or None, stage=self.stage.value)
        self.stage = Stage.ENDED
        self.do(ev.End(code, cause))

    def end_message(self) -> bool:
        """End the recording; tell whether it is long enough to be kept."""
        assert self.recording_since is not None
        assert isinstance(self.node, Record)
        seconds = (self.now - self.recording_since).total_seconds()
        kept = seconds >= self.node.min_seconds
        self.variables["message_seconds"] = str(int(seconds))
        self.do(ev.ClearTimer(), ev.EndMessage(kept))
        self.tell("ivr.message", seconds=round(seconds, 1), kept=kept)
        return kept

    def is_late(self) -> bool:
        """Whether the scenario has lasted as long as it may."""
        return self.deadline is not None and self.now >= self.deadline

    def move_deadline(self, away: timedelta) -> None:
        """Give back the time for which somebody else had the caller."""
        if self.deadline is not None:
            self.deadline += away
