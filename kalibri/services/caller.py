"""What is known of a caller: his earlier calls, the address book, and what the tenant's own system says.

Decides how a tenant's system may be asked, how long an answer holds, and that a failure is an answer, too: who
asks always gets something, in bounded time. Where a request may lead: kalibri/outbound_http.py. Never decides
who is looked up for which call (kalibri/services/card.py).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from callcore.card import CardLookup
from callcore.errors import BadInput, NotFound
from callcore.template import parse_url, url_of
from kalibri import db
from kalibri.config import Config
from kalibri.db import Conn
from kalibri.outbound_http import NotFetched, Reach, fetch_json, networks_of

SQL = db.statements("caller")

#: What may stand in the address of a look-up, besides variables of the lead and of the call.
LOOKUP_NAMES = ("called", "caller", "campaign", "crm_id", "queue", "tenant")
LOOKUP_GROUPS = ("lead", "var")
#: A system that failed is not asked again for so long about the same caller, in seconds.
FAILED_SECONDS = 10
#: Earlier calls that are shown.
HISTORY_CALLS = 5
MAX_HEADERS = 20
#: How the caller's number is told when it is withheld.
WITHHELD = ("", "anonymous", "unknown")

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)
_HEADER_VALUE = re.compile(r"[ -~]{0,2000}", re.ASCII)
#: What a request is made of is ours to say.
_OUR_HEADERS = frozenset(
    {
        "host",
        "connection",
        "content-length",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "accept-encoding",
    }
)

#: Gets an object of JSON from an address: (url, headers, timeout in seconds) → object; raises NotFetched.
Fetch = Callable[[str, Mapping[str, str], float], dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class CallerLookup:
    """How a tenant's system is asked who calls."""

    #: Address with places for variables.
    url: str
    #: Sent with each request.
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    #: For everything together.
    timeout_ms: int = 2000
    #: How long an answer holds; 0: each call is asked for.
    cache_seconds: int = 300
    enabled: bool = True


@dataclass(frozen=True, kw_only=True)
class LookedUp:
    """What a look-up gave."""

    lookup: CardLookup
    info: Mapping[str, Any] = field(default_factory=dict)
    #: Empty: no error.
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class CallerInfo:
    """What is known of a number."""

    number: str
    #: In the address book; None: it is not there.
    name: str | None
    #: Earlier calls to queues, the newest first: at, call_id, queue, agent, end, seconds, disposition.
    calls: list[Mapping[str, Any]]
    #: Who talked with this number last.
    last_agent: str | None
    lookup: CardLookup
    #: What the tenant's system says.
    info: Mapping[str, Any]
    error: str


def fetcher(config: Config) -> Fetch:
    """Return how this instance asks: only public addresses, and the networks that its operator allows."""
    reach = Reach(networks_of(config.api.lookup_networks or ""))

    def fetch(url: str, headers: Mapping[str, str], timeout_seconds: float) -> dict[str, Any]:
        return fetch_json(url, headers=headers, timeout_seconds=timeout_seconds, reach=reach)

    return fetch


# -------------------------------------------------------------------------------------------- settings


def find_lookup(conn: Conn, *, tenant_id: int) -> CallerLookup:
    """Return how a tenant's system is asked; raises NotFound."""
    found = db.fetch_one(conn, CallerLookup, SQL["find_lookup"], tenant_id=tenant_id)
    if found is None:
        raise NotFound("the tenant looks nobody up")
    return found


def set_lookup(conn: Conn, *, tenant_id: int, **changes: Any) -> CallerLookup:
    """Say how a tenant's system is asked from now on; changes: fields of CallerLookup, what is not given stays.

    Raises BadTemplate, BadInput.
    """
    with conn.transaction():
        known = db.fetch_one(conn, CallerLookup, SQL["find_lookup"], tenant_id=tenant_id)
        after = replace(known or CallerLookup(url=""), **changes)
        parse_url(after.url, names=LOOKUP_NAMES, groups=LOOKUP_GROUPS)
        _check_headers(after.headers)
        values = {**vars(after), "headers": json.dumps(dict(after.headers))}
        db.execute(conn, SQL["set_lookup"], tenant_id=tenant_id, **values)
        db.execute(conn, SQL["forget_all"], tenant_id=tenant_id)
        return after


def remove_lookup(conn: Conn, *, tenant_id: int) -> None:
    """Look nobody up any more; raises NotFound."""
    with conn.transaction():
        if not db.execute(conn, SQL["remove_lookup"], tenant_id=tenant_id):
            raise NotFound("the tenant looks nobody up")
        db.execute(conn, SQL["forget_all"], tenant_id=tenant_id)


def _check_headers(headers: Mapping[str, str]) -> None:
    if len(headers) > MAX_HEADERS:
        raise BadInput(f"at most {MAX_HEADERS} headers")
    for name, value in headers.items():
        if (
            not _HEADER_NAME.fullmatch(name)
            or not isinstance(value, str)
            or not _HEADER_VALUE.fullmatch(value)
        ):
            raise BadInput(f"header {name[:100]!r}: a name as X-Key, and printable ASCII")
        if name.lower() in _OUR_HEADERS:
            raise BadInput(f"header {name}: is set by the request itself")


# --------------------------------------------------------------------------------------------- look-ups


def look_up(conn: Conn, *, tenant_id: int, values: Mapping[str, Any], fetch: Fetch) -> LookedUp:
    """Ask a tenant's system about a caller, or remember what it said; never raises for what that system does.

    values: variables of the call. The connection must not be in a transaction: the answer may take seconds.
    """
    settings = db.fetch_one(conn, CallerLookup, SQL["find_lookup"], tenant_id=tenant_id)
    if settings is None or not settings.enabled or str(values.get("caller") or "") in WITHHELD:
        return LookedUp(lookup=CardLookup.NONE)
    url = url_of(parse_url(settings.url, names=LOOKUP_NAMES, groups=LOOKUP_GROUPS), values)
    key = hashlib.sha256(url.encode()).hexdigest()
    known = db.fetch_one(conn, _Cached, SQL["cached"], tenant_id=tenant_id, key=key)
    if known is None:
        known = _asked(settings, url, fetch)
        seconds = FAILED_SECONDS if known.error else settings.cache_seconds
        if seconds:
            data = json.dumps(known.data)
            params = {"key": key, "data": data, "error": known.error, "seconds": seconds}
            db.execute(conn, SQL["remember"], tenant_id=tenant_id, **params)
    lookup = CardLookup.FAILED if known.error else CardLookup.DONE
    return LookedUp(lookup=lookup, info=known.data, error=known.error)


@dataclass(frozen=True)
class _Cached:
    data: Mapping[str, Any]
    error: str


def _asked(settings: CallerLookup, url: str, fetch: Fetch) -> _Cached:
    try:
        return _Cached(fetch(url, settings.headers, settings.timeout_ms / 1000), "")
    except NotFetched as error:
        return _Cached({}, str(error)[:300] or "no answer")


def info(conn: Conn, *, tenant_id: int, number: str, fetch: Fetch | None) -> CallerInfo:
    """Return what is known of a number; fetch None: without asking the tenant's system."""
    history = db.fetch_value(conn, SQL["history"], tenant_id=tenant_id, number=number, most=HISTORY_CALLS)
    looked = LookedUp(lookup=CardLookup.NONE)
    if fetch is not None:
        looked = look_up(conn, tenant_id=tenant_id, values={"caller": number}, fetch=fetch)
    return CallerInfo(
        number=number,
        name=db.fetch_value(conn, SQL["name_of_number"], tenant_id=tenant_id, number=number),
        calls=history["calls"],
        last_agent=history["last_agent"],
        lookup=looked.lookup,
        info=looked.info,
        error=looked.error,
    )


def forget_expired(conn: Conn) -> int:
    """Remove answers that hold no more; return how many."""
    return db.execute(conn, SQL["forget_expired"])
