"""Which relay serves a call: the one that took the offer, in all that follows, as long as it lives. Shell.

A relay is an RTP controller. Left alone, Kamailio's module chooses anew for each command among those that live at that
moment. Here each is a set of its own in Kamailio (numbers from 1, as tools/instance/files.py writes them), and its
number is kept: in the transaction while a call is set up, in the dialog after the answer. So the controller that has
the call in its memory is asked; another one only when that is away: it has to ask all RTP nodes for the session, and
refuses when none of them has it.
"""

from __future__ import annotations

import re
from zlib import crc32

from callcore.sip import SipCode
from kemi.call_state import END_TOLD
from kemi.ksr_port import UndecodableValue
from kemi.worker import Worker

#: Transaction variables of a re-INVITE or UPDATE: the relay in its offer; whether its answer will bring the offer.
OFFERED_AT = "ks_offered_at"
OFFERLESS = "ks_offerless"
#: Transaction variable: relays that took an offer for this call, the last one last, as "1,2".
_OFFERED = "ks_relays"
#: Variable of the dialog: number of its relay; "0": its media is not relayed.
_DIALOG = "ks_relay"
#: Variable of the dialog: an answer could not be relayed, so the call ends as soon as BYE is allowed.
_LOST = "ks_no_media"
_SET, _SAID = "1", "told"
_MEDIA_LINE = re.compile(r"^m=", re.MULTILINE)
_MEDIA_PORT = re.compile(r"^(m=\S+ )\d+", re.MULTILINE)


def of_dialog(worker: Worker) -> int:
    """Return the relay of an answered call; 0 if it has none, or if the dialog is unknown."""
    kept = worker.port.dialog(_DIALOG)
    return int(kept) if kept and kept.isdecimal() else 0


def keep_in_dialog(worker: Worker, relay: int) -> None:
    """Note which relay serves the answered call; 0: none."""
    worker.port.set_dialog(_DIALOG, str(relay))


def offer(worker: Worker, flags: str, preferred: int = 0) -> int:
    """Put a relay into the SDP offer; return its number, 0 when none can be had.

    preferred: the relay that serves the call already; in a set-up the one that took the last offer is known here.
    """
    port = worker.port
    offered = _offered(worker)
    several = _several_streams(worker)
    for relay in _in_order(worker, preferred or (offered[-1] if offered else 0)):
        if not _use(worker, relay):
            continue
        # A relay that dies between two streams leaves a half rewritten SDP, which no other relay can mend: only one
        # that answers is tried with such an offer, and no second one after it.
        if several and not port.media_statistics():
            continue
        if port.media_offer(flags):
            others = [earlier for earlier in offered if earlier != relay]
            port.set_avp(_OFFERED, ",".join(str(number) for number in [*others, relay]))
            return relay
        if several:
            break
    return 0


def answer(worker: Worker, flags: str, relay: int) -> bool:
    """Put the relay that took the offer into the SDP answer; 0: it is not known, all are asked for the session."""
    if not relay:
        return any(_answer(worker, flags, number) for number in _in_order(worker, 0))
    if _answer(worker, flags, relay):
        return True
    if _several_streams(worker):
        return False  # see offer
    # After offers at several controllers the nodes may hold a session of an earlier one: another controller, which
    # asks the nodes, could find that.
    others = _in_order(worker, relay)[1:] if len(_offered(worker)) < 2 else []
    if any(_answer(worker, flags, number) for number in others):
        return True
    # It may have been slow once, or slow to somebody else: the module then asks it nothing for a second.
    worker.port.believe_in_relay(worker.config.relay_controls[relay - 1])
    return _answer(worker, flags, relay)


def _answer(worker: Worker, flags: str, relay: int) -> bool:
    return _use(worker, relay) and worker.port.media_answer(flags)


def end_session(worker: Worker) -> None:
    """End the session of an answered call."""
    for relay in _of_call(worker):
        if not _delete(worker, relay):
            any(_delete(worker, other) for other in _in_order(worker, relay)[1:])


def end_set_up(worker: Worker) -> None:
    """End the sessions that the offers of a call in set-up have opened."""
    for relay in _offered(worker):
        _delete(worker, relay)
    worker.port.set_avp(_OFFERED, "")


def _delete(worker: Worker, relay: int) -> bool:
    """End the session at a relay; False when nobody is there."""
    if not (_use(worker, relay) and worker.port.media_delete()):
        return False
    return not worker.relay_sockets.forget_error(relay)


def _of_call(worker: Worker) -> list[int]:
    """Return the relay of an answered call; all of them for a dialog that a restart forgot."""
    relay = of_dialog(worker)
    if relay:
        return [relay]
    return [] if worker.port.is_known_dialog() else _in_order(worker, 0)


def _use(worker: Worker, relay: int) -> bool:
    worker.relay_sockets.forget_error(relay)
    return worker.port.use_relay(relay)


def _in_order(worker: Worker, first: int) -> list[int]:
    """Return all relays, beginning with this one, or with the one that the Call-ID falls to."""
    count = len(worker.config.relay_controls)
    start = (first or crc32(worker.port.text("$ci").encode())) % count
    numbers = range(1, count + 1)
    return sorted(numbers, key=lambda number: (number - start) % count)


def _offered(worker: Worker) -> list[int]:
    kept = worker.port.avp(_OFFERED)
    return [int(number) for number in kept.split(",")] if kept else []


def _several_streams(worker: Worker) -> bool:
    try:
        return len(_MEDIA_LINE.findall(worker.port.text("$rb"))) > 1
    except UndecodableValue:
        return True  # it may be; then only the failover between two relays is less eager


# ---------------------------------------------------------------------------------------------- an answer was lost


def answer_lost(worker: Worker, call_id: str, tenant_id: int | None, code: int) -> None:
    """Deal with an answer that could not be relayed: the SDP refuses all media, and after a 2xx the call will end.

    The reply itself cannot be held back (the callee has answered); an SDP that goes on as it came makes a call in
    which one side is deaf.
    """
    port = worker.port
    worker.journal.event("media.unavailable", call=call_id, tenant=tenant_id, code=code)
    try:
        port.set_sdp(_MEDIA_PORT.sub(r"\g<1>0", port.text("$rb")))
    except UndecodableValue:
        port.set_sdp("")
    if code >= 200 and port.dialog(_LOST) is None:
        port.set_dialog(_LOST, _SET)


def end_if_lost(worker: Worker, call_id: str) -> None:
    """Send BYE to both sides of a call whose answer could not be relayed; to be asked once ACK has passed.

    Before ACK the caller may not be sent a BYE (RFC 3261 section 15). The end is told here: the dialog module raises
    no event when the first answer to its BYE is quick.
    """
    if worker.port.dialog(_LOST) != _SET:
        return
    worker.port.set_dialog(_LOST, _SAID)
    worker.port.set_dialog(END_TOLD, "1")
    worker.journal.event(
        "call.end",
        call=call_id,
        by="system",
        code=int(SipCode.OK),
        cause="unavailable",
        reason="no media relay could be had",
        method="BYE",
    )
    worker.port.hang_up()
