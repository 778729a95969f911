"""Attended transfers between calls of media hosts: INVITE with Replaces takes over a leg (RFC 3891).

An agent who has asked a colleague through a queue has two calls at media hosts. His REFER makes the first call dial
with Replaces: the host that has the second one puts the newcomer in the agent's place, and that call goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from sems_apps.host import sdp
from sems_apps.host.sip_leg import SipLeg
from sems_apps.host.sip_leg_facts import Replaced, read_replaces
from sems_apps.host.sip_stack import Address, Verdict

if TYPE_CHECKING:
    from sems_apps.host.session import Session

log = logging.getLogger("media")

#: User part of the Request-URI of a host's own dialogs.
USER = "media"


def find_host(session: Session, replaces: str, done: Callable[[Address | None], None]) -> None:
    """Tell which media host has the dialog; None: no host, it is a phone's."""
    wanted = read_replaces(replaces)
    if wanted is None:
        done(None)
    elif find_leg(session.host.sessions.values(), wanted) is not None:
        done(session.host.stack.address)
    else:
        session.host.acd.find_leg(session.entry.tenant, wanted, done)


def find_leg(sessions: Iterable[Session], wanted: Replaced) -> tuple[Session, SipLeg] | None:
    """Return the session and the leg that a Replaces header means; only what is up can be taken over."""
    for session in sessions:
        for leg in session.legs.values():
            if (
                leg.answered
                and not leg.ended
                and leg.dialog == (wanted.call_id, wanted.to_tag, wanted.from_tag)
            ):
                return session, leg
    return None


def take_over(
    sessions: Iterable[Session], replaces: str, tenant: int, request: Any, transaction: Any
) -> Verdict:
    """Put who calls with this INVITE in the place of the leg; 481: there is none of this tenant.

    Raises BadSdp when the newcomer cannot speak what the call speaks.
    """
    wanted = read_replaces(replaces)
    found = find_leg(sessions, wanted) if wanted is not None else None
    if wanted is None or found is None or found[0].entry.tenant != tenant:
        return request.genResponse(481, "Call Does Not Exist"), None, None
    session, old = found
    if wanted.early_only:
        return request.genResponse(486, "Busy Here"), None, None
    return _swap(session, old, request, transaction)


def _swap(session: Session, old: SipLeg, request: Any, transaction: Any) -> Verdict:
    leg, verdict = SipLeg.incoming(session.host.stack, session, old.name, request, transaction)
    body = session.new_offer(leg, leg.remote)
    if body is None:
        raise sdp.BadSdp("the call has no media")
    session.legs[old.name] = leg
    session.entry.legs[old.name] = leg.dialog
    session.tell("media.replace", leg=old.name)

    def finish() -> None:
        leg.answer(body)
        session.leg_media(leg)
        old.hang_up("replaced")

    session.host.loop.call_soon(finish)
    return verdict
