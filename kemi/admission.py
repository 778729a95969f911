"""Who sends a request: one of our media hosts, a gateway, or an account that proved itself by digest.

Identity comes from the socket and from digest only, never from a header. An unknown user name and a wrong password
get the very same answer, so that nobody can find out which accounts exist. Who guesses is locked out (kemi/lockout.py).
"""

from __future__ import annotations

from callcore.gateway import Gateway
from callcore.sip import SipCode
from callcore.value import value
from kemi import lockout
from kemi.account_record import AccountRecord
from kemi.ks_acd.media_host import BadHeader, HostLeg, read_leg
from kemi.nonce import is_good, nonce_for
from kemi.presentation import ANONYMOUS_HOST, identity_in
from kemi.sip_request import SipRequest
from kemi.tenancy import Tenant, ha1, is_trusted_node, tenant_by_id, tenant_of_domain
from kemi.worker import Worker

#: HA1 that no password has: it makes the unknown user take the same path as the wrong password.
_NO_HA1 = {"MD5": "0" * 32, "SHA-256": "0" * 64}
#: pv_auth_check: the digest is well formed and fresh, but the password is wrong (auth module, AUTH_INVALID_PASSWORD).
_WRONG_PASSWORD = -2


@value
class Sender:
    """Who sent a request; exactly one of gateway and account is set, or neither for our own applications."""

    tenant: Tenant | None
    gateway: Gateway | None = None
    account: AccountRecord | None = None
    #: What one of our media hosts asks for.
    leg: HostLeg | None = None

    @property
    def leg_name(self) -> str:
        """Return agent, callee, supervisor or caller; "" for a call of its own."""
        return self.leg.leg if self.leg is not None else ""


def is_internal(worker: Worker, sip: SipRequest) -> bool:
    """Tell whether a request comes from a media host or proxy of ours: by our socket and by their address, both."""
    if sip.local_port != worker.config.proxy.internal_port:
        return False
    return is_trusted_node(worker.directory.system, sip.source_ip, sip.source_port)


def identify(worker: Worker, sip: SipRequest) -> Sender | None:
    """Return the sender; None when the request was answered (challenge or refusal)."""
    directory = worker.directory
    if sip.local_port == worker.config.proxy.internal_port:
        if is_internal(worker, sip):
            return _application(worker, sip)
        worker.port.reply(SipCode.FORBIDDEN, "Forbidden")
        return None
    gateway = directory.gateway_by_source(sip.source_ip, sip.source_port) or _by_registration(worker, sip)
    if gateway is not None:
        return Sender(
            tenant=tenant_by_id(directory.system, gateway.tenant_id) if gateway.tenant_id else None,
            gateway=gateway,
        )
    identity = (sip.from_user, sip.from_host)
    if sip.from_host == ANONYMOUS_HOST:  # he tells us alone who he is (RFC 3325 section 9.2)
        preferred = identity_in(worker.port.header("P-Preferred-Identity") or "")
        identity = (preferred.user, preferred.host) if preferred is not None else identity
    tenant = tenant_of_domain(directory.system, identity[1])
    if tenant is None:
        worker.port.reply(SipCode.FORBIDDEN, "Domain Not Served")
        return None
    account = authenticate(worker, sip, tenant, identity=identity)
    return None if account is None else Sender(tenant=tenant, account=account)


def _application(worker: Worker, sip: SipRequest) -> Sender | None:
    """Return what a media host of ours asks for; None when it was answered: its headers make no sense."""
    port, system = worker.port, worker.directory.system
    try:
        leg = read_leg(
            call=(port.header("X-KS-Call") or "").strip(),
            leg=port.header("X-KS-Leg") or "",
            offer=port.header("X-KS-Offer") or "",
            arg=port.header("X-KS-Arg") or "",
        )
    except BadHeader as error:
        port.log_error(f"media host {sip.source}: {error}")
        port.reply(SipCode.BAD_REQUEST, "Bad X-KS Header")
        return None
    if leg.tenant_id is not None:
        tenant = tenant_by_id(system, leg.tenant_id)
    else:
        tenant = tenant_of_domain(system, sip.ruri_host) or tenant_of_domain(system, sip.from_host)
    return Sender(tenant=tenant, leg=leg)


def _by_registration(worker: Worker, sip: SipRequest) -> Gateway | None:
    """Return the gateway that calls the Contact which we registered there; it must come from where we registered."""
    if not (sip.ruri_user.startswith("t") and sip.ruri_user[1:].isdecimal()):
        return None
    for gateway in worker.directory.system.gateways.values():
        trunk = gateway.trunk
        if trunk is None or sip.ruri_user != trunk.contact_user or sip.source_ip != gateway.host:
            continue
        # A connection leaves from any port; a carrier's datagrams come from where they are sent to.
        if sip.transport != "udp" or sip.source_port == gateway.port:
            return gateway
    return None


def authenticate(
    worker: Worker, sip: SipRequest, tenant: Tenant, *, identity: tuple[str, str]
) -> AccountRecord | None:
    """Check the digest of a request; challenge or refuse it here and return None, or return the account.

    identity: user and host that the sender claims (From, or To of a REGISTER); they must be the account's own.
    """
    port, algorithm = worker.port, worker.config.proxy.digest_algorithm
    if not port.has_credentials(tenant.realm) or sip.auth_user is None:
        port.challenge(tenant.realm)
        return None
    if lockout.refuses(worker, sip, tenant):
        return None
    credentials = port.each_header("Authorization" if sip.method == "REGISTER" else "Proxy-Authorization")
    nonce = nonce_for(credentials, tenant.realm)
    if not is_good(nonce, sip.source_ip, secret=worker.secret, now=worker.now().timestamp()):
        port.challenge(tenant.realm, stale=True)
        return None
    account = worker.directory.account(tenant.tenant_id, sip.auth_user)
    secret = _NO_HA1[algorithm] if account is None else ha1(account, algorithm)
    result = port.check_credentials(tenant.realm, secret)
    if result <= 0 or account is None:
        if result == _WRONG_PASSWORD:
            worker.journal.event(
                "auth.failed", tenant=tenant.tenant_id, username=sip.auth_user, src=sip.source
            )
            port.table_increment("count", "auth_failed")
            lockout.failed(worker, sip, tenant)
        port.challenge(tenant.realm)
        return None
    lockout.passed(worker, sip, tenant)
    if identity[0] != account.username or identity[1] not in account.domains:
        port.reply(SipCode.FORBIDDEN, "Not Your Identity")
        return None
    port.forget_credentials()
    return account
