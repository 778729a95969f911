"""When the far ends of an agent's conversation are asked whether they are still there, and when one is gone. Pure.

A phone or gateway that vanished sends no BYE; its agent would be held by a dead call, or stay with nobody. So both
sides of each conversation are asked by OPTIONS within the dialog (RFC 5057), again each second while no answer comes:
a few lost packets end no call, a far end that has been silent for PATIENCE_SECONDS does. Only who has answered before
is judged: there are gateways (and SIPp) that answer no OPTIONS at all. Time is an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

#: Unanswered for so long, in spite of a question in every second: gone.
PATIENCE_SECONDS = 4.0
#: Who asks looks once a second; after a longer pause (it was stopped itself) answers may still be under way.
PAUSE_SECONDS = 2.5


class Side(StrEnum):
    """A side of a dialog."""

    CALLER = "caller"
    CALLEE = "callee"


class Answer(StrEnum):
    """What came back."""

    THERE = "there"
    #: 481: it knows no such dialog. From a side that never answered otherwise it says nothing: there are gateways that
    #: answer so to any OPTIONS.
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Ask:
    """Send OPTIONS to a side of a dialog."""

    dialog: str
    side: Side


@dataclass(frozen=True, slots=True)
class End:
    """End a dialog: this side of it is gone."""

    dialog: str
    side: Side


@dataclass(slots=True)
class _Conversation:
    ask_at: float
    #: Since when a side has not answered.
    unanswered: dict[Side, float] = field(default_factory=dict)
    #: Sides that have answered as who knows the dialog.
    known: set[Side] = field(default_factory=set)


class FarEnds:
    """The conversations that one process looks after."""

    def __init__(self, every_seconds: float) -> None:
        """every_seconds: between two questions to a side that answers."""
        self._every_seconds = every_seconds
        self._conversations: dict[str, _Conversation] = {}
        self._looked_at = 0.0

    def look(
        self, now: float, dialogs: Iterable[str], heard: Callable[[str, Side], Answer | None]
    ) -> list[Ask | End]:
        """Return what to do now.

        dialogs: those that exist. heard: what a side has answered since the last look, None: nothing; it is asked for
        each side that owes an answer.
        """
        paused = now - self._looked_at > PAUSE_SECONDS
        self._looked_at = now
        before, self._conversations = self._conversations, {}
        orders: list[Ask | End] = []
        for dialog in dialogs:
            talk = before.get(dialog) or _Conversation(now)
            found = self._look_at(now, dialog, talk, heard, paused=paused)
            orders += found
            if not any(isinstance(order, End) for order in found):
                self._conversations[dialog] = talk
        return orders

    def _look_at(
        self,
        now: float,
        dialog: str,
        talk: _Conversation,
        heard: Callable[[str, Side], Answer | None],
        *,
        paused: bool,
    ) -> list[Ask | End]:
        for side, since in list(talk.unanswered.items()):
            answer = heard(dialog, side)
            is_late = answer is None and not paused and now - since >= PATIENCE_SECONDS
            if side in talk.known and (is_late or answer is Answer.GONE):
                return [End(dialog, side)]
            if answer is Answer.THERE:
                talk.known.add(side)
            if answer is not None:
                del talk.unanswered[side]
            elif paused:
                talk.unanswered[side] = now
        if now >= talk.ask_at:
            talk.ask_at = now + self._every_seconds
            for side in Side:
                talk.unanswered.setdefault(side, now)
        return [Ask(dialog, side) for side in talk.unanswered]
