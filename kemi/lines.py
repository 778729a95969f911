"""Which accounts are in which calls at this proxy, and what is shown of it to who watches them. Shell.

Every call of an account is in the shared table "talk", by its dialog, while it lasts; so a line that begins to be
watched in the middle of a call shows that call. The calls of a line that is watched, here or at another proxy (table
"follow"), are kept together in the table "line" (kemi/line_state.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass

from callcore.presence import Line, LineState
from kalibri.services.line import StoredDialog
from kemi import line_state, presence
from kemi.call_state import CallState
from kemi.ksr_port import Fields
from kemi.leg import read_dialog
from kemi.line_state import Calls
from kemi.park import CALLEE, CALLER
from kemi.worker import Worker

_TALK = "talk"
#: What names a dialog; the same in its INVITE, its replies and its events.
DIALOG_ID = ("$dlg(h_entry)", "$dlg(h_id)")
_DIALOG = Fields(*DIALOG_ID)
#: In place of a number that is hidden, or not known.
ANONYMOUS = "anonymous"


@dataclass(slots=True)
class Talk:
    """The accounts in one call."""

    call_id: str
    tenant_id: int
    #: User name of the account that calls, "": none; and whom its line shows as the other side.
    caller: str
    peer: str
    #: The number that the lines of the called show.
    number: str
    #: User names of those who ring, or of who has answered.
    called: list[str]
    answered: bool = False

    def lines(self) -> dict[str, Line]:
        """Return what each line shows of the call."""
        early = LineState.CONFIRMED if self.answered else LineState.EARLY
        shown = {name: Line(early, "recipient", self.number) for name in self.called}
        if self.caller:
            state = LineState.CONFIRMED if self.answered else LineState.TRYING
            shown[self.caller] = Line(state, "initiator", self.peer)
        return shown


# --------------------------------------------------------------------------------------------- what happens


def begin(worker: Worker, state: CallState, caller: str, peer: str) -> None:
    """An account calls; the dialog is followed already. peer: whom, as its line shows it."""
    talk = Talk(state.call_id, state.tenant_id or 0, caller, peer, _number(worker, state), [])
    _change(worker, _dialog_id(worker), talk, {})


def ring(worker: Worker, state: CallState, names: Sequence[str]) -> None:
    """These accounts ring from now on, and nobody else does by this call."""
    place = _dialog_id(worker)
    talk = _load(worker, place)
    if talk is None:
        if not names or state.tenant_id is None:
            return
        talk = Talk(state.call_id, state.tenant_id, "", "", _number(worker, state), [])
    elif talk.called == list(names):
        return
    before = talk.lines()
    talk.called = list(names)
    _change(worker, place, talk, before)


def answered(worker: Worker, state: CallState, name: str) -> None:
    """The call is answered. name: user name of who did; "": no account here."""
    place = _dialog_id(worker)
    talk = _load(worker, place)
    if talk is None:
        if not name or state.tenant_id is None:
            return
        talk = Talk(state.call_id, state.tenant_id, "", "", _number(worker, state), [])
    before = talk.lines()
    talk.called, talk.answered = [name] if name else [], True
    _change(worker, place, talk, before)


def over(worker: Worker, place: str) -> None:
    """A dialog has ended; place: its h_entry and h_id, as "12:345"."""
    talk = _load(worker, place)
    if talk is None:
        return
    worker.port.table_remove(_TALK, place)
    for name in talk.lines():
        _show_later(worker, talk, name, None)


def restore(worker: Worker, dialogs: Iterable[StoredDialog]) -> None:
    """Take up the calls that have outlived a restart; what their numbers were, and whether hidden, is not known."""
    for dialog in dialogs:
        talk = _of_stored(worker, dialog.variables)
        if talk is None:
            continue
        place = f"{dialog.hash_entry}:{dialog.hash_id}"
        worker.port.table_set(_TALK, place, json.dumps(astuple(talk)))
        if worker.port.rpc("dlg.dlg_list", dialog.callid, dialog.from_tag) is None:  # it has ended meanwhile
            worker.port.table_remove(_TALK, place)


def _of_stored(worker: Worker, variables: Mapping[str, str]) -> Talk | None:
    call_id = variables.get("ks_call") or read_dialog(variables.get("ks_leg", ""))[0]
    tenant_id = int(variables.get("ks_tenant") or 0)
    peer = variables.get(CALLEE) or variables.get("ks_b", "")
    names = (variables.get(CALLER) or variables.get("ks_a", ""), peer)
    caller, called = (name if worker.directory.account(tenant_id, name) is not None else "" for name in names)
    if "ks_leg" in variables:
        caller = ""
    if not call_id or not (caller or called):
        return None
    return Talk(call_id, tenant_id, caller, peer, ANONYMOUS, [called] if called else [], answered=True)


def _number(worker: Worker, state: CallState) -> str:
    return ANONYMOUS if state.hidden else worker.port.dialog("ks_a") or ANONYMOUS


def _dialog_id(worker: Worker) -> str:
    entry, number = worker.port.read_all(_DIALOG)
    return f"{entry}:{number}"


def _load(worker: Worker, place: str) -> Talk | None:
    text = worker.port.table_text(_TALK, place)
    return None if text is None else Talk(*json.loads(text))


def _change(worker: Worker, place: str, talk: Talk, before: Mapping[str, Line]) -> None:
    """Keep a call as it is now, and show its lines what has changed."""
    # First, so that a line which is looked up meanwhile has it.
    worker.port.table_set(_TALK, place, json.dumps(astuple(talk)))
    now = talk.lines()
    for name in {**before, **now}:
        if before.get(name) != now.get(name):
            _show_later(worker, talk, name, now.get(name))


def _show_later(worker: Worker, talk: Talk, name: str, line: Line | None) -> None:
    if line_state.is_followed(worker, talk.tenant_id, name):
        worker.later.append(lambda: show(worker, talk.tenant_id, name, talk.call_id, line))


# -------------------------------------------------------------------------------------------------- lines


def show(worker: Worker, tenant_id: int, username: str, call_id: str, line: Line | None) -> None:
    """Put a call into a line, or take it out (None), and tell those who watch it here."""

    def changed(calls: Calls) -> Calls:
        others = {known: kept for known, kept in calls.items() if known != call_id}
        return others if line is None else {**others, call_id: line.to_list()}

    if line_state.change(worker, tenant_id, username, changed):
        presence.tell(worker, tenant_id, username)


def gather(worker: Worker, wanted: Iterable[tuple[int, str]]) -> None:
    """Put the calls that run already into lines that are followed since a moment ago, and tell who watches them."""
    found: dict[tuple[int, str], dict[str, tuple[str, Line]]] = {line: {} for line in wanted}
    for place, text in worker.port.table_items(_TALK) if found else []:
        talk = Talk(*json.loads(text))
        for name, line in talk.lines().items():
            calls = found.get((talk.tenant_id, name))
            if calls is not None:
                calls[talk.call_id] = (place, line)
    for (tenant_id, username), calls in found.items():
        if calls:
            _add(worker, tenant_id, username, calls)


def _add(worker: Worker, tenant_id: int, username: str, calls: Mapping[str, tuple[str, Line]]) -> None:
    def changed(known: Calls) -> Calls:
        # What changed since the look is there already, and newer; what has ended since must not come back.
        living = {
            call_id: line.to_list()
            for call_id, (place, line) in calls.items()
            if worker.port.table_text(_TALK, place) is not None
        }
        return living | known

    if line_state.change(worker, tenant_id, username, changed):
        presence.tell(worker, tenant_id, username)
