"""Methods call.*: which calls there were, the story of each, which there are now.

Steering a queue call is an order to the media host that has it: entry.commandResult tells how it went.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field

from api.method import Context, Method, Scope, Tenancy
from kalibri.db import Conn
from kalibri.rpc import KamailioRpc
from kalibri.services import call as calls
from kalibri.services import entry as entries
from kalibri.services import park as parking
from kalibri.services.call import CallStory, LiveCall
from kalibri.services.entry import Reassigned
from kalibri.services.queue_target import parse_target

Side = Literal["caller", "agent", "both"]
Limit = Annotated[int, Field(ge=1, le=1000)]
Page = Annotated[int, Field(ge=1, le=100_000)]
Code = Annotated[int, Field(ge=100, le=699)]
#: A day is more than any call lasts.
Seconds = Annotated[float, Field(ge=0, le=1_000_000)]


def show(conn: Conn, *, call_id: str) -> CallStory:
    """Tell the story of a call; the first digits of its id will do if no other call's begins so.

    Raises NotFound, BadInput, AmbiguousCallId.
    """
    return calls.story(conn, call_id=calls.find_id(conn, text=call_id))


def live(context: Context, *, tenant_id: int | None, limit: Limit = 100, page: Page = 1) -> list[LiveCall]:
    """Return the calls that the proxy of this machine holds now, the longest first; raises ProxyDown."""
    with KamailioRpc(context.config.kamailio_rpc_socket) as rpc:
        wanted = None if tenant_id is None else str(tenant_id)
        found = calls.live_calls(rpc, now=context.now, tenant=wanted)
    return found[(page - 1) * limit : page * limit]


def _order(conn: Conn, tenant_id: int, call: str, kind: str, **data: object) -> int:
    """Order something of the media host that has a call."""
    entry_id = _entry(conn, tenant_id, call)
    return entries.command(conn, tenant_id=tenant_id, entry_id=entry_id, kind=kind, **data)


def _entry(conn: Conn, tenant_id: int, call: str) -> int:
    """Return the entry of a queue call, named by its id or by that of the call; raises NotFound, BadInput."""
    if re.fullmatch(r"[0-9]{1,18}", call, re.ASCII):
        return int(call)
    return entries.of_call(conn, tenant_id=tenant_id, call_id=calls.find_id(conn, text=call))


def _target(conn: Conn, tenant_id: int, to: str) -> dict[str, str]:
    return parse_target(conn, tenant_id=tenant_id, text=to, default="account")


def listen(conn: Conn, *, tenant_id: int, call: str, to: str) -> int:
    """Hear both sides of a queue call on the phone `to`; returns the id of the order.

    Raises NotFound, Refused, BadInput.
    """
    return _order(conn, tenant_id, call, "supervise", mode="listen", **_target(conn, tenant_id, to))


def whisper(conn: Conn, *, tenant_id: int, call: str, to: str) -> int:
    """Hear both sides, and be heard by the agent; returns the id of the order. Raises NotFound, Refused, BadInput."""
    return _order(conn, tenant_id, call, "supervise", mode="whisper", **_target(conn, tenant_id, to))


def barge(conn: Conn, *, tenant_id: int, call: str, to: str) -> int:
    """Hear both sides, and be heard by both; returns the id of the order. Raises NotFound, Refused, BadInput."""
    return _order(conn, tenant_id, call, "supervise", mode="barge", **_target(conn, tenant_id, to))


def hangup(conn: Conn, *, tenant_id: int, call: str, side: Side = "both") -> int:
    """End a queue call, or one side of it; returns the id of the order. Raises NotFound, Refused."""
    return _order(conn, tenant_id, call, "hangup", side=side, reason="supervisor")


def transfer(conn: Conn, *, tenant_id: int, call: str, to: str) -> int:
    """Hand the caller on: queue:NAME, agent:NAME, number:DIGITS, account:USER, uri:SIP-URI.

    Returns the id of the order. Raises NotFound, Refused, BadInput.
    """
    return _order(conn, tenant_id, call, "transfer", **_target(conn, tenant_id, to))


def reassign(conn: Conn, *, tenant_id: int, call: str, agent: str) -> Reassigned:
    """Give the caller of a queue call to another agent, whether he waits or talks with somebody.

    Raises NotFound, TooLate, AgentGone, Refused.
    """
    entry_id = _entry(conn, tenant_id, call)
    return entries.reassign(conn, tenant_id=tenant_id, entry_id=entry_id, agent=agent)


METHODS = (
    Method("call.reassign", reassign, Scope.SUPERVISOR, Tenancy.ONE),
    Method("call.listen", listen, Scope.SUPERVISOR, Tenancy.ONE),
    Method("call.whisper", whisper, Scope.SUPERVISOR, Tenancy.ONE),
    Method("call.barge", barge, Scope.SUPERVISOR, Tenancy.ONE),
    Method("call.hangup", hangup, Scope.SUPERVISOR, Tenancy.ONE),
    Method("call.transfer", transfer, Scope.SUPERVISOR, Tenancy.ONE),
    Method(
        "call.list",
        calls.list_calls,
        Scope.READ,
        Tenancy.FILTER,
        narrow={"code": Code | None, "min_talk_seconds": Seconds | None, "limit": Limit},
    ),
    Method("call.show", show, Scope.READ, Tenancy.ROWS),
    Method("call.live", live, Scope.READ, Tenancy.FILTER),
    Method("call.parked", parking.list_parked, Scope.READ, Tenancy.FILTER),
)
