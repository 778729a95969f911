"""The way of a request through the proxy, as a table of contents. Shell: reads facts through the port, answers.

Order: first look, flood, internal headers away, Max-Forwards and sanity, retransmissions, in-dialog, then by method.
"""

from __future__ import annotations

from callcore.errors import KalibriError
from callcore.sip import SipCode
from kemi import accounts, call_setup, in_dialog, messages, presence
from kemi.admission import is_internal
from kemi.entry import ALLOW, Refusal, first_look, unknown_scheme
from kemi.ksr_port import UndecodableValue
from kemi.sip_request import SipRequest
from kemi.worker import Worker


def request_route(worker: Worker) -> None:
    """Serve one request."""
    sip = _read(worker)
    if sip is None or not _enter(worker, sip):
        return
    port = worker.port
    if sip.method == "CANCEL":
        in_dialog.cancel(worker, sip)
    elif sip.method == "ACK" and sip.to_tag is None:
        port.belongs_to_transaction()
    elif port.is_retransmission():
        return
    elif sip.to_tag is not None:
        if sip.method != "SUBSCRIBE" or not presence.refresh(worker, sip):
            in_dialog.request(worker, sip)
    else:
        _initial(worker, sip)


def _initial(worker: Worker, sip: SipRequest) -> None:
    """Serve a request outside a dialog."""
    if sip.method == "OPTIONS" and not sip.ruri_user:
        worker.port.append_reply_header(f"Allow: {ALLOW}")
        worker.port.reply(SipCode.OK, "OK")
    elif sip.method == "REGISTER":
        accounts.register(worker, sip)
    elif sip.method == "INVITE":
        call_setup.invite(worker, sip)
    elif sip.method == "MESSAGE":
        messages.message(worker, sip)
    elif sip.method == "SUBSCRIBE":
        presence.subscribe(worker, sip)
    else:
        worker.port.append_reply_header(f"Allow: {ALLOW}")
        worker.port.reply(SipCode.METHOD_NOT_ALLOWED, "Method Not Allowed")


def _read(worker: Worker) -> SipRequest | None:
    """Read the request; bytes that are not UTF-8 where we need text are answered 400."""
    try:
        return worker.port.request()
    except UndecodableValue as error:
        worker.port.log_info(f"refused, not UTF-8: {error}")
        worker.port.reply(SipCode.BAD_REQUEST, "Not UTF-8")
        return None


def _enter(worker: Worker, sip: SipRequest) -> bool:
    """Decide whether the request is served at all; what is refused is answered here."""
    port = worker.port
    # What a dialog does is decided by its token: it needs no newer directory than its INVITE had.
    directory = worker.refresh_directory() if sip.to_tag is None else worker.directory
    ready = directory.generation > 0
    internal = is_internal(worker, sip)
    if not internal and _is_flood(worker, sip):
        port.table_increment("count", "flood")
        return False
    # Before the first reply that anything here sends: it must go to where the request came from (RFC 3581).
    port.force_rport()
    # Before sanity, which answers 400 to every URI that it cannot parse.
    if (refusal := unknown_scheme(sip.ruri)) is not None:
        return _refuse(worker, sip, refusal)
    # sanity answers by itself; what it cannot parse gets silence, since no reply could be built.
    if not port.is_sane():
        port.table_increment("count", "insane")
        return False
    refusal = first_look(sip, max_message_bytes=worker.config.proxy.max_message_bytes)
    if refusal is not None:
        return _refuse(worker, sip, refusal)
    if not port.within_max_forwards():
        port.reply(SipCode.TOO_MANY_HOPS, "Too Many Hops")
        return False
    if not internal:
        port.strip_internal_headers()
    if not ready and sip.method != "ACK":
        port.reply(SipCode.SERVICE_UNAVAILABLE, "Not Ready")
    return ready


def _is_flood(worker: Worker, sip: SipRequest) -> bool:
    """Count the request of a sender that no gateway vouches for; tell whether he sends too many."""
    if not worker.config.proxy.flood_requests_per_2s:
        return False
    if worker.directory.gateway_by_source(sip.source_ip, sip.source_port) is not None:
        return False
    return worker.port.is_flooding()


def _refuse(worker: Worker, sip: SipRequest, refusal: Refusal) -> bool:
    """Count and answer a request that is not served; return False."""
    worker.port.table_increment("count", "refused")
    if sip.method != "ACK":
        worker.port.reply(refusal.code, refusal.reason)
    return False


def report_failure(worker: Worker, where: str, error: BaseException, *, answer: bool) -> None:
    """Count and log an exception of ours; the caller gets 500 if a request can still be answered."""
    worker.port.table_increment("count", "exception")
    worker.port.log_error(f"exception in {where}: {type(error).__name__}: {error}")
    worker.journal.event("proxy.error", where=where, error=f"{type(error).__name__}: {error}")
    if answer:
        code = SipCode.SERVICE_UNAVAILABLE if isinstance(error, KalibriError) else SipCode.SERVER_ERROR
        worker.port.reply(code, "Server Internal Error")
