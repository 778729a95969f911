"""A dialog of RFC 3261 section 12: tags, sequence numbers, remote target and route set. Pure.

Builds in-dialog requests so that loose and strict routers are both served right, and checks those of the
other side.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.support.sip_message import Headers, SipMessage, SipRequest, SipResponse
from tests.support.sip_syntax import NameAddr, SipUri, parse_uri


@dataclass
class Dialog:
    """One side's view of a dialog."""

    call_id: str
    local: NameAddr
    remote: NameAddr
    remote_target: SipUri
    route_set: list[NameAddr] = field(default_factory=list)
    local_cseq: int = 0
    remote_cseq: int | None = None
    confirmed: bool = False

    @property
    def local_tag(self) -> str:
        """Our tag."""
        return self.local.tag

    @property
    def remote_tag(self) -> str:
        """Their tag."""
        return self.remote.tag

    def next_hop(self) -> SipUri:
        """Return where an in-dialog request is sent."""
        return self.route_set[0].uri if self.route_set else self.remote_target

    def request(self, method: str, cseq: int | None = None) -> SipRequest:
        """Build an in-dialog request without Via and Contact (section 12.2.1.1); `cseq` is for ACK only."""
        if cseq is None:
            self.local_cseq += 1
        number = self.local_cseq if cseq is None else cseq
        uri, routes = self._uri_and_routes()
        headers = Headers(("Route", str(route)) for route in routes)
        headers.add("From", str(self.local))
        headers.add("To", str(self.remote))
        headers.add("Call-ID", self.call_id)
        headers.add("CSeq", f"{number} {method}")
        headers.add("Max-Forwards", "70")
        return SipRequest(headers, b"", method, str(uri))

    def fault(self, request: SipRequest, contact: SipUri) -> str:
        """Return what is wrong with an in-dialog request of the other side, or an empty text; notes its CSeq.

        `contact` is the Contact that we gave: the Request-URI must be exactly that, and no Route may be left.
        """
        if request.method not in ("ACK", "CANCEL"):
            # A proxy that asks whether we are there has no number of its own: it repeats the last one, which section
            # 12.2.2 does not forbid to take.
            least = 0 if request.method == "OPTIONS" else 1
            if self.remote_cseq is not None and request.cseq.number < self.remote_cseq + least:
                return f"CSeq {request.cseq} after {self.remote_cseq}"
            self.remote_cseq = request.cseq.number
        if not same_target(parse_uri(request.uri), contact):
            return f"Request-URI {request.uri} is not our Contact {contact}"
        if request.headers.all("Route"):
            return f"Route left in {request.start_line()}: {request.headers.all('Route')}"
        return ""

    def refresh_target(self, message: SipMessage) -> None:
        """Take the Contact of a target refresh (re-INVITE, UPDATE and their 2xx)."""
        if message.contacts:
            self.remote_target = message.contacts[0].uri

    def _uri_and_routes(self) -> tuple[SipUri, list[NameAddr]]:
        if not self.route_set or self.route_set[0].uri.is_loose:
            return self.remote_target, self.route_set
        first, *rest = self.route_set
        return first.uri, [*rest, NameAddr(self.remote_target)]


def same_target(one: SipUri, other: SipUri) -> bool:
    """Compare what matters of a Contact that comes back as a Request-URI: user, host, port, transport."""
    return (one.scheme, one.user, one.host.lower(), one.port, one.transport) == (
        other.scheme,
        other.user,
        other.host.lower(),
        other.port,
        other.transport,
    )


def dialog_as_caller(request: SipRequest, response: SipResponse) -> Dialog:
    """Make the dialog of our INVITE (section 12.1.2): the Record-Route is turned round."""
    target = response.contacts[0].uri if response.contacts else parse_uri(request.uri)
    return Dialog(
        call_id=request.call_id,
        local=request.from_addr,
        remote=response.to_addr,
        remote_target=target,
        route_set=list(reversed(response.record_route)),
        local_cseq=request.cseq.number,
    )


def dialog_as_callee(request: SipRequest, to_tag: str) -> Dialog:
    """Make the dialog of their INVITE (section 12.1.1)."""
    to = request.to_addr
    return Dialog(
        call_id=request.call_id,
        local=NameAddr(to.uri, to.display, {**to.params, "tag": to_tag}),
        remote=request.from_addr,
        remote_target=request.contacts[0].uri,
        route_set=request.record_route,
        remote_cseq=request.cseq.number,
    )
