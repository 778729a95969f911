"""One leg: a dialog of sippy, with the requests answered that sippy leaves unanswered.

Says what happens to its owner, always from the loop's queue and never from within sippy: a request issued inside
sippy's own callback would leave before the ACK that is due. Decides nothing about the call.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from sems_apps.host import sdp
from sems_apps.host.sip_leg_facts import q850_cause
from sems_apps.host.sip_stack import ALLOWED, Address, InviteFacts, SipStack, Verdict
from sems_apps.host.sippy_env import (
    UA,
    CCEventConnect,
    CCEventDisconnect,
    CCEventFail,
    CCEventPreConnect,
    CCEventRedirect,
    CCEventRing,
    CCEventTry,
    CCEventUpdate,
    MsgBody,
    SipAddress,
    SipCallId,
    SipContact,
    SipContentType,
    SipHeader,
    SipURL,
)

log = logging.getLogger("media")

#: How long a dialog that has ended answers late requests; its transactions answer repetitions by themselves.
LINGER_SECONDS = 5.0
#: BYE waits so long for the answers to our NOTIFYs.
NOTIFY_SECONDS = 2.0
#: An in-dialog OPTIONS is unanswered for so long: the far end is gone.
PROBE_SECONDS = 2.0


class LegOwner(Protocol):
    """Who is told what happens to a leg. Called from the loop's queue, except `new_offer`."""

    def leg_ringing(self, leg: SipLeg, code: int) -> None:
        """A provisional response above 100 came; `leg.remote` is set when it had SDP."""

    def leg_answered(self, leg: SipLeg) -> None:
        """The leg that we called is up; `leg.remote` is its answer."""

    def leg_failed(self, leg: SipLeg, code: int) -> None:
        """The leg that we called will not come up."""

    def leg_ended(self, leg: SipLeg, cause: str) -> None:
        """The far end hung up, or gave up its call, or is gone."""

    def leg_key(self, leg: SipLeg, digit: str) -> None:
        """A digit by INFO."""

    def leg_refer(self, leg: SipLeg, target: str, replaces: str) -> None:
        """REFER came and was answered 202."""

    def leg_media(self, leg: SipLeg) -> None:
        """The far end changed its media; `leg.remote` is new and was answered."""

    def new_offer(self, leg: SipLeg, offer: sdp.Description | None) -> str | None:
        """Return the answer to a new offer (None: our own offer, as they sent none); None refuses with 488."""


class SipLeg:
    """A dialog, from its INVITE to its end."""

    def __init__(self, stack: SipStack, owner: LegOwner, name: str) -> None:
        self.stack, self.owner, self.name = stack, owner, name
        self.ua: _Agent = None  # type: ignore[assignment]  # set by the two constructors below
        #: What the far end last said of its media; None: nothing yet.
        self.remote: sdp.Description | None = None
        self.is_incoming = False
        self.answered = self.ended = False
        #: Whether anything, if only 100, came back to our INVITE.
        self.heard = False
        #: Of the response that refused our call: Q.850 cause (0: none), and whether our own proxy made it.
        self.q850 = 0
        self.refused_by_proxy = False
        self._body: MsgBody | None = None
        self._probing = False
        #: NOTIFYs that wait for the answer to the one before; a BYE that waits for them.
        self._notices: deque[tuple[int, str]] = deque()
        self._notifying = False
        self._bye: str | None = None

    # ---- making one

    @classmethod
    def incoming(
        cls, stack: SipStack, owner: LegOwner, name: str, request: Any, transaction: Any
    ) -> tuple[SipLeg, Verdict]:
        """Take an INVITE; raises BadSdp when its offer cannot be used (nothing has been answered then)."""
        leg = cls(stack, owner, name)
        leg.is_incoming = True
        body = request.getBody()
        if body is not None:
            leg.remote = sdp.parse(body.localStr())
        leg.ua = _Agent(leg, None)
        # sippy's 487 to CANCEL would carry another To tag than the 180 before it.
        transaction.r487.getHFBody("to").setTag(leg.ua.lTag)
        return leg, leg.ua.recvRequest(request, transaction)

    @classmethod
    def outgoing(
        cls,
        stack: SipStack,
        owner: LegOwner,
        name: str,
        *,
        proxy: Address,
        target: str,
        caller: str,
        caller_name: str = "",
        body: str,
        headers: dict[str, str],
    ) -> SipLeg:
        """Call `target` (user part or SIP URI) through a proxy's internal socket."""
        leg = cls(stack, owner, name)
        leg.ua = _Agent(leg, proxy)
        leg._body = MsgBody(body)
        uri = SipURL(target if target.startswith("sip:") else f"sip:{_escape(target)}@{proxy[0]}:{proxy[1]}")
        event = _Invite(
            (SipCallId(), caller or "anonymous", uri.username, leg._body, None, caller_name or None), uri
        )
        event.extra_headers = tuple(SipHeader(name=key, bodys=value) for key, value in headers.items())
        leg.ua.recvEvent(event)
        return leg

    # ---- acting

    def ring(self) -> None:
        """Send 180."""
        self.ua.recvEvent(CCEventRing((180, "Ringing", None)))

    def answer(self, body: str) -> None:
        """Send 200 with this description."""
        if not self.ended:
            self.answered = True
            self.ua.recvEvent(CCEventConnect((200, "OK", MsgBody(body))))

    def reject(self, code: int, reason: str) -> None:
        """Refuse the call."""
        if not self.ended and not self.answered:
            self.ended = True
            self.ua.recvEvent(CCEventFail((code, reason)))

    def hang_up(self, reason: str = "") -> None:
        """End the leg in whatever state: BYE, CANCEL (a 200 that is under way gets ACK and BYE) or 480."""
        if self.ended:
            return
        if self.is_incoming and not self.answered:
            self.reject(480, reason or "Temporarily Unavailable")
            return
        self.ended = True
        self._bye = reason
        if self._notifying or self._notices:
            self.stack.loop.call_later(NOTIFY_SECONDS, self._stop_notifying)
        else:
            self._next_notice()

    def reinvite(self, body: str) -> None:
        """Offer other media; the answer comes as `leg_media`."""
        if self.answered and not self.ended:
            self.ua.recvEvent(CCEventUpdate(MsgBody(body)))

    def notify(self, code: int, reason: str) -> None:
        """Tell who sent REFER how it goes (RFC 3515 section 2.4.4)."""
        if self.ended or not self.answered:
            return
        self._notices.append((code, reason))
        self._next_notice()

    def _next_notice(self) -> None:
        """Send what is next: each NOTIFY when the one before was answered, BYE at last.

        A proxy's workers would let one overtake another.
        """
        if self._notifying:
            return
        if self._notices:
            self._notifying = True
            self._send_notice(*self._notices.popleft())
        elif self._bye is not None:
            reason, self._bye = self._bye, None
            event = CCEventDisconnect()
            if reason:
                event.extra_headers = (SipHeader(name="Reason", bodys=_reason(reason)),)
            self.ua.recvEvent(event)

    def _noticed(self, response: Any) -> None:
        if response.getSCode()[0] >= 200:
            self._notifying = False
            self._next_notice()

    def _stop_notifying(self) -> None:
        """Nobody answers our NOTIFYs: BYE must not wait for ever."""
        self._notices.clear()
        self._notifying = False
        self._next_notice()

    def _send_notice(self, code: int, reason: str) -> None:
        final = "terminated;reason=noresource" if code >= 200 else "active;expires=60"
        headers = (
            SipHeader(name="Event", bodys="refer"),
            SipHeader(name="Subscription-State", bodys=final),
        )
        kind = SipContentType("message/sipfrag;version=2.0")
        kind.parse()
        body = MsgBody(f"SIP/2.0 {code} {reason}\r\n", kind)
        request = self.ua.genRequest("NOTIFY", body, extra_headers=headers)
        self.ua.newTransaction(request, resp_cb=self._noticed)

    def probe(self) -> None:
        """Ask the far end whether it still knows the dialog; if not, the leg has ended."""
        if self.answered and not self.ended and not self._probing:
            self._probing = True
            request = self.ua.genRequest("OPTIONS")
            self.ua.newTransaction(request, resp_cb=self._probed)
            self.stack.loop.call_later(PROBE_SECONDS, self._probe_unanswered)

    @property
    def dialog(self) -> tuple[str, str, str]:
        """Call-ID, our tag, their tag."""
        call_id, local, remote = self.ua.getCID()
        return call_id, local or "", remote or ""

    # ---- told by the agent below

    def soon(self, callback: Callable[[], None]) -> None:
        """Tell the owner when sippy has done what it does."""
        self.stack.loop.call_soon(callback)

    def tell(self, callback: Callable[[], None]) -> None:
        """Tell the owner likewise, unless the leg has ended by then."""
        self.soon(lambda: None if self.ended else callback())

    def on_event(self, event: Any) -> None:
        """Take an event of sippy."""
        handler = _EVENTS.get(type(event))
        if handler is not None:
            handler(self, event)

    def on_ring(self, event: Any) -> None:
        code, _, body = event.getData()
        if code > 100 and not self.ended:
            self._take(body)
            self.tell(lambda: self.owner.leg_ringing(self, code))

    def on_connect(self, event: Any) -> None:
        """200 to our INVITE, or to a re-INVITE of ours."""
        body = event.getData()[2]
        self._take(body)  # a 200 without SDP keeps what the 183 said
        if self.ended:
            return
        if self.answered:
            self.soon(lambda: self.owner.leg_media(self))
            return
        self.answered = True
        self.tell(lambda: self.owner.leg_answered(self))

    def on_fail(self, event: Any) -> None:
        """A final response that is no 200; to a re-INVITE it changes nothing."""
        code = event.getData()[0]
        if self.ended or self.answered:
            return
        self.ended = True
        self.soon(lambda: self.owner.leg_failed(self, code))

    def on_disconnect(self, event: Any) -> None:
        """BYE or CANCEL of the far end, or no ACK."""
        self._gone(str(event.reason_rfc3326 or ""))

    def _gone(self, cause: str) -> None:
        if not self.ended:
            self.ended = True
            self.soon(lambda: self.owner.leg_ended(self, cause))

    def _take(self, body: MsgBody | None) -> None:
        if body is None:
            return
        try:
            self.remote = sdp.parse(body.localStr())
        except sdp.BadSdp:
            log.warning("%s: a description that cannot be used", self.name)

    def _probed(self, response: Any) -> None:
        code = response.getSCode()[0]
        self._probing = False
        if code in (408, 481) and not self.ended:
            self._lost()

    def _probe_unanswered(self) -> None:
        if self._probing and not self.ended:
            self._probing = False
            self._lost()

    def _lost(self) -> None:
        """The far end does not know the dialog any more: BYE to whoever is still listening."""
        self.soon(lambda: self.owner.leg_ended(self, "the far end is gone"))
        self.hang_up("gone")


_EVENTS: dict[type, Callable[[SipLeg, Any], None]] = {
    CCEventRing: SipLeg.on_ring,
    CCEventConnect: SipLeg.on_connect,
    CCEventPreConnect: SipLeg.on_connect,
    CCEventFail: SipLeg.on_fail,
    CCEventRedirect: SipLeg.on_fail,
    CCEventDisconnect: SipLeg.on_disconnect,
}


class _Invite(CCEventTry):
    """Our INVITE: the Request-URI may name a domain of its own, though it goes to the proxy."""

    def __init__(self, data: tuple[Any, ...], uri: Any) -> None:
        super().__init__(data)
        self._uri = uri

    def onUacSetupComplete(self, uac: Any) -> None:  # sippy's name
        """Set the target once sippy has set its own."""
        uac.rTarget = self._uri
        uac.rUri.getUrl().host = self._uri.host
        uac.lUri.getUrl().host = uac.global_config["_sip_address"]


class _Agent(UA):
    """sippy's UA, answering what sippy leaves unanswered."""

    godead_timeout = LINGER_SECONDS
    local_ua = "Kalibri"
    rCSeq: int | None = None
    branch: Any = None

    def __init__(self, leg: SipLeg, proxy: Address | None) -> None:
        super().__init__(leg.stack.config, _caught(leg), nh_address=proxy)
        self.leg: SipLeg | None = leg
        host, port = leg.stack.address
        self.lContact = SipContact(address=SipAddress(url=SipURL(username="media", host=host, port=port)))

    def recvRequest(self, request: Any, transaction: Any) -> Verdict:  # sippy's name
        """Answer what sippy does not, hand it the rest."""
        handler = _REQUESTS.get(request.getMethod())
        if handler is None or self.state is None or self.leg is None:
            return super().recvRequest(request, transaction)  # type: ignore[no-any-return]
        number = request.getHFBody("cseq").getCSeqNum()
        if self.rCSeq is not None and self.rCSeq >= number:
            return self.reply(request, 500, "CSeq Out Of Order")
        self.rCSeq = number
        if request.getMethod() == "INVITE":
            return self._reinvited(request, transaction)
        try:
            return handler(self, request)
        # Whatever is wrong with this request, its sender gets an answer.
        except Exception:
            log.exception("%s could not be handled", request.getMethod())
            return self.reply(request, 500, "Server Internal Error")

    def recvResponse(self, resp: Any, trans: Any) -> None:  # sippy's name
        """Note who refuses: the proxy marks what it answers itself, and takes such marks off everything else."""
        if self.leg is not None:
            self.leg.heard = True
        if self.leg is not None and resp.getSCode()[0] >= 300:
            self.leg.refused_by_proxy = resp.countHFs("x-ks-by") > 0
            self.leg.q850 = max((q850_cause(str(body)) for body in resp.getHFBodys("reason")), default=0)
        super().recvResponse(resp, trans)

    def isYours(self, req: Any = None, **words: Any) -> Any:  # sippy's name
        """Whether a request belongs to this dialog; before the answer sippy takes none but BYE as its own."""
        if req is not None and req.getMethod() in _EARLY:
            before, self.branch = self.branch, None
            found = super().isYours(req, **words)
            self.branch = before
            return found
        return super().isYours(req, **words)

    def cleanup(self) -> None:
        """sippy is done with the dialog: break the circle."""
        self.leg = None

    def reply(self, request: Any, code: int, reason: str, body: str | None = None) -> tuple[Any, Any, Any]:
        """Return a response with what a 2xx needs."""
        response = request.genResponse(code, reason, MsgBody(body) if body else None, server=self.local_ua)
        response.appendHeader(SipHeader(name="Allow", bodys=ALLOWED))
        if code < 300:
            response.appendHeader(SipHeader(name="Contact", body=self.lContact))
        return response, None, None

    # ---- requests

    def _reinvited(self, request: Any, transaction: Any) -> Verdict:
        """re-INVITE: answered at once, our ports never change."""
        if not self.isConnected() or isinstance(self.state, UA.UacStateUpdating):
            return self.reply(request, 491, "Request Pending")
        answer = self._negotiate(request)
        if answer is None:
            return self.reply(request, 488, "Not Acceptable Here")
        response, _, _ = self.reply(request, 200, "OK", answer)
        self.lSDP = MsgBody(answer)
        late = request.getBody() is None
        transactions = self.global_config["_sip_tm"]
        transactions.sendResponse(response, transaction, ack_cb=self._acked if late else None)
        return None

    def _negotiate(self, request: Any) -> str | None:
        leg = self.leg
        if leg is None:
            return None
        if request.countHFs("contact"):
            self.rTarget = request.getHFBody("contact").getUrl().getCopy()
        body = request.getBody()
        try:
            offer = sdp.parse(body.localStr()) if body is not None else None
            answer = leg.owner.new_offer(leg, offer)
        except sdp.BadSdp:
            return None
        if answer is not None and offer is not None:
            leg.remote, self.rSDP = offer, body.getCopy()
            leg.tell(lambda: leg.owner.leg_media(leg))
        return answer

    def _acked(self, request: Any) -> None:
        """The ACK of a 200 in which the offer was ours."""
        leg, body = self.leg, request.getBody()
        if leg is not None and body is not None and not leg.ended:
            leg._take(body)
            leg.tell(lambda: leg.owner.leg_media(leg))

    def _update(self, request: Any) -> Verdict:
        """UPDATE (RFC 3311): a session timer's, mostly; with an offer, answered like a re-INVITE."""
        if request.getBody() is None:
            return self.reply(request, 200, "OK")
        if not self.isConnected():
            return self.reply(request, 491, "Request Pending")
        answer = self._negotiate(request)
        return (
            self.reply(request, 488, "Not Acceptable Here")
            if answer is None
            else self.reply(request, 200, "OK", answer)
        )

    def _info(self, request: Any) -> Verdict:
        body = request.getBody()
        digit = info_digit(str(body.mtype), body.localStr()) if body is not None else ""
        leg = self.leg
        if leg is not None and digit:
            leg.tell(lambda: leg.owner.leg_key(leg, digit))
        return self.reply(request, 200, "OK")

    def _refer(self, request: Any) -> Verdict:
        """REFER: accepted, and the leg stays until its owner has dialled (sippy would send BYE at once)."""
        leg = self.leg
        if leg is None or not self.isConnected():
            return self.reply(request, 481, "Call Does Not Exist")
        if request.countHFs("refer-to") != 1:
            return self.reply(request, 400, "Bad Refer-To")
        url = request.getHFBody("refer-to").getUrl().getCopy()
        replaces = (url.headers or {}).pop("Replaces", "")
        url.headers = None
        leg.tell(lambda: leg.owner.leg_refer(leg, str(url), replaces))
        return self.reply(request, 202, "Accepted")

    def _options(self, request: Any) -> Verdict:
        return self.reply(request, 200, "OK")

    def _unwanted(self, request: Any) -> Verdict:
        """MESSAGE and what else nobody agreed on."""
        return self.reply(request, 405, "Method Not Allowed")

    def _unknown(self, request: Any) -> Verdict:
        """PRACK without a reliable response, NOTIFY without a subscription."""
        return self.reply(request, 481, "No Such Thing Here")


_EARLY = ("UPDATE", "INFO", "PRACK", "MESSAGE", "NOTIFY", "OPTIONS", "REFER")
_REQUESTS: dict[str, Callable[[_Agent, Any], Verdict]] = {
    "INVITE": _Agent._unwanted,  # handled by _reinvited, which needs the transaction
    "UPDATE": _Agent._update,
    "INFO": _Agent._info,
    "REFER": _Agent._refer,
    "OPTIONS": _Agent._options,
    "MESSAGE": _Agent._unwanted,
    "PRACK": _Agent._unknown,
    "NOTIFY": _Agent._unknown,
    "SUBSCRIBE": _Agent._unwanted,
    "PUBLISH": _Agent._unwanted,
}


def _caught(leg: SipLeg) -> Callable[[Any, Any], None]:
    """sippy swallows what a callback raises, and the call hangs: fail it instead."""

    def take(event: Any, _: Any) -> None:
        try:
            leg.on_event(event)
        except Exception:
            log.exception("%s: an event of sippy could not be handled", leg.name)
            leg.soon(lambda: leg.owner.leg_ended(leg, "internal error"))

    return take


def info_digit(kind: str, body: str) -> str:
    """Read a digit from INFO: application/dtmf-relay ("Signal=5"), or application/dtmf ("5"); "" when there is none."""
    if kind.lower().startswith("application/dtmf-relay"):
        for line in body.splitlines():
            name, _, value = line.partition("=")
            if name.strip().lower() == "signal":
                return _digit(value)
        return ""
    return _digit(body) if kind.lower().startswith("application/dtmf") else ""


def _digit(text: str) -> str:
    """Return one key; 10 and 11 are * and # (some phones send the number of the event)."""
    found = {"10": "*", "11": "#"}.get(text.strip(), text.strip().upper())
    return found if len(found) == 1 and found in "0123456789*#ABCD" else ""


def _escape(user: str) -> str:
    return "".join(
        character for character in user if character.isalnum() or character in "+-_.!~*'()&=$,;?/#"
    )


def _reason(text: str) -> str:
    clean = text.replace('"', "'").replace("\r", " ").replace("\n", " ")
    return f'SIP;cause=200;text="{clean[:80]}"'


def facts_for_log(facts: InviteFacts) -> str:
    """Return who calls whom, for a log."""
    return f"{facts.caller} -> {facts.called} ({facts.call_id})"
