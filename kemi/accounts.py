"""Registrations: digest, allowed domains, contact limit, NAT. Shell around Kamailio's registrar.

All domains of a tenant lead to one AoR (user@realm), so that a call finds an account wherever it registered.
"""

from __future__ import annotations

from callcore.sip import SipCode
from kemi import presence
from kemi.admission import authenticate
from kemi.ksr_port import NAT_TESTS_MEDIA
from kemi.sip_request import SipRequest
from kemi.tenancy import aor as aor
from kemi.tenancy import tenant_of_domain
from kemi.worker import Worker

#: Return codes of registrar.save (its manual): contacts added, updated, removed.
_SAVED = {1: "account.registered", 2: "account.registered", 3: "account.unregistered"}


def register(worker: Worker, sip: SipRequest) -> None:
    """Serve REGISTER (RFC 3261 section 10)."""
    port = worker.port
    tenant = tenant_of_domain(worker.directory.system, sip.to_host)
    if tenant is None:
        port.reply(SipCode.FORBIDDEN, "Domain Not Served")
        return
    account = authenticate(worker, sip, tenant, identity=(sip.to_user, sip.to_host))
    if account is None:
        return
    if port.is_behind_nat():
        port.keep_registration_source()
        if port.is_behind_nat(NAT_TESTS_MEDIA):
            port.mark_registration_nated()
    result = port.save_contacts(aor(account.username, tenant.realm), account.max_contacts)
    kind = _SAVED.get(result)
    if kind is not None:
        presence.registration(worker, tenant.tenant_id, account.username)
        worker.journal.event(
            kind,
            tenant=tenant.tenant_id,
            username=account.username,
            domain=sip.to_host,
            contact=port.text("$ct"),
            src=sip.source,
            transport=sip.transport,
        )
