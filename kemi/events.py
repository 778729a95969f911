"""Events that Kamailio's modules raise: dialogs, gateways, expired contacts. Shell; the message may be a fake one."""

from __future__ import annotations

from callcore.cdr import cause_of
from callcore.sip import SipCode, reason_phrase
from kemi import acd_events, lines, presence
from kemi.call_state import END_TOLD
from kemi.ksr_port import Fields, KsrPort
from kemi.leg import kind_of, read_dialog
from kemi.tenancy import gateways_of_uri
from kemi.worker import Worker

#: What the dialog module calls the changes of a dialog that it has no name for (early, acknowledged).
NO_EVENT = "unknown"
_DIALOG = Fields(
    *(f"$dlg_var({name})" for name in ("ks_call", "ks_leg", "ks_tenant", "ks_n", acd_events.ACD)),
    *lines.DIALOG_ID,
)
_ENDED_BY = Fields("$rm", "$ci", "$ft", "$dlg(callid)", "$dlg(from_tag)", "$hdr(Reason)")


def dialog(worker: Worker, name: str) -> None:
    """A dialog was answered, ended or failed; its facts are read from the dialog, not from the message."""
    call_id, told, tenant, winner, agents, entry, number = worker.port.read_all(_DIALOG)
    leg = ""
    if call_id is None:
        if told is None:
            return
        call_id, leg = read_dialog(told)
    if agents:
        acd_events.dialog(worker, name)
    if name == NO_EVENT:
        return
    tenant_id = int(tenant) if tenant else None
    if name in ("dialog:end", "dialog:failed"):
        lines.over(worker, f"{entry}:{number}")
    if name == "dialog:start":
        kind = kind_of("call.answer", leg)
        worker.journal.event(kind, call=call_id, tenant=tenant_id, n=int(winner or 1), code=int(SipCode.OK))
    elif name == "dialog:end":
        _ended(worker, call_id, tenant_id, leg)
    elif name == "dialog:failed":
        _failed(worker, call_id, tenant_id, leg)


def _ended(worker: Worker, call_id: str, tenant_id: int | None, leg: str) -> None:
    port = worker.port
    if port.dialog(END_TOLD) == "1":
        return
    request, sip_call_id, from_tag, dialog_call_id, dialog_from_tag, said = port.read_all(_ENDED_BY)
    if request == "BYE" and sip_call_id == dialog_call_id:
        by = "caller" if from_tag == dialog_from_tag else "callee"
        cause, reason, method = "normal", said or "BYE", "BYE"
    else:
        by, method = "system", "timeout"
        cause, reason = (
            ("max_duration", "longest duration") if _reached_limit(port) else ("failed", "phone gone")
        )
    worker.journal.event(
        kind_of("call.end", leg),
        call=call_id,
        tenant=tenant_id,
        by=by,
        code=int(SipCode.OK),
        cause=cause,
        reason=reason[:200],
        method=method,
    )


def dialog_timeout(worker: Worker) -> None:
    """End a call whose time is up, by BYE to both sides.

    The end is told here: where the first answer to a BYE is quick, the dialog module raises no event.
    """
    dialog(worker, "dialog:end")
    worker.port.set_dialog(END_TOLD, "1")
    worker.port.hang_up()


def far_end_gone(worker: Worker) -> None:
    """End a call that one side has left without BYE; its dialog was found (KsrPort.find_dialog)."""
    dialog(worker, "dialog:end")
    worker.port.set_dialog(END_TOLD, "1")
    worker.port.hang_up(found=True)


def _reached_limit(port: KsrPort) -> bool:
    """Tell whether a dialog that ended without BYE had lasted as long as its route allows."""
    limit = port.dialog("ks_limit")
    return (
        limit is not None and port.number("$TS") - port.number("$dlg(start_ts)") >= int(limit) - 1
    )  # whole seconds


def _failed(worker: Worker, call_id: str, tenant_id: int | None, leg: str) -> None:
    """A call ended before it was answered; mostly the failure route has told it already, and better."""
    port = worker.port
    if port.dialog(END_TOLD) == "1":
        return
    code = port.number("$T_reply_code")
    by = "caller" if code == SipCode.REQUEST_TERMINATED else "callee" if code else "system"
    worker.journal.event(
        kind_of("call.end", leg),
        call=call_id,
        tenant=tenant_id,
        by=by,
        code=code or None,
        cause=cause_of(code or None, "CANCEL" if by == "caller" else "") or "failed",
        reason=reason_phrase(code) if code else "set-up failed",
        method="CANCEL" if by == "caller" else "reject",
    )


def dispatcher(worker: Worker, name: str) -> None:
    """A gateway stopped or began to answer OPTIONS."""
    port = worker.port
    uri = port.text("$ru")
    up = name == "dispatcher:dst-up"
    for gateway in gateways_of_uri(worker.refresh_directory().system, uri):
        key = f"down:{gateway.gateway_id}"
        was_down = port.table_text("gw", key) is not None
        if up:
            port.table_remove("gw", key)
        else:
            port.table_set("gw", key, "no answer to OPTIONS")
        if up != (not was_down) or (up and was_down):
            worker.journal.event(
                "gateway.up" if up else "gateway.down",
                gateway_id=gateway.gateway_id,
                reason="answers OPTIONS" if up else "no answer to OPTIONS",
            )


def contact_expired(worker: Worker) -> None:
    """The registration of a contact ran out."""
    port = worker.port
    aor = port.text("$ulc(exp=>aor)")
    worker.journal.event("account.expired", aor=aor, contact=port.text("$ulc(exp=>addr)"))
    presence.expired(worker, aor)
