"""Lock-out of who guesses passwords, in the proxy: counts failures, sets locks, refuses who is locked. Shell.

What is counted and whom a lock concerns is decided by callcore/lockout.py. Only a wrong password counts: a request
without credentials, or with an old nonce, is how digest works. A nonce is good only at the address that it was given to
(kemi/nonce.py), so nobody can fail in another's name by forging his address.

Who is locked gets 403, whether his password is right or not, and nothing is checked. Not silence: that would be
repeated ten times by each honest phone, and look like a broken network to the person who has to find out; the guesser
learns nothing from either. The tables are shared by all processes of the proxy, and a restart empties them.
"""

from __future__ import annotations

import time

from callcore.lockout import FAILED, LOCKED, PROVEN, Lock, Suspect, begins_lock
from callcore.sip import SipCode
from kemi.sip_request import SipRequest
from kemi.tenancy import Tenant
from kemi.worker import Worker


def refuses(worker: Worker, sip: SipRequest, tenant: Tenant) -> bool:
    """Answer a request with credentials whose sender is locked out; False if he is not."""
    limits = worker.config.proxy
    if not limits.lockout_failures and not limits.lockout_users:
        return False
    suspect = _suspect(sip, tenant)
    stored = worker.port.table_text(LOCKED, suspect.key) or _source_lock(worker, suspect)
    if stored is None:
        return False
    seconds = Lock.from_text(stored).until - int(time.time())
    if seconds <= 0:
        return False
    worker.port.table_increment("count", "locked_out")
    worker.port.append_reply_header(f"Retry-After: {seconds}")
    worker.port.reply(SipCode.FORBIDDEN, "Locked Out")
    return True


def _source_lock(worker: Worker, suspect: Suspect) -> str | None:
    """Return the lock of a source, for a name that has not been right there."""
    stored = worker.port.table_text(LOCKED, suspect.source)
    if stored is None or worker.port.table_text(PROVEN, suspect.key) is not None:
        return None
    return stored


def failed(worker: Worker, sip: SipRequest, tenant: Tenant) -> None:
    """Count a wrong password, and lock out who has sent too many."""
    limits, port = worker.config.proxy, worker.port
    if not limits.lockout_failures and not limits.lockout_users:
        return
    suspect = _suspect(sip, tenant)
    failures = port.table_increment(FAILED, suspect.key)
    if begins_lock(failures, limits.lockout_failures):
        _lock(worker, suspect, failures)
    if failures != 1 or not limits.lockout_users or port.table_text(PROVEN, suspect.key) is not None:
        return
    users = port.table_increment(FAILED, suspect.source)
    if begins_lock(users, limits.lockout_users):
        _lock(worker, Suspect(suspect.source), users)


def passed(worker: Worker, sip: SipRequest, tenant: Tenant) -> None:
    """Note that a password was right: the failures before it are forgotten, and its name is trusted at this source."""
    limits = worker.config.proxy
    if limits.lockout_failures or limits.lockout_users:
        key = _suspect(sip, tenant).key
        worker.port.table_set(PROVEN, key, "1")
        worker.port.table_remove(FAILED, key)


def _suspect(sip: SipRequest, tenant: Tenant) -> Suspect:
    return Suspect.of(sip.source_ip, tenant.tenant_id, sip.auth_user or "")


def _lock(worker: Worker, suspect: Suspect, count: int) -> None:
    """Lock somebody out, and tell it once."""
    seconds = worker.config.proxy.lockout_seconds
    worker.port.table_set(LOCKED, suspect.key, Lock(int(time.time()) + seconds, count).text)
    what = {"username": suspect.username, "failures": count} if suspect.username else {"users": count}
    worker.journal.event(
        "auth.locked", tenant=suspect.tenant_id or None, source=suspect.source, seconds=seconds, **what
    )
