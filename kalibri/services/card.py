"""Cards: what an agent sees of a call that he is offered, from the first ring to the end of wrap-up.

Decides when a card is made and what becomes of it with each event of its offer: the address opens once, at the
moment its screen pop says; wrap-up after the call follows the form. Each step is one transaction with the
cursor, so a card is made once and nothing of it is told twice, whichever ks-api does it and whoever is killed.
Looking up is done outside of transactions; when nobody comes back from it, another one begins anew.

Never asks anybody itself (kalibri/services/caller.py), and puts no load on the distribution of calls: it reads
the stream of events that is written anyway.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any
from uuid import UUID

from callcore.call_queue import OfferOutcome, OfferState
from callcore.card import CardLookup, PopMoment, opens_now, values_of
from callcore.errors import KalibriError, Unavailable
from callcore.form import Choice, FieldType
from callcore.template import parse, parse_url, url_of
from kalibri import db
from kalibri.db import Conn
from kalibri.form_file import read_form
from kalibri.services import form as forms
from kalibri.services.caller import HISTORY_CALLS, WITHHELD, LookedUp

log = logging.getLogger("ks-api")

SQL = db.statements("card")
#: Events that are looked at in one transaction.
EVENTS_AT_ONCE = 200
#: A caller who could not be looked up for so long, in seconds, is not looked up any more: the card goes on without.
PATIENCE_SECONDS = 30.0
KEEP_DAYS = 30


# ----------------------------------------------------------------------------------------------- making


@dataclass(frozen=True)
class _Event:
    seq: int
    #: 0: how far the stream was looked at, not an event.
    tenant_id: int
    kind: str
    offer_id: int


@dataclass(frozen=True)
class Made:
    """How far cards were made."""

    #: Number of the last event that was looked at; to be told to the next look, which then begins there.
    seen: int
    #: There may be more.
    more: bool


def make_cards(conn: Conn, seen: int = 0) -> Made:
    """Go on with all cards by the events that came since; seen: what the look before returned."""
    with conn.transaction():
        if not db.fetch_value(conn, SQL["try_lock"]):
            return Made(seen, more=False)
        *found, last = db.fetch_all(conn, _Event, SQL["new_events"], most=EVENTS_AT_ONCE, seen=seen)
        for event in found:
            if event.kind != "offer.end":
                _alone(conn, _go_on, event)
        db.execute(conn, SQL["move_cursor"], seq=last.seq, used=bool(found))
    # Each on its own: wrap-up is changed under the lock of the tenant's distribution, which nobody may hold for long.
    for event in found:
        if event.kind == "offer.end":
            _alone(conn, _settle, event)
    return Made(last.seq, more=len(found) == EVENTS_AT_ONCE)


def _alone(conn: Conn, do: Callable[[Conn, _Event], object], event: _Event) -> None:
    """Do something for one event; what goes wrong with it must not keep the others."""
    try:
        with conn.transaction():
            do(conn, event)
    except Unavailable:
        raise
    except KalibriError as error:
        log.warning("card of offer %s: %s", event.offer_id, error)


def _go_on(conn: Conn, event: _Event) -> None:
    key = {"tenant_id": event.tenant_id, "offer_id": event.offer_id}
    if event.kind == "offer.make":
        db.execute(conn, SQL["make_card"], **key, history=HISTORY_CALLS, withheld=list(WITHHELD))
    open_if_due(conn, **key)


def _settle(conn: Conn, event: _Event) -> None:
    forms.settle_wrapup(conn, tenant_id=event.tenant_id, offer_id=event.offer_id)


@dataclass(frozen=True)
class _ToOpen:
    url_template: str
    open_at: PopMoment
    lookup: CardLookup
    variables: Mapping[str, Any]
    info: Mapping[str, Any]
    answered: bool
    over: bool


def open_if_due(conn: Conn, *, tenant_id: int, offer_id: int) -> bool:
    """Open the address of a card if its moment has come and it has not opened; return whether it did."""
    with conn.transaction():
        key = {"tenant_id": tenant_id, "offer_id": offer_id}
        card = db.fetch_one(conn, _ToOpen, SQL["lock_card"], **key)
        if card is None:
            return False
        template = parse_url(card.url_template)
        due = opens_now(
            open_at=card.open_at,
            answered=card.answered,
            over=card.over,
            lookup=card.lookup,
            needs_lookup=template.uses("info"),
        )
        if due:
            url = url_of(template, values_of(card.variables, card.info))
            db.execute(conn, SQL["open_card"], **key, url=url)
        return due


# ---------------------------------------------------------------------------------------------- look-up


@dataclass(frozen=True)
class Claim:
    """A caller whom somebody is about to look up."""

    tenant_id: int
    offer_id: int
    variables: Mapping[str, Any]
    #: It took too long already.
    late: bool


def claim_lookups(conn: Conn, *, limit: int) -> list[Claim]:
    """Take callers to look up, the oldest first."""
    params = {"limit": limit, "patience_seconds": PATIENCE_SECONDS}
    return db.fetch_all(conn, Claim, SQL["claim_lookups"], **params)


def looked_up(conn: Conn, *, tenant_id: int, offer_id: int, found: LookedUp) -> None:
    """Note what a look-up gave, and open the address that waited for it."""
    with conn.transaction():
        key = {"tenant_id": tenant_id, "offer_id": offer_id}
        told = {"lookup": found.lookup, "info": json.dumps(found.info), "error": found.error}
        if db.execute(conn, SQL["looked_up"], **key, **told):
            open_if_due(conn, **key)


# ----------------------------------------------------------------------------------------------- seeing


@dataclass(frozen=True, kw_only=True)
class CardField:
    """A field of a form, with the text of a script as it is said in this call."""

    name: str
    type: FieldType
    label: str
    required: bool
    text: str
    choices: Sequence[Choice]
    max_length: int
    lines: int
    minimum: float | None
    maximum: float | None
    decimals: int | None
    earliest: date | None
    latest: date | None


@dataclass(frozen=True, kw_only=True)
class CardForm:
    """The form of a call."""

    name: str
    version: int
    title: str
    fields: Sequence[CardField]
    disposition: str


@dataclass(frozen=True, kw_only=True)
class _CardFacts:
    """What is kept of a card."""

    offer_id: int
    entry_id: int
    call_id: UUID
    queue: str
    agent: str
    made_at: datetime
    state: OfferState
    #: None: it goes on.
    outcome: OfferOutcome | None
    answered_at: datetime | None
    ended_at: datetime | None
    #: caller, called, queue, campaign, lead, var, …: what may stand in addresses and scripts.
    variables: Mapping[str, Any]
    #: calls: earlier ones of this caller; last_agent.
    history: Mapping[str, Any]
    open_at: PopMoment
    opened_at: datetime | None
    #: The address as it was opened; empty: not yet.
    url: str
    lookup: CardLookup
    lookup_error: str
    #: What the tenant's system says of the caller.
    info: Mapping[str, Any]
    answers: Mapping[str, Any]
    disposition: str | None
    saved_at: datetime | None
    finished_at: datetime | None
    #: Preview: he may accept or skip the lead until then; None: nothing is to be decided.
    preview_until: datetime | None


@dataclass(frozen=True, kw_only=True)
class Card(_CardFacts):
    """What an agent sees of a call."""

    #: None: nothing is filled in for this call.
    form: CardForm | None


@dataclass(frozen=True, kw_only=True)
class _Row(_CardFacts):
    """A card as the database tells it, with the text of its form."""

    tenant_id: int
    form: str | None
    form_version: int | None
    source: str | None


def list_cards(conn: Conn, *, tenant_id: int, agent_id: int | None, limit: int = 20) -> list[Card]:
    """Return the cards of an agent (None: of all), the newest first: of calls that ring, go on, or that he had."""
    params = {"agent_id": agent_id, "offer_id": None, "limit": limit}
    return [_card(row) for row in db.fetch_all(conn, _Row, SQL["list_cards"], tenant_id=tenant_id, **params)]


def find(conn: Conn, *, tenant_id: int, offer_id: int, agent_id: int | None = None) -> Card:
    """Return the card of an offer; agent_id: only if it is this agent's. Raises NotFound."""
    params = {"agent_id": agent_id, "offer_id": offer_id, "limit": 1}
    row = db.fetch_one(conn, _Row, SQL["list_cards"], tenant_id=tenant_id, **params)
    return _card(db.require(row, "card", offer_id))


def _card(row: _Row) -> Card:
    kept = {entry.name: getattr(row, entry.name) for entry in fields(_CardFacts)}
    return Card(**kept, form=_form(row))


def _form(row: _Row) -> CardForm | None:
    if row.form is None or row.source is None or row.form_version is None:
        return None
    form = read_form(row.source)
    values = values_of(row.variables, row.info)
    fields = [CardField(**{**vars(field), "text": parse(field.text).fill(values)}) for field in form.fields]
    return CardForm(
        name=row.form,
        version=row.form_version,
        title=form.title,
        fields=fields,
        disposition=form.disposition,
    )


def forget_old(conn: Conn) -> int:
    """Remove cards of calls that nobody works on any more; return how many."""
    return db.execute(conn, SQL["forget_cards"], days=KEEP_DAYS)
