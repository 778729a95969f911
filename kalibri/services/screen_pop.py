"""What opens with a call: an address and a form, for an agent, a campaign, a queue, or everybody of a tenant.

Decides what may be saved; which of several counts for a call is decided where cards are made
(kalibri/queries/card.sql): for the address and for the form apart, agent before campaign before queue before
tenant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from callcore.card import PopMoment, values_of
from callcore.errors import BadInput, NotFound
from callcore.template import parse_url, url_of
from kalibri import db
from kalibri.db import Conn
from kalibri.services import agent as agents
from kalibri.services import campaign as campaigns
from kalibri.services import form as forms
from kalibri.services import queue as queues

SQL = db.statements("screen_pop")

#: Stand in for a call, where somebody tries an address out.
SAMPLE: Mapping[str, Any] = {
    "agent": "anna",
    "agent_name": "Anna",
    "call_id": "01980000-0000-7000-8000-000000000000",
    "called": "78005550100",
    "caller": "74950001122",
    "caller_name": "Sample caller",
    "campaign": "sample",
    "crm_id": "C-1",
    "entry_id": 1,
    "offer_id": 1,
    "queue": "sales",
    "tenant": "acme",
    "waited_seconds": 12,
}


@dataclass(frozen=True, kw_only=True)
class ScreenPop:
    """A screen pop as it is listed; queue, agent and campaign None: for everybody."""

    tenant_id: int
    tenant: str
    pop_id: int
    queue: str | None
    agent: str | None
    campaign: str | None
    #: Empty: no address opens.
    url: str
    open_at: PopMoment
    form: str | None
    enabled: bool


@dataclass(frozen=True)
class _Settings:
    pop_id: int
    url: str
    open_at: PopMoment
    form_id: int | None
    enabled: bool


@dataclass(frozen=True, kw_only=True)
class PopSettings:
    """What can be set of a screen pop."""

    url: str = ""
    open_at: PopMoment = PopMoment.OFFER
    #: Name of a form; None: no form from here.
    form: str | None = None
    enabled: bool = True


def list_pops(conn: Conn, *, tenant_id: int | None) -> list[ScreenPop]:
    """Return the screen pops of a tenant; None: of all."""
    return db.fetch_all(conn, ScreenPop, SQL["list_pops"], tenant_id=tenant_id)


def set_pop(
    conn: Conn,
    *,
    tenant_id: int,
    queue: str | None = None,
    agent: str | None = None,
    campaign: str | None = None,
    **changes: Any,
) -> ScreenPop:
    """Make or change what opens for a queue, an agent, a campaign, or (none named) everybody of a tenant.

    changes: fields of PopSettings; what is not given stays. Raises NotFound, BadTemplate, BadInput.
    """
    target = _target(conn, tenant_id, queue, agent, campaign)
    if changes.get("url"):
        parse_url(changes["url"])
    with conn.transaction():
        known = db.fetch_one(conn, _Settings, SQL["find_pop"], **target)
        before = known or _Settings(0, "", PopMoment.OFFER, None, True)
        if "form" in changes:
            name = changes.pop("form")
            wanted = None if name is None else forms.find(conn, tenant_id=tenant_id, name=name).form_id
            changes["form_id"] = wanted
        after = replace(before, **changes)
        if not after.url and after.form_id is None:
            raise BadInput("a screen pop needs an address, a form, or both")
        values = {name: value for name, value in vars(after).items() if name != "pop_id"}
        db.execute(conn, SQL["set_pop"], **target, **values)
        found = (queue, agent, campaign)
        pops = list_pops(conn, tenant_id=tenant_id)
        return next(pop for pop in pops if (pop.queue, pop.agent, pop.campaign) == found)


def remove(
    conn: Conn,
    *,
    tenant_id: int,
    queue: str | None = None,
    agent: str | None = None,
    campaign: str | None = None,
) -> None:
    """Remove what opens for a queue, an agent, a campaign or everybody; raises NotFound."""
    if not db.execute(conn, SQL["remove_pop"], **_target(conn, tenant_id, queue, agent, campaign)):
        raise NotFound("there is no such screen pop")


def try_out(*, url: str, variables: Mapping[str, Any] | None = None) -> str:
    """Return the address that would open for a call, with sample values where none are given.

    Raises BadTemplate.
    """
    return url_of(
        parse_url(url), values_of({**SAMPLE, **(variables or {})}, (variables or {}).get("info", {}))
    )


def _target(
    conn: Conn, tenant_id: int, queue: str | None, agent: str | None, campaign: str | None
) -> dict[str, Any]:
    if sum(name is not None for name in (queue, agent, campaign)) > 1:
        raise BadInput("name a queue, an agent or a campaign, not several")
    return {
        "tenant_id": tenant_id,
        "queue_id": None if queue is None else queues.find(conn, tenant_id=tenant_id, name=queue).queue_id,
        "agent_id": None if agent is None else agents.find(conn, tenant_id=tenant_id, name=agent).agent_id,
        "campaign_id": _campaign_id(conn, tenant_id, campaign),
    }


def _campaign_id(conn: Conn, tenant_id: int, name: str | None) -> int | None:
    return None if name is None else campaigns.find(conn, tenant_id=tenant_id, name=name).campaign_id
