"""Requests inside a dialog, and CANCEL. Shell.

Only a request whose Route carries our sealed call token is relayed: so the proxy is no open relay for whoever
invents a To tag, and each request finds its call even after a restart of the proxy. Who has a call of his own has its
token too: what could begin something new at any Request-URI also needs the dialog itself.
"""

from __future__ import annotations

from callcore.sip import SipCode
from kemi import acd_events, call_token, hosted_media, media_policy, media_relay, park, recovery
from kemi.admission import is_internal
from kemi.call_token import CallToken
from kemi.leg import kind_of, read_dialog
from kemi.sip_request import SipRequest
from kemi.worker import Worker

#: Requests that only go on with or end what exists. A BYE or ACK must reach also the losers of a fork, which the
#: dialog module does not know.
_HARMLESS = frozenset({"ACK", "BYE", "PRACK"})


def cancel(worker: Worker, sip: SipRequest) -> None:
    """Relay a CANCEL along its INVITE (RFC 3261 section 9.2)."""
    port = worker.port
    if port.belongs_to_transaction():
        call_id = port.table_text("seen", sip.transaction_key)
        if call_id is not None:
            worker.journal.event("call.cancel", call=call_id, by="caller", src=sip.source)
        port.relay()
    else:
        port.reply(SipCode.NO_SUCH_CALL, "Call/Transaction Does Not Exist")


def request(worker: Worker, sip: SipRequest) -> None:
    """Serve a request with a To tag."""
    port = worker.port
    token = call_token.find(worker.secret, sip.routes, sip.sip_call_id)
    if token is not None:
        port.name_call(token.call_id)
    routed = port.loose_route()
    if sip.method == "ACK" and not routed:
        # ACK of a final response that we sent ourselves.
        if port.belongs_to_transaction():
            port.relay()
        return
    if token is None or not routed:
        if sip.method != "ACK":
            port.reply(SipCode.NO_SUCH_CALL, "Call/Transaction Does Not Exist")
        return
    if (
        sip.method not in _HARMLESS
        and not port.is_known_dialog()
        and not recovery.is_before_start(token.call_id)
    ):
        port.new_transaction()  # which absorbs the ACK of this reply: its Route would take it to the Request-URI
        port.reply(SipCode.NO_SUCH_CALL, "Call/Transaction Does Not Exist")
        return
    _relay(worker, sip, token)


def _relay(worker: Worker, sip: SipRequest, token: CallToken) -> None:
    port = worker.port
    # First: add_contact_alias writes the message anew, and the rr module forgets what it read in the Route.
    from_caller = port.goes_downstream()
    # Only the last proxy on the way knows the phone's real address: for the others the Route goes on.
    if not port.text("$du"):
        port.use_contact_alias()
    if is_internal(worker, sip):  # from others they are gone since the first look
        port.remove_internal_headers()
    # What comes through another proxy has its alias from there.
    elif sip.method in ("INVITE", "UPDATE", "SUBSCRIBE", "REFER", "NOTIFY") and port.is_behind_nat():
        port.add_contact_alias()
    if sip.method in ("INVITE", "UPDATE"):
        if not _session_change(worker, sip, token, from_caller):
            return
    elif sip.method == "ACK":
        _late_answer(worker, token, from_caller)
    elif sip.method == "BYE":
        _hang_up(worker, sip, token, from_caller)
    elif sip.method == "REFER" and not _may_refer(worker, token, from_caller):
        return
    if not port.relay() and sip.method != "ACK":
        port.reply(SipCode.SERVER_ERROR, "Relay Failed")
    if sip.method == "ACK":
        media_relay.end_if_lost(worker, str(token.call_id))


def _may_refer(worker: Worker, token: CallToken, from_caller: bool) -> bool:
    """Tell a REFER; within a direct queue call it is refused: nobody would follow the caller (contracts.md 4)."""
    refused = acd_events.is_direct(worker)
    worker.journal.event(
        kind_of("call.refer", _leg(worker)),
        call=token.call_id,
        by=_party(from_caller),
        to=worker.port.text("$hdr(Refer-To)")[:200],
        refused="the queue call is direct; make the queue transferable" if refused else None,
    )
    if refused:
        worker.port.log_info("REFER refused: a direct queue call has no media host to transfer it")
        worker.port.reply(SipCode.DECLINE, "Queue Is Not Transferable")
    else:
        park.rewrite_refer(worker, from_caller=from_caller)
    return not refused


def _leg(worker: Worker) -> str:
    """Return which leg of a call this dialog is; "": the caller's own."""
    return read_dialog(worker.port.dialog("ks_leg") or "")[1]


def _party(from_caller: bool) -> str:
    return "caller" if from_caller else "callee"


def _relayed(worker: Worker) -> bool:
    """Tell whether a relay is in the media path; a dialog that a restart forgot gets one, lest it had one before."""
    return bool(media_relay.of_dialog(worker)) or not worker.port.is_known_dialog()


def _sender_nat(worker: Worker, token: CallToken, from_caller: bool) -> bool:
    return token.caller_nat if from_caller else worker.port.dialog("ks_callee_nat") == "1"


def _session_change(worker: Worker, sip: SipRequest, token: CallToken, from_caller: bool) -> bool:
    """Re-INVITE and UPDATE (RFC 3311): hold, resume, new media address. False: it was refused for lack of a relay."""
    port = worker.port
    has_sdp = port.has_body()
    hold = port.audio_on_hold() if has_sdp else None
    worker.journal.event(
        kind_of("call.update", _leg(worker)),
        call=token.call_id,
        by=_party(from_caller),
        method=sip.method,
        hold=hold,
    )
    if _relayed(worker):
        if has_sdp and not _offer(worker, token, from_caller):
            return False
        port.set_avp(media_relay.OFFERLESS, "" if has_sdp else "1")
        if hold is not None:
            worker.rtp.hold(str(token.call_id), side=_party(from_caller), hold=hold)
    else:
        hosted_media.show_source(worker, nat=_sender_nat(worker, token, from_caller))
    if sip.method == "INVITE":
        port.record_route(call_token.seal(worker.secret, token, sip.sip_call_id))
    port.arm(reply="ksr_onreply_indialog")
    return True


def _offer(worker: Worker, token: CallToken, from_caller: bool) -> bool:
    """Put a relay into an offer, by preference the one that serves the call; without one the request is refused.

    A refused request changes nothing (RFC 3261 section 14.1); an offer that goes on as it came makes a deaf side.
    """
    port = worker.port
    flags = media_policy.offer_flags(sender_nat=_sender_nat(worker, token, from_caller))
    relay = media_relay.offer(worker, flags, media_relay.of_dialog(worker))
    if not relay:
        worker.journal.event("media.unavailable", call=token.call_id)
        port.new_transaction()  # which absorbs the ACK of this reply
        port.reply(SipCode.SERVICE_UNAVAILABLE, "No Media Relay")
        return False
    port.set_avp(media_relay.OFFERED_AT, str(relay))
    return True


def _late_answer(worker: Worker, token: CallToken, from_caller: bool) -> None:
    """SDP in ACK answers an offer made in the 200 (RFC 3261 section 13.2.1)."""
    if not worker.port.has_body() or not _relayed(worker):
        return
    relay = media_relay.of_dialog(worker)
    flags = media_policy.offer_flags(sender_nat=_sender_nat(worker, token, from_caller))
    if not media_relay.answer(worker, flags, relay) and relay:
        media_relay.answer_lost(worker, str(token.call_id), None, int(SipCode.OK))


def _hang_up(worker: Worker, sip: SipRequest, token: CallToken, from_caller: bool) -> None:
    port = worker.port
    media_relay.end_session(worker)
    if not port.is_known_dialog():
        # The dialog event that ends a call will not come: the proxy restarted while this call was set up.
        worker.journal.event(
            kind_of("call.end", _leg(worker)),
            call=token.call_id,
            by=_party(from_caller),
            code=int(SipCode.OK),
            cause="normal",
            method="BYE",
        )
