"""Lock-outs of who guesses passwords: which there are at the proxy of this machine, and how they are lifted.

When a lock begins is decided by callcore/lockout.py, in the proxy; here it is only shown and ended. The proxy keeps
locks in its memory alone, so they are asked of it, with the database or without, and a restart of it ends them all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from callcore.errors import NotFound
from callcore.lockout import FAILED, LOCKED, Lock, Suspect
from kalibri.rpc import KamailioRpc, RpcRefused

#: What Kamailio answers when an entry has expired in the meantime.
_NO_SUCH_ENTRY = 500


@dataclass(frozen=True, kw_only=True)
class Lockout:
    """A lock that is in force."""

    #: IPv4 address, or the /64 network of an IPv6 address.
    source: str
    #: None, as username: everybody at the source, except who has been right there.
    tenant_id: int | None
    username: str | None
    #: Wrong passwords of the name, or names with wrong passwords, that led to it.
    count: int
    until: datetime
    seconds_left: int


def list_lockouts(
    rpc: KamailioRpc, *, now: datetime, tenant_id: int | None = None, source: str | None = None
) -> list[Lockout]:
    """Return the locks in force, the longest first; of a tenant, of a source, or all.

    Raises ProxyDown, and ReplyTooLong when there are so many (some 800) that the proxy cannot tell them.
    """
    found = [lock for lock in _locks(rpc, now) if tenant_id is None or lock.tenant_id == tenant_id]
    wanted = [lock for lock in found if source is None or lock.source == source]
    return sorted(wanted, key=lambda lock: (-lock.seconds_left, lock.source, lock.username or ""))


def lift(
    rpc: KamailioRpc,
    *,
    now: datetime,
    source: str,
    tenant_id: int | None = None,
    username: str | None = None,
) -> list[Lockout]:
    """End the locks of a source, or those of a tenant or a user name there; return them. Raises NotFound, ProxyDown.

    What led to them is forgotten too, so that the next wrong password is the first.
    """
    found = list_lockouts(rpc, now=now, tenant_id=tenant_id, source=source)
    lifted = [lock for lock in found if username is None or lock.username == username]
    if not lifted:
        who = "nobody" if username is None else f'no user name "{username}"'
        raise NotFound(f"{who} is locked out at {source}")
    for lock in lifted:
        key = Suspect(lock.source, lock.tenant_id or 0, lock.username or "").key
        for table in (LOCKED, FAILED):
            _delete(rpc, table, key)
    return lifted


def lift_all(rpc: KamailioRpc) -> None:
    """End all locks, however many there are, and forget all failures; raises ProxyDown."""
    for table in (LOCKED, FAILED):
        rpc.call("htable.flush", table)


def _locks(rpc: KamailioRpc, now: datetime) -> Iterator[Lockout]:
    """Yield the locks that have not run out; Kamailio keeps entries for some seconds longer."""
    for bucket in rpc.call("htable.dump", LOCKED) or ():
        for entry in bucket["slot"]:
            suspect, lock = Suspect.from_key(str(entry["name"])), Lock.from_text(str(entry["value"]))
            until = datetime.fromtimestamp(lock.until, UTC)
            if until > now:
                yield Lockout(
                    source=suspect.source,
                    tenant_id=suspect.tenant_id or None,
                    username=suspect.username or None,
                    count=lock.count,
                    until=until,
                    seconds_left=int((until - now).total_seconds()),
                )


def _delete(rpc: KamailioRpc, table: str, key: str) -> None:
    try:
        rpc.call("htable.delete", table, key)
    except RpcRefused as error:
        if error.details.get("code") != _NO_SUCH_ENTRY:
            raise
