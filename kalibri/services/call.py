"""Calls: which there were, the story of each, which there are now.

Decides how people find a call: by filters, or by the beginning of its id. What became of a call is decided
by callcore/cdr.py, the words of its story by callcore/story.py. Calls that are going on now are asked of the
proxy itself, so that they are known while the database is away.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from callcore.cdr import id_of, list_of, text_of
from callcore.errors import BadInput, NotFound
from callcore.event import Event
from callcore.ids import uuid7_time
from callcore.story import Names, StoryLine, Verdict, summary, tell
from kalibri import db
from kalibri.db import Conn
from kalibri.rpc import KamailioRpc

SQL = db.statements("call")

#: An event may be this much older than its call (clocks of two nodes, a clock set back) and still be found.
CLOCK_TOLERANCE = timedelta(days=1)
#: PostgreSQL knows earlier times, but no call has one: a UUIDv7 counts from here.
FIRST_MOMENT = datetime(1970, 1, 1, tzinfo=UTC)
#: Ids that are named when the beginning of an id is not unique.
CANDIDATES = 5
#: The last moment that PostgreSQL and Python both know.
LAST_MOMENT = datetime(9999, 12, 31, tzinfo=UTC)

#: States of Kamailio's dialog module, until the proxy says more in ks_state.
DIALOG_STATES = {1: "trying", 2: "ringing", 3: "talking", 4: "talking"}
DIALOG_ENDED = 5


class AmbiguousCallId(BadInput):
    """Several calls have an id that begins so."""

    error_id = "ambiguous-call-id"


@dataclass(frozen=True, kw_only=True)
class Call:
    """One row of the table call, with names for its ids as far as they still exist."""

    call_id: UUID
    started_at: datetime
    tenant_id: int | None
    tenant: str | None
    direction: str | None
    account: str | None
    a_number: str
    a_sent: str
    b_number: str
    b_sent: str
    b_region: str | None
    b_operator: str | None
    route_ids: Sequence[int]
    gateway_in_id: int | None
    gateway_in: str | None
    gateway_out_id: int | None
    gateway_out: str | None
    emergency: bool
    attempts: Sequence[Mapping[str, Any]]
    media: Mapping[str, Any]
    ringing_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    ring_ms: int | None
    talk_ms: int | None
    final_code: int | None
    cause: str
    hung_up_by: str | None
    sip_call_id: str
    node: str


@dataclass(frozen=True, kw_only=True)
class CallStory:
    """A call and everything that happened in it."""

    call: Call
    #: How it stands or stood, in words.
    summary: str
    lines: Sequence[StoryLine]


@dataclass(frozen=True, kw_only=True)
class LiveCall:
    """One dialog that the proxy holds now."""

    #: The call; a call with several legs of its own has several dialogs.
    call_id: str
    #: Tenant id as the proxy knows it.
    tenant: str
    a: str
    b: str
    state: str
    started_at: datetime
    #: None while it is not answered.
    answered_at: datetime | None
    #: Since the answer, else since the start.
    seconds: int
    sip_call_id: str


# ------------------------------------------------------------------------------------------------- list


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
    code: int | None = None,
    answered: bool | None = None,
    min_talk_seconds: float | None = None,
    limit: int = 50,
) -> list[Call]:
    """Return calls, the latest first; None lets everything through.

    tenant_id: None for the whole system. number, a, b: the beginning of either number, of A, of B, as dialled
    or as sent, with or without a leading +. gateway: a name; the call came from it or was tried there. Raises
    NotFound for a gateway of which nothing is known.
    """
    return db.fetch_all(
        conn,
        Call,
        SQL["list_calls"],
        call_id=None,
        tenant_id=tenant_id,
        since=since,
        until=until,
        number=_begins(number),
        a=_begins(a),
        b=_begins(b),
        gateway_ids=None if gateway is None else _gateway_ids(conn, gateway),
        code=code,
        answered=answered,
        min_talk_ms=None if min_talk_seconds is None else round(min_talk_seconds * 1000),
        limit=limit,
    )


def _begins(number: str | None) -> list[str] | None:
    """Return LIKE patterns for numbers that begin so; what LIKE takes for a pattern is meant literally."""
    if number is None:
        return None
    literal = re.sub(r"([\\%_])", r"\\\1", number.removeprefix("+"))
    return [f"{literal}%", f"+{literal}%"]


def _gateway_ids(conn: Conn, name: str) -> list[int]:
    found = db.fetch_all(conn, _Named, SQL["gateways_of_name"], name=name)
    if not found:
        raise NotFound(f'there is no gateway "{name}"', kind="gateway", name=name)
    return [gateway.id for gateway in found]


@dataclass(frozen=True, slots=True)
class _Named:
    id: int
    name: str


# ------------------------------------------------------------------------------------------------- show


def find(conn: Conn, *, call_id: UUID) -> Call:
    """Return one call; raises NotFound."""
    nothing = dict.fromkeys(
        ("tenant_id", "number", "a", "b", "gateway_ids", "code", "answered", "min_talk_ms"), None
    )
    started_at = _time_inside(call_id)
    found = db.fetch_one(
        conn,
        Call,
        SQL["list_calls"],
        call_id=call_id,
        since=started_at,
        until=started_at + timedelta(milliseconds=1),
        limit=1,
        **nothing,
    )
    return db.require(found, "call", call_id)


def find_id(conn: Conn, *, text: str) -> UUID:
    """Return the id that is meant by an id or the unique beginning of one.

    Raises BadInput, NotFound, AmbiguousCallId.
    """
    digits = text.strip().lower().replace("-", "")
    if not re.fullmatch(r"[0-9a-f]{1,32}", digits):
        raise BadInput(f'"{text}" is no id of a call: hexadecimal digits, or the first of them')
    first, last = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
    if first == last:
        return first
    found = db.fetch_all(
        conn,
        _CallId,
        SQL["call_ids_between"],
        first=first,
        last=last,
        first_time=_time_inside(first),
        last_time=_time_inside(last),
        limit=CANDIDATES + 1,
    )
    if not found:
        raise NotFound(f'there is no call whose id begins with "{text}"', kind="call", name=text)
    if len(found) > 1:
        raise AmbiguousCallId(f'several calls have an id that begins with "{text}": {_some(found)}')
    return found[0].call_id


@dataclass(frozen=True, slots=True)
class _CallId:
    call_id: UUID


def _some(found: Sequence[_CallId]) -> str:
    named = ", ".join(str(each.call_id) for each in found[:CANDIDATES])
    return f"{named}, …" if len(found) > CANDIDATES else named


def _time_inside(call_id: UUID) -> datetime:
    """Return the time in the first 48 bits, whatever the version: a bound of a search is no UUIDv7."""
    try:
        return datetime.fromtimestamp((call_id.int >> 80) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return LAST_MOMENT


@dataclass(frozen=True, kw_only=True)
class GoingOn:
    """A call that has not ended."""

    call_id: UUID
    a: str
    b: str


def going_on(conn: Conn, *, tenant_id: int, text: str, account: str | None = None) -> GoingOn:
    """Return a call of a tenant that has not ended, by its id or the beginning of it.

    account: only one that this account made or, as an agent, has. Raises NotFound, BadInput, AmbiguousCallId.
    """
    call_id = find_id(conn, text=text)
    params = {"call_id": call_id, "started_at": _time_inside(call_id), "account": account}
    found = db.fetch_one(conn, _Numbers, SQL["call_going_on"], tenant_id=tenant_id, **params)
    numbers = db.require(found, "call that goes on", text)
    return GoingOn(call_id=call_id, a=numbers.a, b=numbers.b)


@dataclass(frozen=True, slots=True)
class _Numbers:
    a: str
    b: str


def story(conn: Conn, *, call_id: UUID) -> CallStory:
    """Return a call with everything that happened in it, in time order; raises NotFound."""
    call = find(conn, call_id=call_id)
    events = events_of(conn, call_ids=[call_id], earliest=call.started_at)
    return CallStory(
        call=call,
        summary=summary(_verdict(call)),
        lines=tell(uuid7_time(call_id), events, _names(conn, call, events)),
    )


def events_of(
    conn: Conn,
    *,
    call_ids: Iterable[UUID],
    earliest: datetime,
    kinds: Iterable[str] | None = None,
    known: Iterable[UUID] = (),
) -> list[Event]:
    """Return the events of calls, in no order.

    earliest: start of the earliest of them; it spares the partitions of older days. kinds: None for all. known: events
    that are not to be returned.
    """
    return db.fetch_all(
        conn,
        Event,
        SQL["events_of_calls"],
        call_ids=list(call_ids),
        since=max(earliest, FIRST_MOMENT + CLOCK_TOLERANCE) - CLOCK_TOLERANCE,
        kinds=None if kinds is None else sorted(kinds),
        known=list(known),
    )


def _verdict(call: Call) -> Verdict:
    return Verdict(
        answered=call.answered_at is not None,
        ended=call.ended_at is not None,
        talk_ms=call.talk_ms,
        final_code=call.final_code,
        cause=call.cause,
        hung_up_by=call.hung_up_by,
    )


def _names(conn: Conn, call: Call, events: Iterable[Event]) -> Names:
    """Look up the names of all gateways and routes that the events mention."""
    mentioned = [call.gateway_in_id]
    for event in events:
        targets = [each for each in list_of(event.data.get("targets")) if isinstance(each, dict)]
        mentioned += [event.data.get("gateway"), *(told.get("gateway_id") for told in (event.data, *targets))]
    known = {found for each in mentioned if (found := id_of(each)) is not None}
    return Names(
        gateways={g.id: g.name for g in db.fetch_all(conn, _Named, SQL["gateways_of_ids"], ids=list(known))},
        routes={
            r.id: r.name for r in db.fetch_all(conn, _Named, SQL["routes_of_ids"], ids=list(call.route_ids))
        },
    )


# ------------------------------------------------------------------------------------------------- live


def live_calls(rpc: KamailioRpc, *, now: datetime, tenant: str | None = None) -> list[LiveCall]:
    """Return the calls that the proxy holds now, the longest first.

    tenant: an id as the proxy knows it; None: all. Raises ProxyDown, RpcRefused.
    """
    calls = [_live_call(dialog, now) for dialog in rpc.dialogs() if dialog.get("state") != DIALOG_ENDED]
    chosen = [call for call in calls if tenant is None or call.tenant == tenant]
    return sorted(chosen, key=lambda call: (call.started_at, call.call_id))


def _live_call(dialog: Mapping[str, Any], now: datetime) -> LiveCall:
    variables = _variables(dialog.get("variables"))
    answered_at = _moment(dialog.get("start_ts"))
    started_at = _moment(dialog.get("init_ts")) or answered_at or now
    return LiveCall(
        call_id=variables.get("ks_call", ""),
        tenant=variables.get("ks_tenant", ""),
        a=variables.get("ks_a") or text_of(dialog.get("from_uri")),
        b=variables.get("ks_b") or text_of(dialog.get("to_uri")),
        state=variables.get("ks_state") or DIALOG_STATES.get(dialog.get("state", 0), "unknown"),
        started_at=started_at,
        answered_at=answered_at,
        seconds=max(0, (now - (answered_at or started_at)) // timedelta(seconds=1)),
        sip_call_id=text_of(dialog.get("call_id")),
    )


def _variables(told: object) -> dict[str, str]:
    return {name: text_of(value) for name, value in told.items()} if isinstance(told, dict) else {}


def _moment(unix_seconds: object) -> datetime | None:
    if type(unix_seconds) is not int or unix_seconds <= 0:
        return None
    return datetime.fromtimestamp(unix_seconds, UTC)
