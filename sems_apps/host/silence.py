"""When a side of a call has fallen silent: who might be gone, and is asked. Pure; time is an argument.

A far end that vanished says nothing, not even BYE. Its RTP stops; a stream that stopped is a suspicion, an OPTIONS in
the dialog decides. A side that never sent anything (or is on hold) is asked seldom, and each answer makes the next
question rarer: silence alone is no fault.
"""

from __future__ import annotations

from dataclasses import dataclass

#: A stream that has stopped for so long makes its sender suspect.
SILENCE_SECONDS = 4.0
#: Who sends nothing at all is asked this often; who answered, half as often each time, down to the last.
FIRST_ASK_SECONDS = 30.0
LAST_ASK_SECONDS = 240.0
#: While a side is silent the node is told this often where it is: for ten seconds it believes that the side may be
#: elsewhere (NAT), and the first packet shows where.
REMIND_SECONDS = 4.0


@dataclass(slots=True)
class Side:
    """What is known of one side."""

    packets: int = 0
    #: When packets were last seen to have come, or the side was put there.
    heard_at: float = 0.0
    #: It has been sending at some time.
    spoke: bool = False
    #: When it may be asked again, while it stays silent.
    ask_at: float = 0.0
    pause: float = FIRST_ASK_SECONDS
    reminded_at: float = 0.0


def begin(now: float) -> Side:
    """Return a side that was put there just now."""
    return Side(heard_at=now, ask_at=now + FIRST_ASK_SECONDS, reminded_at=now)


def look(side: Side, packets: int, now: float) -> bool:
    """Take the count of packets so far; tell whether the side is to be asked now."""
    if packets != side.packets:
        side.packets, side.heard_at, side.spoke = packets, now, True
        side.pause, side.ask_at = FIRST_ASK_SECONDS, now + SILENCE_SECONDS
        return False
    if now < side.ask_at:
        return False
    side.ask_at = now + side.pause
    side.pause = min(side.pause * 2, LAST_ASK_SECONDS)
    return True


def remind(side: Side, now: float) -> bool:
    """Tell whether the node is to be told now where this side is, since it sends nothing (after `look`)."""
    if now - max(side.heard_at, side.reminded_at) < REMIND_SECONDS:
        return False
    side.reminded_at = now
    return True
