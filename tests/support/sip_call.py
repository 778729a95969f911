"""One call of a test phone: an INVITE dialog as caller or callee, with everything that may happen inside it.

Made by `Phone.invite`/`Phone.call` and by incoming INVITEs (`phone.calls`, `phone.wait_call()`).

    call = alice.invite("101", headers=[("X-Account", "7")])
    call.wait_ringing(); call.wait_answered()
    call.hold(); call.resume(); call.update(); call.refer("sip:102@demo.example")
    call.media.play(known_payload(2, seed=1)); call.media.wait_received(50)     # phones with media=True
    call.hang_up(); assert call.code == 200 and call.ended_by == "local"
"""

from __future__ import annotations

import secrets
from enum import StrEnum
from typing import TYPE_CHECKING

from tests.support.rtp_peer import RtpPeer
from tests.support.sdp import MIRROR, Sdp, is_held, parse_sdp
from tests.support.sip_dialog import Dialog, dialog_as_callee, dialog_as_caller
from tests.support.sip_message import (
    HeaderList,
    Headers,
    SipMessage,
    SipRequest,
    SipResponse,
    make_response,
)
from tests.support.sip_plan import Plan
from tests.support.sip_syntax import parse_cseq
from tests.support.sip_transaction import ServerTransaction

if TYPE_CHECKING:
    from tests.support.sip_phone import Exchange, Phone

#: Written into SDP by phones without media: nothing listens there.
_NO_MEDIA_PORT = 9000


class CallState(StrEnum):
    """Where a call stands."""

    TRYING = "trying"
    RINGING = "ringing"
    ANSWERED = "answered"
    ENDED = "ended"


class Call:
    """One call; the fields are for assertions, the methods act."""

    def __init__(self, phone: Phone, invite: SipRequest, plan: Plan) -> None:
        self.phone, self.invite, self.plan = phone, invite, plan
        self.state = CallState.TRYING
        #: Final response code of the INVITE (ours when we are the callee).
        self.code = 0
        self.final: SipResponse | None = None
        self.provisional: list[SipResponse] = []
        #: "local", "remote", or "" while it goes on; refused calls count as ended by the callee.
        self.ended_by = ""
        self.end_reason = ""
        self.dialog: Dialog | None = None
        #: Dialogs that other branches of a fork made (they get ACK and BYE).
        self.forked: list[Dialog] = []
        self.local_tag = ""
        self.acked = False
        self.cancelled = False
        #: The other side holds us.
        self.held = False
        self.local_sdp: Sdp | None = None
        self.remote_sdp: Sdp | None = None
        self.requests: list[SipRequest] = []
        self.referred: list[str] = []
        #: Bodies of the NOTIFYs after our REFER: "SIP/2.0 200 OK".
        self.refer_progress: list[str] = []
        self.pracked: list[int] = []
        self.exchange: Exchange | None = None
        self.server: ServerTransaction | None = None
        self.media: RtpPeer = _NoMedia()  # type: ignore[assignment]
        if phone.media:
            self.media = RtpPeer(phone.loop, phone.address[0])
        self._rseq = secrets.randbelow(1000) + 1
        self._rseq_seen: dict[str, int] = {}
        self._ack = (SipRequest(), b"")
        self._session = secrets.randbelow(10**9) + 1
        phone.add_call(self)

    # ---- making one

    @classmethod
    def outgoing(cls, phone: Phone, uri: str, headers: HeaderList, offer: bool) -> Call:
        """Send an INVITE (on the loop's thread)."""
        request = phone.make_request("INVITE", uri, [("Supported", "100rel"), *headers])
        call = cls(phone, request, Plan.by_test())
        call.local_tag = request.from_addr.tag
        if offer:
            call._put_sdp(request, call._description("sendrecv"))
        call.exchange = phone.exchange(request, call._on_response, call._on_done)
        return call

    @classmethod
    def incoming(cls, phone: Phone, server: ServerTransaction) -> Call:
        """Take an INVITE (on the loop's thread) and start its plan."""
        request = server.request
        call = cls(phone, request, phone.next_plan(request))
        call.server, call.local_tag = server, secrets.token_hex(6)
        call.dialog = dialog_as_callee(request, call.local_tag)
        call._take_sdp(request)
        call._start_plan()
        return call

    # ---- waiting

    def wait_ringing(self, timeout: float = 10.0) -> Call:
        """Wait for a 180 or 183 (or the answer)."""
        return self._wait((CallState.RINGING, CallState.ANSWERED), timeout)

    def wait_answered(self, timeout: float = 10.0) -> Call:
        """Wait until the call is up: 2xx received, or our 2xx acknowledged."""
        self.phone.wait(lambda: self._is_up() or self.state is CallState.ENDED, timeout, "answer")
        assert self.state is not CallState.ENDED, f"ended with {self.code}\n{self.phone.trace()}"
        return self

    def wait_ended(self, timeout: float = 10.0) -> Call:
        """Wait for the end, by whomever."""
        return self._wait((CallState.ENDED,), timeout)

    def wait_request(self, method: str, number: int = 1, timeout: float = 10.0) -> SipRequest:
        """Wait for the `number`-th in-dialog request of this method."""
        self.phone.wait(lambda: len(self._of(method)) >= number, timeout, f"{method} in the call")
        return self._of(method)[number - 1]

    @property
    def call_id(self) -> str:
        """Call-ID."""
        return self.invite.call_id

    # ---- acting as callee

    def ring(self, code: int = 180, *, reliable: bool = False, sdp: bool = False) -> None:
        """Send a provisional response."""
        self.phone.loop.run(lambda: self._ring(code, reliable, sdp, ()))

    def answer(self, code: int = 200, headers: HeaderList = ()) -> None:
        """Answer the call."""
        self.phone.loop.run(lambda: self._finish(code, "", headers))

    def reject(self, code: int, reason: str = "", headers: HeaderList = ()) -> None:
        """Refuse the call."""
        self.phone.loop.run(lambda: self._finish(code, reason, headers))

    # ---- acting as either

    def hang_up(self, timeout: float = 10.0, headers: HeaderList = ()) -> SipResponse:
        """Send BYE and return its final response."""
        return self.phone.finish(self.send_bye(headers), timeout)

    def send_bye(self, headers: HeaderList = ()) -> Exchange:
        """Send BYE and return at once; `phone.finish(exchange, timeout)` waits for its response."""
        return self.phone.loop.run(lambda: self._bye(headers))

    def cancel(self, timeout: float = 10.0) -> SipResponse:
        """Send CANCEL, wait for its response and for the end of the INVITE (487, or BYE after a late 2xx)."""
        self.phone.wait(lambda: bool(self.provisional) or self.code, timeout, "1xx before CANCEL")
        exchange = self.phone.loop.run(self._cancel)
        response = self.phone.finish(exchange, timeout)
        self.wait_ended(timeout)
        return response

    def hold(self, timeout: float = 10.0) -> SipResponse:
        """Put the other side on hold by re-INVITE (sendonly)."""
        return self.reinvite("sendonly", timeout=timeout)

    def resume(self, timeout: float = 10.0) -> SipResponse:
        """Take the other side back."""
        return self.reinvite("sendrecv", timeout=timeout)

    def reinvite(self, direction: str = "sendrecv", *, timeout: float = 10.0) -> SipResponse:
        """Send a re-INVITE; its 2xx is acknowledged."""
        response = self.request("INVITE", sdp=self._description(direction), timeout=timeout)
        if response.code < 300:
            self.phone.loop.run(lambda: self._acknowledge(response))
        return response

    def move_media(self) -> None:
        """Go on with another socket for media; the next re-INVITE tells the other side."""
        remote = self.media.remote
        self.media.close()
        self.media = RtpPeer(self.phone.loop, self.phone.address[0])
        self.media.remote = remote

    def update(self, direction: str = "", *, timeout: float = 10.0) -> SipResponse:
        """Send UPDATE, with an offer when a direction is given."""
        return self.request(
            "UPDATE", sdp=self._description(direction) if direction else None, timeout=timeout
        )

    def refer(self, target: str, *, timeout: float = 10.0) -> SipResponse:
        """Ask the other side to call `target`; its NOTIFYs go to `refer_progress`."""
        return self.request("REFER", headers=[("Refer-To", f"<{target}>")], timeout=timeout)

    def notify_refer(self, code: int, reason: str = "", *, timeout: float = 10.0) -> SipResponse:
        """Tell who sent us a REFER how the new call goes (2xx and above end the subscription)."""
        state = "active;expires=60" if code < 200 else "terminated;reason=noresource"
        headers = [
            ("Event", "refer"),
            ("Subscription-State", state),
            ("Content-Type", "message/sipfrag;version=2.0"),
        ]
        return self.request("NOTIFY", f"SIP/2.0 {code} {reason}\r\n".encode(), headers, timeout=timeout)

    def message(self, text: str, *, timeout: float = 10.0) -> SipResponse:
        """Send MESSAGE inside the call."""
        return self.request("MESSAGE", text.encode(), [("Content-Type", "text/plain")], timeout=timeout)

    def request(
        self,
        method: str,
        body: bytes = b"",
        headers: HeaderList = (),
        *,
        sdp: Sdp | None = None,
        timeout: float = 10.0,
    ) -> SipResponse:
        """Send any in-dialog request and return its final response."""
        return self.phone.finish(self.phone.loop.run(lambda: self._send(method, body, headers, sdp)), timeout)

    def abandon(self) -> None:
        """Forget the call without telling anybody: the phone lost its power."""
        self.phone.loop.run(lambda: self._end("local", "abandoned"))

    # ---- called by the phone (on the loop's thread)

    def owns(self, message: SipMessage) -> bool:
        """Whether a request of the other side belongs to this dialog."""
        return bool(self.local_tag) and message.to_addr.tag == self.local_tag

    def is_same_invite(self, request: SipRequest) -> bool:
        """Whether this INVITE came already on another branch."""
        return (
            self.server is not None
            and request.cseq == self.invite.cseq
            and request.from_addr.tag == self.invite.from_addr.tag
        )

    def note_cseq(self, request: SipRequest) -> None:
        """A request was repeated with credentials: the dialog's number goes on from there."""
        if self.dialog and request.from_addr.tag == self.local_tag:
            self.dialog.local_cseq = max(self.dialog.local_cseq, request.cseq.number)

    def on_request(self, transaction: ServerTransaction) -> None:
        """Answer an in-dialog request."""
        request = transaction.request
        self.requests.append(request)
        if self.plan.silent:
            return
        if fault := self.dialog.fault(request, self.phone.contact) if self.dialog else "no dialog yet":
            self.phone.violation(f"in-dialog {request.method}: {fault}")
        if request.method in self.phone.reply_codes:
            self.phone.reply(transaction, self.phone.reply_codes[request.method])
            return
        handlers = {
            "INVITE": self._on_offer,
            "UPDATE": self._on_offer,
            "BYE": self._on_bye,
            "PRACK": self._on_prack,
            "REFER": self._on_refer,
            "NOTIFY": self._on_notify,
        }
        handlers.get(request.method, self._on_harmless)(transaction)

    def on_ack(self, ack: SipRequest) -> None:
        """Our 2xx arrived."""
        self.requests.append(ack)
        if self.dialog and (fault := self.dialog.fault(ack, self.phone.contact)):
            self.phone.violation(f"ACK: {fault}")
        for transaction in self.phone.transactions.servers.values():
            same = transaction.request.call_id == ack.call_id
            if same and transaction.request.cseq.number == ack.cseq.number and transaction.final:
                transaction.acked = True
                transaction.stop()
        if ack.body:
            self._take_sdp(ack)
        if not self.acked:
            self.acked = True
            if self.plan.bye_after is not None:
                self.phone.loop.after(self.plan.bye_after, self._bye_if_up)

    def on_cancel(self, cancel: SipRequest) -> None:
        """The caller gave up."""
        self.end_reason = cancel.headers.get("Reason") or "CANCEL"
        if self.server and not self.server.final:
            self.cancelled = True
            self._finish(487, "", ())
            self._end("remote", self.end_reason)

    def close_media(self) -> None:
        """Stop RTP and free its port."""
        self.media.close()

    # ---- caller's side

    def _on_response(self, exchange: Exchange, response: SipResponse) -> None:
        if response.code < 200:
            self._on_provisional(response)
        elif response.code < 300:
            self._on_success(exchange.request, response)

    def _on_done(self, exchange: Exchange) -> None:
        self.invite = exchange.request
        self.final = exchange.final
        self.code = self.final.code if self.final else 408
        if self.code >= 300:
            self._end("local" if self.cancelled or not self.final else "remote", f"{self.code}")

    def _on_provisional(self, response: SipResponse) -> None:
        self.provisional.append(response)
        if response.code > 100 and self.state is CallState.TRYING:
            self.state = CallState.RINGING
        if response.body:
            self._take_sdp(response)
        if "100rel" in [tag.lower() for tag in response.headers.values("Require")]:
            self._prack(response)

    def _on_success(self, request: SipRequest, response: SipResponse) -> None:
        if self.dialog and self.dialog.confirmed and response.to_addr.tag == self.dialog.remote_tag:
            self.phone.resend(*self._ack)
            return
        if self.dialog and self.dialog.confirmed:
            self._drop_fork(request, response)
            return
        early = self.dialog
        self.dialog = dialog_as_caller(request, response)
        self.dialog.confirmed = True
        if early:
            self.dialog.local_cseq = max(self.dialog.local_cseq, early.local_cseq)
        self._take_sdp(response)
        self.state = CallState.ANSWERED
        self._acknowledge(response)
        if self.cancelled:
            self._bye(())

    def _drop_fork(self, request: SipRequest, response: SipResponse) -> None:
        other = dialog_as_caller(request, response)
        self.forked.append(other)
        self.phone.send_outside_transaction(other.request("ACK", request.cseq.number))
        self.phone.exchange(other.request("BYE"))

    def _acknowledge(self, response: SipResponse) -> None:
        assert self.dialog
        if response.cseq.number != self.invite.cseq.number:
            self.dialog.refresh_target(response)
            self._take_sdp(response)
        ack = self.dialog.request("ACK", response.cseq.number)
        if not self.invite.body and response.cseq.number == self.invite.cseq.number:
            self._put_sdp(ack, self._answer_sdp())  # the 200 brought the offer (RFC 3261 section 13.2.1)
        self._ack = ack, self.phone.send_outside_transaction(ack)

    def _prack(self, response: SipResponse) -> None:
        number = int(response.need("RSeq"))
        tag = response.to_addr.tag
        last = self._rseq_seen.get(tag)
        if last is not None and number != last + 1:
            if number != last:
                self.phone.violation(f"RSeq {number} after {last}")
            return
        self._rseq_seen[tag] = number
        if self.dialog is None or self.dialog.remote_tag != tag:
            self.dialog = dialog_as_caller(self._current_invite(), response)
        headers = [("RAck", f"{number} {response.cseq}")]
        self._send("PRACK", b"", headers, None)

    def _current_invite(self) -> SipRequest:
        return self.exchange.request if self.exchange else self.invite

    def _cancel(self) -> Exchange:
        invite = self._current_invite()
        self.cancelled = True
        headers = Headers([("Via", invite.need("Via"))])
        headers.items += [("Route", value) for value in invite.headers.all("Route")]
        for name in ("From", "To", "Call-ID", "Max-Forwards"):
            headers.add(name, invite.need(name))
        headers.add("CSeq", f"{invite.cseq.number} CANCEL")
        return self.phone.send_on_same_branch(SipRequest(headers, b"", "CANCEL", invite.uri), self.exchange)

    # ---- callee's side

    def _start_plan(self) -> None:
        plan, loop = self.plan, self.phone.loop
        if plan.trying and self.server:
            self.phone.reply(self.server, 100)
        if plan.manual or plan.silent:
            return
        loop.after(plan.ring_after, self._plan_ring)

    def _plan_ring(self) -> None:
        plan = self.plan
        if plan.ring_code and not self.code:
            self._ring(plan.ring_code, plan.reliable, plan.early_media, plan.ring_headers)
        if plan.final is not None:
            self.phone.loop.after(plan.final_after, self._plan_final)

    def _plan_final(self) -> None:
        if not self.code and self.plan.final is not None:
            self._finish(self.plan.final, self.plan.reason, self.plan.headers)

    def _ring(self, code: int, reliable: bool, sdp: bool, headers: HeaderList) -> None:
        assert self.server
        more = [("Contact", f"<{self.phone.contact}>"), *headers]
        reliable = reliable and self.invite.supports("100rel")
        if reliable:
            self._rseq += 1
            more += [("Require", "100rel"), ("RSeq", str(self._rseq))]
        response = make_response(self.invite, code, to_tag=self.local_tag, headers=more)
        if sdp:
            self._put_sdp(response, self._answer_sdp())
        self.state = CallState.RINGING
        self.phone.respond(self.server, response)
        if reliable:
            self._repeat_until_prack(self.server, self._rseq)

    def _repeat_until_prack(self, server: ServerTransaction, number: int) -> None:
        raw = server.last
        self.phone.transactions.repeat(
            lambda: server.flow.send(raw), lambda: number in self.pracked or server.final is not None
        )

    def _finish(self, code: int, reason: str, headers: HeaderList) -> None:
        assert self.server
        more = list(headers)
        if code < 300:
            more += [("Contact", f"<{self.phone.contact}>"), ("Supported", "100rel")]
        response = make_response(self.invite, code, reason, to_tag=self.local_tag, headers=more)
        if code < 300:
            self._put_sdp(response, self._answer_sdp())
        self.code, self.final = code, response
        self.phone.respond(self.server, response)
        if code < 300:
            self.state = CallState.ANSWERED
        else:
            self._end("local", f"{code}")

    # ---- inside the dialog

    def _send(self, method: str, body: bytes, headers: HeaderList, sdp: Sdp | None) -> Exchange:
        assert self.dialog, f"{method} before there is a dialog"
        request = self.dialog.request(method)
        if method in ("INVITE", "UPDATE", "REFER", "SUBSCRIBE", "NOTIFY"):
            request.headers.add("Contact", f"<{self.phone.contact}>")
        request.headers.items += list(headers)
        request.body = body
        if sdp:
            self._put_sdp(request, sdp)
        return self.phone.exchange(request)

    def _bye(self, headers: HeaderList) -> Exchange:
        exchange = self._send("BYE", b"", headers, None)
        self._end("local", "BYE")
        return exchange

    def _bye_if_up(self) -> None:
        if self.state is CallState.ANSWERED:
            self._bye(())

    def _on_bye(self, transaction: ServerTransaction) -> None:
        self.phone.reply(transaction, 200)
        self._end("remote", transaction.request.headers.get("Reason") or "BYE")

    def _on_offer(self, transaction: ServerTransaction) -> None:
        assert self.dialog
        self.dialog.refresh_target(transaction.request)
        response = make_response(transaction.request, 200, headers=[("Contact", f"<{self.phone.contact}>")])
        if transaction.request.body:
            self._take_sdp(transaction.request)
        if transaction.request.body or transaction.request.method == "INVITE":
            self._put_sdp(response, self._answer_sdp())
        self.phone.respond(transaction, response)

    def _on_prack(self, transaction: ServerTransaction) -> None:
        number, _, cseq = transaction.request.need("RAck").partition(" ")
        if int(number) != self._rseq or parse_cseq(cseq) != self.invite.cseq:
            self.phone.violation(f"RAck {number} {cseq}: we sent RSeq {self._rseq}, {self.invite.cseq}")
        self.pracked.append(int(number))
        self.phone.reply(transaction, 200)

    def _on_refer(self, transaction: ServerTransaction) -> None:
        self.referred.append(transaction.request.need("Refer-To"))
        headers = [("Contact", f"<{self.phone.contact}>")]
        self.phone.reply(transaction, 202, headers)

    def _on_notify(self, transaction: ServerTransaction) -> None:
        self.refer_progress.append(transaction.request.body.decode().strip())
        self.phone.reply(transaction, 200)

    def _on_harmless(self, transaction: ServerTransaction) -> None:
        known = transaction.request.method in ("INFO", "MESSAGE", "OPTIONS")
        self.phone.reply(transaction, 200 if known else 405)

    def _end(self, by: str, reason: str) -> None:
        if self.state is not CallState.ENDED:
            self.state, self.ended_by, self.end_reason = CallState.ENDED, by, reason
            self.close_media()

    # ---- media

    def _description(self, direction: str) -> Sdp:
        version = self.local_sdp.version + 1 if self.local_sdp else 1
        port = self.media.port or _NO_MEDIA_PORT
        ip = self.phone.media_ip or self.phone.shown[0]
        types = self.phone.payload_types
        self.local_sdp = Sdp(ip, port, types, direction, session_id=self._session, version=version)
        return self.local_sdp

    def _answer_sdp(self) -> Sdp:
        return self._description(MIRROR[self.remote_sdp.direction] if self.remote_sdp else "sendrecv")

    def _put_sdp(self, message: SipMessage, sdp: Sdp) -> None:
        message.headers.put("Content-Type", "application/sdp")
        message.body = sdp.encode()

    def _take_sdp(self, message: SipMessage) -> None:
        if (message.headers.get("Content-Type") or "").lower() != "application/sdp":
            return
        self.remote_sdp = parse_sdp(message.body)
        self.held = is_held(self.remote_sdp)
        self.media.remote = (self.remote_sdp.ip, self.remote_sdp.port)

    # ---- small questions

    def _wait(self, states: tuple[CallState, ...], timeout: float) -> Call:
        self.phone.wait(
            lambda: self.state in (*states, CallState.ENDED), timeout, f"call {' or '.join(states)}"
        )
        assert self.state in states, f"ended with {self.code}\n{self.phone.trace()}"
        return self

    def _is_up(self) -> bool:
        return self.state is CallState.ANSWERED and (self.acked or self.server is None)

    def _of(self, method: str) -> list[SipRequest]:
        return [request for request in self.requests if request.method == method]


class _NoMedia:
    """Stands where the RTP peer of a phone without media would be."""

    port = 0
    remote: tuple[str, int] | None = None

    def close(self) -> None:
        """Nothing to close."""
