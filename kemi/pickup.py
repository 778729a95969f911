"""Call pickup: a ringing call is taken at another phone of the pickup group. Shell around the shared table "ring".

The INVITE that rings a colleague gets a further branch: to the phones of who picks it up, with the wish to answer at
once; his own call to the code is answered 480 when that branch has been sent. So it works with every caller, also one
from a gateway, and by hunt groups; and the story of the call goes on. Only calls that ring at this proxy can be taken
here. A call that a queue offers to an agent is his: who took it would talk while the agent counts as busy, and
wrap-up, reports and the queue's rules would be those of somebody who never had the call.
"""

from __future__ import annotations

from callcore.agent import AgentState
from callcore.errors import KalibriError
from callcore.sip import SipCode
from kalibri.services import presence as agent_states
from kemi.account_record import AccountRecord
from kemi.attempts import TAKEN_BY
from kemi.ringing import TABLE
from kemi.tenancy import aor, tenant_by_id
from kemi.worker import Worker


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
    if _is_rung_by_queue(worker, account.tenant_id, wanted):
        worker.port.reply(SipCode.FORBIDDEN, "Queue Calls Are Not Picked Up")
    else:
        worker.port.reply(SipCode.NOT_FOUND, "No Call To Pick Up")


def _is_rung_by_queue(worker: Worker, tenant_id: int, names: list[str]) -> bool:
    """Tell whether a queue rings one of these; not, while the database is away."""
    if not any(_is_agent(worker, tenant_id, name) for name in names):
        return False
    try:
        found = worker.acd.run(
            lambda conn: agent_states.of_accounts(conn, accounts=[(tenant_id, name) for name in names])
        )
    except KalibriError:
        return False
    return any(entry.state == AgentState.RINGING for entry in found)


def _is_agent(worker: Worker, tenant_id: int, name: str) -> bool:
    account = worker.directory.account(tenant_id, name)
    return account is not None and account.agent_id is not None


def _take_from(worker: Worker, account: AccountRecord, name: str) -> bool:
    port, tenant = worker.port, tenant_by_id(worker.directory.system, account.tenant_id)
    entry = port.table_text(TABLE, f"{account.tenant_id}:{name}")
    if entry is None or tenant is None:
        return False
    index, label, call_id = entry.split(" ")
    # The new branch is prepared in this process, in the transaction of the ringing call.
    port.table_set(TABLE, f"{TAKEN_BY}{call_id}", account.username)
    taken = port.add_to_transaction(int(index), int(label), aor(account.username, tenant.realm))
    port.table_remove(TABLE, f"{TAKEN_BY}{call_id}")
    if taken:
        port.table_remove(TABLE, f"{account.tenant_id}:{name}")
        worker.journal.event(
            "call.pickup", call=call_id, tenant=account.tenant_id, by=account.username, account=name
        )
    return taken
