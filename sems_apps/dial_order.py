"""What a host must know to dial one lead of a campaign: an immutable order, read from what the database says. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from callcore.errors import BadInput

KEYS = frozenset("0123456789*#")


class KeyAction(StrEnum):
    """What "press N" does."""

    #: Says the message again.
    REPEAT = "repeat"
    #: Puts the person into a queue, with a place in it.
    QUEUE = "queue"
    #: The person is never called again; takes effect while the person still listens.
    OPT_OUT = "opt_out"
    #: The person is called back by an agent of a queue.
    CALLBACK = "callback"


@dataclass(frozen=True, slots=True)
class Choice:
    """One key of the menu."""

    action: KeyAction
    #: Queue that an agent comes from; 0: that of the campaign.
    queue: int = 0
    #: Said then; empty: that of the action.
    prompt: str = ""


class OnAnswer(StrEnum):
    """What follows when somebody answers."""

    #: The message and the menu: broadcast.
    SAY = "say"
    #: At once into the campaign's queue, where an agent is expected to be free: progressive, predictive.
    QUEUE = "queue"


@dataclass(frozen=True, slots=True, kw_only=True)
class DialOrder:
    """One dial. Seconds of 0: never. An empty prompt: none."""

    tenant: int
    attempt: int
    campaign: int
    call: str
    number: str
    caller_id: str = ""
    #: Gateway or group that is tried first; empty: as the routes say.
    gateway: str = ""
    #: Ids of gateways (with commas) that rest and are not tried, and of one to be tried first; empty: none.
    avoid: str = ""
    probe: str = ""
    ring_seconds: float = 30.0
    on_answer: OnAnswer = OnAnswer.SAY
    #: The message.
    audio: str = ""
    language: str = "ru"
    keys: Mapping[str, Choice] = field(default_factory=dict)
    #: How long a key is waited for after the message.
    key_seconds: float = 5.0
    #: Said when the person has chosen to be never called again, or to be called back.
    opted_out_prompt: str = "opted-out"
    callback_prompt: str = "callback-accepted"
    #: The campaign's queue; 0: none.
    queue: int = 0
    #: Progressive, predictive: who has not been given an agent by then hears the prompt and is let go.
    abandon_seconds: float = 2.0
    abandon_prompt: str = "no-agent"
    #: What is heard after the answer may show that a machine answered; False: whoever answers is a person.
    detect: bool = True
    #: Progressive, predictive: an agent who answers sooner is joined when a person was heard, or at this moment after
    #: the answer; a doubtful case is a person. 0: at once (nobody listens).
    decide_seconds: float = 1.8
    #: A machine that answers: is let go, or hears the message too.
    machine_hears: bool = False
    #: What a machine hears in place of the message; empty: the message goes on.
    machine_prompt: str = ""
    record: bool = False
    #: The message is said at most so often.
    most_repeats: int = 5
    #: End of everything but a conversation.
    longest_seconds: float = 600.0
    #: What the agent is shown of the lead.
    variables: Mapping[str, Any] = field(default_factory=dict)


def read_order(
    *, tenant: int, attempt: int, campaign: int, call: str, number: str, data: Mapping[str, Any]
) -> DialOrder:
    """Build an order from the columns of an attempt and the JSON beside them; None is the default.

    Raises BadInput for a value that does not fit.
    """
    known = DialOrder(tenant=tenant, attempt=attempt, campaign=campaign, call=call, number=number)
    try:
        values: dict[str, Any] = {
            name: type(getattr(known, name))(value)
            for name in _PLAIN
            if (value := data.get(name)) is not None
        }
        return DialOrder(
            tenant=tenant,
            attempt=attempt,
            campaign=campaign,
            call=call,
            number=number,
            on_answer=OnAnswer(data.get("on_answer") or OnAnswer.SAY),
            keys={key: _choice(item) for key, item in (data.get("keys") or {}).items() if key in KEYS},
            variables=data.get("variables") or {},
            **values,
        )
    except (TypeError, ValueError, AttributeError) as error:
        raise BadInput(f"attempt {attempt} cannot be dialled: {error}", attempt=attempt) from error


_PLAIN = (
    "caller_id",
    "gateway",
    "avoid",
    "probe",
    "ring_seconds",
    "audio",
    "language",
    "key_seconds",
    "opted_out_prompt",
    "callback_prompt",
    "queue",
    "abandon_seconds",
    "abandon_prompt",
    "detect",
    "machine_hears",
    "machine_prompt",
    "record",
    "most_repeats",
    "longest_seconds",
)


def _choice(item: Any) -> Choice:
    if isinstance(item, str):
        return Choice(KeyAction(item))
    return Choice(KeyAction(item["action"]), int(item.get("queue") or 0), str(item.get("prompt") or ""))
