"""Methods form.*, screenpop.*, caller.* and card.*: what agents see of calls, and what they fill in.

An agent that logged in with his account sees his own cards and saves his own sheets; which agent he is, the
account says.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from api.method import Context, Fields, Method, Scope, Tenancy
from api.methods.agent import own_name
from callcore.template import BadTemplate
from kalibri.db import Conn
from kalibri.form_file import read_form
from kalibri.services import agent as agents
from kalibri.services import caller as callers
from kalibri.services import card as cards
from kalibri.services import event as events
from kalibri.services import form as forms
from kalibri.services import screen_pop as pops
from kalibri.services.agent import Agent
from kalibri.services.caller import CallerInfo, CallerLookup
from kalibri.services.card import Card
from kalibri.services.form import Sheet
from kalibri.services.screen_pop import PopSettings

Source = Annotated[str, Field(max_length=100_000)]
Version = Annotated[int, Field(ge=1, le=2**31 - 1)]
Id = Annotated[int, Field(ge=1, le=2**63 - 1)]
Limit = Annotated[int, Field(ge=1, le=1000)]
Text = Annotated[str, Field(max_length=2000)]
Answers = Annotated[dict[str, Any], Field(max_length=200)]

#: Requests of one tenant that ask its own system at once: a slow one must not take all threads.
ASKING_AT_ONCE = 2
_asking: Counter[int] = Counter()
_asking_lock = threading.Lock()


@contextmanager
def _place(tenant_id: int) -> Iterator[bool]:
    """Take one of the places of a tenant that may ask its system now; false: there is none free."""
    with _asking_lock:
        free = _asking[tenant_id] < ASKING_AT_ONCE
        _asking[tenant_id] += free
    try:
        yield free
    finally:
        with _asking_lock:
            _asking[tenant_id] -= free
            if not _asking[tenant_id]:
                del _asking[tenant_id]


# ------------------------------------------------------------------------------------------------ forms


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A form without errors."""

    title: str
    fields: Sequence[str]


def check(_conn: Conn, *, source: Source) -> Checked:
    """Read a form without saving it; raises BadForm, whose details name each line with an error."""
    form = read_form(source)
    return Checked(title=form.title, fields=[field.name for field in form.fields])


def own_agent(context: Context, tenant_id: int, name: str | None) -> int | None:
    """Return the id of the agent that is meant: for the token of an account its own; None: whosever it is."""
    if name is None and context.principal.account is None:
        return None
    own = own_name(context, tenant_id, name)
    return agents.find(context.conn, tenant_id=tenant_id, name=own).agent_id


def save_sheet(
    context: Context, *, tenant_id: int, offer: Id, answers: Answers, finished: bool = False
) -> Sheet:
    """Store what was filled in for a call; finished: required fields must be answered, and wrap-up may end.

    Raises NotFound, NoForm, Finished, BadAnswers.
    """
    return forms.save_sheet(
        context.conn,
        tenant_id=tenant_id,
        offer_id=offer,
        answers=answers,
        finished=finished,
        agent_id=own_agent(context, tenant_id, None),
    )


def show_sheet(conn: Conn, *, tenant_id: int | None, sheet: Id) -> Sheet:
    """Return one sheet; raises NotFound."""
    return forms.find_sheet(conn, tenant_id=tenant_id, sheet_id=sheet)


# ------------------------------------------------------------------------------- screen pops, callers


def try_pop(_conn: Conn, *, url: Text, variables: dict[str, Any] | None = None) -> str:
    """Return the address that would open for a call, with sample values where none are given.

    Raises BadTemplate.
    """
    return pops.try_out(url=url, variables=variables)


def info(context: Context, *, tenant_id: int, number: Text, look_up: bool = True) -> CallerInfo:
    """Return what is known of a number: name, earlier calls, last agent, and what the tenant's system says.

    look_up: ask that system, unless it was asked lately; error says so when it gave no usable answer.
    """
    if not look_up:
        return callers.info(context.conn, tenant_id=tenant_id, number=number, fetch=None)
    with _place(tenant_id) as free:
        fetch = callers.fetcher(context.config) if free else None
        found = callers.info(context.conn, tenant_id=tenant_id, number=number, fetch=fetch)
    if free:
        return found
    return CallerInfo(**{**vars(found), "error": "too many ask this tenant's system just now"})


@dataclass(frozen=True, kw_only=True)
class LookupShown:
    """How a tenant's system is asked, without its secrets."""

    url: str
    #: Names of the headers that are sent.
    headers: Sequence[str]
    timeout_ms: int
    cache_seconds: int
    enabled: bool


def _shown(settings: CallerLookup) -> LookupShown:
    return LookupShown(**{**vars(settings), "headers": sorted(settings.headers)})


def show_lookup(conn: Conn, *, tenant_id: int) -> LookupShown:
    """Return how a tenant's system is asked who calls; raises NotFound."""
    return _shown(callers.find_lookup(conn, tenant_id=tenant_id))


def set_lookup(
    conn: Conn, *, tenant_id: int, headers: Mapping[str, str] | None = None, **changes: Any
) -> LookupShown:
    """Say how a tenant's system is asked who calls; headers replace all that were sent before.

    Raises BadTemplate, BadInput.
    """
    if headers is not None:
        changes["headers"] = headers
    if "url" in changes and not changes["url"]:
        raise BadTemplate("address: must not be empty")
    return _shown(callers.set_lookup(conn, tenant_id=tenant_id, **changes))


# ------------------------------------------------------------------------------------------------ cards


@dataclass(frozen=True, kw_only=True)
class Desk:
    """What an agent's screen begins with."""

    #: Listen to events after this one: nothing falls between.
    after: int
    agent: Agent
    cards: Sequence[Card]


def list_cards(
    context: Context, *, tenant_id: int, name: Text | None = None, limit: Limit = 20
) -> list[Card]:
    """Return the cards of an agent, the newest first: of calls that ring or go on, and of those that he had."""
    agent_id = own_agent(context, tenant_id, name)
    return cards.list_cards(context.conn, tenant_id=tenant_id, agent_id=agent_id, limit=limit)


def show_card(context: Context, *, tenant_id: int, offer: Id) -> Card:
    """Return the card of an offer; raises NotFound."""
    agent_id = own_agent(context, tenant_id, None)
    return cards.find(context.conn, tenant_id=tenant_id, offer_id=offer, agent_id=agent_id)


def live(context: Context, *, tenant_id: int, name: Text | None = None, limit: Limit = 20) -> Desk:
    """Return the state of an agent with his cards, and the event after which to listen. Raises NotFound."""
    after = events.bounds(context.conn).head
    own = own_name(context, tenant_id, name)
    agent = agents.find(context.conn, tenant_id=tenant_id, name=own)
    found = cards.list_cards(context.conn, tenant_id=tenant_id, agent_id=agent.agent_id, limit=limit)
    return Desk(after=after, agent=agent, cards=found)


METHODS = (
    Method("form.list", forms.list_forms, Scope.READ, Tenancy.FILTER),
    Method(
        "form.show", forms.find, Scope.READ, Tenancy.ONE, narrow={"name": Text, "version": Version | None}
    ),
    Method("form.versions", forms.versions, Scope.READ, Tenancy.ONE),
    Method("form.check", check, Scope.READ, Tenancy.ROWS),
    Method("form.add", forms.add, Scope.ADMIN, Tenancy.ONE, narrow={"name": Text, "source": Source}),
    Method(
        "form.set", forms.change, Scope.ADMIN, Tenancy.ONE, narrow={"name": Text, "source": Source | None}
    ),
    Method("form.rm", forms.remove, Scope.ADMIN, Tenancy.ONE),
    Method("form.sheet.list", forms.list_sheets, Scope.READ, Tenancy.FILTER, narrow={"limit": Limit}),
    Method("form.sheet.show", show_sheet, Scope.READ, Tenancy.FILTER),
    Method("form.sheet.save", save_sheet, Scope.AGENT, Tenancy.ONE),
    Method("screenpop.list", pops.list_pops, Scope.READ, Tenancy.FILTER),
    Method("screenpop.set", pops.set_pop, Scope.ADMIN, Tenancy.ONE, Fields(PopSettings)),
    Method("screenpop.rm", pops.remove, Scope.ADMIN, Tenancy.ONE),
    Method("screenpop.test", try_pop, Scope.READ, Tenancy.ROWS),
    Method("caller.info", info, Scope.READ, Tenancy.ONE, one_transaction=False),
    Method("caller.lookup.show", show_lookup, Scope.ADMIN, Tenancy.ONE),
    Method(
        "caller.lookup.set",
        set_lookup,
        Scope.ADMIN,
        Tenancy.ONE,
        Fields(CallerLookup, without=("headers",)),
    ),
    Method("caller.lookup.rm", callers.remove_lookup, Scope.ADMIN, Tenancy.ONE),
    Method("card.list", list_cards, Scope.AGENT, Tenancy.ONE),
    Method("card.show", show_card, Scope.AGENT, Tenancy.ONE),
    Method("card.live", live, Scope.AGENT, Tenancy.ONE),
)
