"""Call pickup: a ringing call is taken at another phone of the pickup group. Shell around the shared table "ring".

The INVITE that rings a colleague gets a further branch: to the phones of who picks it up, with the wish to answer at
once; his own call to the code is answered 480 when that branch has been sent. So it works with every caller, also one
from a gateway, and the story of the call goes on. Only calls that ring at this proxy can be taken here.
"""

from __future__ import annotations

from callcore.sip import SipCode
from kemi.account_record import AccountRecord
from kemi.attempts import TAKEN_BY
from kemi.call_state import CallState
from kemi.tenancy import aor, tenant_by_id
from kemi.worker import Worker

_TABLE = "ring"


def note(worker: Worker, state: CallState, username: str) -> None:
    """Remember that an account of a pickup group rings, before its phones are sent the call."""
    port = worker.port
    worker.port.table_set(
        _TABLE,
        f"{state.tenant_id}:{username}",
        f"{port.text('$T(id_index)')} {port.text('$T(id_label)')} {state.call_id}",
    )


def take(worker: Worker, account: AccountRecord, colleague: str | None) -> None:
    """Bring a ringing call of the account's pickup group to its phones, and answer its request.

    colleague: whose call; None: of anybody in the group.
    """
    services = worker.directory.services(account.tenant_id, account.username)
    group = services.pickup_group if services is not None else ""
    members = worker.directory.pickup_group(account.tenant_id, group) if group else ()
    wanted = [name for name in members if name != account.username and colleague in (None, name)]
    if not wanted:
        worker.port.reply(SipCode.FORBIDDEN, "Not In Your Pickup Group")
        return
    for name in wanted:
        if _take_from(worker, account, name):
            worker.port.reply(SipCode.TEMPORARILY_UNAVAILABLE, "Call Picked Up")
            return
    worker.port.reply(SipCode.NOT_FOUND, "No Call To Pick Up")


def _take_from(worker: Worker, account: AccountRecord, name: str) -> bool:
    port, tenant = worker.port, tenant_by_id(worker.directory.system, account.tenant_id)
    entry = port.table_text(_TABLE, f"{account.tenant_id}:{name}")
    if entry is None or tenant is None:
        return False
    index, label, call_id = entry.split(" ")
    # The new branch is prepared in this process, in the transaction of the ringing call.
    port.table_set(_TABLE, f"{TAKEN_BY}{call_id}", account.username)
    taken = port.add_to_transaction(int(index), int(label), aor(account.username, tenant.realm))
    port.table_remove(_TABLE, f"{TAKEN_BY}{call_id}")
    if taken:
        port.table_remove(_TABLE, f"{account.tenant_id}:{name}")
        worker.journal.event(
            "call.pickup", call=call_id, tenant=account.tenant_id, by=account.username, account=name
        )
    return taken
