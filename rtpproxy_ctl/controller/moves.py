"""Sides that moved: the node is told again where they are until they are heard. No socket here.

A node believes a new source for ten seconds after each telling (whereabouts.py). Who moved and is silent for longer,
behind NAT or after a late packet of his old place, would never be heard again. A side that was never heard at all is
believed whenever it speaks, and left alone: in those ten seconds its first packet would do it harm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rtpproxy_ctl.commands import Lookup, Update, parse_counters
from rtpproxy_ctl.controller.nodes import Done
from rtpproxy_ctl.controller.replies import nothing
from rtpproxy_ctl.controller.sessions import Session
from rtpproxy_ctl.controller.timers import Timers
from rtpproxy_ctl.controller.whereabouts import NULLS, PACKETS, packets_question, told_side
from rtpproxy_ctl.errors import BadReply
from rtpproxy_ctl.protocol import is_error

#: A side is looked at so often; the second look falls into the ten seconds of the first telling.
LOOK_SECONDS = 4.0
#: And given up after so long: each telling keeps its session from running out at the node.
GIVE_UP_SECONDS = 900.0


#: Handle of a session, whether it is the caller's side, suffix of the stream.
Key = tuple[str, bool, str]


@dataclass(slots=True)
class _Move:
    session: Session
    key: Key
    #: What the node was told last, with an address; and what asks for the packets from there.
    telling: str
    question: str
    until: float
    #: Packets that had come at the last look; None: there was none yet.
    packets: float | None = None


class Moves:
    """The sides that moved and were not heard since."""

    def __init__(self, timers: Timers, ask: Callable[[Session, str, Done], bool]) -> None:
        """ask: sends a command of a session to its node; False when the session is over."""
        self._timers, self._ask = timers, ask
        self._moves: dict[Key, _Move] = {}

    def __len__(self) -> int:
        return len(self._moves)

    def told(
        self, session: Session, command: Update | Lookup, sent: Update | Lookup, *, is_move: bool
    ) -> None:
        """The node was told where a side is, in other words than the command's; is_move: elsewhere than before."""
        side, suffix = told_side(session, command)
        key = session.handle, side is session.caller, suffix
        if is_move:
            until = self._timers.seconds() + GIVE_UP_SECONDS
            move = _Move(session, key, sent.encode(), packets_question(session, command), until)
            self._moves[key] = move
            self._timers.callLater(LOOK_SECONDS, self._look, move)
        elif key in self._moves and sent.address not in NULLS:  # with other codecs, say
            self._moves[key].telling = sent.encode()

    def _look(self, move: _Move) -> None:
        if self._moves.get(move.key) is not move:  # it moved once more
            return
        is_late = self._timers.seconds() > move.until
        if is_late or not self._ask(move.session, move.question, lambda text: self._counted(move, text)):
            del self._moves[move.key]

    def _counted(self, move: _Move, text: str | None) -> None:
        if self._moves.get(move.key) is not move:
            return
        packets = count_of(text)
        before, move.packets = move.packets, move.packets if packets is None else packets
        is_heard = before is not None and packets is not None and packets > before
        if packets == 0 or is_heard or not (before is None or self._ask(move.session, move.telling, nothing)):
            del self._moves[move.key]
        else:
            self._timers.callLater(LOOK_SECONDS, self._look, move)


def count_of(text: str | None) -> float | None:
    """Return the count in a node's answer to a question for packets; None where it gave none."""
    if text is None or is_error(text) is not None:
        return None
    try:
        return parse_counters(text).get(PACKETS)
    except BadReply:
        return None
