"""How a session calls somebody: a port for him, the proxy or host to ask, again through another one that answers.

Decides nothing about the call: whom to dial is the machine's word. A leg that takes over a dialog (Replaces) goes to
the host that has it, everything else to a proxy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sems_apps import actions as do
from sems_apps.actions import CALLER
from sems_apps.events import LegFailed
from sems_apps.host import replacing, sdp
from sems_apps.host.sip_leg import SipLeg
from sems_apps.host.sip_stack import Address

if TYPE_CHECKING:
    from sems_apps.host.session import Session

#: A living proxy answers 100 at once; this is beyond two repetitions of INVITE and a short freeze.
PROXY_SECONDS = 2.5


class Calling:
    """The legs that a session was told to dial."""

    def __init__(self, session: Session) -> None:
        self._session = session
        #: Legs that are wanted and not called yet.
        self._wanted: set[str] = set()

    def dial(self, action: do.Dial) -> None:
        """Call somebody as soon as there is a port for him."""
        session = self._session
        session.tell("media.dial", leg=action.leg, to=action.target, offer=action.offer or None)
        self._wanted.add(action.leg)
        if action.kind is do.LegKind.SUPERVISOR:
            self._dial_supervisor(action)
        else:
            session.with_ports(lambda: self._dial_with_ports(action))

    def forget(self, leg: str) -> None:
        """This leg is not wanted any more."""
        self._wanted.discard(leg)

    def _dial_with_ports(self, action: do.Dial) -> None:
        session = self._session
        if action.leg == CALLER:
            if session.hearing is not None:
                session.hearing.begin()
            self._find(action, session.media.ports.caller if session.media.ports else None)
            return
        shared = session.is_other_side_used()
        session.media.other_port(lambda port: self._find(action, port), shared=shared)

    def _dial_supervisor(self, action: do.Dial) -> None:
        """A supervisor has an RTP session of his own, with the mixer on its other side."""
        media = self._session.new_media(action.leg)
        self._session.place(action.leg, media)
        codec = self._session.media.codec or sdp.PCMA
        media.open(
            None,
            codec,
            None,
            lambda opened: self._invite(action, media.ports.caller if media.ports else None),
        )

    def _find(self, action: do.Dial, port: int | None) -> None:
        """Ask who has the dialog that is to be taken over, if one is."""
        if action.replaces:
            replacing.find_host(
                self._session, action.replaces, lambda address: self._invite(action, port, address)
            )
        else:
            self._invite(action, port)

    def _invite(self, action: do.Dial, port: int | None, host: Address | None = None) -> None:
        """Send INVITE; host: the media host that has the dialog to be taken over."""
        session = self._session
        if action.leg not in self._wanted or session.finished:
            return
        self._wanted.discard(action.leg)
        codec, ports = session.media.codec, session.media_of(action.leg).ports or session.media.ports
        if port is None or ports is None or codec is None:
            session.post(LegFailed(action.leg, 0, ours=True))
            return
        proxy = host or session.host.next_hop(session.proxy, action.target)
        leg = session.legs[action.leg] = SipLeg.outgoing(
            session.host.stack,
            session,
            action.leg,
            proxy=proxy,
            target=replacing.USER if host else do.split_target(action.target)[1],
            caller=action.caller_id,
            caller_name=session.entry.caller_name if action.leg != CALLER else "",
            body=sdp.write_offer(ports.address, port, session.session_id(), (codec,), session.media.dtmf),
            headers=self._headers(action),
        )
        session.host.loop.call_later(PROXY_SECONDS, lambda: self._if_unheard(leg, proxy, action, port))

    def _headers(self, action: do.Dial) -> dict[str, str]:
        entry = self._session.entry
        headers = {"X-KS-Call": entry.call, "X-KS-Leg": action.kind.value}
        if action.offer:
            headers["X-KS-Offer"] = str(action.offer)
        if entry.tenant:
            headers["X-KS-Arg"] = do.leg_argument(entry.tenant, action)
        if action.replaces:
            headers["Replaces"] = action.replaces
        return headers

    def _if_unheard(self, leg: SipLeg, proxy: Address, action: do.Dial, port: int) -> None:
        """Call through another proxy when this one has answered nothing: the called one is not to blame."""
        session = self._session
        if leg.heard or leg.ended or session.finished:
            return
        session.host.proxy_silent(proxy)
        if session.host.next_hop(session.proxy, action.target) != proxy:
            session.tell("media.redial", leg=action.leg, reason="the proxy is silent")
            leg.hang_up("the proxy is silent")
            self._wanted.add(action.leg)
            self._invite(action, port)
