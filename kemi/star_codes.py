"""Codes dialled at the phone of an account: changes a service, or says how the call is meant. Shell around star_code.

A change is one statement of PostgreSQL; while the database is away nothing is changed. A media host says what was done;
without one it is the reason phrase and the Warning of a final response.
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import unquote

from callcore.errors import BadInput, KalibriError, NotFound, Unavailable
from callcore.sip import SipCode
from callcore.star_code import CALLS, Dialled, StarAction, is_code, read, slot_of
from callcore.value import value
from kalibri.services import account_service
from kemi import park, pickup
from kemi.account_record import AccountRecord
from kemi.hosted_call import ToHost
from kemi.ks_route.model import DestinationKind, RouteRequest, ToService
from kemi.sip_request import SipRequest
from kemi.tenancy import media_hosts
from kemi.worker import Worker

#: The response that tells that a change was made: the "call" itself cannot be put through.
DONE = SipCode.TEMPORARILY_UNAVAILABLE
#: Application of the media hosts in which people listen to their voice mail.
MAILBOX = "mailbox"
_TEXTS = {
    StarAction.DND_ON: "Do Not Disturb Is On",
    StarAction.DND_OFF: "Do Not Disturb Is Off",
    StarAction.ANONYMOUS_REJECT_ON: "Anonymous Callers Are Refused",
    StarAction.ANONYMOUS_REJECT_OFF: "Anonymous Callers Are Taken",
    StarAction.HIDE_ON: "Your Number Is Hidden",
    StarAction.HIDE_OFF: "Your Number Is Shown",
    StarAction.BLOCK: "Caller Is Refused",
    StarAction.UNBLOCK: "Caller Is Taken",
    StarAction.SPEED_SET: "Speed Dial Is Stored",
}


@value
class Wish:
    """What is called in place of a code."""

    request: RouteRequest
    #: Whether the caller hides in this call; None: as ever.
    hidden: bool | None = None
    #: A media host says what was done, or has the parked call, or the messages.
    hosted: ToService | ToHost | None = None


def dialled_code(worker: Worker, request: RouteRequest) -> Dialled | None:
    """Return the code that was dialled; None: it is none, or the name of an account."""
    text = request.b_number
    if "%" in text:
        text = unquote(text)
    if not is_code(text) or worker.directory.account_exists(request.tenant_id, text):
        return None
    tenant = worker.directory.system.tenants.get(request.tenant_id)
    return None if tenant is None else read(text, tenant.codes)


def serve(
    worker: Worker, sip: SipRequest, account: AccountRecord, request: RouteRequest, dialled: Dialled
) -> Wish | None:
    """Do what a code says; return the call that it stands for, None when it was answered."""
    if dialled.action not in CALLS:
        return _change(worker, sip, account, request, dialled)
    if dialled.action is StarAction.HIDE_ONCE:
        return Wish(replace(request, b_number=dialled.argument), True)
    if dialled.action is StarAction.SHOW_ONCE:
        return Wish(replace(request, b_number=dialled.argument), False)
    if dialled.action is StarAction.SPEED_CALL:
        return _speed_call(worker, account, request, dialled.argument)
    if dialled.action is StarAction.MAILBOX:
        return _mailbox(worker, sip, account, request, dialled)
    if dialled.action is StarAction.PARK:
        return _told(
            worker, sip, account, request, dialled, (SipCode.FORBIDDEN, "Transfer A Call To Park It")
        )
    if dialled.action is StarAction.UNPARK:
        found = park.taken(worker, account, request, dialled.argument)
        if isinstance(found, park.ToPark):
            return Wish(request, hosted=found)
        return _told(worker, sip, account, request, dialled, found)
    pickup.take(worker, account, dialled.argument or None)
    return None


def _speed_call(worker: Worker, account: AccountRecord, request: RouteRequest, slot: str) -> Wish | None:
    services = worker.directory.services(account.tenant_id, account.username)
    number = None if services is None else services.speed_dial.get(slot)
    if number is None:
        worker.port.reply(SipCode.NOT_FOUND, "Speed Dial Is Empty")
        return None
    return Wish(replace(request, b_number=number))


def _mailbox(
    worker: Worker, sip: SipRequest, account: AccountRecord, request: RouteRequest, dialled: Dialled
) -> Wish | None:
    """Let the caller listen to his own messages, or, with the PIN that the media host asks for, to another's."""
    if not media_hosts(worker.directory.system):
        unheard = SipCode.SERVICE_UNAVAILABLE, "Voice Mail Cannot Be Heard Here"
        return _told(worker, sip, account, request, dialled, unheard)
    mailbox = dialled.argument or account.username
    own = mailbox == account.username
    listens = ToHost(
        application=MAILBOX,
        tenant_id=account.tenant_id,
        a_sent=account.username,
        b_sent=request.b_number,
        arg={"mailbox": mailbox, "own": "yes" if own else None},
        reason=f"listens to mailbox {mailbox}",
    )
    return Wish(request, hosted=listens)


def _change(
    worker: Worker, sip: SipRequest, account: AccountRecord, request: RouteRequest, dialled: Dialled
) -> Wish | None:
    """Change a service; return the announcement of it where there are media hosts, else answer the call."""
    return _told(worker, sip, account, request, dialled, _changed(worker, account, dialled))


def _told(
    worker: Worker,
    sip: SipRequest,
    account: AccountRecord,
    request: RouteRequest,
    dialled: Dialled,
    answer: tuple[int, str],
) -> Wish | None:
    """Tell what a code did, or why it did nothing."""
    code, text = answer
    worker.journal.event(
        "service.code",
        tenant=account.tenant_id,
        account=account.username,
        action=dialled.action.value,
        argument=dialled.argument,
        code=code,
        answer=text,
        src=sip.source,
    )
    if media_hosts(worker.directory.system):
        spoken = ToService(
            kind=DestinationKind.ANNOUNCEMENT,
            name=_prompt(dialled, code),
            tenant_id=account.tenant_id,
            a_sent=account.username,
            b_sent=request.b_number,
            reason=text,
        )
        return Wish(request, hosted=spoken)
    worker.port.append_reply_header(f'Warning: 399 kalibri "{text}"')  # RFC 3261 section 20.43
    worker.port.reply(code, text)
    return None


def _prompt(dialled: Dialled, code: int) -> str:
    """Return the system prompt (conf/prompts) that tells what was done."""
    if code != DONE:
        return "service-refused"
    return (
        "service-off"
        if dialled.action.endswith("_off") or dialled.action is StarAction.UNBLOCK
        else "service-on"
    )


def _changed(worker: Worker, account: AccountRecord, dialled: Dialled) -> tuple[int, str]:
    """Store what a code says; return the answer."""
    slot, argument = "", dialled.argument
    if dialled.action is StarAction.SPEED_SET:
        slot, argument = slot_of(argument)
    tenant = worker.directory.system.tenants[account.tenant_id]
    sets_forward = dialled.action.startswith("forward") and not dialled.action.endswith("_off")
    if sets_forward and not tenant.forward.to_numbers:
        known = worker.directory.account_exists(account.tenant_id, argument)
        if not known:
            return SipCode.FORBIDDEN, "Forwarding Not Allowed"
    if sets_forward and argument == account.username:
        return SipCode.FORBIDDEN, "Forwarding To Yourself"
    try:
        worker.acd.run(
            lambda conn: account_service.by_code(
                conn,
                tenant_id=account.tenant_id,
                username=account.username,
                action=dialled.action,
                argument=argument,
                slot=slot,
            )
        )
    except (BadInput, NotFound) as error:
        worker.port.log_info(f"code {dialled.action} of {account.username} refused: {error.message}")
        return SipCode.FORBIDDEN, "Not Accepted"
    except Unavailable:
        return SipCode.SERVICE_UNAVAILABLE, "Services Cannot Be Changed Now"
    except KalibriError as error:
        worker.port.log_error(f"code {dialled.action} of {account.username} failed: {error.message}")
        return SipCode.SERVER_ERROR, "Not Changed"
    return DONE, _TEXTS.get(dialled.action) or _forward_text(dialled)


def _forward_text(dialled: Dialled) -> str:
    if dialled.action.endswith("_off"):
        return "Forwarding Is Off"
    return f"Forwarding To {dialled.argument}"
