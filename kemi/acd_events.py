"""Dialogs of agents: what the ACD is told when they begin, are answered and end. Shell.

A dialog says what it is in its variable ks_acd: a direct queue call ("offer") or other dialogs of agents' accounts
("legs"); ks_offer and ks_agent say the same to ks-acd, which compares dialogs with the database every few seconds and
so repairs what could not be told while the database was away. Nothing here delays a call: it is told after the
message was sent.
"""

from __future__ import annotations

from dataclasses import dataclass

from callcore.errors import KalibriError
from kalibri.services.node import node_of_process
from kemi import far_ends
from kemi.worker import Worker

ACD, _OFFER, _AGENT = "ks_acd", "ks_offer", "ks_agent"
#: What ks_acd says once the dialog has ended.
_OVER = "over"


@dataclass(frozen=True, slots=True)
class AgentDialog:
    """What the dialog variable says."""

    #: offer or legs
    kind: str
    tenant_id: int
    offer_id: int
    #: Accounts of agents in the dialog, with the direction of each: in, out.
    accounts: tuple[tuple[int, str], ...]
    peer: str

    def encode(self) -> str:
        """Return it as text without white space at its ends."""
        accounts = ",".join(f"{account}{direction}" for account, direction in self.accounts)
        return f"{self.kind} {self.tenant_id} {self.offer_id} {accounts or '-'} {self.peer}".rstrip()


def decode(text: str) -> AgentDialog | None:
    """Read what encode wrote; None for anything else."""
    kind, *rest = (text + " ").split(" ", 4)
    if kind not in ("offer", "legs") or len(rest) != 4:
        return None
    accounts = tuple(
        (int(part.rstrip("inout")), part.lstrip("0123456789")) for part in rest[2].split(",") if part != "-"
    )
    return AgentDialog(kind, int(rest[0]), int(rest[1]), accounts, rest[3].strip())


def proxy_name(worker: Worker) -> str:
    """Return the name of this proxy in the node table."""
    return node_of_process(worker.config, "kamailio") or worker.config.node_name


# ---------------------------------------------------------------------------------------------- beginnings


def begin_offer(worker: Worker, tenant_id: int, offer_id: int, account_id: int, peer: str) -> None:
    """Mark the dialog: an agent is rung directly."""
    accounts = ((account_id, "in"),) if account_id else ()
    _mark(worker, AgentDialog("offer", tenant_id, offer_id, accounts, peer))


def forget(worker: Worker) -> None:
    """Take the mark away: no agent is in this dialog any more."""
    for name in (ACD, _OFFER, _AGENT):
        worker.port.set_dialog(name, "")


def begin_legs(worker: Worker, tenant_id: int, accounts: tuple[tuple[int, str], ...], peer: str) -> None:
    """An ordinary call of agents' accounts: it makes them busy."""
    told = AgentDialog("legs", tenant_id, 0, accounts, peer)
    _mark(worker, told)
    sip_call_id = worker.port.text("$ci")
    worker.later.append(lambda: _tell_legs(worker, told, sip_call_id, confirmed=False))


def change_callee(worker: Worker, tenant_id: int, account_id: int | None, peer: str) -> None:
    """The call goes on to somebody else before an answer: the agent who was called is free of it.

    account_id: of the agent who is called now, None: no agent.
    """
    told = decode(worker.port.dialog(ACD) or "")
    before = told.accounts if told is not None else ()
    staying = tuple(entry for entry in before if entry[1] != "in")
    gone = tuple(entry for entry in before if entry[1] == "in")
    sip_call_id = worker.port.text("$ci")
    if told is not None and gone:
        left = AgentDialog("legs", told.tenant_id, 0, gone, told.peer)
        worker.later.append(lambda: _end_legs(worker, left, sip_call_id))
    accounts = staying if account_id is None else (*staying, (account_id, "in"))
    if accounts:
        begin_legs(worker, tenant_id, accounts, peer)
    elif told is not None:
        forget(worker)


def _mark(worker: Worker, told: AgentDialog) -> None:
    port = worker.port
    port.set_dialog(ACD, told.encode())
    port.set_dialog(_OFFER, str(told.offer_id) if told.offer_id else "")
    legs = told.accounts if told.kind == "legs" else ()
    port.set_dialog(_AGENT, ",".join(str(account) for account, _ in legs))


def is_direct(worker: Worker) -> bool:
    """Tell whether this dialog is a queue call that goes straight to the agent."""
    return (worker.port.dialog(ACD) or "").startswith("offer ")


# ------------------------------------------------------------------------------------- what Kamailio reports


def dialog(worker: Worker, name: str) -> None:
    """A dialog was answered (dialog:start), has ended (dialog:end) or failed (dialog:failed)."""
    text = worker.port.dialog(ACD)
    told = decode(text) if text else None
    if told is None:
        return
    sip_call_id = worker.port.text("$dlg(callid)")
    if name in ("dialog:end", "dialog:failed"):
        worker.port.set_dialog(ACD, _OVER)
        far_ends.end(worker, sip_call_id)
    else:
        far_ends.follow(worker, sip_call_id)
    if told.kind == "legs":
        _leg_event(worker, name, told, sip_call_id)
    elif name == "dialog:start":
        worker.later.append(lambda: _answered(worker, told, sip_call_id))
    elif name == "dialog:end":
        by = _hung_up_by(worker)
        worker.later.append(lambda: _finished(worker, told, by))


def _leg_event(worker: Worker, name: str, told: AgentDialog, sip_call_id: str) -> None:
    if name == "dialog:start":
        worker.later.append(lambda: _tell_legs(worker, told, sip_call_id, confirmed=True))
    elif name in ("dialog:end", "dialog:failed"):
        worker.later.append(lambda: _end_legs(worker, told, sip_call_id))


def _hung_up_by(worker: Worker) -> str:
    port = worker.port
    if port.text("$rm") != "BYE" or port.text("$ci") != port.text("$dlg(callid)"):
        return "system"
    return "caller" if port.text("$ft") == port.text("$dlg(from_tag)") else "agent"


def _answered(worker: Worker, told: AgentDialog, sip_call_id: str) -> None:
    """The agent answered. If the ACD has given up this offer, they talk all the same: he is busy as by any call."""
    legs = [{"kind": "agent", "sip_call_id": sip_call_id}]
    try:
        actions = worker.acd.ask("answer", tenant=told.tenant_id, offer=told.offer_id, legs=legs)
    except KalibriError as error:
        worker.port.log_error(f"answer of offer {told.offer_id} not told: {error}")
    else:
        if any(action.kind == "join" for action in actions):
            if _is_over(worker):
                _finished(worker, told, "system")
            return
        for entry in {action.entry_id for action in actions if action.kind == "wait"}:
            _try(worker, "end", tenant=told.tenant_id, entry=entry, reason="served")
    if told.accounts:
        begin_late = AgentDialog("legs", told.tenant_id, 0, told.accounts, told.peer)
        _mark(worker, begin_late)
        _tell_legs(worker, begin_late, sip_call_id, confirmed=True)


def _finished(worker: Worker, told: AgentDialog, by: str) -> None:
    _try(worker, "finish", tenant=told.tenant_id, offer=told.offer_id, by=by, cause="")


def _tell_legs(worker: Worker, told: AgentDialog, sip_call_id: str, *, confirmed: bool) -> None:
    for account, direction in told.accounts:
        _try(
            worker,
            "leg_start",
            tenant=told.tenant_id,
            account=account,
            proxy=proxy_name(worker),
            sip_call_id=sip_call_id,
            direction=direction,
            peer=told.peer,
            confirmed=confirmed,
        )
    if _is_over(worker):
        _end_legs(worker, told, sip_call_id)


def _is_over(worker: Worker) -> bool:
    """Tell whether the dialog ended while its beginning was told: another process may have told the end before."""
    return worker.port.dialog(ACD) in (_OVER, None)


def _end_legs(worker: Worker, told: AgentDialog, sip_call_id: str) -> None:
    for account, _ in told.accounts:
        _try(
            worker,
            "leg_end",
            tenant=told.tenant_id,
            account=account,
            proxy=proxy_name(worker),
            sip_call_id=sip_call_id,
        )


def _try(worker: Worker, statement: str, **params: object) -> None:
    """Tell the ACD; what cannot be told now, reconciliation finds out."""
    try:
        worker.acd.tell(statement, **params)
    except KalibriError as error:
        worker.port.log_error(f"{statement} not told: {error}")
