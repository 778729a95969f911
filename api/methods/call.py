"""Methods call.*: which calls there were, the story of each, which there are now.

Steering calls (transfer, hangup, record) is declared here as soon as its services exist.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from api.method import Context, Method, Scope, Tenancy
from kalibri.db import Conn
from kalibri.rpc import KamailioRpc
from kalibri.services import call as calls
from kalibri.services.call import Call, CallStory, LiveCall

Limit = Annotated[int, Field(ge=1, le=1000)]
Page = Annotated[int, Field(ge=1, le=100_000)]
Code = Annotated[int, Field(ge=100, le=699)]
#: A day is more than any call lasts.
Seconds = Annotated[float, Field(ge=0, le=1_000_000)]


def list_calls(
    conn: Conn,
    *,
    tenant_id: int | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    number: str | None = None,
    a: str | None = None,
    b: str | None = None,
    gateway: str | None = None,
    code: Code | None = None,
    answered: bool | None = None,
    min_talk_seconds: Seconds | None = None,
    limit: Limit = 50,
) -> list[Call]:
    """Return calls, the latest first.

    number, a, b: the beginning of either number, of A, of B, as dialled or as sent. gateway: the call came from it
    or was tried there. Raises NotFound for a gateway of which nothing is known.
    """
    return calls.list_calls(
        conn,
        tenant_id=tenant_id,
        since=since,
        until=until,
        number=number,
        a=a,
        b=b,
        gateway=gateway,
        code=code,
        answered=answered,
        min_talk_seconds=min_talk_seconds,
        limit=limit,
    )


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


METHODS = (
    Method("call.list", list_calls, Scope.READ, Tenancy.FILTER),
    Method("call.show", show, Scope.READ, Tenancy.ROWS),
    Method("call.live", live, Scope.READ, Tenancy.FILTER),
)
