"""Where a node is told that a side is, so that it goes on believing who is there. Pure; the engine asks and tells.

What rtp.io 1.1.1 does with a stream, read and measured (tests/integration/test_rtp_moves.py holds it to that):

- Until the first L it throws away what arrives: a callee who speaks before his answer does no harm.
- The first packet after the first telling is believed wherever it comes from, and its SSRC is noted. From then on it
  believes another source for ten seconds after each telling, and one with that SSRC always.
- A packet that finds no address, and a first packet from elsewhere (NAT) within ten seconds of a second telling, are
  believed without a note of the SSRC: nobody else ever is for the rest of the call.
- Once packets came from elsewhere the address in a telling is passed over; its ten seconds begin all the same.

So the first telling always has some address, a side that has sent nothing is not told the same twice (183 and 200, the
next gateway), and one that moved and is silent is told again and again (moves.py). Left: a side that is told two
different addresses before its first packet, which then comes from a third, may not move once more.

A media host looks after its own sessions (sems_apps/host/opener.py): what it tells is told as it is.
"""

from __future__ import annotations

from rtpproxy_ctl.commands import Lookup, Query, Update
from rtpproxy_ctl.controller.ids import PROXY, split_tag, tag_handle
from rtpproxy_ctl.controller.replies import numeric
from rtpproxy_ctl.controller.sessions import Session, Side, Where

#: Told for an address that is not known: discard (RFC 863) on the node's own machine, where no packet comes from.
NOBODY, NOBODY_IPV6 = ("127.0.0.1", 9), ("::1", 9)
#: A telling with this address tells none: the node keeps what it knows.
NO_ADDRESS, NO_ADDRESS_IPV6 = ("0.0.0.0", 0), ("::", 0)
NULLS = frozenset({"0.0.0.0", "::"})

#: Counter of the packets that came from the side whose tag is first.
PACKETS = "npkts_ina"


def told_side(session: Session, command: Update | Lookup) -> tuple[Side, str]:
    """Return the side whose address a command tells, and the suffix of the stream."""
    first, second = session.order(command.from_tag, command.to_tag)
    return (first if isinstance(command, Update) else second), split_tag(command.from_tag)[1]


def is_repeat(session: Session, command: Update | Lookup) -> bool:
    """Tell whether the node was told the same address last; then it matters whether the side was heard."""
    side, suffix = told_side(session, command)
    return _is_ours(session) and side.told.get(suffix) == _meant(command)


def told(session: Session, command: Update | Lookup, *, heard: bool) -> Where:
    """Return the address and port that the node is told in place of the command's own.

    heard: the side has sent something, or may have; it matters for a repeat only. A null address after another one is
    a hold (as in RFC 2543) and changes nothing at the node.
    """
    if not _is_ours(session):
        return numeric(command.address), command.port
    side, suffix = told_side(session, command)
    before, meant = side.told.get(suffix), _meant(command)
    holds = command.address in NULLS and before is not None
    if holds or (meant == before and not heard):
        return NO_ADDRESS_IPV6 if _is_ipv6(command) else NO_ADDRESS
    return meant


def note_told(session: Session, command: Update | Lookup, where: Where) -> bool:
    """Note what the node was told in place of a command's own; return whether the side was said to be elsewhere before.

    A session that was found at a node was told something that nobody remembers.
    """
    if not _is_ours(session) or where[0] in NULLS:
        return False
    side, suffix = told_side(session, command)
    before = side.told.get(suffix)
    side.told[suffix] = where
    return where != before and (before is not None or session.joined)


def packets_question(session: Session, command: Update | Lookup) -> str:
    """Return the command that asks how many packets came from the side that a command tells of."""
    side, suffix = told_side(session, command)
    other = session.callee if side is session.caller else session.caller
    own, others = (tag_handle(tag + suffix) for tag in (side.tag, other.tag))
    return Query(session.handle, own, others, (PACKETS,), verbose=True).encode()


def _is_ours(session: Session) -> bool:
    return session.id.owner == PROXY


def _meant(command: Update | Lookup) -> Where:
    address = numeric(command.address)
    if address in NULLS:
        return NOBODY_IPV6 if _is_ipv6(command) else NOBODY
    return address, command.port


def _is_ipv6(command: Update | Lookup) -> bool:
    return "6" in command.media.flags
