"""Instant messages (RFC 3428) from account to account of a tenant; one that no phone takes is kept. Shell."""

from __future__ import annotations

from callcore.sip import SipCode
from kemi import stored_messages
from kemi.account_record import AccountRecord
from kemi.admission import identify, is_internal
from kemi.ks_acd.media_host import read_arg
from kemi.sip_request import SipRequest
from kemi.tenancy import Tenant, aor, tenant_by_id, tenant_of_domain
from kemi.worker import Worker

#: No phone took it, but one may later: not registered, silent, out of order.
_KEPT_AFTER = frozenset({408, 480, 500, 502, 503, 504})
#: Transaction variables: who is to have the message, and from whom.
_TENANT, _ACCOUNT, _SENDER = "ks_msg_tenant", "ks_msg_to", "ks_msg_from"


def message(worker: Worker, sip: SipRequest) -> None:
    """Relay a MESSAGE to the registered contacts of an account of the sender's tenant."""
    if is_internal(worker, sip):
        _deliver(worker, sip)
        return
    port = worker.port
    sender = identify(worker, sip)
    if sender is None:
        return
    if sender.account is None or sender.tenant is None:
        port.reply(SipCode.FORBIDDEN, "Messages Are For Accounts")
        return
    tenant = sender.tenant
    account = worker.directory.account(tenant.tenant_id, sip.ruri_user)
    if account is None or tenant_of_domain(worker.directory.system, sip.ruri_host) != tenant:
        port.reply(SipCode.NOT_FOUND, "Not Found")
    elif not port.lookup_contacts(aor(account.username, tenant.realm)):
        port.reply(*stored_messages.keep(worker, account, sender.account.username))
    else:
        _relay(worker, sip, account, tenant, sender.account.username)


def _relay(worker: Worker, sip: SipRequest, account: AccountRecord, tenant: Tenant, sender: str) -> None:
    port = worker.port
    worker.journal.event(
        "message.relayed", tenant=tenant.tenant_id, a=sender, b=account.username, size_bytes=sip.size_bytes
    )
    port.set_avp(_TENANT, str(tenant.tenant_id))
    port.set_avp(_ACCOUNT, account.username)
    port.set_avp(_SENDER, sender)
    port.arm(failure="ksr_failure_message")
    if not port.relay():
        port.reply(SipCode.SERVER_ERROR, "Relay Failed")


def failure(worker: Worker) -> None:
    """No phone took a message (tm failure): keep it if one may take it later."""
    port = worker.port
    tenant_id, username = int(port.avp(_TENANT) or 0), port.avp(_ACCOUNT) or ""
    account = worker.refresh_directory().account(tenant_id, username)
    if account is None or port.number("$T_reply_code") not in _KEPT_AFTER:
        return
    code, phrase = stored_messages.keep(worker, account, port.avp(_SENDER) or "")
    if code == SipCode.ACCEPTED:
        port.reply(code, phrase)


def _deliver(worker: Worker, sip: SipRequest) -> None:
    """Bring a message that was kept to the phones; whoever sent it is answered long ago."""
    port = worker.port
    tenant_id = read_arg(port.header("X-KS-Arg") or "").get("tenant", "")
    tenant = tenant_by_id(worker.directory.system, int(tenant_id)) if tenant_id.isdecimal() else None
    port.remove_internal_headers()
    if tenant is None or not port.lookup_contacts(aor(sip.ruri_user, tenant.realm)):
        port.reply(SipCode.TEMPORARILY_UNAVAILABLE, "Not Registered")
        return
    port.send_from("public")
    if not port.relay():
        port.reply(SipCode.SERVER_ERROR, "Relay Failed")
