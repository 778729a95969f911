"""A host for scenarios without telephony: does what the interpreter wants, and knows what was heard.

world = IvrWorld(bundle, "main")
world.begin()
world.press("1")
assert world.heard == ["greeting", "menu"]
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from callcore import ivr_events as ev
from callcore.ivr_check import World, check
from callcore.ivr_run import Bundle, Run, Stage, Version
from callcore.ivr_scenario import parse
from callcore.schedule import Schedule

#: A Tuesday.
NOON = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
PROMPT_SECONDS = 1.0


def version(source: str, name: str = "main", number: int = 1) -> Version:
    """Return a scenario that must be without a problem."""
    parsed = parse(source)
    assert not parsed.problems, parsed.problems
    assert parsed.scenario is not None
    problems = check(parsed.scenario, World())
    assert not problems, problems
    return Version(name=name, version=number, scenario=parsed.scenario)


def bundle(
    source: str, *others: Version, schedules: Mapping[str, Schedule] | None = None, **more: Any
) -> Bundle:
    """Return a bundle with the scenario "main"."""
    every = {one.name: one for one in (version(source), *others)}
    return Bundle(scenarios=every, schedules=schedules or {}, **more)


class IvrWorld:
    """One call; time passes only when a test says so."""

    def __init__(self, given: Bundle, name: str = "main", *, caller: str = "+74951234567") -> None:
        self.now = NOON
        self.run = Run(given, name, {"caller": caller, "called": "74950000000", "caller_name": ""})
        self.heard: list[str] = []
        self.told: list[dict[str, Any]] = []
        #: Every action but Say, Tell and timers.
        self.done: list[ev.Action] = []
        self.end: ev.End | None = None
        self.saying: ev.Say | None = None
        self.timer: ev.SetTimer | None = None
        self.timer_at = NOON

    def begin(self) -> IvrWorld:
        """Let the call arrive, and the prompts be played as long as nothing else is awaited."""
        return self.feed(ev.Begun())

    def feed(self, event: ev.Event, *, settle: bool = True) -> IvrWorld:
        """Give an event, then let prompts end."""
        self._take(self.run.step(event, self.now))
        while settle and self.end is None and (self.saying is not None or self._leaves):
            if self.saying is not None:
                self.said()
            else:
                self.wait()
        return self

    @property
    def _leaves(self) -> bool:
        return self.run.stage is Stage.LEAVING and self.timer is not None

    def said(self) -> None:
        """Let what is being said come to its end."""
        assert self.saying is not None
        saying, self.saying = self.saying, None
        self.now += timedelta(seconds=PROMPT_SECONDS * len(saying.prompts))
        self._take(self.run.step(ev.Said(saying.token), self.now))

    def press(self, keys: str, *, settle: bool = True) -> IvrWorld:
        """Press keys."""
        for key in keys:
            self.feed(ev.Key(key), settle=settle)
        return self

    def wait(self) -> IvrWorld:
        """Do nothing until the timer fires."""
        assert self.timer is not None, "nothing is being waited for"
        timer, self.timer = self.timer, None
        self.now = max(self.now, self.timer_at)
        return self.feed(ev.TimeUp(timer.token))

    def answer(self, value: object, reason: str = "") -> IvrWorld:
        """Answer the latest question."""
        return self.feed(ev.Answered(self.asked.token, value, reason))

    @property
    def asked(self) -> Any:
        """The latest question."""
        kinds = (ev.AskHttp, ev.AskRow, ev.AskFacts, ev.AskCallback)
        return next(action for action in reversed(self.done) if isinstance(action, kinds))

    @property
    def path(self) -> list[str]:
        """Names of the nodes in the order in which they were entered."""
        return [one["node"] for one in self.told if one["kind"] == "ivr.node"]

    def _take(self, actions: list[ev.Action]) -> None:
        for action in actions:
            assert self.end is None, f"{action} after the end"
            match action:
                case ev.Say():
                    self.heard += action.prompts
                    self.saying = action
                case ev.BeQuiet() | ev.PlayMusic():
                    self.saying = None
                    self.done.append(action)
                case ev.SetTimer():
                    assert action.seconds > 0
                    self.timer, self.timer_at = action, self.now + timedelta(seconds=action.seconds)
                case ev.ClearTimer():
                    self.timer = None
                case ev.Tell():
                    self.told.append({"kind": action.kind, **action.data})
                case ev.End():
                    self.end = action
                case _:
                    self.done.append(action)
