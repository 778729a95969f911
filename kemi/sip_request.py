"""Facts of one SIP request, read once from Kamailio. Pure: decides nothing, reads nothing itself."""

from __future__ import annotations

from typing import NamedTuple


class SipRequest(NamedTuple):
    """What the proxy needs to know of a request (RFC 3261 section 7.1). Text is UTF-8; None: not there."""

    method: str
    ruri: str
    ruri_user: str
    ruri_host: str
    from_user: str
    from_host: str
    from_tag: str
    to_user: str
    to_host: str
    #: None on a request that opens a dialog (section 12).
    to_tag: str | None
    sip_call_id: str
    cseq: int
    #: Where the packet came from: taken from the socket, never from a header.
    source_ip: str
    source_port: int
    #: udp, tcp, tls.
    transport: str
    #: Our port that received it.
    local_port: int
    size_bytes: int
    #: User name of the credentials for our realms, if any were sent.
    auth_user: str | None = None
    #: Route headers, joined by commas (section 20.34).
    routes: str = ""

    @property
    def source(self) -> str:
        """Return address and port as "192.0.2.1:5060"."""
        return f"{self.source_ip}:{self.source_port}"

    @property
    def transaction_key(self) -> str:
        """Return what is unique for the request of a call: Call-ID, From tag, CSeq (section 8.1.1)."""
        return f"{self.sip_call_id}\n{self.from_tag}\n{self.cseq}"
