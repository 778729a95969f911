"""Transactions of the test phones (RFC 3261 section 17 with RFC 6026): retransmission, matching, and
strictness.

Client: timers A/B and E/F, ACK of a final non-2xx, every repeated 2xx handed up. Server: repeated requests
get the last response again, a final response to INVITE is repeated until its ACK. Whatever the other side
does against the rules is told to `violation`; nothing here decides what a call does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from tests.support.net_loop import NetLoop, Timer
from tests.support.sip_message import Headers, SipRequest, SipResponse
from tests.support.sip_transport import Flow

TxKey: TypeAlias = tuple[str, str, int, str]


class ProtocolViolation(AssertionError):
    """The other side broke a rule of SIP."""


@dataclass(frozen=True)
class Timing:
    """Timers of section 17, in seconds; the RFC's own values unless a test shortens T1."""

    t1: float = 0.5
    t2: float = 4.0

    @property
    def give_up(self) -> float:
        """Timers B, F, H: 64 × T1."""
        return 64 * self.t1


@dataclass
class ClientTransaction:
    """A request of ours and the responses to it."""

    request: SipRequest
    flow: Flow
    on_response: Callable[[ClientTransaction, SipResponse], None]
    on_timeout: Callable[[ClientTransaction], None]
    sent: int = 0
    provisional: list[SipResponse] = field(default_factory=list)
    final: SipResponse | None = None
    timed_out: bool = False
    ack: bytes = b""
    resend: Timer | None = None
    give_up: Timer | None = None

    @property
    def done(self) -> bool:
        """Whether a final response or the end of patience came."""
        return self.final is not None or self.timed_out

    def stop(self) -> None:
        """Stop sending it again."""
        for timer in (self.resend, self.give_up):
            if timer:
                timer.cancel()


@dataclass
class ServerTransaction:
    """A request of the other side and our response to it."""

    request: SipRequest
    raw: bytes
    flow: Flow
    last: bytes = b""
    final: SipResponse | None = None
    acked: bool = False
    repeats: int = 0
    resend: Timer | None = None

    def stop(self) -> None:
        """Stop sending the response again."""
        if self.resend:
            self.resend.cancel()


class TransactionLayer:
    """All transactions of one phone.

    `on_request(transaction)` is called once per new request, `on_ack(request)` for an ACK that belongs to
    a 2xx, `violation(text)` whenever the other side errs.
    """

    def __init__(
        self,
        loop: NetLoop,
        timing: Timing,
        on_request: Callable[[ServerTransaction], None],
        on_ack: Callable[[SipRequest], None],
        violation: Callable[[str], None],
    ) -> None:
        self.loop, self.timing = loop, timing
        self._on_request, self._on_ack, self._violation = on_request, on_ack, violation
        self.clients: dict[tuple[str, str], ClientTransaction] = {}
        self.servers: dict[TxKey, ServerTransaction] = {}
        #: Responses that fit no request of ours (strict phones call that a violation).
        self.stray: list[SipResponse] = []

    def send(
        self,
        request: SipRequest,
        flow: Flow,
        on_response: Callable[[ClientTransaction, SipResponse], None],
        on_timeout: Callable[[ClientTransaction], None],
    ) -> ClientTransaction:
        """Start a client transaction."""
        transaction = ClientTransaction(request, flow, on_response, on_timeout)
        self.clients[request.vias[0].branch, request.method] = transaction
        self._transmit(transaction)
        transaction.give_up = self.loop.after(self.timing.give_up, lambda: self._expire(transaction))
        return transaction

    def respond(self, transaction: ServerTransaction, response: SipResponse, flow: Flow) -> None:
        """Send a response; a final one to INVITE is repeated until the ACK comes."""
        transaction.last, transaction.flow = response.encode(), flow
        flow.send(transaction.last)
        if response.code >= 200:
            transaction.final = response
            if transaction.request.method == "INVITE" and (response.code < 300 or not flow.reliable):
                self._repeat_later(transaction, self.timing.t1, self.loop.now() + self.timing.give_up)

    def repeat(self, send: Callable[[], None], until: Callable[[], bool], interval: float = 0) -> None:
        """Send again and again (doubling, 64 × T1 in all) until `until()`: reliable provisional responses."""
        interval = interval or self.timing.t1
        if interval > self.timing.give_up / 2:
            return

        def again() -> None:
            if not until():
                send()
                self.repeat(send, until, interval * 2)

        self.loop.after(interval, again)

    def receive_response(self, response: SipResponse) -> None:
        """Match a response to its request (section 17.1.3) and hand it up."""
        via = response.vias[0]
        transaction = self.clients.get((via.branch, response.cseq.method))
        if transaction is None:
            self.stray.append(response)
            self._violation(f"response fits no request: {response.start_line()} {response.cseq} {via}")
            return
        self._check_response(transaction.request, response)
        repeated = transaction.final is not None
        if repeated and not (transaction.request.method == "INVITE" and response.code < 300):
            if transaction.ack and response.code >= 300:
                transaction.flow.send(transaction.ack)
            return
        self._progress(transaction, response)
        transaction.on_response(transaction, response)

    def receive_request(self, request: SipRequest, raw: bytes, flow: Flow) -> None:
        """Match a request to its transaction (section 17.2.3): absorb a repetition, hand up a new one."""
        method = "INVITE" if request.method == "ACK" else request.method
        key = (request.vias[0].branch, *request.vias[0].sent_by, method)
        known = self.servers.get(key)
        if request.method == "ACK":
            self._receive_ack(known, request)
        elif known is None:
            self.servers[key] = transaction = ServerTransaction(request, raw, flow)
            self._on_request(transaction)
        else:
            known.repeats += 1
            if known.raw != raw:
                self._violation(f"branch used again for another request: {request.start_line()}")
            if known.last:
                known.flow.send(known.last)

    def connection_lost(self, flow: Flow) -> None:
        """Send again what was sent on a stream that broke and is not answered (same branch: a repetition)."""
        for transaction in self.clients.values():
            if transaction.flow is flow and not transaction.done:
                flow.send(transaction.request.encode())

    def invite_of(self, cancel: SipRequest) -> ServerTransaction | None:
        """Return the INVITE that a CANCEL means."""
        via = cancel.vias[0]
        return self.servers.get((via.branch, *via.sent_by, "INVITE"))

    def stop(self) -> None:
        """Cancel all timers."""
        for client in self.clients.values():
            client.stop()
        for server in self.servers.values():
            server.stop()

    def _transmit(self, transaction: ClientTransaction) -> None:
        if transaction.done:
            return
        transaction.flow.send(transaction.request.encode())
        transaction.sent += 1
        if not transaction.flow.reliable:
            pause = self.timing.t1 * 2 ** (transaction.sent - 1)
            if transaction.request.method != "INVITE":
                pause = self.timing.t2 if transaction.provisional else min(pause, self.timing.t2)
            transaction.resend = self.loop.after(pause, lambda: self._transmit(transaction))

    def _expire(self, transaction: ClientTransaction) -> None:
        if transaction.done or (transaction.provisional and transaction.request.method == "INVITE"):
            return
        transaction.timed_out = True
        transaction.stop()
        transaction.on_timeout(transaction)

    def _progress(self, transaction: ClientTransaction, response: SipResponse) -> None:
        if response.code < 200:
            transaction.provisional.append(response)
            if transaction.request.method == "INVITE" and transaction.resend:
                transaction.resend.cancel()
            return
        transaction.stop()
        transaction.final = transaction.final or response
        if transaction.request.method == "INVITE" and response.code >= 300:
            transaction.ack = make_ack(transaction.request, response).encode()
            transaction.flow.send(transaction.ack)

    def _check_response(self, request: SipRequest, response: SipResponse) -> None:
        line = response.start_line()
        if len(response.vias) != 1:
            self._violation(f"{line} still has {len(response.vias)} Vias: {response.headers.all('Via')}")
        if response.call_id != request.call_id or response.cseq != request.cseq:
            self._violation(f"{line} has another Call-ID or CSeq than its request")
        if response.from_addr.tag != request.from_addr.tag:
            self._violation(f"{line} has another From tag than its request")
        if request.to_addr.tag and response.code > 100 and response.to_addr.tag != request.to_addr.tag:
            self._violation(f"{line} has another To tag than its request")

    def _receive_ack(self, known: ServerTransaction | None, ack: SipRequest) -> None:
        if known and known.final and known.final.code >= 300:
            known.acked = True
            known.stop()
            if ack.to_addr.tag != known.final.to_addr.tag:
                self._violation("ACK of a refusal has another To tag")
            return
        if known and known.final:
            self._violation("ACK of a 2xx has the branch of its INVITE")
        self._on_ack(ack)

    def _repeat_later(self, transaction: ServerTransaction, pause: float, deadline: float) -> None:
        def again() -> None:
            if not transaction.acked and self.loop.now() < deadline:
                transaction.flow.send(transaction.last)
                self._repeat_later(transaction, min(pause * 2, self.timing.t2), deadline)

        transaction.resend = self.loop.after(pause, again)


def make_ack(request: SipRequest, response: SipResponse) -> SipRequest:
    """Build the ACK of a final non-2xx (section 17.1.1.3): branch, Route and Request-URI of the INVITE."""
    headers = Headers([("Via", str(request.vias[0]))])
    headers.items += [("Route", value) for value in request.headers.all("Route")]
    headers.add("From", request.need("From"))
    headers.add("To", response.need("To"))
    headers.add("Call-ID", request.call_id)
    headers.add("CSeq", f"{request.cseq.number} ACK")
    headers.add("Max-Forwards", "70")
    return SipRequest(headers, b"", "ACK", request.uri)
