"""Call park in the proxy: transfers to a park code, calls that are parked by them, calls that take one back. Shell.

A parked call is held by a media host (sems_apps/machines/park.py); PostgreSQL says which slots are taken and by which
host (schema/69_park.sql), so a slot can be dialled at every proxy. What happens to a call while it waits is the host's.
"""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import unquote

from callcore.errors import KalibriError, NotFound
from callcore.sip import SipCode
from callcore.star_code import Dialled, StarAction, is_code, read
from callcore.value import value
from kalibri.services import park as parking
from kemi import park_ticket
from kemi.account_record import AccountRecord
from kemi.hosted_call import ToHost
from kemi.ks_acd.model import MediaHost
from kemi.ks_route.model import RouteRequest
from kemi.leg import read_dialog
from kemi.park_ticket import ParkTicket
from kemi.targets import escape_user
from kemi.worker import Worker

APPLICATION = "park"
#: Dialog variables: user names of the accounts at both ends, where ks_a and ks_b do not name them.
CALLER, CALLEE = "ks_caller", "ks_callee"
_REFER_TO = re.compile(r"(?P<before>.*?sips?:)(?P<user>[^@;?>\s]+)(?P<after>@.*)", re.IGNORECASE | re.DOTALL)
_PARKS = (StarAction.PARK, StarAction.UNPARK)


@value(kw_only=True)
class ToPark(ToHost):
    """Have the call parked by a media host, or joined with one that is parked at that host."""

    application: str = APPLICATION


# ---------------------------------------------------------------------------------------- REFER to a park code


def rewrite_refer(worker: Worker, *, from_caller: bool) -> None:
    """Write a ticket into a REFER whose target is a park code; others go on as they are."""
    port = worker.port
    text = port.header("Refer-To") or ""
    match = _REFER_TO.fullmatch(text)
    if match is None or "replaces=" in text.lower():
        return
    tenant_id = _tenant_of_dialog(worker)
    dialled = None if tenant_id is None else _dialled(worker, tenant_id, unquote(match["user"]))
    if tenant_id is None or dialled is None:
        return
    party = _party(worker, tenant_id, from_caller=from_caller)
    ticket = ParkTicket(tenant_id, int(dialled.argument or 0), party)
    user = escape_user(park_ticket.seal(worker.secret, ticket))
    port.replace_header("Refer-To", f"{match['before']}{user}{match['after']}")


def _tenant_of_dialog(worker: Worker) -> int | None:
    text = worker.port.dialog("ks_tenant") or ""
    return int(text) if text.isdecimal() else None


def _dialled(worker: Worker, tenant_id: int, user: str) -> Dialled | None:
    tenant = worker.directory.system.tenants.get(tenant_id)
    if tenant is None or not is_code(user):
        return None
    dialled = read(user, tenant.codes)
    return dialled if dialled is not None and dialled.action in _PARKS else None


def _party(worker: Worker, tenant_id: int, *, from_caller: bool) -> str:
    """Return the account, or hunt group, that sent a request in a dialog; "" if it is not known."""
    port = worker.port
    if from_caller and read_dialog(port.dialog("ks_leg") or "")[1]:
        return ""  # a media host
    named, shown = (CALLER, "ks_a") if from_caller else (CALLEE, "ks_b")
    name = port.dialog(named) or port.dialog(shown) or ""
    return name if worker.directory.account_exists(tenant_id, name) else ""


# --------------------------------------------------------------------------------------------------- calls


def parked(worker: Worker, request: RouteRequest) -> ToPark | None:
    """Return how a call is parked that follows such a REFER; None: it is no such call."""
    ticket = park_ticket.read(worker.secret, request.b_number)
    if ticket is None:
        return None
    tenant = worker.directory.system.tenants.get(ticket.tenant_id)
    code = tenant.codes.get(StarAction.UNPARK, "") if tenant is not None else ""
    return ToPark(
        tenant_id=ticket.tenant_id,
        a_sent=request.a_number,
        b_sent=f"{code}{ticket.slot or ''}",
        arg={"slot": ticket.slot, "parker": ticket.parker or None, "code": code or None},
        reason=f"parked by {ticket.parker}" if ticket.parker else "parked",
    )


def taken(
    worker: Worker, account: AccountRecord, request: RouteRequest, slot: str
) -> ToPark | tuple[int, str]:
    """Return how an account takes the call that is parked at a slot, or why it cannot."""
    try:
        found = worker.acd.run(lambda conn: parking.find(conn, tenant_id=account.tenant_id, slot=int(slot)))
    except NotFound:
        return SipCode.NOT_FOUND, "Nobody Is Parked There"
    except KalibriError:
        return SipCode.SERVICE_UNAVAILABLE, "Parked Calls Cannot Be Taken Now"
    return ToPark(
        tenant_id=account.tenant_id,
        a_sent=account.username,
        b_sent=request.b_number,
        arg={"slot": found.slot, "pickup": found.call_id},
        host=MediaHost(found.host, found.address),
        reason=f"takes call {found.call_id} from slot {found.slot}",
    )


def of_tenant(request: RouteRequest, decision: ToPark) -> RouteRequest:
    """Return the request as one of the tenant whose slots it means: a gateway that follows a REFER has none."""
    return replace(request, tenant_id=decision.tenant_id)
