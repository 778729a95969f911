"""Whether a call is recorded, and because of whom. Pure but for the directory it reads.

A route that says so decides, either way. Else the accounts of both parties are asked: one that wants it is enough, and
one that forbids it forbids it. Else the policy of the tenant counts. The queue decides for queue calls: in the media
host, or in queue_calls when an agent is rung directly. The RTP controller does it.
"""

from __future__ import annotations

from dataclasses import replace

from kemi.admission import Sender
from kemi.ks_route.model import Decision, RelayToAccount
from kemi.worker import Worker

#: Words of the recording's `by` (callcore.recording.RecordingReason).
ROUTE, ACCOUNT = "route", "account"


def why_recorded(route: bool | None, accounts: tuple[bool | None, ...], tenant: bool) -> str | None:
    """Return who wants the call recorded, None: nobody does. None in the arguments: does not say."""
    if route is not None:
        return ROUTE if route else None
    if False in accounts:
        return None
    return ACCOUNT if True in accounts or tenant else None


def with_recording(worker: Worker, sender: Sender, decision: Decision) -> Decision:
    """Return the decision with the option `record` and with `recorded_by` as they hold for this call."""
    route = decision.options.record
    accounts: tuple[bool | None, ...] = ()
    if route is None:
        called = None
        if isinstance(decision, RelayToAccount):
            called = worker.directory.account(decision.tenant_id, decision.username)
        accounts = tuple(account.record for account in (sender.account, called) if account is not None)
    tenant = worker.directory.system.tenants.get(decision.tenant_id)
    reason = why_recorded(route, accounts, tenant is not None and tenant.record_calls)
    if reason is None:
        return decision
    return replace(decision, options=replace(decision.options, record=True), recorded_by=reason)
