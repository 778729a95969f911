"""Replies on their way to the caller. Shell."""

from __future__ import annotations

from kemi import (
    attempts,
    call_token,
    far_ends,
    forking,
    hosted_media,
    lines,
    media_policy,
    media_relay,
    park,
    queue_calls,
)
from kemi.call_state import CallState, decode
from kemi.ksr_port import NAT_TESTS_REPLY, Fields, UndecodableValue
from kemi.leg import kind_of
from kemi.peers import PEER
from kemi.proxy_start import RECOVERED, RECOVERED_LEG
from kemi.worker import Worker

_IN_SET_UP = Fields("$rs", "$T_branch_idx", f"$avp({attempts.STATE})")
_BEFORE_TM = Fields("$rm", "$proto")
_MAY_CHANGE_TARGET = frozenset({"INVITE", "UPDATE", "SUBSCRIBE"})
#: Ends the key in table "seen" of the last code that came for a recovered call.
REPLIED = "\nreplied"


def manage(worker: Worker) -> None:
    """A reply to the INVITE of a call in set-up (tm onreply)."""
    port = worker.port
    status, branch, kept = port.read_all(_IN_SET_UP)
    code, state = int(status or 0), decode(kept)
    if state is None or state.current is None or code < 101:
        return
    relay = _relay_answer(worker, state, code, branch)
    if code < 200:
        _journal_ring(worker, state, code)
    elif code < 300:
        _note_winner(worker, state, relay)
        lines.answered(worker, state, forking.winner(worker, state.current, branch))
        queue_calls.answered(worker, state)


def _relay_answer(worker: Worker, state: CallState, code: int, branch: str | None) -> int:
    """Put the relay into the SDP of a reply, where the branch has one; return its number, 0: it has none."""
    port = worker.port
    kept = port.avp(f"{attempts.RELAYED}{branch}") or "0"
    late = kept == attempts.LATE_OFFER
    relay = media_relay.of_dialog(worker) if late else int(kept)
    if code >= 300 or not port.has_body() or kept == "0":
        return relay
    flags = media_policy.offer_flags(sender_nat=_callee_nat(worker))
    if late:
        relay = taken = media_relay.offer(worker, flags, relay)
    else:
        taken = media_relay.answer(worker, flags, relay)
    if not taken:
        media_relay.answer_lost(worker, state.call_id, state.tenant_id, code)
    return relay


def _callee_nat(worker: Worker) -> bool:
    """Tell whether the media address of a reply is not to be believed."""
    return worker.port.branch_is_nated() or worker.port.is_behind_nat(NAT_TESTS_REPLY)


def _note_winner(worker: Worker, state: CallState, relay: int) -> None:
    """Keep in the dialog what was true of the branch that answered; others of a fork may have been relayed."""
    port = worker.port
    port.set_dialog("ks_n", str(state.attempt))
    called = state.current.username if state.current is not None else None
    if called and called != port.dialog("ks_b"):
        port.set_dialog(park.CALLEE, called)
    port.set_dialog("ks_callee_nat", "1" if _callee_nat(worker) else "")
    media_relay.keep_in_dialog(worker, relay)


def _journal_ring(worker: Worker, state: CallState, code: int) -> None:
    """Tell each provisional code of an attempt once: phones repeat them."""
    mark = f"{state.attempt}:{code}"
    if worker.port.avp("ks_rung") != mark:
        worker.port.set_avp("ks_rung", mark)
        kind = kind_of("call.ring", state.leg)
        worker.journal.event(kind, call=state.call_id, tenant=state.tenant_id, n=state.attempt, code=code)
        if state.current is not None and state.current.kind == PEER and state.current.username:
            lines.ring(worker, state, [state.current.username])


def in_dialog(worker: Worker) -> None:
    """A reply to a re-INVITE or UPDATE (tm onreply)."""
    port = worker.port
    code = port.number("$rs")
    if not 101 <= code < 300 or not port.has_body():
        return
    offered_at = int(port.avp(media_relay.OFFERED_AT) or 0)
    if not offered_at and port.avp(media_relay.OFFERLESS) != "1":
        hosted_media.show_source(worker, nat=port.is_behind_nat(NAT_TESTS_REPLY))
        return
    token = call_token.find(worker.secret, port.headers("Record-Route"), port.text("$ci"))
    nat = bool(token and token.caller_nat) or port.dialog("ks_callee_nat") == "1"
    flags = media_policy.offer_flags(sender_nat=nat)
    if offered_at:
        relay = offered_at if media_relay.answer(worker, flags, offered_at) else 0
    else:
        relay = media_relay.offer(worker, flags, media_relay.of_dialog(worker))
    if not relay:
        call_id = port.avp("ks_call") or ""
        media_relay.answer_lost(worker, call_id, None, code)
        if port.text("$rm") == "UPDATE":  # which has no ACK to wait for
            media_relay.end_if_lost(worker, call_id)
    elif code >= 200 or not offered_at:
        media_relay.keep_in_dialog(worker, relay)


def orphan(worker: Worker) -> None:
    """A reply before tm sees it: strip what is internal, and serve calls that a restart of the proxy orphaned.

    A reply without transaction goes on by Via (RFC 3261 section 16.7, last paragraph but statelessly). If it is
    the 200 of an INVITE that was relayed before the restart, the call is answered: the story must say so, and the
    relay must be put into the SDP. Any other reply of nobody's request is dropped: going by its second Via, we would
    send whatever a stranger likes to whomever he names.
    """
    try:
        _orphan(worker)
    except UndecodableValue as error:
        # What we ask is UTF-8, so this answers nothing of ours.
        worker.port.log_info(f"reply dropped, not UTF-8: {error}")
        worker.port.drop_reply()


def _orphan(worker: Worker) -> None:
    port = worker.port
    port.strip_internal_headers()
    method, transport = port.read_all(_BEFORE_TM)
    if (
        method in _MAY_CHANGE_TARGET
        # A phone on a connection is reached by it, rarely by the port that its Contact names (RFC 5626 section 1).
        and (transport != "udp" or port.is_behind_nat(NAT_TESTS_REPLY))
        # What comes through another proxy has its alias from there.
        and port.number("$Rp") != worker.config.proxy.internal_port
    ):
        port.add_contact_alias()
    elif method == "OPTIONS":
        far_ends.reply(worker)
    if port.reply_has_transaction():
        return
    sip_call_id = port.text("$ci")
    token = call_token.find(worker.secret, port.headers("Record-Route"), sip_call_id)
    if token is None or method != "INVITE":
        port.table_increment("count", "stray_reply")
        port.drop_reply()
        return
    code = port.number("$rs")
    if port.has_body():
        port.set_avp("ks_call", str(token.call_id))
        # Not known: whether it is relayed at all, and where. Who has the session takes the answer.
        media_relay.answer(
            worker, media_policy.offer_flags(sender_nat=port.is_behind_nat(NAT_TESTS_REPLY)), 0
        )
    key = f"{sip_call_id}\n{port.text('$ft')}\n{port.number('$cs')}"
    # Only of the INVITE that opened the call: a re-INVITE that is refused ends nothing.
    known = port.table_text("seen", key) or ""
    if code < 180 or not known.startswith(RECOVERED) or known.endswith(RECOVERED_LEG):
        return
    # The mark of the INVITE itself stays: its retransmissions may go on until a final response.
    if port.table_text("seen", key + REPLIED) != str(code):
        port.table_set("seen", key + REPLIED, str(code))
        _journal_orphan(worker, token.call_id, code)


def _journal_orphan(worker: Worker, call_id: str, code: int) -> None:
    if code < 200:
        worker.journal.event("call.ring", call=call_id, n=1, code=code, recovered=True)
    elif code < 300:
        worker.journal.event("call.answer", call=call_id, n=1, code=code, recovered=True)
    else:
        worker.journal.event(
            "call.end",
            call=call_id,
            by="callee",
            code=code,
            cause="final response after a restart",
            method="reject",
        )
