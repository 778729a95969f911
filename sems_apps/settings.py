"""What a queue call must know of its queue: an immutable copy; a new one comes when the queue is changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from callcore.errors import BadInput


class AfterAgent(StrEnum):
    """What follows for the caller when the agent has hung up."""

    END = "end"
    SURVEY = "survey"
    QUEUE = "queue"


class WhileRinging(StrEnum):
    """What a waiting caller hears while an agent's phone rings for him."""

    MUSIC = "music"
    RINGBACK = "ringback"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """One queue, as far as its calls need it. 0 seconds: never. An empty key or prompt: none."""

    tenant: int = 0
    queue: int = 0
    name: str = ""
    language: str = "ru"
    music: str = "default"
    #: Said once, when waiting begins.
    greeting: str = ""
    #: Answer at once; else the caller hears ringing until an agent answers or waiting begins.
    answer_at_once: bool = False
    announce_position: bool = False
    announce_wait: bool = False
    announce_every_seconds: float = 0.0
    #: "Your call is important to us."
    periodic_prompt: str = ""
    periodic_every_seconds: float = 0.0
    #: "Please stay on the line": said when nothing else was said for so long.
    comfort_prompt: str = ""
    comfort_every_seconds: float = 0.0
    position_key: str = ""
    callback_key: str = ""
    exit_key: str = ""
    exit_target: str = ""
    while_ringing: WhileRinging = WhileRinging.MUSIC
    #: Said to the agent before the join, mostly the queue's name.
    whisper: str = ""
    after_agent: AfterAgent = AfterAgent.END
    survey_prompt: str = "survey"
    record: bool = False


def settings_from(facts: Mapping[str, Any], base: QueueSettings | None = None) -> QueueSettings:
    """Build settings from a row or from X-KS-Arg: names that are no fields are left out, None is the default.

    `base` gives what `facts` leaves open. Raises BadInput for a value that does not fit its field.
    """
    known = base or QueueSettings()
    values = {}
    for field in fields(QueueSettings):
        value = facts.get(field.name)
        values[field.name] = (
            getattr(known, field.name)
            if value is None
            else _convert(value, getattr(known, field.name), field.name)
        )
    return QueueSettings(**values)


def _convert(value: Any, like: Any, name: str) -> Any:
    try:
        if isinstance(like, bool):
            return value if isinstance(value, bool) else str(value).lower() in ("1", "true", "yes", "on", "t")
        return type(like)(value)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{name} cannot be {value!r}", name=name) from error
