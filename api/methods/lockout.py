"""Methods lockout.*: who is locked out for wrong passwords, at the proxy of this machine."""

from __future__ import annotations

from api.method import Context, Method, Scope, Tenancy
from kalibri.rpc import KamailioRpc
from kalibri.services import lockout
from kalibri.services.lockout import Lockout


def list_lockouts(context: Context, *, tenant_id: int | None, source: str | None = None) -> list[Lockout]:
    """Return the locks in force, the longest first; raises ProxyDown, ReplyTooLong."""
    with KamailioRpc(context.config.kamailio_rpc_socket) as rpc:
        return lockout.list_lockouts(rpc, now=context.now, tenant_id=tenant_id, source=source)


def lift(
    context: Context, *, tenant_id: int | None, source: str, username: str | None = None
) -> list[Lockout]:
    """End the locks of a source, or of one user name there; returns them. Raises NotFound, ProxyDown.

    A tenant's token lifts what concerns its own user names, a system token also the locks of whole sources.
    """
    with KamailioRpc(context.config.kamailio_rpc_socket) as rpc:
        return lockout.lift(rpc, now=context.now, source=source, tenant_id=tenant_id, username=username)


def lift_all(context: Context) -> None:
    """End all locks, however many there are; raises ProxyDown."""
    with KamailioRpc(context.config.kamailio_rpc_socket) as rpc:
        lockout.lift_all(rpc)


METHODS = (
    Method("lockout.list", list_lockouts, Scope.READ, Tenancy.FILTER),
    Method("lockout.lift", lift, Scope.ADMIN, Tenancy.FILTER),
    Method("lockout.liftAll", lift_all, Scope.ADMIN, Tenancy.SYSTEM),
)
