"""What a scenario may ask of its host besides what every application may, and the answers. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from callcore import ivr_events as ev
from callcore.ivr_run import Bundle
from sems_apps.actions import Action
from sems_apps.events import Event

# ---- actions


@dataclass(frozen=True, slots=True)
class LoadScenario(Action):
    """Read a scenario with all that it leads through; ScenarioLoaded comes."""

    name: str


@dataclass(frozen=True, slots=True)
class AskWorld(Action):
    """Answer a question of the scenario; WorldAnswered comes, or nothing."""

    question: ev.AskHttp | ev.AskRow | ev.AskFacts | ev.AskCallback


@dataclass(frozen=True, slots=True)
class FindQueue(Action):
    """Find a queue by its name; QueueFound comes, or nothing while the database is away."""

    name: str


@dataclass(frozen=True, slots=True)
class TellStory(Action):
    """Write a line into the call's story."""

    kind: str
    data: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class RecordMessage(Action):
    """Begin or end the recording of a message; MessageFailed comes when it cannot be."""

    on: bool
    mailbox: str = ""


#: What the host's IVR port performs.
IVR_ACTIONS = (LoadScenario, AskWorld, FindQueue, TellStory, RecordMessage)

# ---- events


@dataclass(frozen=True, slots=True)
class ScenarioCalled(Event):
    """A call for a scenario, or for a single prompt."""

    number: str
    called: str
    caller_name: str
    #: One of them is "".
    scenario: str = ""
    prompt: str = ""
    tenant: int = 0
    #: Where the caller goes after the prompt: kind:value, as a Dial's target; "": the call ends.
    then: str = ""


@dataclass(frozen=True, slots=True)
class ScenarioLoaded(Event):
    """The scenario, or why there is none."""

    #: Aware; the scenario tells the time from it.
    at: datetime
    bundle: Bundle | None = None
    #: Answer to the call when there is none: 404 it does not exist, 503 it cannot be read now.
    code: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class WorldAnswered(Event):
    """The answer to AskWorld."""

    token: int
    value: object = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class QueueFound(Event):
    """The id of a queue; 0: there is none of the name."""

    name: str
    queue: int


@dataclass(frozen=True, slots=True)
class MessageFailed(Event):
    """The message cannot be recorded."""
