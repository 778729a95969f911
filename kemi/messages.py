"""Instant messages (RFC 3428) from account to account of a tenant. Shell."""

from __future__ import annotations

from callcore.sip import SipCode
from kemi.accounts import aor
from kemi.admission import identify
from kemi.sip_request import SipRequest
from kemi.tenancy import tenant_of_domain
from kemi.worker import Worker


def message(worker: Worker, sip: SipRequest) -> None:
    """Relay a MESSAGE to the registered contacts of an account of the sender's tenant."""
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
        port.reply(SipCode.TEMPORARILY_UNAVAILABLE, "Not Registered")
    else:
        worker.journal.event(
            "message.relayed",
            tenant=tenant.tenant_id,
            a=sip.from_user,
            b=account.username,
            size_bytes=sip.size_bytes,
        )
        if not port.relay():
            port.reply(SipCode.SERVER_ERROR, "Relay Failed")
