"""Agents' conversations whose sides are asked whether they are still there: what the workers note of them. Shell.

Each such dialog is in the shared table "far" with its tags, what its sides answered in "heard"; the process of the
watch timer asks (kemi/far_end_watch.py). A conversation through a media host is left out: the host hears its RTP.
"""

from __future__ import annotations

from callcore.far_end import Answer, Side
from callcore.sip import SipCode
from kemi.ksr_port import Fields
from kemi.worker import Worker

TALK, HEARD = "far", "heard"
_DIALOG = Fields("$dlg_var(ks_host)", "$DLG_status", "$dlg(from_tag)", "$dlg(to_tag)")
#: States of the dialog module: answered, acknowledged.
_CONFIRMED = ("3", "4")
_REPLY = Fields("$ci", "$ft", "$rs")


def follow(worker: Worker, sip_call_id: str) -> None:
    """A dialog of an agent has changed (dialog event). The To tag is known with the ACK, not before."""
    if not worker.config.proxy.far_end_seconds:
        return
    host, status, from_tag, to_tag = worker.port.read_all(_DIALOG)
    if not host and status in _CONFIRMED and from_tag and to_tag:
        worker.port.table_set(TALK, sip_call_id, f"{from_tag} {to_tag}")


def end(worker: Worker, sip_call_id: str) -> None:
    """A dialog of an agent has ended."""
    if worker.config.proxy.far_end_seconds:
        worker.port.table_remove(TALK, sip_call_id)


def tags_of(worker: Worker, sip_call_id: str) -> tuple[str, str] | None:
    """Return From tag and To tag of a conversation; None: it is over."""
    text = worker.port.table_text(TALK, sip_call_id)
    if text is None:
        return None
    from_tag, _, to_tag = text.partition(" ")
    return from_tag, to_tag


def reply(worker: Worker) -> None:
    """A reply to OPTIONS: who sent it is there, unless he knows no such dialog."""
    sip_call_id, asker, status = worker.port.read_all(_REPLY)
    tags = tags_of(worker, sip_call_id or "")
    if tags is None:
        return
    # The From tag of the request is that of who asked, so the other side has answered.
    side = Side.CALLEE if asker == tags[0] else Side.CALLER
    answer = Answer.GONE if status == str(int(SipCode.NO_SUCH_CALL)) else Answer.THERE
    worker.port.table_set(HEARD, f"{side}\n{sip_call_id}", answer)
