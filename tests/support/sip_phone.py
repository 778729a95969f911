"""A small real SIP user agent for tests: registers, calls, answers, and is strict with the other side.

    with NetLoop() as loop:
        alice = Phone(loop, "100", "demo.example", password="secret", proxy=("127.0.0.1", 5060))
        bob = Phone(loop, "101", "demo.example", proxy=("127.0.0.1", 5060), transport="tcp")
        alice.register(), bob.register()
        bob.plan = Plan.answer(ring_after=0.1)
        call = alice.call("sip:101@demo.example")          # waits for the answer
        call.hold(), call.resume()
        call.hang_up()
        assert bob.calls[0].wait_ended().ended_by == "remote"
        assert bob.calls[0].invite.headers.starting_with("X-KS-") == []

Every received message is kept (`phone.received`). A message that breaks the rules (syntax, Via branch,
CSeq, tags, Content-Length, Request-URI, left-over Route, strays) becomes a `ProtocolViolation` raised at
the test's next wait; with `strict=False` it is only listed in `phone.violations`. All actions run on the
loop's thread; methods called by the test block until done, never sleep. Calls are in sip_call.py, plans
for incoming calls in sip_plan.py, a carrier that registers others in sip_carrier.py.
"""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import TypeVar

from tests.support.net_loop import NetLoop
from tests.support.sip_call import Call
from tests.support.sip_digest import answer, best_challenge
from tests.support.sip_message import (
    BRANCH_COOKIE,
    HeaderList,
    Headers,
    SipMessage,
    SipRequest,
    SipResponse,
    make_response,
    parse_message,
)
from tests.support.sip_plan import Plan
from tests.support.sip_syntax import NameAddr, SipSyntaxError, SipUri, parse_uri
from tests.support.sip_transaction import (
    ClientTransaction,
    ProtocolViolation,
    ServerTransaction,
    Timing,
    TransactionLayer,
)
from tests.support.sip_transport import Address, Flow, StreamTransport, TlsSide, Transport, UdpTransport

T = TypeVar("T")

METHODS = "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, REFER, NOTIFY, INFO, MESSAGE"
#: Last messages shown when a wait fails.
_TRACE_MESSAGES = 12


@dataclass(frozen=True)
class Nat:
    """The address that a phone behind NAT believes to have."""

    ip: str = "192.168.77.10"
    port: int = 5060


@dataclass(frozen=True)
class Received:
    """One message as it came in."""

    at: float
    message: SipRequest | SipResponse
    raw: bytes
    source: Address


@dataclass
class Exchange:
    """A request of ours with its authenticated repetitions, and what came back."""

    request: SipRequest
    responses: list[SipResponse] = field(default_factory=list)
    final: SipResponse | None = None
    timed_out: bool = False
    #: Final responses that asked for credentials.
    challenges: list[SipResponse] = field(default_factory=list)
    transaction: ClientTransaction | None = None
    on_response: Callable[[Exchange, SipResponse], None] | None = None
    on_done: Callable[[Exchange], None] | None = None

    @property
    def done(self) -> bool:
        """Whether the final response, or none for 64 × T1, came."""
        return self.final is not None or self.timed_out


class Phone:
    """One user agent on one local address."""

    def __init__(
        self,
        loop: NetLoop,
        username: str,
        domain: str,
        *,
        password: str = "",
        auth_username: str = "",
        proxy: Address | None = None,
        transport: str = "udp",
        ip: str = "127.0.0.1",
        port: int = 0,
        nat: Nat | None = None,
        plan: Plan | None = None,
        media: bool = False,
        strict: bool = True,
        timing: Timing | None = None,
        client_tls: ssl.SSLContext | None = None,
        server_tls: ssl.SSLContext | None = None,
        display: str = "",
        user_agent: str = "kalibri-test-phone",
    ) -> None:
        self.loop, self.username, self.domain = loop, username, domain
        self.password, self.auth_username = password, auth_username or username
        self.proxy, self.nat, self.media, self.strict = proxy, nat, media, strict
        self.display, self.user_agent = display, user_agent
        self.plan, self.plans = plan or Plan.answer(), list[Plan]()
        self.choose: Callable[[SipRequest], Plan] | None = None
        self.calls: list[Call] = []
        self.by_call_id: dict[str, list[Call]] = {}
        self.received: list[Received] = []
        self.sent: list[tuple[float, bytes, Address]] = []
        self.violations: list[str] = []
        #: INVITEs that came a second time on another branch (RFC 3261 8.2.2.2); answered 482.
        self.merged: list[SipRequest] = []
        #: What our descriptions offer; 101 is telephone-event.
        self.payload_types: tuple[int, ...] = (8, 0)
        #: What our descriptions say instead of our own address: RTP comes from elsewhere (NAT without aliases).
        self.media_ip = ""
        #: True: receives, but answers nothing at all (a dead host).
        self.deaf = False
        #: Takes NOTIFY of lines that it watches.
        self.watches = False
        #: Replies to methods other than the usual: {"REFER": 603}.
        self.reply_codes: dict[str, int] = {}
        self.bindings: list[NameAddr] = []
        self._cseq = secrets.randbelow(1000) + 1
        self._registration = _call_id()
        self.transactions = TransactionLayer(
            loop, timing or Timing(), self._on_request, self._on_ack, self.violation
        )
        self.transport: Transport = self._open(transport, ip, port, client_tls, server_tls)

    def __enter__(self) -> Phone:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop all timers, media and sockets; calls that are up stay up on the other side."""
        self.loop.run(self.transactions.stop)
        for call in self.calls:
            call.close_media()
        self.transport.close()

    # ---- who we are

    @property
    def address(self) -> Address:
        """The real local address."""
        return self.transport.local

    @property
    def uri(self) -> str:
        """Our address of record."""
        return f"sip:{self.username}@{self.domain}"

    @property
    def shown(self) -> Address:
        """The address that we write into Via, Contact and SDP."""
        return (self.nat.ip, self.nat.port) if self.nat else self.transport.local

    @property
    def contact(self) -> SipUri:
        """Our Contact."""
        params = {} if self.transport.kind == "udp" else {"transport": self.transport.kind}
        return SipUri(self.shown[0], self.username, self.shown[1], params=params)

    # ---- what a test asks for

    def register(self, expires: int = 3600, *, timeout: float = 10.0, code: int = 200) -> SipResponse:
        """Register our Contact; returns the final response, which must have `code` (0: any)."""
        contact = f"<{self.contact}>"
        headers = [("Contact", contact), ("Expires", str(expires))]
        exchange = self.loop.run(lambda: self.exchange(self._register_request(headers)))
        response = self.finish(exchange, timeout)
        if code and response.code != code:
            raise AssertionError(f"REGISTER got {response.start_line()}, not {code}\n{self.trace()}")
        if response.code == 200:
            self.bindings = response.contacts
        return response

    def unregister(self, *, timeout: float = 10.0) -> SipResponse:
        """Remove our Contact."""
        return self.register(0, timeout=timeout)

    def invite(self, target: str, *, headers: HeaderList = (), offer: bool = True) -> Call:
        """Start a call and return at once."""
        return self.loop.run(lambda: Call.outgoing(self, full_uri(target, self.domain), headers, offer))

    def call(self, target: str, *, headers: HeaderList = (), timeout: float = 10.0) -> Call:
        """Start a call and wait until it is answered."""
        call = self.invite(target, headers=headers)
        call.wait_answered(timeout)
        return call

    def request(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        headers: HeaderList = (),
        *,
        timeout: float = 10.0,
    ) -> SipResponse:
        """Send a request outside a dialog and return its final response."""
        made = self.make_request(method, full_uri(target, self.domain), headers, body)
        return self.finish(self.loop.run(lambda: self.exchange(made)), timeout)

    def message(self, target: str, text: str, *, timeout: float = 10.0) -> SipResponse:
        """Send a MESSAGE."""
        headers = [("Content-Type", "text/plain;charset=UTF-8")]
        return self.request("MESSAGE", target, text.encode(), headers, timeout=timeout)

    def options(self, target: str = "", *, timeout: float = 10.0) -> SipResponse:
        """Send OPTIONS to `target`, or to the proxy itself."""
        assert target or self.proxy
        return self.request("OPTIONS", target or f"sip:{_hostport(self.proxy)}", timeout=timeout)

    def wait(self, condition: Callable[[], T], timeout: float = 10.0, what: str = "condition") -> T:
        """Wait for any condition on this phone; a failure shows the last messages."""
        return self.loop.wait(condition, timeout, lambda: f"{what} ({self.username})\n{self.trace()}")

    def wait_call(self, number: int = 1, timeout: float = 10.0) -> Call:
        """Wait for the `number`-th call (incoming or outgoing) and return it."""
        self.wait(lambda: len(self.calls) >= number, timeout, f"call number {number}")
        return self.calls[number - 1]

    def wait_request(self, method: str, number: int = 1, timeout: float = 10.0) -> SipRequest:
        """Wait for the `number`-th received request of this method (repetitions count) and return it."""
        self.wait(lambda: len(self.requests(method)) >= number, timeout, f"{method} number {number}")
        return self.requests(method)[number - 1]

    def requests(self, method: str) -> list[SipRequest]:
        """Return all received requests of this method."""
        messages = [item.message for item in self.received]
        return [item for item in messages if isinstance(item, SipRequest) and item.method == method]

    def seen_headers(self, prefix: str) -> list[tuple[str, str]]:
        """Return every received header line whose name begins with `prefix`, without case."""
        return [line for item in self.received for line in item.message.headers.starting_with(prefix)]

    def trace(self, count: int = _TRACE_MESSAGES) -> str:
        """Return the last messages in both directions, for a failure report."""
        received = [(item.at, f"<<< {item.source}", item.raw) for item in self.received[-count:]]
        sent = [(at, f">>> {remote}", raw) for at, raw, remote in self.sent[-count:]]
        lines = [
            f"{at:.3f} {where}\n{raw.decode('utf-8', 'backslashreplace')}"
            for at, where, raw in sorted(received + sent)[-count:]
        ]
        return "\n".join([*(f"VIOLATION {text}" for text in self.violations), *lines])

    def finish(self, exchange: Exchange, timeout: float) -> SipResponse:
        """Wait for the final response of an exchange."""
        line = exchange.request.start_line()
        self.wait(lambda: exchange.done, timeout, f"final response to {line}")
        if exchange.final is None:
            raise AssertionError(f"no answer to {line} in 64 × T1\n{self.trace()}")
        return exchange.final

    # ---- sending (on the loop's thread)

    def make_request(
        self, method: str, uri: str, headers: HeaderList = (), body: bytes = b"", call_id: str = ""
    ) -> SipRequest:
        """Build a request outside a dialog, without Via; Contact where the method has one."""
        self._cseq += 1
        made = Headers()
        made.add("From", str(NameAddr(parse_uri(self.uri), self.display, {"tag": secrets.token_hex(6)})))
        made.add("To", f"<{uri}>")
        made.add("Call-ID", call_id or _call_id())
        made.add("CSeq", f"{self._cseq} {method}")
        made.add("Max-Forwards", "70")
        if method in ("INVITE", "SUBSCRIBE", "REFER"):
            made.add("Contact", f"<{self.contact}>")
            made.add("Allow", METHODS)
        made.add("User-Agent", self.user_agent)
        made.items += list(headers)
        return SipRequest(made, body, method, uri)

    def exchange(
        self,
        request: SipRequest,
        on_response: Callable[[Exchange, SipResponse], None] | None = None,
        on_done: Callable[[Exchange], None] | None = None,
    ) -> Exchange:
        """Send a request, answer its challenges, collect its responses."""
        exchange = Exchange(request, on_response=on_response, on_done=on_done)
        self._transmit(exchange)
        return exchange

    def send_outside_transaction(self, request: SipRequest) -> bytes:
        """Send an ACK of a 2xx on a branch of its own; returns the bytes, for each repeated 2xx."""
        flow = self._flow_for(request)
        self._stamp_via(request)
        raw = request.encode()
        flow.send(raw)
        return raw

    def send_on_same_branch(self, request: SipRequest, original: Exchange | None) -> Exchange:
        """Send a CANCEL: same branch and same way as the request that it cancels."""
        assert original
        assert original.transaction
        exchange = Exchange(request)
        exchange.transaction = self.transactions.send(
            request,
            original.transaction.flow,
            lambda _tx, response: self._on_response(exchange, response),
            lambda _tx: self._on_timeout(exchange),
        )
        return exchange

    def resend(self, request: SipRequest, raw: bytes) -> None:
        """Send the same bytes again to where `request` went."""
        self._flow_for(request).send(raw)

    def respond(self, transaction: ServerTransaction, response: SipResponse) -> None:
        """Send a response on the way that section 18.2.2 and RFC 3581 say."""
        response.headers.add("User-Agent", self.user_agent)
        via = transaction.request.vias[0]
        source = transaction.flow.remote
        flow = transaction.flow
        if not flow.reliable and "rport" not in via.params:
            flow = self.transport.flow((source[0], via.sent_by[1]))
        self.transactions.respond(transaction, response, flow)

    def reply(
        self, transaction: ServerTransaction, code: int, headers: HeaderList = (), to_tag: str = ""
    ) -> None:
        """Answer a request that needs no more thought."""
        tag = "" if code == 100 else to_tag or secrets.token_hex(6)
        self.respond(transaction, make_response(transaction.request, code, to_tag=tag, headers=headers))

    def violation(self, text: str) -> None:
        """Note that the other side broke a rule."""
        self.violations.append(text)
        if self.strict:
            self.loop.errors.append(ProtocolViolation(f"{self.username}: {text}\n{self.trace()}"))

    def next_plan(self, invite: SipRequest) -> Plan:
        """Return what to do with this call: `choose`, else the next of `plans`, else `plan`."""
        if self.choose:
            return self.choose(invite)
        return self.plans.pop(0) if self.plans else self.plan

    def add_call(self, call: Call) -> None:
        """Keep a new call."""
        self.calls.append(call)
        self.by_call_id.setdefault(call.invite.call_id, []).append(call)

    def on_other_request(self, transaction: ServerTransaction) -> None:
        """Answer a request outside a call; a subclass (the carrier) does more."""
        method = transaction.request.method
        known = method in ("OPTIONS", "MESSAGE", "NOTIFY", "INFO")
        code = self.reply_codes.get(method, 200 if known else 481 if method in ("BYE", "PRACK") else 405)
        self.reply(transaction, code, [("Allow", METHODS)])

    def on_invite(self, transaction: ServerTransaction) -> None:
        """Take a new call; a subclass may challenge it first."""
        Call.incoming(self, transaction)

    # ---- inside

    def _open(
        self, kind: str, ip: str, port: int, client: ssl.SSLContext | None, server: ssl.SSLContext | None
    ) -> Transport:
        if kind == "udp":
            return UdpTransport(self.loop, self.on_message, self._on_sent, ip, port)
        tls = TlsSide(client, server, self.domain) if kind == "tls" else None
        stream = StreamTransport(self.loop, self.on_message, self._on_sent, ip, port, tls)
        stream.on_lost = self.transactions.connection_lost
        return stream

    def _on_sent(self, raw: bytes, remote: Address) -> None:
        self.sent.append((self.loop.now(), raw, remote))

    def _register_request(self, headers: HeaderList) -> SipRequest:
        request = self.make_request("REGISTER", f"sip:{self.domain}", headers, call_id=self._registration)
        request.headers.put("To", f"<{self.uri}>")
        return request

    def _transmit(self, exchange: Exchange) -> None:
        self._stamp_via(exchange.request)
        exchange.transaction = self.transactions.send(
            exchange.request,
            self._flow_for(exchange.request),
            lambda _tx, response: self._on_response(exchange, response),
            lambda _tx: self._on_timeout(exchange),
        )

    def _stamp_via(self, request: SipRequest) -> None:
        host, port = self.shown
        branch = BRANCH_COOKIE + secrets.token_hex(10)
        via = f"SIP/2.0/{self.transport.kind.upper()} {host}:{port};branch={branch};rport"
        request.headers.remove("Via")
        request.headers.items.insert(0, ("Via", via))

    def _flow_for(self, request: SipRequest) -> Flow:
        """Where a request goes: its first Route or its Request-URI if that is an address, else our proxy."""
        routes = request.headers.values("Route")
        hop = parse_uri(routes[0].strip().removeprefix("<").partition(">")[0] if routes else request.uri)
        in_dialog = bool(routes or request.to_addr.tag)
        if self.proxy and not (in_dialog and _is_address(hop.host)):
            return self.transport.flow(self.proxy)
        if hop.transport != self.transport.kind:
            self.violation(f"next hop {hop} wants {hop.transport}, this phone has {self.transport.kind}")
        return self.transport.flow((hop.host, hop.port or (5061 if hop.transport == "tls" else 5060)))

    def _on_response(self, exchange: Exchange, response: SipResponse) -> None:
        exchange.responses.append(response)
        if response.code in (401, 407) and self._answer_challenge(exchange, response):
            return
        if response.code >= 200 and exchange.final is None:
            exchange.final = response
            if exchange.on_done:
                exchange.on_done(exchange)
        if exchange.on_response:
            exchange.on_response(exchange, response)

    def _on_timeout(self, exchange: Exchange) -> None:
        exchange.timed_out = True
        if exchange.on_done:
            exchange.on_done(exchange)

    def _answer_challenge(self, exchange: Exchange, response: SipResponse) -> bool:
        """Repeat the request with credentials; False when pointless: no password, or refused once already."""
        asked, given = _AUTH_HEADERS[response.code]
        repeated = given in exchange.request.headers
        challenge = best_challenge(response.headers.all(asked)) if self.password else None
        if challenge is None or (repeated and not challenge.stale) or len(exchange.challenges) > 2:
            return False
        exchange.challenges.append(response)
        request = self._next_attempt(exchange.request)
        credentials = answer(
            challenge,
            self.auth_username,
            self.password,
            request.method,
            request.uri,
            cnonce=secrets.token_hex(8),
        )
        request.headers.put(given, credentials)
        exchange.request = request
        self._transmit(exchange)
        return True

    def _next_attempt(self, request: SipRequest) -> SipRequest:
        number = request.cseq.number + 1
        self._cseq = max(self._cseq, number)
        copy = SipRequest(Headers(request.headers), request.body, request.method, request.uri)
        copy.headers.put("CSeq", f"{number} {request.method}")
        for call in self.by_call_id.get(request.call_id, ()):
            call.note_cseq(copy)
        return copy

    def on_message(self, raw: bytes, flow: Flow) -> None:
        """Take one received message (called by the transport)."""
        try:
            message = parse_message(raw)
        except SipSyntaxError as error:
            self.violation(f"{error} in {raw!r}")
            return
        self.received.append(Received(self.loop.now(), message, raw, flow.remote))
        if self.deaf:
            return
        if isinstance(message, SipResponse):
            self.transactions.receive_response(message)
        else:
            self.transactions.receive_request(message, raw, flow)

    def _on_request(self, transaction: ServerTransaction) -> None:
        request = transaction.request
        call = self._call_of(request)
        if request.method == "CANCEL":
            self._on_cancel(transaction)
        elif call:
            call.on_request(transaction)
        elif request.method == "NOTIFY" and self.watches:
            self.reply(transaction, 200)
        elif request.to_addr.tag:
            self.violation(f"no dialog for {request.start_line()} with To {request.need('To')}")
            self.reply(transaction, 481)
        elif request.method == "INVITE":
            self._on_new_invite(transaction)
        else:
            self.on_other_request(transaction)

    def _on_new_invite(self, transaction: ServerTransaction) -> None:
        request = transaction.request
        if any(call.is_same_invite(request) for call in self.by_call_id.get(request.call_id, ())):
            self.merged.append(request)
            self.reply(transaction, 482)
        elif not self.deaf:
            self.on_invite(transaction)

    def _on_cancel(self, transaction: ServerTransaction) -> None:
        invite = self.transactions.invite_of(transaction.request)
        call = next((call for call in self.calls if invite and call.server is invite), None)
        if call and call.plan.silent:
            return
        self.reply(transaction, 200 if invite else 481, to_tag=call.local_tag if call else "")
        if invite is None:
            self.violation(f"CANCEL of no INVITE: {transaction.request.vias[0]}")
        elif call:
            call.on_cancel(transaction.request)

    def _on_ack(self, ack: SipRequest) -> None:
        call = self._call_of(ack)
        if call:
            call.on_ack(ack)
        else:
            self.violation(f"ACK of no call: To {ack.need('To')}")

    def _call_of(self, message: SipMessage) -> Call | None:
        calls = self.by_call_id.get(message.call_id, ())
        return next((call for call in calls if call.owns(message)), None)


_AUTH_HEADERS = {
    401: ("WWW-Authenticate", "Authorization"),
    407: ("Proxy-Authenticate", "Proxy-Authorization"),
}


def full_uri(target: str, domain: str) -> str:
    """Make "101" a SIP URI in our domain; a URI stays."""
    return target if ":" in target else f"sip:{target}@{domain}"


def close_all(phones: Iterable[Phone]) -> None:
    """Close several phones."""
    for phone in phones:
        phone.close()


def _call_id() -> str:
    return f"{secrets.token_hex(12)}@kalibri.test"


def _hostport(address: Address | None) -> str:
    return f"{address[0]}:{address[1]}" if address else ""


def _is_address(host: str) -> bool:
    return host.replace(".", "").isdigit()
