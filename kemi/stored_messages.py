"""Messages that wait for a phone: kept when none takes them, sent when one is registered. Shell.

The watch process asks the database once a second for what is due and sends it to this proxy's own internal socket, from
where it takes the way of every message (messages.py) and is answered by the phone. What is not taken is tried again,
later each time, for a week.
"""

from __future__ import annotations

from callcore.errors import BadInput, KalibriError
from callcore.sip import SipCode
from kalibri.services import stored_message
from kalibri.services.stored_message import DueMessage
from kemi.account_record import AccountRecord
from kemi.ks_acd.media_host import write_arg
from kemi.targets import escape_user
from kemi.tenancy import aor
from kemi.worker import Worker


def keep(worker: Worker, account: AccountRecord, sender: str) -> tuple[int, str]:
    """Keep the MESSAGE that is handled for an account; return the answer to its sender (RFC 3428 section 7)."""
    port = worker.port
    body, content_type = port.text("$rb"), port.header("Content-Type") or "text/plain"
    try:
        kept = worker.acd.run(
            lambda conn: stored_message.store(
                conn,
                tenant_id=account.tenant_id,
                account_id=account.account_id,
                sender=sender,
                content_type=content_type,
                body=body,
            )
        )
    except BadInput:
        return SipCode.MESSAGE_TOO_LARGE, "Too Large To Be Kept"
    except KalibriError as error:
        port.log_info(f"message for {account.username} not kept: {error.message}")
        return SipCode.TEMPORARILY_UNAVAILABLE, "Not Registered"
    if not kept:
        return SipCode.TEMPORARILY_UNAVAILABLE, "Too Many Messages Wait"
    worker.journal.event(
        "message.kept", tenant=account.tenant_id, a=sender, b=account.username, size_bytes=len(body.encode())
    )
    return SipCode.ACCEPTED, "Accepted"


def deliver(worker: Worker) -> None:
    """Send what is due to accounts that are registered here; while the database is away nothing happens."""
    try:
        here = [
            message
            for message in worker.acd.run(stored_message.due)
            if worker.port.is_registered(aor(message.username, message.realm))
        ]
        if not here:
            return
        ids = [message.message_id for message in here]
        claimed = worker.acd.run(lambda conn: stored_message.claim(conn, ids=ids))
    except KalibriError:
        return
    for message in here:
        if message.message_id in claimed:
            _send(worker, message)


def _send(worker: Worker, message: DueMessage) -> None:
    own = worker.config.proxy
    internal = f"{own.listen_address}:{own.internal_port}"
    to = f"sip:{escape_user(message.username)}@{message.realm}"
    worker.port.send_request(
        {
            "method": "MESSAGE",
            "ruri": to,
            "turi": to,
            "furi": f"sip:{escape_user(message.sender)}@{message.realm}",
            "ouri": f"sip:{internal}",
            "sock": f"udp:{internal}",
            "hdrs": f"X-KS-Arg: {write_arg({'tenant': message.tenant_id})}\r\n"
            f"Content-Type: {message.content_type}\r\n",
            "body": message.body,
            "evparam": f"message {message.tenant_id} {message.message_id}",
        }
    )


def reply(worker: Worker) -> None:
    """The final response to a message that was kept: 2xx means that the phone has it."""
    port = worker.port
    word, tenant_id, message_id = ([*port.text("$uac_req(evparam)").split(" "), "", "", ""])[:3]
    if word != "message" or not 200 <= port.number("$uac_req(evcode)") < 300:
        return
    ids = {"tenant_id": int(tenant_id), "message_id": int(message_id)}
    worker.journal.event("message.delivered", tenant=ids["tenant_id"], message=ids["message_id"])
    worker.acd.run(lambda conn: stored_message.delivered(conn, **ids))
