"""Forms of tenants, in versions, and the sheets that agents fill in for their calls.

Decides which version a sheet belongs to, when a sheet may be saved, and what finishing it does to the agent's
wrap-up: it may end it, and a form that is not finished may have made it longer. What a form may contain:
kalibri/form_file.py; what an answer may be: callcore/form.py.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from callcore.call_queue import OfferOutcome
from callcore.errors import BadInput, NotFound, Refused
from callcore.form import check_answers, disposition_of
from kalibri import db
from kalibri.db import Conn
from kalibri.form_file import read_form

SQL = db.statements("form")
MAX_ANSWERS_BYTES = 200_000
#: Who lets the wrap-up of an agent last longer or end, in the events.
BY_FORM = "form"


class NoForm(Refused):
    """The call has no form, or it was not this agent's."""

    error_id = "no-form"


class Finished(Refused):
    """The form of this call is finished already; it can only be finished anew."""

    error_id = "form-finished"


@dataclass(frozen=True, kw_only=True)
class FormListed:
    """A form with one of its versions (the newest, unless told otherwise)."""

    tenant_id: int
    tenant: str
    form_id: int
    name: str
    #: Out of use, it is shown with no new call.
    enabled: bool
    version: int
    #: YAML.
    source: str
    changed_at: datetime
    changed_by: str
    #: How many were filled in, of all versions.
    sheets: int


@dataclass(frozen=True, kw_only=True)
class FormVersion:
    """One version."""

    version: int
    created_at: datetime
    created_by: str
    sheets: int


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A form as it was filled in for a call."""

    tenant_id: int
    tenant: str
    sheet_id: int
    form: str
    version: int
    offer_id: int
    entry_id: int
    call_id: UUID
    queue: str
    agent: str
    campaign: str
    caller: str
    disposition: str | None
    answers: Mapping[str, Any]
    began_at: datetime
    saved_at: datetime
    saved_by: str
    #: None: not finished.
    finished_at: datetime | None
    #: Of the conversation; None: it goes on, or is not known any more.
    talk_seconds: float | None
    #: From the end of the conversation until the form was finished; negative: before its end.
    after_call_seconds: float | None


# ------------------------------------------------------------------------------------------------ forms


def list_forms(conn: Conn, *, tenant_id: int | None) -> list[FormListed]:
    """Return the forms of a tenant; None: of all."""
    return db.fetch_all(conn, FormListed, SQL["list_forms"], tenant_id=tenant_id, name=None, version=None)


def find(conn: Conn, *, tenant_id: int, name: str, version: int | None = None) -> FormListed:
    """Return a form with its newest or a named version; raises NotFound."""
    params = {"tenant_id": tenant_id, "name": name, "version": version}
    found = db.fetch_one(conn, FormListed, SQL["list_forms"], **params)
    return db.require(found, "form" if version is None else f"version {version} of the form", name)


def versions(conn: Conn, *, tenant_id: int, name: str) -> list[FormVersion]:
    """Return every version of a form, the newest first; raises NotFound."""
    form = find(conn, tenant_id=tenant_id, name=name)
    return db.fetch_all(conn, FormVersion, SQL["list_versions"], tenant_id=tenant_id, form_id=form.form_id)


def add(conn: Conn, *, tenant_id: int, name: str, source: str) -> FormListed:
    """Make a form of a YAML text; raises BadForm (with lines), AlreadyExists, BadInput."""
    read_form(source)
    with conn.transaction():
        form_id = db.fetch_value(conn, SQL["add_form"], tenant_id=tenant_id, name=name)
        db.execute(conn, SQL["add_version"], tenant_id=tenant_id, form_id=form_id, source=source)
        return find(conn, tenant_id=tenant_id, name=name)


def change(
    conn: Conn, *, tenant_id: int, name: str, source: str | None = None, enabled: bool | None = None
) -> FormListed:
    """Give a form another text (a new version, for calls from now on), or put it in or out of use.

    The same text again makes no version. Raises NotFound, BadForm.
    """
    if source is not None:
        read_form(source)
    with conn.transaction():
        form_id = db.fetch_value(conn, SQL["lock_form"], tenant_id=tenant_id, name=name)
        form = find(conn, tenant_id=tenant_id, name=name)
        if source is not None and source != form.source:
            db.execute(conn, SQL["add_version"], tenant_id=tenant_id, form_id=form_id, source=source)
        if enabled is not None:
            db.execute(conn, SQL["set_enabled"], tenant_id=tenant_id, form_id=form_id, enabled=enabled)
        return find(conn, tenant_id=tenant_id, name=name)


def remove(conn: Conn, *, tenant_id: int, name: str) -> None:
    """Remove a form that was never used; raises NotFound, StillInUse (then put it out of use)."""
    if not db.execute(conn, SQL["remove_form"], tenant_id=tenant_id, name=name):
        raise NotFound(f'there is no form "{name}"')


# ----------------------------------------------------------------------------------------------- sheets


@dataclass(frozen=True)
class _OfCard:
    offer_id: int
    entry_id: int
    call_id: UUID
    queue_id: int
    agent_id: int
    form_id: int | None
    version: int | None
    source: str | None
    campaign: str
    caller: str
    outcome: OfferOutcome | None
    finished_at: datetime | None


def save_sheet(
    conn: Conn,
    *,
    tenant_id: int,
    offer_id: int,
    answers: Mapping[str, Any],
    finished: bool = False,
    agent_id: int | None = None,
) -> Sheet:
    """Store what was filled in for a call, and with `finished` end it: then required fields must be answered.

    agent_id: only if the call is this agent's. Finishing ends his wrap-up if the form says so. Raises NotFound,
    NoForm, Finished, BadAnswers.
    """
    with conn.transaction():
        key = {"tenant_id": tenant_id, "offer_id": offer_id}
        card = db.require(
            db.fetch_one(conn, _OfCard, SQL["form_of_card"], **key, agent_id=agent_id), "card", offer_id
        )
        if card.source is None or card.outcome not in (None, OfferOutcome.ANSWERED):
            raise NoForm()
        if card.finished_at is not None and not finished:
            raise Finished()
        form = read_form(card.source)
        kept = check_answers(form, answers, finished=finished)
        text = json.dumps(kept)
        if len(text) > MAX_ANSWERS_BYTES:
            raise BadInput(f"the answers are longer than {MAX_ANSWERS_BYTES} bytes together")
        stored = {name: value for name, value in vars(card).items() if name not in _NOT_STORED}
        sheet_id = db.fetch_value(
            conn,
            SQL["save_sheet"],
            tenant_id=tenant_id,
            **stored,
            answers=text,
            disposition=disposition_of(form, kept),
            finished=finished,
        )
        if finished:
            settle_wrapup(conn, **key)
        return find_sheet(conn, tenant_id=tenant_id, sheet_id=sheet_id)


_NOT_STORED = ("source", "outcome", "finished_at")


@dataclass(frozen=True)
class _Wrapup:
    agent_id: int
    source: str
    finished: bool
    since_end_seconds: float
    left_seconds: float | None


def settle_wrapup(conn: Conn, *, tenant_id: int, offer_id: int) -> int | None:
    """Let wrap-up after a conversation be as its form wants it; return the seconds that it got, None: unchanged.

    A finished form may end it, one that is not may make it longer, never shorter. Nothing happens when the
    agent is not in the wrap-up of this very conversation.
    """
    found = db.fetch_one(conn, _Wrapup, SQL["wrapup_of_offer"], tenant_id=tenant_id, offer_id=offer_id)
    if found is None:
        return None
    form = read_form(found.source)
    seconds: int | None = None
    if found.finished and form.ends_wrapup:
        seconds = 0
    elif not found.finished and form.wrapup_seconds is not None:
        wanted = form.wrapup_seconds - found.since_end_seconds
        if wanted > max(0.0, found.left_seconds or 0.0):
            seconds = math.ceil(wanted)
    if seconds is not None:
        params = {"agent_id": found.agent_id, "seconds": seconds, "by": BY_FORM}
        db.execute(conn, SQL["set_wrapup"], tenant_id=tenant_id, **params)
    return seconds


def list_sheets(
    conn: Conn,
    *,
    tenant_id: int | None,
    form: str | None = None,
    agent: str | None = None,
    queue: str | None = None,
    call_id: UUID | None = None,
    disposition: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 100,
) -> list[Sheet]:
    """Return sheets, the latest first: what was filled in, by whom, for which call, with which disposition."""
    return db.fetch_all(
        conn,
        Sheet,
        SQL["list_sheets"],
        tenant_id=tenant_id,
        sheet_id=None,
        form=form,
        agent=agent,
        queue=queue,
        call_id=call_id,
        disposition=disposition,
        since=since,
        until=until,
        limit=limit,
    )


def find_sheet(conn: Conn, *, tenant_id: int | None, sheet_id: int) -> Sheet:
    """Return one sheet; raises NotFound."""
    nothing = dict.fromkeys(("form", "agent", "queue", "call_id", "disposition", "since", "until"))
    params = {"tenant_id": tenant_id, "sheet_id": sheet_id, "limit": 1, **nothing}
    return db.require(db.fetch_one(conn, Sheet, SQL["list_sheets"], **params), "sheet", sheet_id)


def forget_sheets(conn: Conn, *, default_days: int) -> int:
    """Remove sheets past the period for which their tenant keeps calls; return how many."""
    return db.execute(conn, SQL["forget_sheets"], default_days=default_days)
